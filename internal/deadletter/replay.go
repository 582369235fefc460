package deadletter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
)

// Replayer publishes the records of dead letters to the source topic again.
type Replayer struct {
	log        *kafkalog.Client
	topic      string
	partitions int
	pending    map[int32][]kafkalog.Record
	bytes      int
	seen       map[sum]bool
	replayed   map[sum]int // replays of the records in the source topic
	// Published counts records. The others count letters: Repeated, whose record was
	// published already in this run; OfOthers, of another source topic; Already, whose
	// record was replayed before; Redacted, without a value.
	Published, Repeated, OfOthers, Already, Redacted int
	// DryRun only counts.
	DryRun bool
}

// NewReplayer publishes to the source topic of c.
func NewReplayer(ctx context.Context, k *connect.Kafka, c *config.Config) (*Replayer, error) {
	n, err := consumer.PartitionCount(ctx, k.Client(), c.Kafka.Topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("%w: create it with 'clientevents topics create' or correct kafka.topic", err)
	}
	if err != nil {
		return nil, err
	}
	return &Replayer{
		log: kafkalog.NewClient(k.Addr, k.Transport), topic: c.Kafka.Topic, partitions: n,
		pending: map[int32][]kafkalog.Record{}, seen: map[sum]bool{}, replayed: map[sum]int{},
	}, nil
}

// replayBatch is how many bytes gather before they are published.
const replayBatch = 256 << 10

// Foreign reports whether a letter's record is of another source topic.
func (r *Replayer) Foreign(l *Letter) bool {
	from := l.Header(consumer.HeaderTopic)
	return from != "" && from != r.topic
}

// Add publishes a letter's record: its key, value and headers as they were, but
// for the count of replays. A record that became a dead letter several times is
// published once.
func (r *Replayer) Add(ctx context.Context, l Letter) error {
	return r.AddEdited(ctx, l, l.Record.Key, l.Record.Value)
}

// AddEdited is Add with another key and value. If they differ from the record's, the
// header [HeaderReplaces] names the record that they replace. A record with another key
// goes to the partition of that key.
func (r *Replayer) AddEdited(ctx context.Context, l Letter, key, value []byte) error {
	if r.Foreign(&l) {
		r.OfOthers++
		return nil
	}
	if len(value) == 0 && l.Header(consumer.HeaderRedacted) == consumer.RedactedAll {
		r.Redacted++
		return nil
	}
	id := sumOf(&l.Record)
	if r.seen[id] {
		r.Repeated++
		return nil
	}
	r.seen[id] = true
	r.Published++
	if r.DryRun {
		return nil
	}
	record := l.Original()
	to := r.partitionOf(&l)
	if !bytes.Equal(key, record.Key) {
		to = r.partitionByKey(key)
	}
	if !bytes.Equal(key, record.Key) || !bytes.Equal(value, record.Value) {
		record.Key, record.Value = key, value
		record.Headers = append(record.Headers, kafka.Header{Key: HeaderReplaces, Value: []byte(hex.EncodeToString(id[:]))})
	}
	r.pending[to] = append(r.pending[to], record)
	if r.bytes += len(key) + len(value); r.bytes >= replayBatch {
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
	return r.partitionByKey(l.Record.Key)
}

func (r *Replayer) partitionByKey(key []byte) int32 {
	all := make([]int, r.partitions)
	for i := range all {
		all[i] = i
	}
	return int32(kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: key}, all...))
}

// Original returns the record to replay: key, value and headers of the source record, and
// one more replay in [HeaderReplays].
func (l *Letter) Original() kafkalog.Record {
	headers := []kafka.Header{}
	for _, h := range l.Record.Headers {
		if strings.HasPrefix(h.Key, consumer.HeaderPrefix) || h.Key == HeaderReplays || h.Key == HeaderReplaces {
			continue
		}
		h.Key = strings.TrimPrefix(h.Key, consumer.OriginalPrefix)
		headers = append(headers, h)
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

// sum identifies a record by its key and value. A producer can't make two records
// that have the same.
type sum [sha256.Size]byte

func sumOf(r *kafkalog.Record) (s sum) {
	h := sha256.New()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(r.Key))))
	_, _ = h.Write(r.Key)
	_, _ = h.Write(r.Value)
	h.Sum(s[:0])
	return s
}

// replacedBy returns the record that an edited record replaces.
func replacedBy(r *kafkalog.Record) (id sum, ok bool) {
	text := headerOf(r, HeaderReplaces)
	if len(text) != hex.EncodedLen(len(id)) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil
}

// skew is the difference of clocks that LearnReplayed allows for.
const skew = time.Hour

// LearnReplayed reads which records were replayed, from the source topic's records
// since the first dead letter: they have the header [HeaderReplays]. Replays that the
// topic's retention deleted are not known; to repeat them is safe.
func (r *Replayer) LearnReplayed(ctx context.Context, since time.Time) error {
	if since.IsZero() {
		return nil
	}
	for p := range int32(r.partitions) {
		from, err := r.log.OffsetAt(ctx, r.topic, p, since.Add(-skew))
		if err != nil {
			return err
		}
		_, end, err := r.log.Offsets(ctx, r.topic, p)
		if err != nil {
			return err
		}
		err = eachRecord(ctx, r.log, r.topic, p, from, end, func(record *kafkalog.Record) error {
			n := replaysOf(record)
			if n == 0 {
				return nil
			}
			id := sumOf(record)
			r.replayed[id] = max(r.replayed[id], n)
			if replaced, ok := replacedBy(record); ok {
				r.replayed[replaced] = max(r.replayed[replaced], n)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Replayed reports whether a letter's record was replayed since it became that letter,
// and counts it.
func (r *Replayer) Replayed(l *Letter) bool {
	if r.replayed[sumOf(&l.Record)] <= l.Replays() {
		return false
	}
	r.Already++
	return true
}
