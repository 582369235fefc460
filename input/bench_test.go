package input

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/event"
)

const (
	flatRecord  = `{"id":"0b8f","search":"r-17","parent":"0a11","ts":1767323045678,"action":"job_viewed","job":"4711","user":"u-99"}`
	flatMapping = `select(.action == "job_viewed") | {eventId: .id, requestId: .search, parentEventId: .parent, createTime: (.ts | from_epoch_millis),
  jobEvent: {type: "VIEW", jobs: ["projects/p/tenants/t/jobs/" + .job]}}`
	flatAvro = `{"type":"record","name":"V","fields":[{"name":"id","type":"string"},{"name":"search","type":"string"},{"name":"parent","type":"string"},
 {"name":"ts","type":"long"},{"name":"action","type":"string"},{"name":"job","type":"string"},{"name":"user","type":"string"}]}`
	flatProto = `syntax = "proto3"; message V { string id = 1; string search = 2; string parent = 3; sint64 ts = 4; string action = 5; string job = 6; string user = 7; }`
)

// benchCase is a kind of record.
type benchCase struct {
	name string
	d    decoder
	r    *Record
}

func benchCases(b *testing.B) []benchCase {
	b.Helper()
	fake := srfake.New()
	b.Cleanup(fake.Close)
	fake.SeedSchema("avro", 1, 1, sr.Schema{Schema: flatAvro})
	fake.SeedSchema("proto", 1, 2, sr.Schema{Schema: flatProto, Type: sr.TypeProtobuf})
	registry := Registry{URL: fake.URL()}
	var v map[string]any
	if err := json.Unmarshal([]byte(flatRecord), &v); err != nil {
		b.Fatal(err)
	}
	v["ts"] = int64(1767323045678)
	var proto []byte
	for i, name := range []string{"id", "search", "parent", "", "action", "job", "user"} {
		if name != "" {
			text := v[name].(string)
			proto = append(append(proto, byte((i+1)<<3|2), byte(len(text))), text...)
		}
	}
	proto = append(proto, 4<<3, 0xdc, 0x9f, 0xb0, 0xf0, 0xef, 0x66)
	return []benchCase{
		{"direct", direct{event.V4}, record(valid)},
		{"plain", newDecoder(b, Config{}), record(valid)},
		{"jq/identity", newDecoder(b, Config{Mapping: "."}), record(valid)},
		{"jq/flat", newDecoder(b, Config{Mapping: flatMapping}), record(flatRecord)},
		{"jq/avro", newDecoder(b, Config{Mapping: flatMapping, Format: FormatAvro, Registry: registry}), record(withID(1, encodeAvro(b, flatAvro, v)))},
		{"jq/protobuf", newDecoder(b, Config{Mapping: flatMapping, Format: FormatProtobuf, Registry: registry}), record(withID(2, append([]byte{0}, proto...)))},
	}
}

// decoder is what decodes a benchmark's records.
type decoder interface {
	Decode(ctx context.Context, r *Record, dst []*event.Event) ([]*event.Event, *event.Fault, error)
}

// direct decodes events without this package's formats and mapping.
type direct struct{ version event.Version }

func (d direct) Decode(_ context.Context, r *Record, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	e, fault := event.Decode(r.Value, d.version)
	if fault != nil {
		return nil, fault, nil
	}
	return append(dst, e), nil, nil
}

func (c *benchCase) decode(b *testing.B, events []*event.Event) []*event.Event {
	events, fault, err := c.d.Decode(b.Context(), c.r, events[:0])
	if err != nil || fault != nil || len(events) != 1 {
		b.Fatal(len(events), fault, err)
	}
	return events
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchCases(b) {
		b.Run(c.name, func(b *testing.B) {
			var events []*event.Event
			b.ReportAllocs()
			for b.Loop() {
				events = c.decode(b, events)
			}
		})
	}
}

// BenchmarkCost compares the kinds of records within one run: they take turns, and each
// is reported by the median of its turns.
func BenchmarkCost(b *testing.B) {
	const turn = 200
	cases := benchCases(b)
	costs := make(map[string][]float64)
	var events []*event.Event
	for b.Loop() {
		for _, c := range cases {
			began := time.Now()
			for range turn {
				events = c.decode(b, events)
			}
			costs[c.name] = append(costs[c.name], float64(time.Since(began).Nanoseconds())/turn)
		}
	}
	median := func(name string) float64 {
		slices.Sort(costs[name])
		return costs[name][len(costs[name])/2]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median("plain"), "plain-ns")
	b.ReportMetric(median("plain")/median("direct"), "plain/direct")
	b.ReportMetric((median("jq/identity")-median("plain"))/1000, "jq-identity-µs")
	b.ReportMetric((median("jq/flat")-median("plain"))/1000, "jq-flat-µs")
	b.ReportMetric((median("jq/avro")-median("jq/flat"))/1000, "avro-µs")
	b.ReportMetric((median("jq/protobuf")-median("jq/flat"))/1000, "protobuf-µs")
}

// BenchmarkUnmapped: a flood of records that fail costs no more than twice as much.
func BenchmarkUnmapped(b *testing.B) {
	d := newDecoder(b, Config{Mapping: flatMapping})
	r := record(`{"id":"0b8f","action":"job_viewed","ts":"soon"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, fault, _ := d.Decode(b.Context(), r, nil); fault == nil || fault.Reason != event.ReasonUnmapped {
			b.Fatal(fault)
		}
	}
}

// BenchmarkOneSchema: however many records have one schema, the registry receives one
// request. -benchtime 1000000x decodes a million.
func BenchmarkOneSchema(b *testing.B) {
	fake, requests := counted(b)
	d := newDecoder(b, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}, Mapping: "empty"})
	r := record(withID(7, []byte{4, 'e', '1'}))
	for b.Loop() {
		if _, fault, err := d.Decode(b.Context(), r, nil); fault != nil || err != nil {
			b.Fatal(fault, err)
		}
	}
	if n := requests.Load(); n != 1 {
		b.Errorf("%d requests for %d records with one schema", n, b.N)
	}
	b.ReportMetric(float64(requests.Load()), "requests")
}
