package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Append writes records to the end of a partition, and returns the offset of
// the first when all replicas that are in sync have them (acks=all); the others
// have the offsets that follow. The records are written as one batch: all of
// them or none.
//
// An error that the broker answered with is a kafka.Error, and Retriable tells
// whether to try again. Where Append fails, the batch may have been written all
// the same, so that trying again may write it twice. The records are not used
// after Append has returned.
func (c *Client) Append(ctx context.Context, topic string, partition int32, records []Record) (base int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write to %s/%d: %w", topic, partition, err)
		}
	}()
	if len(records) == 0 {
		return 0, errors.New("no records to write")
	}
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	m := &produceMessage{topic: topic, partition: partition, client: c}
	if err := m.encode(ctx, records); err != nil {
		return 0, err
	}
	answer, err := c.roundTrip(ctx, m)
	if err != nil {
		return 0, err
	}
	a, ok := answer.(*produceAnswer)
	if !ok {
		return 0, fmt.Errorf("%w: it is a %T", errAnswer, answer)
	}
	return a.read(topic, partition)
}

// The versions of the Produce request that this package speaks: batches of
// records came with 3, 9 has another encoding, and between them the request is
// the same.
const (
	produceMin = 3
	produceMax = 8
)

// produceMessage is a produce request that writes itself and reads its own
// answer: kafka-go's would copy the records twice.
type produceMessage struct {
	topic     string
	partition int32
	client    *Client
	version   int16
	request   *[]byte
}

var (
	_ protocol.RawExchanger  = (*produceMessage)(nil)
	_ protocol.BrokerMessage = (*produceMessage)(nil)
)

// ApiKey is named so by protocol.Message.
func (m *produceMessage) ApiKey() protocol.ApiKey { return protocol.Produce } //nolint:revive // the interface's name

// Broker finds the partition's leader.
func (m *produceMessage) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	return leaderOf(cluster, m.topic, m.partition)
}

// Required takes the exchange over from kafka-go.
func (m *produceMessage) Required(versions map[protocol.ApiKey]int16) bool {
	m.version = min(produceMax, versions[protocol.Produce])
	return true
}

// encode writes the request, but for the version, which only the connection
// knows.
func (m *produceMessage) encode(ctx context.Context, records []Record) error {
	now := time.Now()
	size := batchSize(records, now)
	total := int64(size) + int64(len(m.topic)+len(m.client.clientID)) + 64
	if total > math.MaxInt32 {
		return fmt.Errorf("%w: %d bytes in one batch", kafka.MessageSizeTooLarge, size)
	}
	m.request = m.client.takeRequest(int(total))
	b := appendHead((*m.request)[:0], protocol.Produce, 0, m.client.correlation.Add(1), m.client.clientID)
	b = appendInt16s(b, -1, -1) // no transactional id; acks=all
	b = appendInt32s(b, brokerTimeout(ctx), 1)
	b = appendString(b, m.topic)
	b = appendInt32s(b, 1, m.partition, int32(size))
	b = appendBatch(b, records, now)
	setLength(b)
	*m.request = b
	return nil
}

// brokerTimeout is how long the broker may wait for its replicas, in
// milliseconds: a little less than the connection waits for the broker, so that
// its answer tells what is wrong.
func brokerTimeout(ctx context.Context) int32 {
	left := requestTimeout
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	return int32(min(math.MaxInt32, max(1, left.Milliseconds()*9/10)))
}

// RawExchange sends the request and reads the answer whole.
func (m *produceMessage) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	request := *m.request
	defer m.client.giveRequest(m.request)
	if m.version < produceMin {
		return nil, fmt.Errorf("%w: the broker speaks Produce only up to version %d: want %d, that is Kafka 0.11, or newer",
			kafka.UnsupportedVersion, m.version, produceMin)
	}
	request[versionAt], request[versionAt+1] = byte(m.version>>8), byte(m.version)
	const usualAnswer = 4 << 10
	body, err := exchange(rw, request, nil, usualAnswer)
	if err != nil {
		return nil, err
	}
	return &produceAnswer{version: m.version, body: body}, nil
}

// maxKept bounds the memory that is kept for the next request.
const maxKept = 4 << 20

// takeRequest takes memory for a request. Only the connection knows when it is
// free again, as it may go on after the caller has given up.
func (c *Client) takeRequest(size int) *[]byte {
	if kept, ok := c.requests.Get().(*[]byte); ok && cap(*kept) >= size {
		return kept
	}
	b := make([]byte, 0, size)
	return &b
}

func (c *Client) giveRequest(b *[]byte) {
	if cap(*b) <= maxKept {
		c.requests.Put(b)
	}
}

// produceAnswer is an answer as it came.
type produceAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *produceAnswer) ApiKey() protocol.ApiKey { return protocol.Produce } //nolint:revive // the interface's name

// read finds what became of the batch.
func (a *produceAnswer) read(topic string, partition int32) (base int64, err error) {
	r := &reader{b: a.body}
	topics, gotTopic := r.int32(), r.string()
	partitions, gotPartition := r.int32(), r.int32()
	code, base := r.int16(), r.int64()
	if r.bad || topics != 1 || partitions != 1 || gotTopic != topic || gotPartition != partition {
		return 0, fmt.Errorf("%w: it is for %d topics, %d partitions, %s/%d", errAnswer, topics, partitions, gotTopic, gotPartition)
	}
	if code == 0 {
		return base, nil
	}
	if message := a.message(r); message != "" {
		return 0, fmt.Errorf("%w: %s", kafka.Error(code), message)
	}
	return 0, kafka.Error(code)
}

// message reads what the broker says about an error, which the newest version
// has.
func (a *produceAnswer) message(r *reader) string {
	if a.version < 8 {
		return ""
	}
	r.skip(8) // log append time
	r.skip(8) // log start offset
	about := ""
	for range max(0, r.int32()) {
		r.skip(4) // the record's index
		if s := r.string(); about == "" {
			about = s
		}
		if r.bad {
			return ""
		}
	}
	if s := r.string(); s != "" {
		about = s
	}
	return about
}
