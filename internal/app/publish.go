package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Publisher writes records to a topic and sees to it that the broker has them.
type Publisher struct {
	writer  *kafka.Writer
	batch   []kafka.Message
	written int
}

// Topic is where it writes.
func (p *Publisher) Topic() string { return p.writer.Topic }

// Written is how many records the broker has for certain.
func (p *Publisher) Written() int { return p.written }

// publishBatch is how many records are written together.
const publishBatch = 1000

// NewPublisher writes to topic. Records of one key go to one partition.
func NewPublisher(k *Kafka, topic string) *Publisher {
	return &Publisher{writer: &kafka.Writer{
		Addr: k.Addr, Topic: topic, Transport: k.Transport,
		// The partitioner that the Java clients use by default, so that these
		// records and an application's land in the same partitions.
		Balancer:     kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll,
		BatchSize:    publishBatch,
		BatchTimeout: 5 * time.Millisecond,
		MaxAttempts:  10,
	}}
}

// Add takes a record, and writes what has gathered when it is enough. The
// record's slices are kept until then.
func (p *Publisher) Add(ctx context.Context, m kafka.Message) error {
	p.batch = append(p.batch, m)
	if len(p.batch) < publishBatch {
		return nil
	}
	return p.Flush(ctx)
}

// Flush writes what has gathered. When it returns without an error, the broker
// has all that was added.
func (p *Publisher) Flush(ctx context.Context) error {
	if len(p.batch) == 0 {
		return nil
	}
	err := p.writer.WriteMessages(ctx, p.batch...)
	if err == nil {
		p.written += len(p.batch)
	}
	p.batch = p.batch[:0]
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return explained{"it does not exist: create it, or mend kafka.topic", err}
	}
	return firstError(err)
}

// Close writes nothing more.
func (p *Publisher) Close() error { return p.writer.Close() }

// firstError makes one error of one for each record.
func firstError(err error) error {
	var each kafka.WriteErrors
	if !errors.As(err, &each) {
		return err
	}
	var first error
	for _, e := range each {
		if e != nil && first == nil {
			first = e
		}
	}
	return fmt.Errorf("%d of %d records were not written: %w", each.Count(), len(each), first)
}
