package consumer

import (
	"bytes"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
)

// record is a Kafka record as it came, kept until its outcome because it may
// become a dead letter.
type record = kafkalog.Record

// recordOverhead is what a record in process costs beside its own bytes: the
// decoded event and the bookkeeping, as measured (TestWhatIsHeldIsBooked).
const recordOverhead = 1200

// sizeOf is how many bytes a record itself has.
func sizeOf(r *record) int64 {
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return int64(size)
}

func clone(r *record) *record {
	c := *r
	c.Key, c.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	c.Headers = make([]kafka.Header, len(r.Headers))
	for i, h := range r.Headers {
		c.Headers[i] = kafka.Header{Key: h.Key, Value: bytes.Clone(h.Value)}
	}
	return &c
}

// park makes the item independent of the fetch that it came with. An item that
// may wait for long would otherwise keep the memory of all its neighbours.
func (it *item) park() {
	was := it.chunk
	if was.parked {
		return
	}
	it.record = clone(it.record)
	it.chunk = was.account.park(sizeOf(it.record))
	was.release()
}

func newItem(r *record, partition int32, done func(*event.Delivery, event.Outcome)) *item {
	it := &item{record: r}
	it.Partition, it.Timestamp, it.Done, it.Origin = partition, r.Time, done, it
	return it
}

// decode makes an item of a record: with an event, with a fault, or with
// neither when the record has no value.
func decode(r *record, v event.Version, partition int32, done func(*event.Delivery, event.Outcome)) (it *item, fault *event.Fault) {
	it = newItem(r, partition, done)
	if len(r.Value) == 0 {
		return it, nil
	}
	e, fault := safely(func() (*event.Event, *event.Fault) { return event.Decode(r.Value, v) })
	if fault != nil {
		return it, fault
	}
	it.Event, it.key, it.content = e, keyOf(e.ID), e.Content()
	return it, nil
}

// safely turns a panic over a record into its fault: one record must not end
// the process, nor be read again for ever.
func safely(decode func() (*event.Event, *event.Fault)) (e *event.Event, fault *event.Fault) {
	defer func() {
		if p := recover(); p != nil {
			e, fault = nil, &event.Fault{
				Reason: event.ReasonPoison,
				Detail: fmt.Sprintf("reading the event failed inside the program (%T): please report this record as a bug", p),
			}
		}
	}()
	return decode()
}
