package rehearse

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/connect"
)

// rekey prepares the partitions of the internal topic, as many as it has or would have.
func (r *rehearsal) rekey(ctx context.Context, k *connect.Kafka) error {
	if !r.c.Input.Rekey {
		return nil
	}
	n, err := consumer.PartitionCount(ctx, k.Client(), r.c.Kafka.ByRequestTopic())
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		n, err = consumer.PartitionCount(ctx, k.Client(), r.c.Kafka.Topic)
	}
	if err != nil {
		return err
	}
	for i := range n {
		r.numbers = append(r.numbers, i)
		r.byRequest = append(r.byRequest, r.worker(int32(i), 0))
	}
	return nil
}

// route does with the events of a record what the second half of a replica would do:
// each is a record of the internal topic.
func (r *rehearsal) route(events []*event.Event, from *origin, at time.Time) {
	for _, e := range events {
		to := r.byRequest[consumer.PartitionOf([]byte(e.RequestID), r.numbers)]
		to.admitEvent(e, from, at)
	}
}

func (w *worker) admitEvent(e *event.Event, from *origin, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := &origin{partition: from.partition, offset: from.offset, id: e.ID}
	if e.ParentID != "" {
		o.parents = []partition.Key{partition.KeyOf(e.ParentID)}
	}
	rec := &partition.Record{Offset: w.next, Origin: o}
	rec.SetTimestamp(at)
	d := rec.Add(e)
	d.OnDone(func(*event.Delivery, event.Outcome) bool { return false })
	w.next++
	w.act(w.partition.Admit([]*partition.Record{rec}, w.next, w.now))
}
