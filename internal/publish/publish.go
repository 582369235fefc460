// Package publish writes records to a topic.
package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/backoff"
	"github.com/clientevents/clientevents/internal/connect"
)

const (
	// publishBatch is the number of records that are gathered before they are written.
	publishBatch = 1000
	// attempts bounds how often a write is tried that may succeed later.
	attempts = 10
)

var pause = backoff.Policy{First: 50 * time.Millisecond, Max: 2 * time.Second}

// Publisher writes records to a topic, and returns when the broker has acknowledged
// them.
type Publisher struct {
	client     *kafkalog.Client
	topic      string
	balancer   kafka.Balancer
	partitions []int
	gathered   map[int][]kafkalog.Record // by partition
	count      int                       // of the gathered records
	written    int
}

// New returns a publisher to topic. It assigns records to partitions as the Java
// clients do by default, so that these records and an application's with the same key
// are in the same partition.
func New(k *connect.Kafka, topic string) *Publisher {
	return &Publisher{
		client: kafkalog.NewClient(k.Addr, k.Transport), topic: topic,
		balancer: kafka.Murmur2Balancer{}, gathered: map[int][]kafkalog.Record{},
	}
}

// Topic returns the topic's name.
func (p *Publisher) Topic() string { return p.topic }

// Written returns how many records the broker has acknowledged.
func (p *Publisher) Written() int { return p.written }

// Add gathers a record, and writes the gathered records when they are enough. The
// record's slices are kept until then.
func (p *Publisher) Add(ctx context.Context, m kafka.Message) error {
	if p.partitions == nil {
		if err := p.findPartitions(ctx); err != nil {
			return err
		}
	}
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	to := p.balancer.Balance(m, p.partitions...)
	p.gathered[to] = append(p.gathered[to], kafkalog.Record{Key: m.Key, Value: m.Value, Headers: m.Headers, Time: m.Time})
	if p.count++; p.count < publishBatch {
		return nil
	}
	return p.Flush(ctx)
}

func (p *Publisher) findPartitions(ctx context.Context) error {
	topics, err := p.client.Topics(ctx, p.topic)
	if err == nil {
		err = topics[0].Err
	}
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return &missingTopicError{err}
	}
	if err != nil {
		return err
	}
	for _, partition := range topics[0].Partitions {
		p.partitions = append(p.partitions, int(partition.ID))
	}
	slices.Sort(p.partitions)
	return nil
}

// Flush writes the gathered records. When it returns without an error, the broker has
// acknowledged every record that was added.
func (p *Publisher) Flush(ctx context.Context) error {
	total, failed, first := p.count, 0, error(nil)
	for _, id := range slices.Sorted(maps.Keys(p.gathered)) {
		records := p.gathered[id]
		left, err := p.write(ctx, id, records)
		p.written += len(records) - left
		failed += left
		if first == nil {
			first = err
		}
	}
	clear(p.gathered)
	p.count = 0
	switch {
	case first == nil:
		return nil
	case errors.Is(first, kafka.UnknownTopicOrPartition):
		return &missingTopicError{first}
	}
	return fmt.Errorf("%d of %d records were not written: %w", failed, total, first)
}

// write writes records to a partition, and tries again as long as that may help. It
// returns how many are left.
func (p *Publisher) write(ctx context.Context, id int, records []kafkalog.Record) (left int, err error) {
	for attempt := 1; ; attempt++ {
		err = p.client.Write(ctx, kafkalog.WriteRequest{Topic: p.topic, Partition: int32(id), Records: records, Codec: kafkalog.Uncompressed})
		if err == nil {
			return 0, nil
		}
		if failure, ok := errors.AsType[*kafkalog.WriteError](err); ok {
			records = failure.Unwritten(records)
		}
		if attempt == attempts || ctx.Err() != nil || !kafkalog.Retriable(err) {
			return len(records), err
		}
		if pause.Sleep(ctx, attempt) != nil {
			return len(records), err
		}
	}
}

// missingTopicError is the broker's error for a topic that does not exist, with
// a text that states the remedy.
type missingTopicError struct{ err error }

func (*missingTopicError) Error() string {
	return "it does not exist: create it with 'clientevents topics create' or correct kafka.topic"
}
func (e *missingTopicError) Unwrap() error { return e.err }
