package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// FetchRequest describes a fetch from one partition.
type FetchRequest struct {
	Topic string
	// TopicID says which topic of that name is meant: a fetch from one that was deleted and
	// recreated fails with kafka.UnknownTopicID. It is left out if it is zero, or if the
	// broker is older than Kafka 3.1.
	TopicID   TopicID
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
		ctx: ctx, req: req, clientID: c.clientID, correlation: c.correlation.Add(1), newest: &c.fetchVersions,
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
