package journey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Mix is the share of duplicates, faults and reordering among the events.
type Mix struct {
	// Duplicates is the share of records that repeat an earlier one.
	Duplicates float64
	// Faults is the share of faulty records; each kind in turn.
	Faults float64
	// Late is the share of first events that follow their children.
	Late float64
	// Tombstones reports whether records without a value are among the faults.
	Tombstones bool
}

// DemoMix is a bad but believable day.
var DemoMix = Mix{Duplicates: 0.02, Faults: 0.01, Late: 0.005}

// Record is a Kafka record with its expected outcome.
type Record struct {
	Key, Value []byte
	// Event is nil for records without an event.
	Event *event.Event
	// Expect is the record's outcome: reported, duplicate, dead_letter or
	// skipped.
	Expect string
	// Reason is the expected reason of a dead letter.
	Reason event.Reason
}

// Mixed generates n records, or records without end if n is 0. A record that must
// follow an earlier one has the same key, so that it is in the same
// partition.
func (g *Generator) Mixed(mix Mix, n int) iter.Seq[Record] {
	m := &mixer{g: g, mix: mix, rng: rand.New(rand.NewPCG(g.o.Seed, 0x6d6978))}
	for _, k := range kindsOfFault(g.o.Version) {
		if mix.Tombstones || k.reason != "" {
			m.kinds = append(m.kinds, k)
		}
	}
	return func(yield func(Record) bool) {
		given := 0
		for e := range g.Events() {
			records := m.around
			if n > 0 && m.count+len(m.late)+mostAround > n {
				// No child may be left without its delayed parent.
				records = m.closing
			}
			for _, r := range records(e) {
				if !yield(r) {
					return
				}
				if given++; given == n {
					return
				}
			}
		}
	}
}

// mostAround is the maximum number of records for one event, besides late ones.
const mostAround = 3

// closing returns the delayed records and the event's own record.
func (m *mixer) closing(e *event.Event) []Record {
	var out []Record
	for _, l := range m.late {
		out = append(out, l.record)
	}
	m.late = nil
	out = append(out, m.record(e))
	m.count += len(out)
	return out
}

// record returns the valid record of an event.
func (m *mixer) record(e *event.Event) Record {
	return Record{Key: []byte(e.RequestID), Value: e.AppendRecord(nil), Event: e, Expect: "reported"}
}

// mixer turns events into records, some of them faulty or reordered.
type mixer struct {
	g       *Generator
	mix     Mix
	rng     *rand.Rand
	kinds   []kind
	count   int
	faults  int
	late    []delayed
	emitted []Record // the latest valid records, to repeat and contradict
}

type delayed struct {
	record Record
	at     int
}

// around returns an event's record and the records before and after it.
func (m *mixer) around(e *event.Event) []Record {
	var out []Record
	r := m.record(e)
	if e.ParentID == "" && m.chance(m.mix.Late) {
		m.late = append(m.late, delayed{r, m.count + 50 + m.rng.IntN(300)})
	} else {
		out = append(out, r)
	}
	for len(m.late) > 0 && m.late[0].at <= m.count {
		out = append(out, m.late[0].record)
		m.late = m.late[1:]
	}
	for _, r := range out {
		m.remember(r)
	}
	if m.chance(m.mix.Duplicates) && len(m.emitted) > 0 {
		out = append(out, m.duplicate())
	}
	if m.chance(m.mix.Faults) && len(m.emitted) > 0 {
		out = append(out, m.fault(e))
	}
	m.count += len(out)
	return out
}

const remembered = 2000

func (m *mixer) remember(r Record) {
	if len(m.emitted) < remembered {
		m.emitted = append(m.emitted, r)
		return
	}
	m.emitted[m.rng.IntN(remembered)] = r
}

func (m *mixer) any() Record { return m.emitted[m.rng.IntN(len(m.emitted))] }

// duplicate repeats an earlier record; half of the time with different formatting.
func (m *mixer) duplicate() Record {
	r := m.any()
	r.Expect = "duplicate"
	if m.chance(0.5) {
		var b bytes.Buffer
		if json.Indent(&b, r.Value, "", " ") == nil {
			r.Value = b.Bytes()
		}
	}
	return r
}

func (m *mixer) chance(p float64) bool { return m.rng.Float64() < p }

// fault returns a record with the next kind of fault and an ID that is no event's
// parent.
func (m *mixer) fault(e *event.Event) Record {
	kind := m.kinds[m.faults%len(m.kinds)]
	m.faults++
	copied := *e
	copied.ID = m.g.id()
	copied.ParentID = ""
	r := Record{Key: []byte(e.RequestID), Expect: "dead_letter", Reason: kind.reason}
	if kind.reason == "" {
		r.Expect = "skipped"
	}
	switch {
	case kind.contradict:
		// Different content under an earlier ID.
		r = m.any()
		copied = *r.Event
		copied.Time = copied.Time.Add(-time.Hour)
		copied.CreateTime = copied.Time.Format(time.RFC3339Nano)
		r.Value, r.Expect, r.Reason, r.Event = copied.AppendRecord(nil), "dead_letter", kind.reason, &copied
	case kind.raw != nil:
		r.Value = kind.raw(copied.AppendRecord(nil))
	default:
		var fields map[string]any
		_ = json.Unmarshal(copied.AppendRecord(nil), &fields)
		other := m.any()
		if kind.follows {
			r.Key = other.Key // parents are searched in the child's partition
		}
		kind.edit(fields, other)
		r.Value, _ = json.Marshal(fields)
	}
	return r
}

// kind is a kind of fault of a record.
type kind struct {
	reason     event.Reason
	raw        func([]byte) []byte
	edit       func(fields map[string]any, other Record)
	contradict bool // it contradicts another record
	follows    bool // it names another record as its parent
}

func without(name string) func(map[string]any, Record) {
	return func(fields map[string]any, _ Record) { delete(fields, name) }
}

func with(name string, value any) func(map[string]any, Record) {
	return func(fields map[string]any, _ Record) { fields[name] = value }
}

func inJobEvent(name string, value any) func(map[string]any, Record) {
	return func(fields map[string]any, _ Record) { fields["jobEvent"].(map[string]any)[name] = value }
}

// kindsOfFault are all faults that a record can have alone or together
// with another.
func kindsOfFault(v event.Version) []kind {
	manyKeys, muchText := map[string]any{}, map[string]any{"text": strings.Repeat("ü", event.MaxExtraInfoBytes/2)}
	for i := range event.MaxExtraInfoKeys + 1 {
		manyKeys[fmt.Sprint("key", i)] = "x"
	}
	foreignJob := "projects/demo/tenants/demo/jobs/1"
	if v != event.V3 {
		foreignJob = "jobs/1"
	}
	unknownType := "CLICK"
	if v != event.V3 {
		unknownType = event.NotInterested.String() // only v3 has it
	}
	return []kind{
		{reason: event.ReasonMalformed, raw: func(b []byte) []byte { return b[:len(b)/2] }},
		{reason: event.ReasonMalformed, raw: func(b []byte) []byte { return append(b, " and more"...) }},
		{reason: event.ReasonMalformed, raw: func([]byte) []byte { return []byte("null") }},
		{reason: event.ReasonMalformed, raw: func([]byte) []byte { return []byte("[\"not an object\"]") }},
		{reason: event.ReasonMalformed, raw: func(b []byte) []byte { return append([]byte(`{"eventId":"twice",`), b[1:]...) }},
		{reason: event.ReasonMalformed, raw: func(b []byte) []byte {
			return append(b[:len(b)-1], ",\"extraInfo\":{\"x\":\"\xff\"}}"...)
		}},
		{reason: event.ReasonMalformed, raw: func([]byte) []byte {
			return []byte(`{"a":` + strings.Repeat("[", event.MaxDepth) + strings.Repeat("]", event.MaxDepth) + "}")
		}},
		{reason: event.ReasonUnknownField, edit: with("userAgent", "x")},
		{reason: event.ReasonInvalidField, edit: with("requestId", 5)},
		{reason: event.ReasonMissingEventID, edit: without("eventId")},
		{reason: event.ReasonMissingRequestID, edit: with("requestId", "")},
		{reason: event.ReasonMissingCreateTime, edit: with("createTime", nil)},
		{reason: event.ReasonMissingJobEvent, edit: without("jobEvent")},
		{reason: event.ReasonMissingType, edit: inJobEvent("type", nil)},
		{reason: event.ReasonMissingJobs, edit: inJobEvent("jobs", []string{})},
		{reason: event.ReasonInvalidCreateTime, edit: with("createTime", "yesterday")},
		{reason: event.ReasonInvalidType, edit: inJobEvent("type", unknownType)},
		{reason: event.ReasonInvalidJobName, edit: inJobEvent("jobs", []string{foreignJob})},
		{reason: event.ReasonExtraInfoTooManyKeys, edit: with("extraInfo", manyKeys)},
		{reason: event.ReasonExtraInfoTooLarge, edit: with("extraInfo", muchText)},
		{reason: event.ReasonSelfParent, edit: func(f map[string]any, _ Record) { f["parentEventId"] = f["eventId"] }},
		{reason: event.ReasonParentNotFound, edit: with("parentEventId", "an-event-that-never-was")},
		{reason: event.ReasonParentMismatch, follows: true, edit: func(f map[string]any, other Record) {
			// An impression starts a journey: nothing can have led to it.
			f["parentEventId"] = other.Event.ID
			f["jobEvent"].(map[string]any)["type"] = event.Impression.String()
		}},
		{reason: event.ReasonIDConflict, contradict: true},
		{raw: func([]byte) []byte { return nil }},
		{raw: func([]byte) []byte { return []byte{} }},
	}
}
