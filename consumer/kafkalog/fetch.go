package kafkalog

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// FetchRequest says what to fetch.
type FetchRequest struct {
	Topic     string
	Partition int32
	Offset    int64
	// MaxBytes bounds the answer, but for a single batch that is larger.
	// Where it is 0, it is 1 MiB.
	MaxBytes int
	// MaxMemory bounds what is unpacked of an answer: decompressed bytes and
	// what a record takes beside its own. MaxRecords bounds how many records
	// are taken. Both go by whole batches, of which one is always taken; what
	// is over comes with the next fetch. Where they are 0, they are eight times
	// MaxBytes, and no bound.
	MaxMemory  int
	MaxRecords int
	// MinBytes is how much the broker waits for, MaxWait at the longest; where
	// it is 0, any record is enough.
	MinBytes int
	// MaxWait is how long the broker may wait. Where the context has an earlier
	// deadline, it is shortened so that the answer can come before that.
	MaxWait time.Duration
	// ReadCommitted passes over aborted transactions and does not read into
	// open ones.
	ReadCommitted bool
	// Reuse is a batch of before, whose memory is used again: it, its records
	// and what they point to must not be used any more, whether the fetch
	// succeeds or not. Nil takes new memory.
	Reuse *Batch
}

// Batch is what one fetch brought.
type Batch struct {
	Records []Record
	// NextOffset is where to go on. It is past the last record where what
	// follows is not for the reader: control records, aborted transactions, and
	// what was compacted away.
	NextOffset int64
	// HighWatermark is the partition's end: the offset of the next record to
	// be written. LastStableOffset is the end of what is not part of an open
	// transaction.
	HighWatermark    int64
	LastStableOffset int64
	// LogStartOffset is the first offset that the broker still has.
	LogStartOffset int64
	// Memory is how many bytes stay in memory for as long as any of the records
	// is used, since they share them.
	Memory int64
	// Wire is how many bytes the records had in the answer. Cut says that there
	// were more, which MaxMemory or MaxRecords left for the next fetch.
	Wire int
	Cut  bool

	body    []byte         // the answer, which uncompressed records lie in
	plain   []byte         // what was decompressed; records of before may lie in other memory
	headers []kafka.Header // the same for headers
	names   []string       // of headers: they are few, and each costs an allocation
}

// Fetch reads records from a partition. An error that the broker answered with
// is a kafka.Error; data that can't be read is a CorruptError. What comes before
// such data is delivered first, so the error's offset is the first that can't be
// had.
//
// When the context ends, Fetch returns at once; the request itself goes on until
// its answer or its deadline.
func (c *Client) Fetch(ctx context.Context, req FetchRequest) (*Batch, error) {
	req.setDefaults()
	ctx, cancel := withDeadline(ctx, req.MaxWait+requestTimeout)
	defer cancel()
	req.shortenWait(ctx)
	batch := req.Reuse.renew()
	m := &fetchMessage{req: req, clientID: c.clientID, correlation: c.correlation.Add(1), buf: batch.body}
	// From here on the answer's memory is the connection's: where the context
	// ends first, it may still be written to.
	batch.body = nil
	answer, err := c.roundTrip(ctx, m)
	if err == nil {
		err = batch.read(answer, req, c.unpack)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch from %s/%d at %d: %w", req.Topic, req.Partition, req.Offset, err)
	}
	return batch, nil
}

func (r *FetchRequest) setDefaults() {
	const usualBytes = 1 << 20
	if r.MaxBytes <= 0 {
		r.MaxBytes = usualBytes
	}
	r.MaxBytes = min(r.MaxBytes, math.MaxInt32)
	if r.MaxMemory <= 0 {
		r.MaxMemory = 8 * r.MaxBytes
	}
	if r.MaxRecords <= 0 {
		r.MaxRecords = math.MaxInt
	}
	r.MinBytes = min(max(1, r.MinBytes), math.MaxInt32)
	r.MaxWait = min(max(0, r.MaxWait), math.MaxInt32*time.Millisecond)
}

func (r *FetchRequest) shortenWait(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		r.MaxWait = max(0, min(r.MaxWait, time.Until(deadline)*3/4))
	}
}

// renew makes an empty batch with the memory of b, if any.
func (b *Batch) renew() *Batch {
	if b == nil {
		return &Batch{}
	}
	clear(b.Records) // they may keep memory that is not reused
	clear(b.headers)
	*b = Batch{Records: b.Records[:0], body: b.body, plain: b.plain[:0], headers: b.headers[:0], names: b.names}
	b.Memory = int64(cap(b.plain) + headerCost*cap(b.headers))
	return b
}

// read decodes an answer. What it could read before a fault is a success.
func (b *Batch) read(m protocol.Message, req FetchRequest, unpack *unpacker) error {
	answer, ok := m.(*fetchAnswer)
	if !ok {
		return fmt.Errorf("%w: it is a %T", errAnswer, m)
	}
	b.body, b.NextOffset = answer.body, req.Offset
	records, aborted, err := b.readAnswer(answer, req)
	if err != nil {
		return err
	}
	d := decoder{batch: b, from: req.Offset, aborted: aborted, unpack: unpack, room: req.MaxMemory, most: req.MaxRecords}
	err = d.decode(records)
	b.Memory += int64(recordCost * cap(b.Records))
	if !d.shared {
		b.Memory += int64(cap(b.body)) // it is kept to be used again
	}
	if err == nil || b.NextOffset > req.Offset {
		return nil
	}
	return &CorruptError{Topic: req.Topic, Partition: req.Partition, Offset: d.at, Err: err}
}

// abortedTxn is a transaction that was aborted, and where it began.
type abortedTxn struct{ producer, first int64 }

// readAnswer reads what comes before the records, and returns those as they are.
func (b *Batch) readAnswer(a *fetchAnswer, req FetchRequest) (records []byte, aborted []abortedTxn, err error) {
	r := &reader{b: a.body}
	r.skip(4) // throttle time: the broker itself holds its answers back
	if a.version >= 7 {
		if code := r.int16(); code != 0 {
			return nil, nil, kafka.Error(code)
		}
		r.skip(4) // session
	}
	topics, topic := r.int32(), r.string()
	partitions, partition := r.int32(), r.int32()
	if r.bad || topics != 1 || partitions != 1 || topic != req.Topic || partition != req.Partition {
		return nil, nil, fmt.Errorf("%w: it is for %d topics, %d partitions, %s/%d", errAnswer, topics, partitions, topic, partition)
	}
	if code := r.int16(); code != 0 {
		return nil, nil, kafka.Error(code)
	}
	b.HighWatermark, b.LastStableOffset = r.int64(), r.int64()
	if a.version >= 5 {
		b.LogStartOffset = r.int64()
	}
	for range max(0, r.int32()) {
		if txn := (abortedTxn{r.int64(), r.int64()}); !r.bad && req.ReadCommitted {
			aborted = append(aborted, txn)
		}
		if r.bad {
			break
		}
	}
	if a.version >= 11 {
		r.skip(4) // preferred replica: only for clients that name their rack
	}
	records = r.bytes(int64(max(0, r.int32())))
	if r.bad {
		return nil, nil, fmt.Errorf("%w: it ends too early", errAnswer)
	}
	slices.SortFunc(aborted, func(a, b abortedTxn) int { return cmp.Compare(a.first, b.first) })
	return records, aborted, nil
}

// The versions of the Fetch request that this package speaks: transactions came
// with 4, and 12 has another encoding.
const (
	fetchMin = 4
	fetchMax = 11
)

// maxAnswer bounds what is read into memory for one answer. A batch may be
// larger than MaxBytes, but not without end.
const maxAnswer = 256 << 20

// fetchMessage is a fetch request that writes itself and reads its own answer.
type fetchMessage struct {
	req         FetchRequest
	clientID    string
	correlation int32
	version     int16
	buf         []byte
}

var (
	_ protocol.RawExchanger  = (*fetchMessage)(nil)
	_ protocol.BrokerMessage = (*fetchMessage)(nil)
)

// ApiKey is named so by protocol.Message.
func (m *fetchMessage) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name

// Broker finds the partition's leader.
func (m *fetchMessage) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	return leaderOf(cluster, m.req.Topic, m.req.Partition)
}

// Required takes the exchange over from kafka-go.
func (m *fetchMessage) Required(versions map[protocol.ApiKey]int16) bool {
	m.version = min(fetchMax, versions[protocol.Fetch])
	return true
}

// RawExchange sends the request and reads the answer whole.
func (m *fetchMessage) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if m.version < fetchMin {
		return nil, fmt.Errorf("%w: the broker speaks Fetch only up to version %d: want %d, that is Kafka 0.11, or newer",
			kafka.UnsupportedVersion, m.version, fetchMin)
	}
	const besideRecords = 64 << 10
	body, err := exchange(rw, m.encode(), m.buf, m.req.MaxBytes+besideRecords)
	if err != nil {
		return nil, err
	}
	return &fetchAnswer{version: m.version, body: body}, nil
}

func (m *fetchMessage) encode() []byte {
	req := &m.req
	b := make([]byte, 0, 128+len(m.clientID)+len(req.Topic))
	b = appendHead(b, protocol.Fetch, m.version, m.correlation, m.clientID)
	const replica = -1
	// The partition's own bound, below, is the one that counts; the answer's is
	// only what is taken at all.
	b = appendInt32s(b, replica, int32(req.MaxWait.Milliseconds()), int32(req.MinBytes), maxAnswer)
	isolation := byte(0)
	if req.ReadCommitted {
		isolation = 1
	}
	b = append(b, isolation)
	if m.version >= 7 {
		b = appendInt32s(b, 0, -1) // no fetch session
	}
	b = appendInt32s(b, 1) // one topic
	b = appendString(b, req.Topic)
	b = appendInt32s(b, 1, req.Partition)
	if m.version >= 9 {
		b = appendInt32s(b, -1) // leader epoch not known
	}
	b = binary.BigEndian.AppendUint64(b, uint64(req.Offset))
	if m.version >= 5 {
		b = binary.BigEndian.AppendUint64(b, math.MaxUint64) // log start: for followers
	}
	b = appendInt32s(b, int32(req.MaxBytes))
	if m.version >= 7 {
		b = appendInt32s(b, 0) // no forgotten topics
	}
	if m.version >= 11 {
		b = appendString(b, "") // no rack
	}
	setLength(b)
	return b
}

// fetchAnswer is an answer as it came.
type fetchAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *fetchAnswer) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name
