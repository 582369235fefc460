package input

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestMemoryOfJSON: a record that is small as a text and large as a value is a fault.
func TestMemoryOfJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: one goroutine computes much")
	}
	for _, text := range []string{"[" + strings.Repeat(`{"a":0},`, 200_000) + "0]", "[" + strings.Repeat("0,", 2_000_000) + "0]"} {
		if _, err := decodeJSON([]byte(text), newBudget(maxDecoded, nil)); !errors.Is(err, errDecoded) {
			t.Errorf("%.10s… of %d bytes: the error is %v", text, len(text), err)
		}
	}
	for _, text := range []string{"[" + strings.Repeat(`{"a":0},`, 100_000) + "0]", `"` + strings.Repeat("{,", 5_000_000) + `"`} {
		if _, err := decodeJSON([]byte(text), newBudget(maxDecoded, nil)); err != nil {
			t.Errorf("%.10s… of %d bytes: %v", text, len(text), err)
		}
	}
}

// within fails unless decoding ends with want, and without much more memory than a value
// may take.
func within(t *testing.T, want error, decode func() error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := decode()
	runtime.ReadMemStats(&after)
	made := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d MiB made", made)
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want %v", err, want)
	}
	if made > 2*maxDecoded>>20 {
		t.Errorf("it made %d MiB", made)
	}
}

// avroBlocks nests arrays of one item in blocks that claim as many items as bytes are left.
func avroBlocks(depth, bytesLeft int) []byte {
	var data []byte
	for range depth {
		data = binary.AppendVarint(data, int64(bytesLeft-4*(depth+1)))
	}
	return append(data, make([]byte, bytesLeft-len(data))...)
}

func TestMemoryOfAvro(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: one goroutine computes much")
	}
	nulls := strings.TrimSuffix(strings.Repeat(`{"name":"f%d","type":"null"},`, 1000), ",")
	names := make([]any, 1000)
	for i := range names {
		names[i] = i
	}
	wide := `{"type":"record","name":"W","fields":[` + fmt.Sprintf(nulls, names...) + `]}`
	empty := binary.AppendVarint(nil, maxEmptyItems)
	inner := append(bytes.Clone(empty), 0)
	list := func(n int, item []byte) []byte {
		return append(append(binary.AppendVarint(nil, int64(n)), bytes.Repeat(item, n)...), 0)
	}
	for name, test := range map[string]struct {
		schema string
		data   []byte
		want   error
	}{
		"lists of null":        {`{"type":"array","items":{"type":"array","items":"null"}}`, list(20_000, inner), errDecoded},
		"few lists of null":    {`{"type":"array","items":{"type":"array","items":"null"}}`, list(100, inner), nil},
		"wide records":         {`{"type":"array","items":` + wide + `}`, []byte{0}, nil},
		"many wide records":    {`{"type":"array","items":{"type":"array","items":` + wide + `}}`, list(10, inner), errDecoded},
		"empty records":        {`{"type":"map","values":{"type":"array","items":{"type":"record","name":"E","fields":[]}}}`, list(1000, append([]byte{2, 'k'}, inner...)), errDecoded},
		"unfilled blocks":      {strings.Repeat(`{"type":"array","items":`, 60) + `"int"` + strings.Repeat("}", 60), avroBlocks(60, 60_000), errDecoded},
		"optional, in a block": {`{"type":"array","items":["null",{"type":"record","name":"R","fields":[]}]}`, list(1_000_000, []byte{2}), errDecoded},
		"enums":                {`{"type":"array","items":{"type":"enum","name":"K","symbols":["A"]}}`, list(2_000_000, []byte{0}), errDecoded},
		"keys":                 {`{"type":"map","values":"null"}`, list(1_000_000, []byte{2, 'k'}), errDecoded},
		"a long text":          {`"string"`, append(binary.AppendVarint(nil, 20<<20), make([]byte, 20<<20)...), nil},
		"long bytes":           {`"bytes"`, append(binary.AppendVarint(nil, 20<<20), make([]byte, 20<<20)...), nil},
		"nested too deep":      {`{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}`, append(bytes.Repeat([]byte{2}, 70), 0), errNested},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := compileAvro(&schemaText{text: test.schema, typ: sr.TypeAvro.String()})
			if err != nil {
				t.Fatal(err)
			}
			within(t, test.want, func() error {
				_, _, err := c.decode(test.data, nil, false, newBudget(maxDecoded, nil))
				return err
			})
		})
	}
}

const hostileProto = `syntax = "proto3"; package hostile;
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
message M {
  repeated bool flags = 1; repeated fixed32 words = 2; repeated M more = 3; map<string, bool> names = 4; map<int32, M> byNumber = 5;
  google.protobuf.Any any = 6; google.protobuf.ListValue list = 7; repeated bytes raw = 8; %s
}`

const hostileOldProto = `syntax = "proto2"; package old;
message M { extensions 100 to 200; repeated bool flags = 1 [packed = true]; repeated M more = 3; repeated group G = 4 { optional int32 n = 1; } map<string, bool> names = 5; }`

func hostileMessage(t *testing.T, source string) (*protoReader, protoreflect.MessageDescriptor) {
	t.Helper()
	files, err := (&protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"m.proto": source}),
	})}).Compile(t.Context(), "m.proto")
	if err != nil {
		t.Fatal(err)
	}
	c, err := newProtobufCodec(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return c.reader, files[0].Messages().Get(0)
}

func TestMemoryOfProtobuf(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: one goroutine computes much")
	}
	var fields strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&fields, "int32 f%d = %d;", i, i+10)
	}
	field := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	entry := append(field(1, []byte("k")), 0x10, 1)
	var anys []byte
	for range 2000 {
		anys = append(field(1, []byte("/google.protobuf.Any")), field(2, anys)...)
	}
	wide, wideMessage := hostileMessage(t, fmt.Sprintf(hostileProto, fields.String()))
	slim, slimMessage := hostileMessage(t, fmt.Sprintf(hostileProto, ""))
	old, oldMessage := hostileMessage(t, hostileOldProto)
	for name, test := range map[string]struct {
		reader  *protoReader
		message protoreflect.MessageDescriptor
		data    []byte
		want    error
	}{
		"messages with many fields": {wide, wideMessage, bytes.Repeat(field(3, nil), 30_000), errDecoded},
		"a few of them":             {wide, wideMessage, bytes.Repeat(field(3, nil), 100), nil},
		"empty messages":            {slim, slimMessage, bytes.Repeat(field(3, nil), 500_000), errDecoded},
		"packed flags":              {slim, slimMessage, field(1, make([]byte, 2_000_000)), errDecoded},
		"packed words":              {slim, slimMessage, field(2, make([]byte, 8_000_000)), errDecoded},
		"flags":                     {slim, slimMessage, bytes.Repeat([]byte{8, 1}, 2_000_000), errDecoded},
		"entries":                   {slim, slimMessage, bytes.Repeat(field(4, entry), 1_000_000), errDecoded},
		"entries with messages":     {slim, slimMessage, bytes.Repeat(field(5, []byte{8, 1, 18, 0}), 300_000), errDecoded},
		"a list of nothing":         {slim, slimMessage, field(7, bytes.Repeat(field(1, []byte{8, 0}), 500_000)), errDecoded},
		"long bytes":                {slim, slimMessage, field(8, make([]byte, 20<<20)), nil},
		"nested in Any":             {slim, slimMessage, field(6, anys), errNotMessage},
		"old: empty messages":       {old, oldMessage, bytes.Repeat(field(3, nil), 500_000), errDecoded},
		"old: packed flags":         {old, oldMessage, field(1, make([]byte, 2_000_000)), errDecoded},
		"old: groups":               {old, oldMessage, bytes.Repeat([]byte{4<<3 | 3, 4<<3 | 4}, 500_000), errDecoded},
		"old: entries":              {old, oldMessage, bytes.Repeat(field(5, entry), 500_000), errDecoded},
		"old: a few":                {old, oldMessage, bytes.Repeat(field(3, nil), 10_000), nil},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, test.want, func() error {
				_, err := test.reader.decode(test.message, test.data, newBudget(maxDecoded, nil))
				return err
			})
		})
	}
}

// TestTurnsOfLargeValues: a record that is small and is decoded to a large value waits for
// its turn once, and ends it.
func TestTurnsOfLargeValues(t *testing.T) {
	turns := 0
	b := newBudget(maxDecoded, func() { turns++ })
	for size, want := range map[int]int{largeValue: 0, 2 * largeValue: 1} {
		b.left = maxDecoded
		if err := b.take(size); err != nil || turns > 1 || want == 1 && turns != 1 {
			t.Errorf("%d bytes: %d turns, %v", size, turns, err)
		}
	}
	d := newDecoder(t, Config{Mapping: "empty"})
	for _, text := range []string{"[" + strings.Repeat("{},", 10_000) + "0]", "[" + strings.Repeat("[", 10_000), `"` + strings.Repeat("x", largeRecord) + `"`} {
		if _, _, err := d.Decode(t.Context(), record(text), nil); err != nil {
			t.Fatal(err)
		}
		if !d.large.TryLock() {
			t.Fatalf("%.10s…: the turn does not end", text)
		}
		d.large.Unlock()
	}
}

// TestValuesFollowTheMemoryLimit: a value takes at most an eighth of a small process.
func TestValuesFollowTheMemoryLimit(t *testing.T) {
	const mebi = 1 << 20
	for memory, want := range map[int64]int{0: 64 * mebi, 16 * mebi: 8 * mebi, 240 * mebi: 30 * mebi, 64 << 30: 64 * mebi} {
		if got := mostDecoded(memory); got != want {
			t.Errorf("of %d MiB: %d MiB, expected %d", memory/mebi, got/mebi, want/mebi)
		}
	}
	large := record("[" + strings.Repeat("{},", 50_000) + "0]") // 20 MiB as a value
	for memory, rejected := range map[int64]bool{0: false, 64 * mebi: true} {
		d := newDecoder(t, Config{Mapping: "empty", Memory: memory})
		_, fault, err := d.Decode(t.Context(), large, nil)
		if err != nil || (fault != nil) != rejected || rejected && !strings.Contains(fault.Detail, "more than 8 MiB") {
			t.Errorf("with %d MiB: %v, %v", memory/mebi, fault, err)
		}
	}
}
