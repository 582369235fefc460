package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce writes messages to topic, each to its own Partition, in order, and
// returns when all are acknowledged. Key, Value, Headers and Time are used (a
// zero Time means now, a nil Value is a tombstone); Topic and Offset are not.
func (c *Cluster) Produce(t testing.TB, topic string, messages ...kafka.Message) {
	t.Helper()
	produce(t, c.cl, topic, messages)
}

// ProduceByKey is [Cluster.Produce] with the partition chosen by the hash of
// the key, as kafka-go's Hash balancer does.
func (c *Cluster) ProduceByKey(t testing.TB, topic string, messages ...kafka.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	leaders := c.leaders(ctx, topic)
	if len(leaders) == 0 {
		t.Fatalf("produce to %s: it has no partitions", topic)
	}
	var partitions []int
	for p := range len(leaders) {
		partitions = append(partitions, p)
	}
	byKey := new(kafka.Hash)
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i].Partition = byKey.Balance(messages[i], partitions...)
	}
	produce(t, c.cl, topic, messages)
}

func produce(t testing.TB, cl *kgo.Client, topic string, messages []kafka.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		records[i] = &kgo.Record{
			Topic: topic, Partition: int32(m.Partition),
			Key: m.Key, Value: m.Value, Timestamp: m.Time,
		}
		for _, h := range m.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("produce %d records to %s: %v", len(records), topic, err)
	}
}

// ReadAll returns every record of topic up to the end that each partition has
// at the call, by partition and then by offset. It reads committed records
// only: those of an aborted transaction are left out, and it stops before the
// first transaction that is still open.
func (c *Cluster) ReadAll(t testing.TB, topic string) []kafka.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	starts, err := c.adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		t.Fatalf("read %s: list the first offsets: %v", topic, err)
	}
	ends, err := c.adm.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("read %s: list the last offsets: %v", topic, err)
	}
	var messages []kafka.Message
	for _, p := range slices.Sorted(maps.Keys(ends[topic])) {
		start, _ := starts.Lookup(topic, p)
		some, err := c.readPartition(ctx, topic, p, start.Offset, ends[topic][p].Offset)
		if err != nil {
			t.Fatalf("read %s, partition %d: %v", topic, p, err)
		}
		messages = append(messages, some...)
	}
	return messages
}

// decompressor is franz-go's, with a zstd decoder that is closed after use. franz-go
// lets the garbage collector close its own, which fails outside of the bubble in which
// it was made.
type decompressor struct{ kgo.Decompressor }

func (d decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec != kgo.CodecZstd {
		return d.Decompressor.Decompress(src, codec)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	return decoder.DecodeAll(src, nil)
}

// readPartition reads from offset up to end. It sends its own fetches, since only they
// return the position behind a trailing control record or compacted records: a consumer
// that waits for the record before end would wait for ever.
func (c *Cluster) readPartition(ctx context.Context, topic string, partition int32, offset, end int64) ([]kafka.Message, error) {
	var messages []kafka.Message
	for offset < end {
		response, err := c.fetch(ctx, topic, partition, offset)
		if err != nil {
			return nil, err
		}
		options := kgo.ProcessFetchPartitionOpts{
			Topic: topic, Partition: partition, Offset: offset, IsolationLevel: kgo.ReadCommitted(),
		}
		fetched, next := kgo.ProcessFetchPartition(options, response, decompressor{kgo.DefaultDecompressor()}, nil)
		switch {
		case kerr.IsRetriable(fetched.Err): // such as a leader that is moving
			if err := pause(ctx); err != nil {
				return nil, fmt.Errorf("at offset %d: %w", offset, fetched.Err)
			}
			continue
		case fetched.Err != nil:
			return nil, fmt.Errorf("at offset %d: %w", offset, fetched.Err)
		}
		for _, r := range fetched.Records {
			if r.Offset < end {
				messages = append(messages, message(r))
			}
		}
		offset = next
	}
	return messages, nil
}

func (c *Cluster) fetch(ctx context.Context, topic string, partition int32, offset int64) (*kmsg.FetchResponseTopicPartition, error) {
	leader, ok := c.leaders(ctx, topic)[partition]
	for ; !ok; leader, ok = c.leaders(ctx, topic)[partition] {
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("no leader: %w", err)
		}
	}
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis = 500
	request.MinBytes = 1
	request.MaxBytes = 16 << 20
	request.IsolationLevel = 1
	requestPartition := kmsg.NewFetchRequestTopicPartition()
	requestPartition.Partition = partition
	requestPartition.FetchOffset = offset
	requestPartition.PartitionMaxBytes = 16 << 20
	requestTopic := kmsg.NewFetchRequestTopic()
	requestTopic.Topic = topic
	requestTopic.Partitions = append(requestTopic.Partitions, requestPartition)
	request.Topics = append(request.Topics, requestTopic)

	answer, err := c.cl.Broker(int(leader)).RetriableRequest(ctx, request)
	if err != nil {
		return nil, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("the broker answered for %d topics instead of one partition of one", len(response.Topics))
	}
	return &response.Topics[0].Partitions[0], nil
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

func message(r *kgo.Record) kafka.Message {
	m := kafka.Message{
		Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset,
		Key: r.Key, Value: r.Value, Time: r.Timestamp,
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
	}
	return m
}

// EndOffsets returns, by partition, the offset that the next record of topic will have.
func (c *Cluster) EndOffsets(t testing.TB, topic string) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	return listed(t, topic, func() (kadm.ListedOffsets, error) { return c.adm.ListEndOffsets(ctx, topic) })
}

// StartOffsets returns, by partition, the offset of the oldest record of topic.
func (c *Cluster) StartOffsets(t testing.TB, topic string) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	return listed(t, topic, func() (kadm.ListedOffsets, error) { return c.adm.ListStartOffsets(ctx, topic) })
}

func listed(t testing.TB, topic string, list func() (kadm.ListedOffsets, error)) []int64 {
	t.Helper()
	answer, err := list()
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		t.Fatalf("list the offsets of %s: %v", topic, err)
	}
	offsets := make([]int64, len(answer[topic]))
	for p := range offsets {
		offsets[p] = answer[topic][int32(p)].Offset
	}
	return offsets
}

// CommittedOffsets returns, by partition, the offset that group has committed for topic;
// -1 means none.
func (c *Cluster) CommittedOffsets(t testing.TB, group, topic string) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	committed, err := c.groupOffsets(ctx, group)
	for kerr.IsRetriable(err) && pause(ctx) == nil { // a new broker has no coordinator yet
		committed, err = c.groupOffsets(ctx, group)
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		t.Fatalf("fetch the offsets of group %s: %v", group, err)
	}
	offsets := make([]int64, len(c.leaders(ctx, topic)))
	for p := range offsets {
		offsets[p] = -1
		if o, ok := committed.Lookup(topic, int32(p)); ok {
			offsets[p] = o.At
		}
	}
	return offsets
}

// HasOffsets reports whether a group has committed offsets of a topic. A broker removes
// those of a deleted topic a little later.
func (c *Cluster) HasOffsets(t testing.TB, group, topic string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	committed, err := c.groupOffsets(ctx, group)
	return err != nil || len(committed[topic]) > 0
}

func (c *Cluster) groupOffsets(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	offsets, err := c.adm.FetchOffsets(ctx, group)
	if err == nil {
		err = offsets.Error()
	}
	return offsets, err
}

// Lag returns the number of offsets of topic between the committed offset of group (or,
// without one, the oldest record) and the end, over all partitions.
func (c *Cluster) Lag(t testing.TB, group, topic string) int64 {
	t.Helper()
	committed, starts, ends := c.CommittedOffsets(t, group, topic), c.StartOffsets(t, topic), c.EndOffsets(t, topic)
	var lag int64
	for p, end := range ends {
		lag += end - max(committed[p], starts[p])
	}
	return lag
}
