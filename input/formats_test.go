package input

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/clientevents/clientevents/event"
)

func record(value string, headers ...string) *Record {
	r := &Record{Topic: "topic", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1767323045678), Value: []byte(value)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kafka.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// asText decodes a record and gives the value as JSON, or the fault.
func asText(t testing.TB, d *Decoder, r *Record) string {
	t.Helper()
	v, err := d.format.decode(t.Context(), r, newBudget(maxDecoded, nil))
	if err != nil {
		return err.Error()
	}
	text, err := encode(v.value, 1)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func newDecoder(t testing.TB, c Config) *Decoder {
	t.Helper()
	c.Version = event.V4
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const (
	valid   = `{"eventId":"e1","requestId":"r1","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/tenants/t/jobs/j"]}}`
	mapping = `{eventId: event_id("view"; .id), requestId: $key, createTime: $timestamp, jobEvent: {type: "VIEW", jobs: ["projects/p/tenants/t/jobs/\(.job)"]}}`
)

func TestDecode(t *testing.T) {
	for name, test := range map[string]struct {
		mapping, value string
		events         int
		fault          string
	}{
		"an event":        {"", valid, 1, ""},
		"no event":        {"", `{"a":1}`, 0, "unknown_field: "},
		"malformed":       {"", `{`, 0, "malformed: "},
		"mapped":          {mapping, `{"id":9007199254740993,"job":7}`, 1, ""},
		"skipped":         {"empty", `{}`, 0, ""},
		"several":         {`(` + mapping + `), (` + mapping + ` | .eventId += "2")`, `{"id":1,"job":7}`, 2, ""},
		"one is invalid":  {`(` + mapping + `), (` + mapping + ` | .jobEvent.type = "GAZE")`, `{"id":1,"job":7}`, 0, `invalid_type: event 2 of 2: jobEvent.type: "GAZE"`},
		"undecodable":     {mapping, `{"id":1`, 0, "undecodable: not JSON: it ends too early"},
		"unmapped":        {mapping, `{"id":null}`, 0, `unmapped: input.mapping on topic, partition 3, offset 42: line 1, column 11, event_id("view"; .id): event_id cannot be applied to: null`},
		"a string":        {".id", `{"id":"x"}`, 0, "unmapped: input.mapping on topic, partition 3, offset 42: output 1 is a string: an event is an object"},
		"number for text": {`{eventId: .id}`, `{"id":1}`, 0, "invalid_field: "},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDecoder(t, Config{Mapping: test.mapping})
			r := record(test.value)
			r.Key = []byte("r-1")
			events, fault, err := d.Decode(t.Context(), r, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if fault != nil {
				got = fault.Error()
			}
			if len(events) != test.events || !strings.HasPrefix(got, test.fault) || test.fault == "" && fault != nil {
				t.Errorf("got %d events and %q, want %d and %q", len(events), got, test.events, test.fault)
			}
		})
	}
}

func TestReplacingTheMapping(t *testing.T) {
	d := newDecoder(t, Config{Mapping: "empty"})
	if err := d.SetMapping("{"); err == nil {
		t.Fatal("a program that is wrong was taken")
	}
	if events, fault, _ := d.Decode(t.Context(), record(`{}`), nil); len(events) != 0 || fault != nil {
		t.Fatalf("the program is not as it was: %v, %v", events, fault)
	}
	if err := d.SetMapping(""); err != nil {
		t.Fatal(err)
	}
	if events, fault, _ := d.Decode(t.Context(), record(valid), nil); len(events) != 1 {
		t.Fatal(fault)
	}
}

func TestCloudEvents(t *testing.T) {
	const envelope = `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":`
	d := newDecoder(t, Config{Format: FormatCloudEvents})
	for name, test := range map[string]struct {
		record *Record
		want   string
	}{
		"structured":         {record(envelope+`{"a":1}}`, "content-type", "application/cloudevents+json; charset=utf-8"), `{"data":{"a":1},"id":"1","source":"/s","specversion":"1.0","type":"t"}`},
		"without a type":     {record(envelope + `{"a":1}}`), `{"data":{"a":1},"id":"1","source":"/s","specversion":"1.0","type":"t"}`},
		"binary":             {record(`{"a":1}`, "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "ce_myext", "x", "content-type", "application/json"), `{"data":{"a":1},"datacontenttype":"application/json","id":"1","myext":"x","source":"/s","specversion":"1.0","type":"t"}`},
		"binary text":        {record(`hello`, "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "content-type", "text/plain"), `{"data":"hello","datacontenttype":"text/plain","id":"1","source":"/s","specversion":"1.0","type":"t"}`},
		"binary bytes":       {record("\xff", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "content-type", "image/png"), `{"data_base64":"/w==","datacontenttype":"image/png","id":"1","source":"/s","specversion":"1.0","type":"t"}`},
		"binary, not JSON":   {record(`{`, "ce_specversion", "1.0", "content-type", "application/json"), "undecodable: data: not JSON: it ends too early"},
		"a batch":            {record(`[]`, "content-type", "application/cloudevents-batch+json"), "undecodable: a batch of CloudEvents: publish one CloudEvent per record"},
		"a batch, untyped":   {record(`[` + envelope + `1}]`), "undecodable: a batch of CloudEvents: publish one CloudEvent per record"},
		"no id":              {record(`{"specversion":"1.0"}`), "undecodable: no CloudEvent: attribute id is required"},
		"an unknown version": {record(strings.Replace(envelope, `"1.0"`, `"2.0"`, 1) + `1}`), "undecodable: a CloudEvent of a version that is not known: expected specversion 1.0"},
		"neither":            {record(`hello`), "undecodable: no CloudEvent: no header ce_specversion, and the value is not JSON at offset 0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asText(t, d, test.record); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	if events, fault, _ := d.Decode(t.Context(), record(envelope+valid+"}"), nil); len(events) != 1 {
		t.Errorf("without a mapping, data is not the event: %v", fault)
	}
	if _, fault, _ := d.Decode(t.Context(), record(envelope+"1}"), nil); fault == nil || fault.Reason != event.ReasonMalformed {
		t.Errorf("without data, the fault is %v", fault)
	}
}

func withID(id int, payload []byte) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), payload...))
}

const avroSchema = `{"type":"record","name":"Viewed","namespace":"com.example","fields":[
 {"name":"id","type":"long"},
 {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
 {"name":"micros","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
 {"name":"day","type":{"type":"int","logicalType":"date"}},
 {"name":"clock","type":{"type":"int","logicalType":"time-millis"}},
 {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":4}},
 {"name":"fixed","type":{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9,"scale":2}},
 {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
 {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["VIEW","APPLY"]}},
 {"name":"user","type":["null","string"]},
 {"name":"nobody","type":["null","string"]},
 {"name":"either","type":["string","long",{"type":"record","name":"R","fields":[{"name":"x","type":"int"}]}]},
 {"name":"score","type":"float"},
 {"name":"raw","type":"bytes"},
 {"name":"jobs","type":{"type":"array","items":"string"}},
 {"name":"tags","type":{"type":"map","values":"boolean"}}
]}`

func avroValue() map[string]any {
	return map[string]any{
		"id": int64(9223372036854775807), "at": int64(1767323045678), "micros": int64(-1), "local": int64(1767323045000),
		"day": int32(20455), "clock": int32(11045678),
		"price": []byte{0x01, 0x8e, 0xe9, 0x0f, 0xf6, 0xc3, 0x73, 0xe0, 0xee, 0x4e, 0x3f, 0x0a, 0xd2}, "fixed": []byte{0xff, 0xff, 0xff, 0x85},
		"uuid": "6f2c9e5a-0d3b-5c41-9a7e-3b1f8d4c2e60", "kind": "VIEW", "user": "jane", "nobody": nil,
		"either": map[string]any{"x": int32(5)}, "score": float32(0.1), "raw": []byte{0xff, 0},
		"jobs": []any{"a", "b"}, "tags": map[string]any{"new": true},
	}
}

func encodeAvro(t testing.TB, schema string, v any) []byte {
	t.Helper()
	// Raw numbers and bytes are encoded as they are.
	s, err := avro.Parse(schema, avro.CustomType{LogicalType: "decimal"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAvro(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	fake.SeedSchema("s", 1, 7, sr.Schema{Schema: avroSchema})
	d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
	const want = `{"at":"2026-01-02T03:04:05.678Z","clock":"03:04:05.678","day":"2026-01-02","either":{"x":5},"fixed":-1.23,"id":9223372036854775807,` +
		`"jobs":["a","b"],"kind":"VIEW","local":"2026-01-02T03:04:05","micros":"1969-12-31T23:59:59.999999Z","nobody":null,` +
		`"price":123456789012345678901234567.8901,"raw":"/wA=","score":0.1,"tags":{"new":true},"user":"jane","uuid":"6f2c9e5a-0d3b-5c41-9a7e-3b1f8d4c2e60"}`
	data := encodeAvro(t, avroSchema, avroValue())
	if got := asText(t, d, record(withID(7, data))); got != strings.Replace(want, "123456789012345678901234567.8901", price, 1) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	header := record(string(data), idHeader, withID(7, nil))
	if got := asText(t, d, header); !strings.HasPrefix(got, `{"at":`) {
		t.Errorf("with the ID in a header: %s", got)
	}
	v, err := d.format.decode(t.Context(), record(withID(7, data)), newBudget(maxDecoded, nil))
	if err != nil || fmt.Sprint(v.schema) != "map[id:7 name:com.example.Viewed]" {
		t.Errorf("the schema is %v (%v)", v.schema, err)
	}
	for name, value := range map[string]string{
		"cut":       withID(7, data[:20]),
		"more":      withID(7, append(slices.Clip(data), 1)),
		"no magic":  `{"a":1}`,
		"too short": "\x00\x00",
		"empty":     withID(7, nil),
	} {
		got := asText(t, d, record(value))
		t.Log(name, got)
		if !strings.HasPrefix(got, "undecodable: ") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// price is the decimal of avroValue.
var price = withPoint(new(big.Int).SetBytes(avroValue()["price"].([]byte)), 4)

func TestAvroOfEvolvedSchemasAndReferences(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	fake.SeedSchema("job", 1, 1, sr.Schema{Schema: `{"type":"record","name":"Job","namespace":"c","fields":[{"name":"id","type":"string"}]}`})
	fake.SeedSchema("view", 1, 2, sr.Schema{
		Schema:     `{"type":"record","name":"View","namespace":"c","fields":[{"name":"job","type":"c.Job"}]}`,
		References: []sr.SchemaReference{{Name: "c.Job", Subject: "job", Version: 1}},
	})
	fake.SeedSchema("view", 2, 3, sr.Schema{
		Schema:     `{"type":"record","name":"View","namespace":"c","fields":[{"name":"job","type":"c.Job"},{"name":"rank","type":"int","default":0}]}`,
		References: []sr.SchemaReference{{Name: "c.Job", Subject: "job", Version: 1}},
	})
	d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
	for value, want := range map[string]string{
		withID(2, []byte{4, 'j', '1'}):    `{"job":{"id":"j1"}}`,
		withID(3, []byte{4, 'j', '1', 6}): `{"job":{"id":"j1"},"rank":3}`,
	} {
		if got := asText(t, d, record(value)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

const protoFile = `syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "job.proto";
message Other { string x = 1; }
message Viewed {
  enum Kind { NONE = 0; VIEW = 1; }
  message Inner { int64 n = 1; Inner inner = 2; }
  int64 user_id = 1;
  google.protobuf.Timestamp at = 2;
  Kind kind = 3;
  repeated shop.Job jobs = 4;
  map<string, uint64> counts = 5;
  bytes raw = 6;
  optional int32 rank = 7;
  int32 position = 8;
  google.protobuf.StringValue note = 9;
  google.protobuf.Struct extra = 10;
  Inner inner = 11;
  oneof which { string a = 12; float b = 13; }
}`

const jobFile = `syntax = "proto3"; package shop; message Job { string id = 1; }`

func protoMessage(t testing.TB, name, text string) []byte {
	t.Helper()
	files, err := (&protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"f.proto": protoFile, "job.proto": jobFile}),
	})}).Compile(t.Context(), "f.proto")
	if err != nil {
		t.Fatal(err)
	}
	var descriptor protoreflect.MessageDescriptor
	if descriptor = files[0].Messages().ByName(protoreflect.Name(name)); descriptor == nil {
		descriptor = files[0].Messages().ByName("Viewed").Messages().ByName(protoreflect.Name(name))
	}
	m := dynamicpb.NewMessage(descriptor)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	data, err := inOrder.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// inOrder writes fields in one order. Otherwise dynamic messages have them in a random
// one, and a cut message may be a valid message.
var inOrder = proto.MarshalOptions{Deterministic: true, AllowPartial: true}

const (
	protoText = `{"userId":"9223372036854775807","at":"2026-01-02T03:04:05.678Z","kind":"VIEW","jobs":[{"id":"j1"}],"counts":{"a":"18446744073709551615"},"raw":"/w==","note":"n","extra":{"x":[1,null]},"inner":{"n":"-1"},"b":0.1}`
	protoWant = `{"at":"2026-01-02T03:04:05.678Z","b":0.1,"counts":{"a":"18446744073709551615"},"extra":{"x":[1,null]},"inner":{"n":"-1"},"jobs":[{"id":"j1"}],"kind":"VIEW","note":"n","position":0,"raw":"/w==","userId":"9223372036854775807"}`
)

func seedProto(fake *srfake.Registry) {
	fake.SeedSchema("job", 1, 1, sr.Schema{Type: sr.TypeProtobuf, Schema: jobFile})
	fake.SeedSchema("viewed", 1, 2, sr.Schema{
		Type: sr.TypeProtobuf, Schema: protoFile,
		References: []sr.SchemaReference{{Name: "job.proto", Subject: "job", Version: 1}},
	})
}

func TestProtobufOfARegistry(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	seedProto(fake)
	d := newDecoder(t, Config{Format: FormatProtobuf, Registry: Registry{URL: fake.URL()}})
	data := protoMessage(t, "Viewed", protoText)
	deep := `{}`
	for range 200 {
		deep = `{"inner":` + deep + `}`
	}
	for name, test := range map[string]struct {
		record *Record
		want   string
	}{
		"the second message": {record(withID(2, append([]byte{2, 2}, data...))), protoWant},
		"the first message":  {record(withID(2, append([]byte{0}, protoMessage(t, "Other", `{"x":"y"}`)...))), `{"x":"y"}`},
		"a nested message":   {record(withID(2, append([]byte{4, 2, 0}, protoMessage(t, "Inner", `{"n":"5"}`)...))), `{"n":"5"}`},
		"in a header":        {record(string(data), idHeader, withID(2, []byte{2, 2})), protoWant},
		"no such message":    {record(withID(2, []byte{2, 10})), "undecodable: schema ID 2: it has no message with the index [5]"},
		"no index":           {record(withID(2, nil)), "undecodable: schema ID 2: no message index follows the schema ID"},
		"a huge index":       {record(withID(2, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})), "undecodable: schema ID 2: no message index follows the schema ID"},
		"cut":                {record(withID(2, append([]byte{2, 2}, data[:len(data)-3]...))), "undecodable: schema ID 2: not this message in Protobuf, or nested too deep"},
		"nested":             {record(withID(2, append([]byte{4, 2, 0}, protoMessage(t, "Inner", deep)...))), "undecodable: schema ID 2: not this message in Protobuf, or nested too deep"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asText(t, d, test.record); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	// 10,000 levels as a producer of another language may write them.
	nested := []byte{}
	for range 10_000 {
		nested = append(append([]byte{0x12}, binary.AppendUvarint(nil, uint64(len(nested)))...), nested...)
	}
	if got := asText(t, d, record(withID(2, append([]byte{4, 2, 0}, nested...)))); !strings.HasSuffix(got, "nested too deep") {
		t.Errorf("10,000 levels: %.100s", got)
	}
}

func TestProtobufOfASerializedSchema(t *testing.T) {
	name, text := "other.proto", "user_name"
	file := &descriptorpb.FileDescriptorProto{
		Name: &name, Syntax: new("proto3"), Dependency: []string{"google/protobuf/timestamp.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("M"), Field: []*descriptorpb.FieldDescriptorProto{
			{Name: &text, Number: new(int32(1)), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()},
		}}},
	}
	data, err := proto.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	fake := srfake.New()
	defer fake.Close()
	fake.SeedSchema("m", 1, 5, sr.Schema{Type: sr.TypeProtobuf, Schema: base64.StdEncoding.EncodeToString(data)})
	d := newDecoder(t, Config{Format: FormatProtobuf, Registry: Registry{URL: fake.URL()}})
	if got := asText(t, d, record(withID(5, []byte("\x00\x0a\x01x")))); got != `{"userName":"x"}` {
		t.Error(got)
	}
}

func TestProtobufOfAFile(t *testing.T) {
	files, err := (&protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"f.proto": protoFile, "job.proto": jobFile}),
	})}).Compile(t.Context(), "f.proto")
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	imports := files[0].Imports()
	for i := range imports.Len() {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(imports.Get(i)))
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(files[0]))
	data, err := proto.Marshal(&set)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "set.pb")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDecoder(t, Config{Format: FormatProtobufFile, DescriptorFile: path, Message: "shop.Viewed"})
	if got := asText(t, d, record(string(protoMessage(t, "Viewed", protoText)))); got != protoWant {
		t.Errorf("got  %s\nwant %s", got, protoWant)
	}
	if got := asText(t, d, record("\xff")); got != "undecodable: shop.Viewed: not this message in Protobuf, or nested too deep" {
		t.Error(got)
	}
	for name, test := range map[string]struct{ file, message, want string }{
		"no message":     {path, "shop.Nothing", `input.message: "shop.Nothing" is not in ` + path},
		"an enum":        {path, "shop.Viewed.Kind", `input.message: "shop.Viewed.Kind" is not a message`},
		"no file":        {path + "x", "shop.Viewed", "input.descriptor_file: open"},
		"not a set":      {os.Args[0], "shop.Viewed", "is not a FileDescriptorSet"},
		"nothing is set": {"", "", "is required"},
	} {
		_, err := New(Config{Format: FormatProtobufFile, DescriptorFile: test.file, Message: test.message})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestJSONSchema(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	fake.SeedSchema("job", 1, 1, sr.Schema{Type: sr.TypeJSON, Schema: `{"type":"object","required":["id"],"properties":{"id":{"type":"string","pattern":"^j"}}}`})
	fake.SeedSchema("view", 1, 2, sr.Schema{
		Type:       sr.TypeJSON,
		Schema:     `{"title":"View","type":"object","properties":{"user":{"type":"integer"},"job":{"$ref":"job.json"}}}`,
		References: []sr.SchemaReference{{Name: "job.json", Subject: "job", Version: 1}},
	})
	fake.SeedSchema("self", 1, 3, sr.Schema{Type: sr.TypeJSON, Schema: `{"$ref":"#"}`})
	fake.SeedSchema("remote", 1, 4, sr.Schema{Type: sr.TypeJSON, Schema: `{"$ref":"http://127.0.0.1:1/x"}`})
	fake.SeedSchema("file", 1, 5, sr.Schema{Type: sr.TypeJSON, Schema: `{"$ref":"file:///etc/passwd"}`})
	fake.SeedSchema("tree", 1, 6, sr.Schema{Type: sr.TypeJSON, Schema: `{"type":"object","properties":{"next":{"$ref":"#"}}}`})
	d := newDecoder(t, Config{Format: FormatJSONSchema, Registry: Registry{URL: fake.URL()}})
	for value, want := range map[string]string{
		withID(2, []byte(`{"user":9007199254740993,"job":{"id":"j1"}}`)): `{"job":{"id":"j1"},"user":9007199254740993}`,
		withID(2, []byte(`{"user":"jane","job":{"id":"j1"}}`)):           "undecodable: schema ID 2: /user does not conform to the schema: type",
		withID(2, []byte(`{"job":{"id":"secret"}}`)):                     "undecodable: schema ID 2: /job/id does not conform to the schema: pattern",
		withID(2, []byte(`{"job":{}}`)):                                  "undecodable: schema ID 2: /job does not conform to the schema: required",
		withID(2, []byte(`{`)):                                           "undecodable: schema ID 2: not JSON: it ends too early",
		withID(6, []byte(`{"next":{"next":{}}}`)):                        `{"next":{"next":{}}}`,
		withID(3, []byte(`{}`)):                                          "undecodable: schema ID 3",
		withID(4, []byte(`{}`)):                                          "undecodable: schema ID 4 can't be used: ",
		withID(5, []byte(`{}`)):                                          "undecodable: schema ID 5 can't be used: ",
	} {
		if got := asText(t, d, record(value)); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}
