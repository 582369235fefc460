package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
)

// Limits for one write of events to the internal topic: their number, and their size in
// bytes before compression, unless one event is larger.
const (
	maxRekeyed      = 4000
	maxRekeyedBytes = 1 << 20
)

// rekey writes the valid events to the internal topic until ctx ends. One write is
// under way at a time; events that are decoded meanwhile go with the next, so the size
// of writes follows the load.
func (o *owner) rekey(ctx context.Context) {
	var accepted []partition.Accepted
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.accepted:
		}
		accepted = o.partition.TakeAccepted(accepted)
		for left := accepted; len(left) > 0; {
			w := o.envelopes(left)
			o.writeRekeyed(ctx, left[:w.events], w)
			left = left[w.events:]
		}
		clear(accepted) // they keep their records in memory
	}
}

// rekeyed are records for the internal topic, by partition.
type rekeyed struct {
	records map[int32][]kafkalog.Record
	events  int
	bytes   int64
}

// envelopes makes the records of the first events, as many as go in one write.
func (o *owner) envelopes(events []partition.Accepted) rekeyed {
	w, now := rekeyed{records: map[int32][]kafkalog.Record{}}, time.Now()
	partitions := numbers(int(o.c.rekeyPartitions.Load()))
	for i := range events {
		src := original{
			topic: o.c.cfg.Topic, partition: o.partition.ID(), record: *itemOf(events[i].Record()).pin(),
		}
		r := src.envelope(events[i].Delivery().Event, now)
		size := sizeOf(&r)
		if i > 0 && (i == maxRekeyed || w.bytes+size > maxRekeyedBytes) {
			break
		}
		to := PartitionOf(r.Key, partitions)
		w.records[to] = append(w.records[to], r)
		w.events, w.bytes = i+1, w.bytes+size
	}
	return w
}

// PartitionOf returns the partition of a key, as the Java clients choose it by default.
func PartitionOf(key []byte, partitions []int) int32 {
	return int32(kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: key}, partitions...))
}

// numbers returns the numbers of n partitions.
func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// writeRekeyed writes events to the internal topic. Their records are finished when
// the brokers have all of them.
func (o *owner) writeRekeyed(ctx context.Context, events []partition.Accepted, w rekeyed) {
	// The events, a batch of them, the same compressed, and the request.
	cost := 4 * w.bytes
	o.account.add(cost, 0, 0)
	defer o.account.add(-cost, 0, 0)
	var writes sync.WaitGroup
	results := make(chan error, len(w.records))
	for to, records := range w.records {
		writes.Go(func() { results <- o.writeTo(ctx, to, records) })
	}
	writes.Wait()
	close(results)
	for err := range results {
		if err != nil {
			o.partition.NotRecorded(events)
			return
		}
	}
	o.c.metrics.rekeyed.Add(float64(len(events)))
	effects, _ := o.partition.Recorded(events)
	o.act(effects)
	o.written.set()
}

// writeTo appends records to a partition of the internal topic. If the topic was recreated
// with fewer partitions, it appends them to those that their keys have now.
func (o *owner) writeTo(ctx context.Context, to int32, records []kafkalog.Record) error {
	err := o.append(ctx, topicByRequest, kafkalog.WriteRequest{
		// Events of one record have it in common, which compression uses.
		Topic: o.c.cfg.ByRequest, Partition: to, Records: records, Codec: kafkalog.Zstd,
	})
	if !isLacking(err) {
		return err
	}
	o.c.countRekeyPartitions(ctx)
	partitions := numbers(int(o.c.rekeyPartitions.Load()))
	moved := map[int32][]kafkalog.Record{}
	for i := range records {
		p := PartitionOf(records[i].Key, partitions)
		moved[p] = append(moved[p], records[i])
	}
	for to, records := range moved {
		if err := o.writeTo(ctx, to, records); err != nil {
			return err
		}
	}
	return nil
}

// rekeyCountInterval is how often to ask for the number of partitions of the internal
// topic.
const rekeyCountInterval = 15 * time.Second

// followRekeyPartitions follows the number of partitions of the internal topic, so that
// all replicas choose the same one for a request ID.
func (c *Consumer) followRekeyPartitions(ctx context.Context) {
	every(ctx, rekeyCountInterval, func(time.Time) { c.countRekeyPartitions(ctx) })
}

func (c *Consumer) countRekeyPartitions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if n, err := c.partitionCount(ctx, c.cfg.ByRequest); err == nil {
		c.rekeyPartitions.Store(int64(n))
	}
}
