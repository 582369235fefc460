package app

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/config"
)

// HeaderReplays counts how often a record was replayed.
const HeaderReplays = "clientevents-replays"

// Letter is a dead letter as it stands in its topic.
type Letter struct {
	// Partition and Record.Offset are of the dead-letter topic.
	Partition int32
	Record    kafkalog.Record
}

// Header is the text of a header; "" where there is none.
func (l *Letter) Header(name string) string {
	for _, h := range slices.Backward(l.Record.Headers) {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// Replays is how often the record was replayed before it became this letter.
func (l *Letter) Replays() int {
	n, _ := strconv.Atoi(l.Header(HeaderReplays))
	return n
}

// LetterFilter says which dead letters are meant.
type LetterFilter struct {
	Reason string // "" is any
	Since  time.Time
	Limit  int // 0 is no limit
}

func (f LetterFilter) takes(l *Letter) bool {
	return (f.Reason == "" || l.Header(consumer.HeaderReason) == f.Reason) &&
		(f.Since.IsZero() || !l.Record.Time.Before(f.Since))
}

// Letters reads dead letters, from the first to what was the last when it
// began. Reading does not change them.
func Letters(ctx context.Context, k *Kafka, c *config.Config, f LetterFilter, each func(Letter) error) error {
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
		for position < end {
			batch, err := log.Fetch(ctx, kafkalog.FetchRequest{
				Topic: topic, Partition: p, Offset: position, MaxBytes: 1 << 20, MaxWait: time.Second, ReadCommitted: true,
			})
			if err != nil {
				return err
			}
			for _, r := range batch.Records {
				l := Letter{p, r}
				if r.Offset >= end || !f.takes(&l) {
					continue
				}
				if f.Limit > 0 && taken == f.Limit {
					return nil
				}
				taken++
				if err := each(l); err != nil {
					return err
				}
			}
			if batch.NextOffset == position {
				break
			}
			position = batch.NextOffset
		}
	}
	return nil
}

// Replayer publishes the records of dead letters to the source topic again.
type Replayer struct {
	log        *kafkalog.Client
	topic      string
	partitions int
	pending    map[int32][]kafkalog.Record
	bytes      int
	seen       map[uint64]bool
	// Published, Repeated and Foreign count what was done: records published,
	// letters whose record was published already in this run, and letters of
	// another topic.
	Published, Repeated, Foreign int
	// DryRun only counts.
	DryRun bool
}

// NewReplayer publishes to the source topic of c.
func NewReplayer(ctx context.Context, k *Kafka, c *config.Config) (*Replayer, error) {
	n, err := consumer.PartitionCount(ctx, k.Client(), c.Kafka.Topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("%w: create it, or mend kafka.topic", err)
	}
	if err != nil {
		return nil, err
	}
	return &Replayer{
		log: kafkalog.NewClient(k.Addr, k.Transport), topic: c.Kafka.Topic, partitions: n,
		pending: map[int32][]kafkalog.Record{}, seen: map[uint64]bool{},
	}, nil
}

// replayBatch is how many bytes gather before they are published.
const replayBatch = 256 << 10

// Add publishes a letter's record: its key, value and headers as they were, but
// for the count of replays. A record that became a dead letter several times is
// published once.
func (r *Replayer) Add(ctx context.Context, l Letter) error {
	if from := l.Header(consumer.HeaderTopic); from != "" && from != r.topic {
		r.Foreign++
		return nil
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%d:%s", len(l.Record.Key), l.Record.Key)
	_, _ = sum.Write(l.Record.Value)
	if r.seen[sum.Sum64()] {
		r.Repeated++
		return nil
	}
	r.seen[sum.Sum64()] = true
	r.Published++
	if r.DryRun {
		return nil
	}
	to := r.partitionOf(&l)
	r.pending[to] = append(r.pending[to], original(&l))
	if r.bytes += len(l.Record.Key) + len(l.Record.Value); r.bytes >= replayBatch {
		return r.Flush(ctx)
	}
	return nil
}

// partitionOf is the partition that the record came from: there it is known
// whether it was reported meanwhile. Only where the topic has fewer now is the
// key asked.
func (r *Replayer) partitionOf(l *Letter) int32 {
	if p, err := strconv.ParseInt(l.Header(consumer.HeaderPartition), 10, 32); err == nil && p >= 0 && int(p) < r.partitions {
		return int32(p)
	}
	all := make([]int, r.partitions)
	for i := range all {
		all[i] = i
	}
	return int32(kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: l.Record.Key}, all...))
}

// original undoes what made a dead letter of a record.
func original(l *Letter) kafkalog.Record {
	headers := []kafka.Header{}
	for _, h := range l.Record.Headers {
		if !strings.HasPrefix(h.Key, consumer.HeaderPrefix) && h.Key != HeaderReplays {
			headers = append(headers, h)
		}
	}
	headers = append(headers, kafka.Header{Key: HeaderReplays, Value: []byte(strconv.Itoa(l.Replays() + 1))})
	return kafkalog.Record{Key: l.Record.Key, Value: l.Record.Value, Headers: headers, Time: time.Now()}
}

// Flush publishes what has gathered.
func (r *Replayer) Flush(ctx context.Context) error {
	for p, records := range r.pending {
		if len(records) == 0 {
			continue
		}
		if _, err := r.log.Append(ctx, r.topic, p, records); err != nil {
			return err
		}
		r.pending[p] = nil
	}
	r.bytes = 0
	return nil
}
