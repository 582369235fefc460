package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Append writes records to the end of a partition, uncompressed, and returns the
// offset of the first when all in-sync replicas have them (acks=all); the others have
// the offsets that follow. The records are written as one batch: all of them or none.
// Appends to several partitions of a topic may share a request (gather.go).
//
// An error with which the broker answered is a kafka.Error, and Retriable tells
// whether to try again. A batch whose Append failed may have been written all the
// same, so that trying again may write it twice. The records are not used after
// Append has returned. It gives up after 10 s, or when ctx ends.
func (c *Client) Append(ctx context.Context, topic string, partition int32, records []Record) (base int64, err error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	err = c.withLeader(ctx, func() error {
		base, _, err = c.append(ctx, topic, partition, records, Uncompressed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write to %s/%d: %w", topic, partition, err)
	}
	return base, nil
}

// append writes a batch. Its sizes are known even if it fails.
func (c *Client) append(ctx context.Context, topic string, partition int32, records []Record, codec Codec) (base int64, sizes batchSizes, err error) {
	if len(records) == 0 {
		return 0, sizes, errors.New("no records to write")
	}
	if err := c.throttle.wait(ctx, throttled{"Produce", topic, partition}); err != nil {
		return 0, sizes, err
	}
	a := &appending{topic: topic, partition: partition, done: make(chan struct{})}
	if a.batch, sizes, err = c.encodeBatch(records, len(topic), codec); err != nil {
		return 0, sizes, err
	}
	c.gatherer.add(a)
	defer c.gatherer.leave(a)
	select {
	case <-a.done:
		return a.base, sizes, a.err
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0, sizes, ctx.Err()
	}
	return 0, sizes, errNotInTime
}

// batchSizes are the sizes of a batch in bytes, as it is sent and uncompressed.
type batchSizes struct{ size, plain int }

// encodeBatch makes a batch of records, in memory for giveRequest.
func (c *Client) encodeBatch(records []Record, topic int, codec Codec) (*[]byte, batchSizes, error) {
	now := time.Now()
	size := batchSize(records, now)
	sizes := batchSizes{size, size}
	if total := int64(size) + int64(topic+len(c.clientID)) + besideBatch; total > math.MaxInt32 {
		return nil, sizes, fmt.Errorf("%w: %d bytes in one batch", kafka.MessageSizeTooLarge, size)
	}
	b := c.takeRequest(size)
	*b = appendBatch((*b)[:0], records, now)
	if codec == Uncompressed {
		return b, sizes, nil
	}
	defer c.giveRequest(b)
	packed := c.takeRequest(size)
	var err error
	if *packed, err = c.pack.packBatch((*packed)[:0], *b, codec); err != nil {
		return nil, sizes, err
	}
	sizes.size = len(*packed)
	return packed, sizes, nil
}

// besideBatch is an upper bound of a request's bytes for one batch beside the batch and
// the names.
const besideBatch = 64

// The versions of the Produce request that this package uses: batches of records exist
// since 3, 9 has another encoding, and between them the request is the same.
const (
	produceMin = 3
	produceMax = 8
)

// produceMessage is a produce request that writes itself and reads its own
// answer: kafka-go's would copy the records twice. Its batches are for different
// partitions of one topic.
type produceMessage struct {
	client  *Client
	parts   []*appending
	version int16
	// leaders are of the parts; where they are not the same, nothing was sent.
	leaders []leader
}

// leader is a partition's, or why it has none.
type leader struct {
	id  int32
	err error
}

var (
	_ protocol.RawExchanger  = (*produceMessage)(nil)
	_ protocol.BrokerMessage = (*produceMessage)(nil)
)

// ApiKey is named so by protocol.Message.
func (m *produceMessage) ApiKey() protocol.ApiKey { return protocol.Produce } //nolint:revive // the interface's name

// errLeadersDiffer means that no broker leads all partitions of a request.
var errLeadersDiffer = errors.New("the partitions have different leaders")

// Broker finds the leader of all the partitions.
func (m *produceMessage) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	var broker protocol.Broker
	m.leaders = m.leaders[:0]
	same := true
	for i, a := range m.parts {
		of, err := leaderOf(cluster, a.topic, a.partition)
		m.leaders = append(m.leaders, leader{of.ID, err})
		same = same && err == nil && (i == 0 || of.ID == broker.ID)
		broker = of
	}
	if !same {
		return protocol.Broker{ID: -1}, errLeadersDiffer
	}
	return broker, nil
}

// Required takes the exchange over from kafka-go.
func (m *produceMessage) Required(versions map[protocol.ApiKey]int16) bool {
	m.version = min(produceMax, versions[protocol.Produce])
	return true
}

// encode writes the request, to memory for giveRequest.
func (m *produceMessage) encode() *[]byte {
	topic := m.parts[0].topic
	total := len(topic) + len(m.client.clientID) + besideBatch
	for _, a := range m.parts {
		total += len(*a.batch) + 8
	}
	request := m.client.takeRequest(total)
	b := appendHead((*request)[:0], protocol.Produce, m.version, m.client.correlation.Add(1), m.client.clientID)
	b = appendInt16s(b, -1, -1) // no transactional id; acks=all
	b = appendInt32s(b, brokerTimeout, 1)
	b = appendString(b, topic)
	b = appendInt32s(b, int32(len(m.parts)))
	for _, a := range m.parts {
		b = appendInt32s(b, a.partition, int32(len(*a.batch)))
		b = append(b, *a.batch...)
		m.client.giveRequest(a.batch)
		a.batch = nil
	}
	setLength(b)
	*request = b
	return request
}

// brokerTimeout is how long the broker may wait for its replicas, in milliseconds: a
// little less than the request's own timeout, so that its answer names the reason.
const brokerTimeout = int32(requestTimeout / time.Millisecond * 9 / 10)

// RawExchange sends the request and reads the answer whole.
func (m *produceMessage) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if m.version < produceMin {
		return nil, tooOld("Produce", m.version, produceMin, "0.11")
	}
	request := m.encode()
	defer m.client.giveRequest(request)
	const usualAnswer = 4 << 10
	body, err := exchange(rw, *request, usualAnswer)
	if err != nil {
		return nil, err
	}
	answer := &produceAnswer{version: m.version, body: body}
	return unlessMuted(answer, answer.throttleMS())
}

// maxKept bounds the memory that is kept for the next request.
const maxKept = 4 << 20

// takeRequest takes memory for a request. Only the connection knows when it is free
// again, since a request may outlast its caller.
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

// produceAnswer is an answer as it arrived.
type produceAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *produceAnswer) ApiKey() protocol.ApiKey { return protocol.Produce } //nolint:revive // the interface's name

// throttleMS returns throttle_time_ms, which is the answer's last field.
func (a *produceAnswer) throttleMS() int32 {
	r := reader{b: a.body[max(0, len(a.body)-4):]}
	return r.int32()
}

// read finds the outcome of each batch. A batch that the answer does not mention
// has failed.
func (a *produceAnswer) read(parts []*appending) error {
	r := &reader{b: a.body}
	topics, topic := r.int32(), r.string()
	partitions := r.int32()
	if r.bad || topics != 1 || topic != parts[0].topic || int(partitions) != len(parts) {
		return fmt.Errorf("%w: it is for %d topics, %d partitions of %s", errAnswer, topics, partitions, topic)
	}
	for range parts {
		partition, code, base := r.int32(), r.int16(), r.int64()
		message := a.message(r)
		i := slices.IndexFunc(parts, func(p *appending) bool { return p.partition == partition && !p.answered })
		if r.bad || i < 0 {
			return fmt.Errorf("%w: it has nothing about a batch, or something about partition %d", errAnswer, partition)
		}
		switch of := parts[i]; {
		case code == 0:
			of.answer(base, nil)
		case message != "":
			of.answer(0, fmt.Errorf("%w: %s", kafka.Error(code), message))
		default:
			of.answer(0, kafka.Error(code))
		}
	}
	return nil
}

// message reads the rest of a batch's answer and returns the message about an error,
// which only the newest version has.
func (a *produceAnswer) message(r *reader) string {
	r.skip(8) // log append time
	if a.version >= 5 {
		r.skip(8) // log start offset
	}
	if a.version < 8 {
		return ""
	}
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
