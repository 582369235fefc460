package kafkalog

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// FetchRequest describes a fetch from one partition.
type FetchRequest struct {
	Topic     string
	Partition int32
	Offset    int64
	// MaxBytes bounds the answer, except for a single batch that is larger. The
	// default is 1 MiB.
	MaxBytes int
	// MaxMemory bounds the memory of an answer beside its own bytes: decompressed
	// bytes, records and headers. A batch that needs more is read in pieces, one
	// with each fetch; at least one record is always returned. The default is eight
	// times MaxBytes.
	MaxMemory int
	// MaxPiece bounds the memory of one piece of a batch that is read in pieces. The
	// batch is decompressed from its start for each. The default is MaxMemory.
	MaxPiece int
	// MaxRecords is the number of records after which no further batch is read. The
	// default is no bound.
	MaxRecords int
	// MaxRecord bounds the bytes of one record. A larger one is a TooLargeError. The
	// default is 32 MiB.
	MaxRecord int
	// MinBytes is the number of bytes that the broker waits for, for at most MaxWait.
	// The default is 1.
	MinBytes int
	// MaxWait is shortened if the context ends earlier, so that the answer can
	// arrive before that.
	MaxWait time.Duration
	// ReadCommitted leaves out aborted transactions and ends before open ones.
	ReadCommitted bool
	// Account lends the memory. The fetch reserves it before it allocates it: MaxMemory
	// and the answer's size, and more for a batch or a record that needs more. After
	// a success the account has lent Batch.Memory, until Batch.Release; after an
	// error nothing. Nil means no account, and at most 128 MiB at a time.
	Account Account
	// Reuse is an earlier batch whose memory is used again. It has been released, and
	// it, its records and their memory must not be used any more, whether the fetch
	// succeeds or not. Nil takes new memory.
	Reuse *Batch
}

// Batch is the result of one fetch.
type Batch struct {
	Records []Record
	// NextOffset is where the next fetch continues. It is beyond the last record
	// where offsets follow that are not for the reader: control records, aborted
	// transactions, and compacted records.
	NextOffset int64
	// HighWatermark is the partition's end: the offset of the next record to be
	// written. LastStableOffset is smaller while a transaction is open, and then
	// the offset of its first record (see Client.OpenTransaction).
	HighWatermark    int64
	LastStableOffset int64
	// LogStartOffset is the first offset that the broker still has.
	LogStartOffset int64
	// Memory is the number of bytes that stay in memory while any of the records is
	// used, since they share them.
	Memory int64
	// Wire is the number of bytes of the records in the answer. Cut is true if there
	// were more, which MaxMemory or MaxRecords left for the next fetch.
	Wire int
	Cut  bool
	// Throttled is how long the broker demands to wait because of a quota. The
	// client waits before its next fetch of the partition. If HighWatermark is
	// then 0, the broker sent nothing about the partition.
	Throttled time.Duration

	account Account        // nil after Release
	body    []byte         // the answer, in which uncompressed records lie
	plain   []byte         // decompressed data; earlier records may lie in other memory
	headers []kafka.Header // the same for headers
	names   []string       // of headers: they are few, and each costs an allocation
}

// Fetch reads records from a partition. An error with which the broker answered is
// a kafka.Error; data that can't be decoded is a CorruptError; a record or batch
// above a limit is a TooLargeError. Records before such data are returned first, so
// the error's offset is the first that can't be read.
//
// When the context ends, Fetch returns at once; the request itself continues until
// its answer or its deadline.
func (c *Client) Fetch(ctx context.Context, req FetchRequest) (*Batch, error) {
	req.setDefaults()
	caller, of := ctx, throttled{"Fetch", req.Topic, req.Partition}
	if err := c.throttle.wait(ctx, of); err != nil { // its time is not the request's
		return nil, err
	}
	ctx, cancel := withDeadline(ctx, req.MaxWait+requestTimeout)
	defer cancel()
	req.shortenWait(ctx)
	var batch *Batch
	err := c.withLeader(ctx, func() (err error) {
		batch, err = c.fetch(ctx, caller, req, of)
		req.Reuse = nil
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch from %s/%d at %d: %w", req.Topic, req.Partition, req.Offset, err)
	}
	return batch, nil
}

// fetch sends one request under ctx. It decodes the answer under caller, which may have
// no deadline: waiting for memory there holds up no connection.
func (c *Client) fetch(ctx, caller context.Context, req FetchRequest, of throttled) (*Batch, error) {
	batch := req.Reuse.renew(req.MaxMemory)
	m := &fetchMessage{
		ctx: ctx, req: req, clientID: c.clientID, correlation: c.correlation.Add(1),
		buf: batch.body, reused: batch.Memory, loan: &loan{account: req.Account},
	}
	// From here on the connection owns the answer's memory: if the context ends
	// first, the connection may still write to it.
	batch.body = nil
	answer, err := c.roundTrip(ctx, m)
	if err != nil {
		m.abandon()
		return nil, err
	}
	decoding, cancel := context.WithTimeout(caller, memoryTimeout)
	defer cancel()
	d := decoder{ctx: decoding, batch: batch, unpack: c.unpack, loan: m.loan, turn: c.large}
	err = batch.read(answer, req, &d)
	c.throttle.note(int32(batch.Throttled.Milliseconds()), of)
	if err != nil {
		m.loan.end()
		return nil, err
	}
	return batch, nil
}

func (r *FetchRequest) setDefaults() {
	const usualBytes, usualRecord = 1 << 20, 32 << 20
	if r.MaxBytes <= 0 {
		r.MaxBytes = usualBytes
	}
	r.MaxBytes = min(r.MaxBytes, math.MaxInt32)
	if r.MaxMemory <= 0 {
		r.MaxMemory = 8 * r.MaxBytes
	}
	r.MaxPiece = max(r.MaxPiece, r.MaxMemory)
	if r.MaxRecords <= 0 {
		r.MaxRecords = math.MaxInt
	}
	if r.MaxRecord <= 0 {
		r.MaxRecord = usualRecord
	}
	if r.Account == nil {
		r.Account = unlimited{}
	}
	r.MinBytes = min(max(1, r.MinBytes), math.MaxInt32)
	r.MaxWait = min(max(0, r.MaxWait), math.MaxInt32*time.Millisecond)
}

func (r *FetchRequest) shortenWait(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		r.MaxWait = max(0, min(r.MaxWait, time.Until(deadline)*3/4))
	}
}

// renew makes an empty batch with the memory of b, if any, and unless it is more than
// limit.
func (b *Batch) renew(limit int) *Batch {
	if b == nil {
		return &Batch{}
	}
	clear(b.Records) // they may keep memory that is not reused
	clear(b.headers)
	*b = Batch{Records: b.Records[:0], body: b.body, plain: b.plain[:0], headers: b.headers[:0], names: b.names}
	b.Memory = int64(cap(b.plain) + headerCost*cap(b.headers) + recordCost*cap(b.Records))
	if b.Memory > int64(limit) {
		*b = Batch{body: b.body, names: b.names}
	}
	return b
}

// read decodes an answer. Records before a fault are a success.
func (b *Batch) read(m protocol.Message, req FetchRequest, d *decoder) error {
	answer, ok := m.(*fetchAnswer)
	if !ok {
		return fmt.Errorf("%w: it is a %T", errAnswer, m)
	}
	b.body, b.NextOffset = answer.body, req.Offset
	records, aborted, err := b.readAnswer(answer, req)
	if err != nil {
		return err
	}
	d.from, d.aborted, d.share, d.most, d.maxRecord = req.Offset, aborted, int64(req.MaxPiece), req.MaxRecords, req.MaxRecord
	err = d.decode(records)
	if err != nil && b.NextOffset == req.Offset {
		return d.fault(req, err)
	}
	const kept = 1 << 20
	if size := cap(b.body); !d.shared && size > kept {
		d.loan.give(int64(size))
		b.body = nil
	}
	d.loan.trim()
	b.Memory, b.account = d.loan.used, d.loan.account
	return nil
}

// fault names the place of a decoding error.
func (d *decoder) fault(req FetchRequest, err error) error {
	large, ok := errors.AsType[*TooLargeError](err)
	switch {
	case ok:
		large.Topic, large.Partition = req.Topic, req.Partition
		return large
	case errors.Is(err, ErrNeverFits):
		offset := max(d.at, req.Offset)
		return &TooLargeError{Topic: req.Topic, Partition: req.Partition, Offset: offset, Next: offset + 1, Err: err}
	case d.ctx.Err() != nil:
		return err
	}
	return &CorruptError{Topic: req.Topic, Partition: req.Partition, Offset: d.at, Err: err}
}

// abortedTxn is a transaction that was aborted, and where it began.
type abortedTxn struct{ producer, first int64 }

// readAnswer reads the part of an answer before the records, and returns the records
// as they are.
func (b *Batch) readAnswer(a *fetchAnswer, req FetchRequest) (records []byte, aborted []abortedTxn, err error) {
	r := &reader{b: a.body}
	b.Throttled = time.Duration(max(0, r.int32())) * time.Millisecond
	if a.version >= 7 {
		if code := r.int16(); code != 0 {
			return nil, nil, kafka.Error(code)
		}
		r.skip(4) // session
	}
	topics := r.int32()
	if topics == 0 && b.Throttled > 0 && !r.bad {
		return nil, nil, nil // the quota is used up: such an answer names no topic
	}
	topic := r.string()
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

// The versions of the Fetch request that this package uses: transactions exist since 4,
// and 12 has another encoding.
const (
	fetchMin = 4
	fetchMax = 11
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
		return nil, fmt.Errorf("%w: the broker supports Fetch only up to version %d: expected %d (Kafka 0.11) or newer",
			kafka.UnsupportedVersion, m.version, fetchMin)
	}
	body, err := m.exchange(func() ([]byte, error) {
		return exchangeWithin(rw, m.encode(), m.buf, maxAnswer, m.reserve)
	})
	if err != nil {
		return nil, err
	}
	first := reader{b: body}
	return unlessMuted(&fetchAnswer{version: m.version, body: body}, first.int32())
}

func (m *fetchMessage) encode() []byte {
	req := &m.req
	b := make([]byte, 0, 128+len(m.clientID)+len(req.Topic))
	b = appendHead(b, protocol.Fetch, m.version, m.correlation, m.clientID)
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

// fetchAnswer is an answer as it arrived.
type fetchAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *fetchAnswer) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name
