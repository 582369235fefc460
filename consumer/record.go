package consumer

import (
	"bytes"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
)

// record is a Kafka record as it came, kept until its outcome because it may
// become a dead letter.
type record struct {
	offset    int64
	timestamp time.Time
	key       []byte
	value     []byte
	headers   []kafka.Header
}

// recordOverhead is what a record in process costs beside its own bytes: the
// decoded event and the bookkeeping, as measured (TestWhatIsHeldIsBooked).
const recordOverhead = 1200

// size is how many bytes the record itself has.
func (r *record) size() int64 {
	size := len(r.key) + len(r.value)
	for _, h := range r.headers {
		size += len(h.Key) + len(h.Value)
	}
	return int64(size)
}

func (r *record) clone() record {
	c := *r
	c.key, c.value = bytes.Clone(r.key), bytes.Clone(r.value)
	c.headers = make([]kafka.Header, len(r.headers))
	for i, h := range r.headers {
		c.headers[i] = kafka.Header{Key: h.Key, Value: bytes.Clone(h.Value)}
	}
	return c
}

// park makes the item independent of the fetch that it came with. An item that
// may wait for long would otherwise keep the memory of all its neighbours.
func (it *item) park() {
	was := it.chunk
	if was.parked {
		return
	}
	it.record = it.record.clone()
	it.chunk = was.account.take(it.record.size(), 1)
	it.chunk.parked = true
	was.release()
}

// decode makes an item of a record: with an event, with a fault, or with
// neither when the record has no value.
func decode(r record, v event.Version, partition int32, done func(*event.Delivery, event.Outcome)) (it *item, fault *event.Fault) {
	it = &item{record: r}
	it.Partition, it.Timestamp, it.Done = partition, r.timestamp, done
	if len(r.value) == 0 {
		return it, nil
	}
	e, fault := safely(func() (*event.Event, *event.Fault) { return event.Decode(r.value, v) })
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
