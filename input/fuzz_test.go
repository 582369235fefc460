package input

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/event"
)

// FuzzProgram: no program ends the process or takes long, none shows text of the record
// in its failure, and with marks it gives the same.
func FuzzProgram(f *testing.F) {
	for _, program := range []string{
		".", flatMapping, `.a[] |= . + 1`, `reduce .a[] as $x (0; . + $x)`, `def f: f; f`, `"\(.a)"`, `[..] | sort`,
		`. as {a: [$x]} | $x`, `try error("x") catch .`, `{a: .["b"], "c\(1)": 2}`, `label $f | break $f`, `.a = (.b | tojson)`,
		`[limit(3; repeat(1))]`, `.a |= (. * .)`, `@base64 "\(.b)"`, `$headers.h`, `path(..)`, `if .a then .b elif .c then . else empty end`,
	} {
		f.Add(program)
	}
	const secret = "Zyxw98"
	value, err := decodeJSON([]byte(`{"a":[1,2.50,{"b":"`+secret+`"}],"b":"`+secret+`","c":null,"d":9223372036854775808}`), newBudget(maxDecoded, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source string) {
		began := used(t)
		p, err := Compile(source)
		if err != nil {
			return
		}
		outputs, wrong := p.apply(value, vars())
		if took := used(t) - began; took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if wrong != nil {
			if !strings.Contains(source, secret) && strings.Contains(wrong.text, secret) {
				t.Errorf("%q shows the record", wrong.text)
			}
			return
		}
		for _, output := range outputs {
			if !json.Valid(output) {
				t.Errorf("%q is not JSON", output)
			}
		}
		traced, _, err := compile(source, true)
		if err != nil {
			t.Fatalf("with marks: %v", err)
		}
		again, err := p.runOnce(traced, newRun(100*maxSteps), value, vars())
		if err != nil || len(again) != len(outputs) {
			t.Fatalf("with marks: %d outputs, %v; want %d", len(again), err, len(outputs))
		}
		for i := range again {
			if string(again[i]) != string(outputs[i]) {
				t.Errorf("with marks: %s, want %s", again[i], outputs[i])
			}
		}
	})
}

// FuzzFormats: no bytes end the process, and each is an event or a fault.
func FuzzFormats(f *testing.F) {
	fake := srfake.New()
	f.Cleanup(fake.Close)
	fake.SeedSchema("avro", 1, 1, sr.Schema{Schema: avroSchema})
	seedAt := func(name string, id int, s sr.Schema) { fake.SeedSchema(name, 1, id, s) }
	seedAt("job", 2, sr.Schema{Type: sr.TypeProtobuf, Schema: jobFile})
	seedAt("viewed", 3, sr.Schema{
		Type: sr.TypeProtobuf, Schema: protoFile, References: []sr.SchemaReference{{Name: "job.proto", Subject: "job", Version: 1}},
	})
	registry := Registry{URL: fake.URL()}
	avroDecoder := newDecoder(f, Config{Format: FormatAvro, Registry: registry})
	protoDecoder := newDecoder(f, Config{Format: FormatProtobuf, Registry: registry})
	cloudDecoder := newDecoder(f, Config{Format: FormatCloudEvents})
	f.Add(encodeAvro(f, avroSchema, avroValue()))
	f.Add(append([]byte{2, 2}, protoMessage(f, "Viewed", protoText)...))
	f.Add([]byte(valid))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, one := range []struct {
			d *Decoder
			r *Record
		}{
			{avroDecoder, record(withID(1, data))},
			{protoDecoder, record(withID(3, data))},
			{cloudDecoder, record(string(data))},
			{cloudDecoder, record(string(data), "ce_specversion", "1.0", "ce_id", "1", "ce_source", "s", "ce_type", "t")},
		} {
			events, fault, err := one.d.Decode(t.Context(), one.r, nil)
			if err != nil || (fault == nil) == (len(events) == 0) {
				t.Errorf("%d events, %v, %v", len(events), fault, err)
			}
			if fault != nil && fault.Reason == event.ReasonPoison {
				t.Error(fault)
			}
		}
	})
}
