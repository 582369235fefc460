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
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// Client reads and writes partitions. It is safe for concurrent use.
type Client struct {
	addr      net.Addr
	transport kafka.RoundTripper
	clientID  string

	correlation atomic.Int32
	unpack      *unpacker
	requests    sync.Pool // of *[]byte: batches and requests that were written
	gatherer    gatherer
}

// NewClient makes a client for the cluster at addr. The transport is a
// kafka.Transport, or something that hands its requests on to one.
//
// The transport looks for leaders once in its MetadataTTL: after a partition has
// moved, requests fail with NotLeaderForPartition until then.
func NewClient(addr net.Addr, transport kafka.RoundTripper) *Client {
	c := &Client{addr: addr, transport: transport, unpack: newUnpacker(maxUnpacked)}
	c.gatherer.client = c
	if t, ok := transport.(*kafka.Transport); ok {
		c.clientID = t.ClientID // quotas go by it
	}
	return c
}

// requestTimeout is for requests whose caller set no deadline. The transport
// lets go of a connection whose broker fell silent only at a deadline.
const requestTimeout = 10 * time.Second

func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// roundTrip sends a request, and says of a failure whether it was the context
// that ended it.
func (c *Client) roundTrip(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	answer, err := c.transport.RoundTrip(ctx, c.addr, m)
	if err == nil {
		return answer, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	// The connection has the same deadline, and may come to it first.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return nil, errNotInTime
	}
	return nil, err
}

var errNotInTime = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)

// Record is a record of a partition.
type Record struct {
	// Offset is set by Fetch and ignored by Append.
	Offset int64
	// Time is kept to the millisecond. A record that was fetched has the zero
	// time where the log has none; one to append gets the present then.
	Time time.Time
	// Key and Value are nil where the log has null, which is not the same as
	// empty. What Fetch returns shares the memory of its Batch, and so do the
	// values of the headers.
	Key, Value []byte
	Headers    []kafka.Header
}

// Special timestamps of the ListOffsets request.
const (
	timeLatest   = -1
	timeEarliest = -2
)

// Offsets asks for the first offset of a partition and for its end, which is
// the high watermark: the offset of the next record to be written, whether or
// not a transaction is open before it.
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
	// Rounded up: records have milliseconds, and 5.0 is not after 5.3.
	ms := t.Add(time.Millisecond - 1).UnixMilli()
	offset, err := c.listOffset(ctx, topic, partition, max(0, ms))
	if err == nil && offset < 0 {
		return c.listOffset(ctx, topic, partition, timeLatest)
	}
	return offset, err
}

func (c *Client) listOffset(ctx context.Context, topic string, partition int32, timestamp int64) (offset int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask for offsets of %s/%d: %w", topic, partition, err)
		}
	}()
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	m, err := c.roundTrip(ctx, &listoffsets.Request{
		ReplicaID: -1,
		Topics: []listoffsets.RequestTopic{{Topic: topic, Partitions: []listoffsets.RequestPartition{
			{Partition: partition, CurrentLeaderEpoch: -1, Timestamp: timestamp},
		}}},
	})
	if err != nil {
		return 0, brokerError(err)
	}
	answer, ok := m.(*listoffsets.Response)
	if !ok {
		return 0, fmt.Errorf("%w: it is a %T", errAnswer, m)
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if t.Topic != topic || p.Partition != partition {
				continue
			}
			if p.ErrorCode != 0 {
				return 0, kafka.Error(p.ErrorCode)
			}
			return p.Offset, nil
		}
	}
	return 0, fmt.Errorf("%w: it does not name the partition", errAnswer)
}
