// Package kafkalog reads and writes the log of one Kafka partition.
//
// Requests go through kafka-go's Transport, which finds leaders, logs in and
// keeps connections. The records are read and written by this package, because
// what kafka-go's own readers make of a log is not what a pipeline that must
// lose nothing can use: they deliver control records and aborted transactions as
// messages, check no checksums, stand still behind a trailing transaction
// marker, and can panic on compacted topics (segmentio/kafka-go#1332, #1416).
package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// Client reads and writes partitions. It is safe for concurrent use.
type Client struct {
	addr      net.Addr
	transport kafka.RoundTripper
}

// NewClient makes a client for the cluster at addr.
func NewClient(addr net.Addr, transport kafka.RoundTripper) *Client {
	return &Client{addr: addr, transport: transport}
}

// requestTimeout is for requests whose caller set no deadline. The transport
// lets go of a connection whose broker fell silent only at a deadline.
const requestTimeout = 10 * time.Second

// Record is a record of a partition.
type Record struct {
	// Offset is set by Fetch and ignored by Append.
	Offset int64
	// Time is kept to the millisecond.
	Time time.Time
	// Key and Value are nil where the log has null, which is not the same as
	// empty. What Fetch returns shares the memory of its Batch.
	Key, Value []byte
	Headers    []kafka.Header
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
	LogStartOffset   int64
}

// ErrCorrupt marks data that is not what was written, or can't be read at all.
// To go on behind it would be to lose records.
var ErrCorrupt = errors.New("corrupt data")

// FetchRequest says what to fetch.
type FetchRequest struct {
	Topic     string
	Partition int32
	Offset    int64
	// MaxBytes bounds the answer, but for a single batch that is larger.
	MaxBytes int
	// MaxWait is how long the broker may wait for the first record.
	MaxWait time.Duration
	// ReadCommitted passes over aborted transactions and does not read into
	// open ones.
	ReadCommitted bool
}

// Fetch reads records from a partition. An error that the broker answered with
// is a kafka.Error; ErrCorrupt is in the chain of what is wrong with the data.
func (c *Client) Fetch(ctx context.Context, req FetchRequest) (*Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, req.MaxWait+requestTimeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.addr, &fetchMessage{req: req})
	if err != nil {
		return nil, fmt.Errorf("fetch from %s/%d: %w", req.Topic, req.Partition, err)
	}
	answer, ok := m.(*fetchAnswer)
	if !ok {
		return nil, fmt.Errorf("fetch from %s/%d: unexpected answer %T", req.Topic, req.Partition, m)
	}
	batch, err := answer.decode(req)
	if err != nil {
		return nil, fmt.Errorf("fetch from %s/%d at %d: %w", req.Topic, req.Partition, req.Offset, err)
	}
	return batch, nil
}

// Special timestamps of the ListOffsets request.
const (
	timeLatest   = -1
	timeEarliest = -2
)

// Offsets asks for the first offset of a partition and for its end.
func (c *Client) Offsets(ctx context.Context, topic string, partition int32) (first, end int64, err error) {
	if first, err = c.listOffset(ctx, topic, partition, timeEarliest); err != nil {
		return 0, 0, err
	}
	if end, err = c.listOffset(ctx, topic, partition, timeLatest); err != nil {
		return 0, 0, err
	}
	return first, end, nil
}

// OffsetAt asks for the first offset whose record was written at t or later,
// or the partition's end where there is none.
func (c *Client) OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error) {
	offset, err := c.listOffset(ctx, topic, partition, max(0, t.UnixMilli()))
	if err == nil && offset < 0 {
		return c.listOffset(ctx, topic, partition, timeLatest)
	}
	return offset, err
}

func (c *Client) listOffset(ctx context.Context, topic string, partition int32, timestamp int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.addr, &listoffsets.Request{
		ReplicaID: -1,
		Topics: []listoffsets.RequestTopic{{Topic: topic, Partitions: []listoffsets.RequestPartition{
			{Partition: partition, CurrentLeaderEpoch: -1, Timestamp: timestamp},
		}}},
	})
	if err != nil {
		return 0, fmt.Errorf("ask for offsets of %s/%d: %w", topic, partition, err)
	}
	for _, t := range m.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			if t.Topic != topic || p.Partition != partition {
				continue
			}
			if p.ErrorCode != 0 {
				return 0, fmt.Errorf("ask for offsets of %s/%d: %w", topic, partition, kafka.Error(p.ErrorCode))
			}
			return p.Offset, nil
		}
	}
	return 0, fmt.Errorf("ask for offsets of %s/%d: the answer does not name it", topic, partition)
}

// Append writes records to the end of a partition, and returns the offset of
// the first when all replicas that are in sync have them (acks=all). Where it
// fails, none of them or all of them may have been written.
func (c *Client) Append(ctx context.Context, topic string, partition int32, records []Record) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.addr, &rawproduce.Request{
		Acks:    -1,
		Timeout: int32((requestTimeout - time.Second).Milliseconds()),
		Topics: []rawproduce.RequestTopic{{Topic: topic, Partitions: []rawproduce.RequestPartition{
			{Partition: partition, RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(encodeRecordSet(records))}},
		}}},
	})
	if err != nil {
		return 0, fmt.Errorf("write to %s/%d: %w", topic, partition, err)
	}
	for _, t := range m.(*produce.Response).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return 0, fmt.Errorf("write to %s/%d: %w", topic, partition, kafka.Error(p.ErrorCode))
			}
			return p.BaseOffset, nil
		}
	}
	return 0, fmt.Errorf("write to %s/%d: the answer does not name it", topic, partition)
}
