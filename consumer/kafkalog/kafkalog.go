// Package kafkalog reads and writes the log of one Kafka partition.
//
// Requests go through kafka-go's Transport, which finds leaders, authenticates
// and keeps connections. This package encodes and decodes records itself, because
// kafka-go's own readers are unsuitable for a pipeline that must lose nothing:
// they deliver control records and aborted transactions as messages, check no
// checksums, never pass a trailing transaction marker, and can panic on compacted
// topics (segmentio/kafka-go#1332, #1416).
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
)

// Client reads and writes partitions. It is safe for concurrent use.
type Client struct {
	addr      net.Addr
	transport kafka.RoundTripper
	clientID  string

	correlation atomic.Int32
	// fetchVersions are the brokers' versions of Fetch.
	fetchVersions newestVersions
	unpack        *unpacker
	pack          *packer
	large         turn      // of the fetches that read a large batch
	requests      sync.Pool // of *[]byte: batches and requests that were written
	gatherer      gatherer
	asker         asker
	describer     describer
	throttle      throttle
	refresher     refresher
}

// NewClient makes a client for the cluster at addr. The transport is a
// kafka.Transport, or a wrapper that passes requests to one.
func NewClient(addr net.Addr, transport kafka.RoundTripper) *Client {
	c := &Client{addr: addr, transport: transport, unpack: newUnpacker(), pack: newPacker(), large: newTurn()}
	c.gatherer.client, c.asker.client = c, c
	if t, ok := transport.(*kafka.Transport); ok {
		c.clientID = t.ClientID // quotas are per client ID
	}
	return c
}

// requestTimeout applies to requests whose caller set no deadline. The transport
// closes a connection to a silent broker only at a deadline.
const requestTimeout = 10 * time.Second

func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// roundTrip sends a request. A failure that the context caused is the context's
// error.
func (c *Client) roundTrip(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	answer, err := c.transport.RoundTrip(ctx, c.addr, m)
	if muted, ok := errors.AsType[*mutedError](err); ok {
		return muted.answer, nil
	}
	if err == nil {
		return answer, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	// The connection has the same deadline, and may reach it first.
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
	// Time has a precision of one millisecond. Fetch sets the zero time where the
	// log has no timestamp; Append replaces the zero time with the current time.
	Time time.Time
	// Key and Value are nil where the log has null, which differs from empty.
	// Key, Value and header values of a fetched record share the memory of its
	// Batch.
	Key, Value []byte
	Headers    []kafka.Header
	// Encoded holds the headers of a fetched record that has more than MaxHeaders.
	// They come before Headers when the record is written. It is nil otherwise.
	Encoded *EncodedHeaders
}

// MaxHeaders is the largest number of headers for which a fetched record has
// Record.Headers. 100,000 headers without a name take 4 MB of memory in that form, and
// next to nothing when compressed.
const MaxHeaders = 4096

// EncodedHeaders are headers in the form that they have in a batch.
type EncodedHeaders struct {
	Count int
	Bytes []byte
}

// AllHeaders returns the headers of a fetched record, however many they are.
func (r *Record) AllHeaders() []kafka.Header {
	if r.Encoded == nil {
		return r.Headers
	}
	all := make([]kafka.Header, 0, r.Encoded.Count+len(r.Headers))
	from := reader{b: r.Encoded.Bytes}
	for range r.Encoded.Count {
		all = append(all, kafka.Header{Key: string(from.bytes(from.varint())), Value: from.nullable()})
	}
	return append(all, r.Headers...)
}
