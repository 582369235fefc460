package kafkalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// fetchMessage is a fetch request that writes itself and reads its own answer.
type fetchMessage struct {
	req     FetchRequest
	version int16
}

var (
	_ protocol.RawExchanger  = (*fetchMessage)(nil)
	_ protocol.BrokerMessage = (*fetchMessage)(nil)
)

// The versions of the Fetch request that this package speaks: transactions came
// with 4, and 12 has another encoding.
const (
	fetchMin = 4
	fetchMax = 11
)

// maxAnswer bounds what is read into memory for one answer. A batch may be
// larger than MaxBytes, but not without end.
const maxAnswer = 256 << 20

// ApiKey is named so by protocol.Message.
func (m *fetchMessage) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name

// Broker finds the partition's leader.
func (m *fetchMessage) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	// The library's own request knows how.
	own := fetch.Request{Topics: []fetch.RequestTopic{{
		Topic: m.req.Topic, Partitions: []fetch.RequestPartition{{Partition: m.req.Partition}},
	}}}
	return own.Broker(cluster)
}

// Required takes the exchange over from the library.
func (m *fetchMessage) Required(versions map[protocol.ApiKey]int16) bool {
	m.version = min(fetchMax, versions[protocol.Fetch])
	return true
}

// RawExchange sends the request and reads the answer whole.
func (m *fetchMessage) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if m.version < fetchMin {
		return nil, fmt.Errorf("the broker speaks Fetch only up to version %d: want %d, that is Kafka 0.11, or newer", m.version, fetchMin)
	}
	const correlation = 1 // one request at a time on a connection
	if _, err := rw.Write(m.encode(correlation)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	if size < 0 || size > maxAnswer {
		return nil, fmt.Errorf("%w: an answer of %d bytes", ErrCorrupt, size)
	}
	if got := binary.BigEndian.Uint32(head[4:]); got != correlation {
		return nil, fmt.Errorf("an answer to request %d instead of %d", got, correlation)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(rw, body); err != nil {
		return nil, err
	}
	return &fetchAnswer{version: m.version, body: body}, nil
}

const clientID = "clientevents"

func (m *fetchMessage) encode(correlation uint32) []byte {
	be := binary.BigEndian
	b := make([]byte, 4, 128+len(m.req.Topic))
	str := func(s string) { b = append(be.AppendUint16(b, uint16(len(s))), s...) }
	int32s := func(values ...int32) {
		for _, v := range values {
			b = be.AppendUint32(b, uint32(v))
		}
	}
	b = be.AppendUint16(b, uint16(protocol.Fetch))
	b = be.AppendUint16(b, uint16(m.version))
	b = be.AppendUint32(b, correlation)
	str(clientID)
	const replica, minBytes = -1, 1
	int32s(replica, int32(m.req.MaxWait.Milliseconds()), minBytes, int32(m.req.MaxBytes))
	isolation := byte(0)
	if m.req.ReadCommitted {
		isolation = 1
	}
	b = append(b, isolation)
	if m.version >= 7 {
		int32s(0, -1) // no fetch session
	}
	int32s(1) // one topic
	str(m.req.Topic)
	int32s(1, m.req.Partition)
	if m.version >= 9 {
		int32s(-1) // leader epoch not known
	}
	b = be.AppendUint64(b, uint64(m.req.Offset))
	if m.version >= 5 {
		b = be.AppendUint64(b, 0xFFFFFFFFFFFFFFFF) // log start: for followers
	}
	int32s(int32(m.req.MaxBytes))
	if m.version >= 7 {
		int32s(0) // no forgotten topics
	}
	if m.version >= 11 {
		str("") // no rack
	}
	be.PutUint32(b, uint32(len(b)-4))
	return b
}

// fetchAnswer is an answer as it came.
type fetchAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *fetchAnswer) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name

type aborted struct{ producer, first int64 }

// decode reads the one partition that was asked for.
func (a *fetchAnswer) decode(req FetchRequest) (batch *Batch, err error) {
	r := &reader{b: a.body}
	defer func() {
		// Everything below is checked against the bytes that are there. Should
		// a check be missing, it is still the data's fault and not a reason to
		// end the process.
		if p := recover(); p != nil {
			batch, err = nil, fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	r.skip(4) // throttle time
	if a.version >= 7 {
		if code := r.int16(); code != 0 {
			return nil, kafka.Error(code)
		}
		r.skip(4) // session
	}
	if topics := r.int32(); topics != 1 || r.err != nil {
		return nil, fmt.Errorf("%w: an answer for %d topics", ErrCorrupt, topics)
	}
	r.skip(int(r.int16())) // the topic's name
	if partitions := r.int32(); partitions != 1 || r.err != nil {
		return nil, fmt.Errorf("%w: an answer for %d partitions", ErrCorrupt, partitions)
	}
	r.skip(4) // the partition's number
	code := r.int16()
	batch = &Batch{NextOffset: req.Offset, HighWatermark: r.int64(), LastStableOffset: r.int64()}
	if a.version >= 5 {
		batch.LogStartOffset = r.int64()
	}
	var abortedOnes []aborted
	for range max(0, r.int32()) {
		if r.err != nil {
			break
		}
		abortedOnes = append(abortedOnes, aborted{r.int64(), r.int64()})
	}
	if a.version >= 11 {
		r.skip(4) // preferred replica
	}
	if code != 0 {
		return nil, kafka.Error(code)
	}
	records := r.bytes(int(max(0, r.int32())))
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, r.err)
	}
	if !req.ReadCommitted {
		abortedOnes = nil
	}
	return batch, batch.decode(records, req.Offset, abortedOnes)
}

var errShort = errors.New("it ends too early")

// reader reads big-endian numbers; after the first fault it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) bytes(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) skip(n int) { r.bytes(n) }

func (r *reader) int16() int16 {
	if b := r.bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) varint() int64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.err = errShort
		return 0
	}
	r.b = r.b[n:]
	return v
}

// nullable reads a varint length and as many bytes; nil for null.
func (r *reader) nullable() []byte {
	n := r.varint()
	if n < 0 {
		return nil
	}
	if n > int64(len(r.b)) {
		r.err = errShort
		return nil
	}
	return r.bytes(int(n))
}
