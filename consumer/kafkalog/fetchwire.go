package kafkalog

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// The versions of the Fetch request that this package uses: transactions exist since 4,
// 11 is the newest of kafka-go, 12 has another encoding, and 13 (Kafka 3.1) names the topic
// by its ID instead of its name (KIP-516).
const (
	fetchMin      = 4
	fetchMax      = 11
	fetchFlexible = 12
	fetchIDs      = 13
)

// maxAnswer bounds one answer. A batch may be larger than MaxBytes, but not without
// end.
const maxAnswer = 256 << 20

// fetchMessage is a fetch request that encodes itself and reads its own answer.
type fetchMessage struct {
	ctx         context.Context
	req         FetchRequest
	clientID    string
	correlation int32
	version     int16
	broker      int32
	newest      *newestVersions
	buf         []byte
	reused      int64 // memory of the batch that is used again, beside buf
	loan        *loan

	mu               sync.Mutex
	exchanging, over bool
}

// abandon returns the memory, as soon as the connection does not use it any more.
func (m *fetchMessage) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	if !m.exchanging {
		m.loan.end()
	}
}

// exchange marks the time in which the connection uses the memory.
func (m *fetchMessage) exchange(do func() ([]byte, error)) (body []byte, err error) {
	m.mu.Lock()
	m.exchanging = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.exchanging = false
		if m.over {
			m.loan.end()
		}
	}()
	return do()
}

// reserve reserves the memory of an answer of so many bytes.
func (m *fetchMessage) reserve(size int) error {
	body := int64(max(size, cap(m.buf)))
	need := body + m.reused
	if size > emptyAnswer+len(m.req.Topic) {
		need = body + int64(m.req.MaxMemory)
	}
	if err := m.loan.reserve(m.ctx, need); err != nil {
		return err
	}
	m.loan.take(body + m.reused)
	return nil
}

// emptyAnswer is more than an answer without records has beside the topic's name.
const emptyAnswer = 128

var (
	_ protocol.RawExchanger  = (*fetchMessage)(nil)
	_ protocol.BrokerMessage = (*fetchMessage)(nil)
)

// ApiKey is named so by protocol.Message.
func (m *fetchMessage) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name

// Broker finds the partition's leader.
func (m *fetchMessage) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	leader, err := leaderOf(cluster, m.req.Topic, m.req.Partition)
	m.broker = leader.ID
	return leader, err
}

// Required takes the exchange over from kafka-go.
func (m *fetchMessage) Required(versions map[protocol.ApiKey]int16) bool {
	m.version = min(fetchMax, versions[protocol.Fetch])
	return true
}

// RawExchange sends the request and reads the answer whole.
func (m *fetchMessage) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if m.version < fetchMin {
		return nil, tooOld("Fetch", m.version, fetchMin, "0.11")
	}
	if err := m.nameByID(rw); err != nil {
		return nil, err
	}
	body, err := m.exchange(func() ([]byte, error) {
		return exchangeWithin(rw, m.encode(), m.buf, maxAnswer, m.reserve)
	})
	if err != nil {
		m.newest.forget(m.broker) // it closes the connection at a version that it does not know
		return nil, err
	}
	first := flexReader{reader: reader{b: body}, flexible: m.version >= fetchFlexible}
	first.tags()
	return unlessMuted(&fetchAnswer{version: m.version, body: body}, first.int32())
}

// nameByID chooses the version that names the topic by its ID, if the broker has it.
func (m *fetchMessage) nameByID(rw io.ReadWriter) error {
	if m.req.TopicID.IsZero() || m.version < fetchMax {
		return nil
	}
	newest, err := m.newest.ask(m.broker, func() (int16, error) {
		return askNewest(rw, protocol.Fetch, m.correlation, m.clientID)
	})
	if err == nil && newest >= fetchIDs {
		m.version = fetchIDs
	}
	return err
}

func (m *fetchMessage) encode() []byte {
	req := &m.req
	b := make([]byte, 0, 128+len(m.clientID)+len(req.Topic))
	b = appendHead(b, protocol.Fetch, m.version, m.correlation, m.clientID)
	if m.version >= fetchFlexible {
		b = append(b, noTags) // of the request's header
	}
	const replica = -1
	// The partition's own bound, below, is the effective one; the answer's only the
	// largest that is accepted.
	b = appendInt32s(b, replica, int32(req.MaxWait.Milliseconds()), int32(req.MinBytes), maxAnswer)
	isolation := byte(0)
	if req.ReadCommitted {
		isolation = 1
	}
	b = append(b, isolation)
	if m.version >= 7 {
		b = appendInt32s(b, 0, -1) // no fetch session
	}
	if m.version >= fetchFlexible {
		b = m.appendTopicByID(b)
	} else {
		b = m.appendTopic(b)
	}
	setLength(b)
	return b
}

// appendTopic asks for the partition of a topic with a name.
func (m *fetchMessage) appendTopic(b []byte) []byte {
	req := &m.req
	b = appendInt32s(b, 1) // one topic
	b = appendString(b, req.Topic)
	b = appendInt32s(b, 1, req.Partition)
	if m.version >= 9 {
		b = appendInt32s(b, noEpoch)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(req.Offset))
	if m.version >= 5 {
		b = binary.BigEndian.AppendUint64(b, noLogStart)
	}
	b = appendInt32s(b, int32(req.MaxBytes))
	if m.version >= 7 {
		b = appendInt32s(b, 0) // no forgotten topics
	}
	if m.version >= 11 {
		b = appendString(b, "") // no rack
	}
	return b
}

// appendTopicByID asks for the partition of the topic with an ID, in the flexible encoding.
func (m *fetchMessage) appendTopicByID(b []byte) []byte {
	req := &m.req
	const one, none = 2, 1 // the lengths of compact arrays
	b = append(b, one)
	b = append(b, req.TopicID[:]...)
	b = append(b, one)
	b = appendInt32s(b, req.Partition, noEpoch)
	b = binary.BigEndian.AppendUint64(b, uint64(req.Offset))
	b = appendInt32s(b, noEpoch) // of the last record that was fetched: for followers
	b = binary.BigEndian.AppendUint64(b, noLogStart)
	b = appendInt32s(b, int32(req.MaxBytes))
	b = append(b, noTags, noTags)        // of the partition and of the topic
	return append(b, none, none, noTags) // no forgotten topics and no rack
}

// What a consumer leaves out of a fetch request.
const (
	noEpoch    = -1             // the leader's epoch is not known
	noLogStart = math.MaxUint64 // for followers
)

// fetchAnswer is an answer as it arrived.
type fetchAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *fetchAnswer) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name

// abortedTxn is a transaction that was aborted, and where it began.
type abortedTxn struct{ producer, first int64 }

// readAnswer reads the part of an answer before the records, and returns the records
// as they are.
func (b *Batch) readAnswer(a *fetchAnswer, req FetchRequest) (records []byte, aborted []abortedTxn, err error) {
	r := &flexReader{reader: reader{b: a.body}, flexible: a.version >= fetchFlexible}
	r.tags() // of the response's header
	b.Throttled = time.Duration(max(0, r.int32())) * time.Millisecond
	if a.version >= 7 {
		if code := r.int16(); code != 0 {
			return nil, nil, kafka.Error(code)
		}
		r.skip(4) // session
	}
	topics := r.length()
	if topics == 0 && b.Throttled > 0 && !r.bad {
		return nil, nil, nil // the quota is used up: such an answer names no topic
	}
	isOther, name := a.isOtherTopic(r, req)
	partitions, partition := r.length(), r.int32()
	if r.bad || topics != 1 || partitions != 1 || isOther || partition != req.Partition {
		return nil, nil, fmt.Errorf("%w: it is for %d topics, %d partitions, %s/%d", errAnswer, topics, partitions, name, partition)
	}
	if code := r.int16(); code != 0 {
		return nil, nil, kafka.Error(code)
	}
	b.HighWatermark, b.LastStableOffset = r.int64(), r.int64()
	if a.version >= 5 {
		b.LogStartOffset = r.int64()
	}
	for range r.length() {
		if txn := (abortedTxn{r.int64(), r.int64()}); !r.bad && req.ReadCommitted {
			aborted = append(aborted, txn)
		}
		r.tags()
		if r.bad {
			break
		}
	}
	if a.version >= 11 {
		r.skip(4) // preferred replica: only for clients that name their rack
	}
	records = r.bytes(int64(r.size()))
	if r.bad {
		return nil, nil, fmt.Errorf("%w: it ends too early", errAnswer)
	}
	slices.SortFunc(aborted, func(a, b abortedTxn) int { return cmp.Compare(a.first, b.first) })
	return records, aborted, nil
}

// isOtherTopic reads which topic an answer is for.
func (a *fetchAnswer) isOtherTopic(r *flexReader, req FetchRequest) (isOther bool, name string) {
	if a.version < fetchIDs {
		name = r.text()
		return name != req.Topic, name
	}
	var id TopicID
	copy(id[:], r.bytes(int64(len(id))))
	return id != req.TopicID, id.String()
}
