package consumer

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
)

func rekeyedEvent(t *testing.T) *event.Event {
	t.Helper()
	e, fault := event.Decode([]byte(`{"eventId":"e","requestId":"r","createTime":"2026-01-01T00:00:00Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/j"]}}`), event.V3)
	if fault != nil {
		t.Fatal(fault)
	}
	return e
}

// TestEnvelope: what is opened is the record that was put in.
func TestEnvelope(t *testing.T) {
	e := rekeyedEvent(t)
	at := time.UnixMilli(1_700_000_000_123)
	for name, r := range map[string]record{
		"another format": {Key: []byte("user"), Value: []byte{0, 1, 2}, Headers: []kafka.Header{{Key: "a", Value: []byte("b")}, {Key: headerSourceKey}}},
		"no key":         {Value: []byte("x")},
		"an empty key":   {Key: []byte{}, Value: []byte("x"), Headers: []kafka.Header{{Key: headerSourceTopic, Value: []byte("no")}}},
		"the event":      {Key: []byte("k"), Value: e.AppendRecord(nil)},
	} {
		r.Offset, r.Time = 42, at
		in := original{topic: "events", partition: 7, record: r}
		out := in.envelope(e, at.Add(time.Hour))
		if string(out.Key) != "r" || !bytes.Equal(out.Value, e.AppendRecord(nil)) || !out.Time.Equal(at.Add(time.Hour)) {
			t.Errorf("%s: the record is %+v", name, out)
		}
		got := opened("events.by-request", 3, &out)
		if len(r.Headers) == 0 {
			got.record.Headers = nil
		}
		if !reflect.DeepEqual(got, in) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, in)
		}
	}
}

// TestLargeRecordsAreNotCarried: they are named, and the event stands for them.
func TestLargeRecordsAreNotCarried(t *testing.T) {
	e := rekeyedEvent(t)
	in := original{topic: "events", partition: 7, record: record{Offset: 42, Time: time.UnixMilli(5), Key: []byte("user"), Value: make([]byte, maxCarried)}}
	out := in.envelope(e, time.Now())
	if size := sizeOf(&out); size > 1000 {
		t.Errorf("the record has %d bytes", size)
	}
	got := opened("events.by-request", 3, &out)
	if got.topic != "events" || got.partition != 7 || got.record.Offset != 42 || !bytes.Equal(got.record.Value, out.Value) || string(got.record.Key) != "r" || len(got.record.Headers) != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestForeignEnvelopes: a record that this program did not write is its own original.
func TestForeignEnvelopes(t *testing.T) {
	r := record{Offset: 9, Time: time.UnixMilli(5), Key: []byte("k"), Value: []byte("v"), Headers: []kafka.Header{{Key: headerSourceTopic}, {Key: headerSourceOffset}}}
	if got, want := opened("t", 3, &r), (original{topic: "t", partition: 3, record: r}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestByRequestTopicFits(t *testing.T) {
	for policy, fits := range map[string]bool{"delete": true, "compact": false, "compact,delete": false} {
		if err := CheckByRequestTopic("t", map[string]string{"cleanup.policy": policy}); (err == nil) != fits {
			t.Errorf("%s: %v", policy, err)
		}
	}
}
