// Package deadletter reads dead letters and replays their records.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
)

// HeaderReplays counts how often a record was replayed.
const HeaderReplays = "clientevents-replays"

// HeaderReplaces names the record that an edited record replaces, by the SHA-256 of its
// key and value in hexadecimal.
const HeaderReplaces = "clientevents-replaces"

// Letter is a dead letter as it stands in its topic.
type Letter struct {
	// Partition and Record.Offset are of the dead-letter topic.
	Partition int32
	Record    kafkalog.Record
}

// Header is the text of a header; "" where there is none.
func (l *Letter) Header(name string) string { return headerOf(&l.Record, name) }

func headerOf(r *kafkalog.Record, name string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// Replays is how often the record was replayed before it became this letter.
func (l *Letter) Replays() int { return replaysOf(&l.Record) }

// replaysOf reads the count of replays in a record's headers. A producer may have
// written anything there: what is not a number from 0 to 999,999,999 counts as 0.
func replaysOf(r *kafkalog.Record) int {
	const most = 999_999_999
	n, err := strconv.Atoi(headerOf(r, HeaderReplays))
	if err != nil || n < 0 || n > most {
		return 0
	}
	return n
}

// Filter says which dead letters are meant.
type Filter struct {
	Reason string // "" is any
	Since  time.Time
	Limit  int // 0 is no limit
	// Skip excludes letters, which then do not count for the limit; nil excludes none.
	Skip func(*Letter) bool
}

func (f Filter) takes(l *Letter) bool {
	return (f.Reason == "" || l.Header(consumer.HeaderReason) == f.Reason) &&
		(f.Since.IsZero() || !l.Record.Time.Before(f.Since)) &&
		(f.Skip == nil || !f.Skip(l))
}

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// Read reads dead letters, from the first to what was the last when it
// began. Reading does not change them.
func Read(ctx context.Context, k *connect.Kafka, c *config.Config, f Filter, each func(Letter) error) error {
	topic := c.Kafka.DeadLetterTopic
	partitions, err := consumer.PartitionCount(ctx, k.Client(), topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: 'run' creates it when it starts; is kafka.dead_letter_topic right?", err)
	}
	if err != nil {
		return err
	}
	log := kafkalog.NewClient(k.Addr, k.Transport)
	taken := 0
	for p := range int32(partitions) {
		position, end, err := log.Offsets(ctx, topic, p)
		if err != nil {
			return err
		}
		if !f.Since.IsZero() {
			if position, err = log.OffsetAt(ctx, topic, p, f.Since); err != nil {
				return err
			}
		}
		err = eachRecord(ctx, log, topic, p, position, end, func(r *kafkalog.Record) error {
			l := Letter{p, *r}
			if !f.takes(&l) {
				return nil
			}
			if f.Limit > 0 && taken == f.Limit {
				return errEnough
			}
			taken++
			return each(l)
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachRecord calls do with the records of a partition from an offset to before end.
func eachRecord(ctx context.Context, log *kafkalog.Client, topic string, p int32, position, end int64, do func(*kafkalog.Record) error) error {
	letters := kafkalog.Span{Log: log, End: end, Request: kafkalog.FetchRequest{
		Topic: topic, Partition: p, Offset: position, MaxBytes: 1 << 20, MaxWait: time.Second, ReadCommitted: true,
	}}
	return letters.Each(ctx, func(records []kafkalog.Record, _ int64) error {
		for i := range records {
			r := &records[i]
			r.Headers, r.Encoded = r.AllHeaders(), nil
			if err := do(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// First returns the time of the first dead letter that a filter takes by its time; zero
// if there is none.
func First(ctx context.Context, k *connect.Kafka, c *config.Config, f Filter) (first time.Time, err error) {
	if !f.Since.IsZero() {
		return f.Since, nil
	}
	err = Read(ctx, k, c, Filter{}, func(l Letter) error {
		if first.IsZero() || l.Record.Time.Before(first) {
			first = l.Record.Time
		}
		return nil
	})
	return first, err
}
