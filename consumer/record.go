package consumer

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
)

// record is a Kafka record as it was fetched. It is kept until its outcome,
// because it may become a dead letter.
type record = kafkalog.Record

// recordOverhead is the memory of a record in process besides its own bytes: the
// decoded event and the bookkeeping, as measured (TestWhatIsHeldIsBooked).
const recordOverhead = 1200

// item is a record in process: what the partition knows of it, its bytes, and
// the memory that they hold.
type item struct {
	partition.Record
	span trace.Span // nil if the record is not traced

	mu     sync.Mutex
	record *record
	chunk  *chunk
	// decoded is the memory of the events beside recordOverhead.
	decoded int64
	// shared is true if the record's value is its event's, too.
	shared bool
	// pinned keeps record where it is, since it is being written or has its
	// outcome.
	pinned bool
}

// parked is what a waiting item has of its own: its record, and the memory of it.
type parked struct {
	record record
	chunk  chunk
}

// itemOf returns the item of a record that was admitted.
func itemOf(r *partition.Record) *item { return r.Origin.(*item) }

func newItem(r *record, chunk *chunk) *item {
	it := &item{record: r, chunk: chunk}
	it.Offset, it.Origin = r.Offset, it
	return it
}

// park makes the item independent of the fetch that brought it. An item that
// waits for long would otherwise keep the memory of all its neighbors. The caller gives
// back to the account what is freed.
func (it *item) park(f *freed) {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.pinned {
		return
	}
	own := new(parked)
	own.record = clone(it.record, !it.shared)
	own.chunk.park(it.chunk.account, sizeOf(&own.record), f)
	it.chunk.release(f)
	it.record, it.chunk = &own.record, &own.chunk
}

// pin returns the record, which stays where it is from then on.
func (it *item) pin() *record {
	it.mu.Lock()
	defer it.mu.Unlock()
	it.pinned = true
	if it.record.Value == nil && it.shared {
		it.record.Value = []byte(it.Value())
	}
	return it.record
}

// release gives up a finished item. Its record must not be used any more. The caller
// gives back to the account what is freed.
func (it *item) release(f *freed) {
	it.mu.Lock()
	defer it.mu.Unlock()
	it.pinned = true
	f.bytes += it.decoded
	if it.Resumed() {
		f.moving++
	}
	it.chunk.release(f)
	it.record = nil
}

// The memory of a record and of a header beside their bytes, and that of a small
// allocation.
const (
	recordCost = 112
	headerCost = 40
	allocation = 8
)

// sizeOf returns the memory of a record that has its own.
func sizeOf(r *record) int64 {
	size := recordCost + len(r.Key) + len(r.Value) + len(r.Headers)*(headerCost+2*allocation)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	if r.Encoded != nil {
		size += len(r.Encoded.Bytes)
	}
	return int64(size)
}

// decodedSize returns the memory of the events of a record with so many bytes, as far
// as recordOverhead does not contain it.
func decodedSize(events []*event.Event, value int) int64 {
	if len(events) == 0 {
		return 0
	}
	const usual = 600
	size := 0
	for _, e := range events {
		size += len(e.ID) + len(e.RequestID) + len(e.ParentID) + len(e.CreateTime) + len(e.Notes) + len(e.Profile)
		for _, job := range e.Jobs {
			size += len(job) + 16
		}
		for _, p := range e.ExtraInfo {
			size += len(p.Key) + len(p.Value) + 32
		}
	}
	// The strings of an event in JSON are parts of one copy of the whole value.
	return int64(max(0, max(size, value)-usual) + (len(events)-1)*recordOverhead)
}

// HeadersFault returns the fault of a record with more headers than an event may
// have; nil for every other.
func HeadersFault(r *kafkalog.Record) *event.Fault {
	if r.Encoded == nil {
		return nil
	}
	return &event.Fault{
		Reason: event.ReasonTooLarge,
		Detail: fmt.Sprintf("the record has %d headers: expected at most %d", r.Encoded.Count, kafkalog.MaxHeaders),
	}
}

// headersFault returns the fault of a record with too many headers. With rekeying, the
// record must have room for more.
func (o *owner) headersFault(r *record) *event.Fault {
	most := kafkalog.MaxHeaders - len(positionHeaders) - len(contentHeaders)
	if n := len(r.Headers); o.c.forwards() && r.Encoded == nil && n > most {
		return &event.Fault{
			Reason: event.ReasonTooLarge,
			Detail: fmt.Sprintf("the record has %d headers: expected at most %d with input.rekey", n, most),
		}
	}
	return HeadersFault(r)
}

// clone copies a record, without its value if that is kept elsewhere.
func clone(r *record, value bool) record {
	c := *r
	c.Key, c.Value = bytes.Clone(r.Key), nil
	if value {
		c.Value = bytes.Clone(r.Value)
	}
	c.Headers = make([]kafka.Header, len(r.Headers))
	for i, h := range r.Headers {
		c.Headers[i] = kafka.Header{Key: strings.Clone(h.Key), Value: bytes.Clone(h.Value)}
	}
	if r.Encoded != nil {
		c.Encoded = &kafkalog.EncodedHeaders{Count: r.Encoded.Count, Bytes: bytes.Clone(r.Encoded.Bytes)}
	}
	return c
}
