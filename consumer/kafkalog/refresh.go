package kafkalog

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// withLeader sends a request to a partition's leader. If the leader has moved, it
// makes the transport ask for the new one and sends the request once more.
func (c *Client) withLeader(ctx context.Context, send func() error) error {
	err := send()
	if !isLeaderStale(err) {
		return err
	}
	c.refresher.refresh(ctx, c)
	if ctx.Err() != nil {
		return err
	}
	err = send()
	if errors.Is(err, errNoCluster) {
		return cmp.Or(c.clusterError(ctx), err)
	}
	return err
}

// clusterError returns the transport's reason for having no metadata: a refused
// connection, a refused login. The transport answers Metadata requests itself.
func (c *Client) clusterError(ctx context.Context) error {
	_, err := c.roundTrip(ctx, &metadata.Request{})
	return err
}

// isLeaderStale reports whether a request failed because the transport's view of
// the cluster is out of date. Such a request had no effect.
func isLeaderStale(err error) bool {
	for _, code := range []kafka.Error{
		kafka.NotLeaderForPartition, kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch, kafka.LeaderNotAvailable,
		kafka.UnknownTopicOrPartition,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// refreshInterval is the least time between two refreshes: while a partition has no
// leader, every request for it would ask.
const refreshInterval = 100 * time.Millisecond

// refresher refreshes the transport's metadata, once for all concurrent requests.
type refresher struct {
	mu   sync.Mutex
	next chan struct{} // closed when the refresh that has not begun yet ends
	last time.Time     // when the last one began
}

// refresh returns when the transport has asked for metadata since the call began, or
// when ctx ends. It leaves no request behind, so that the transport may be closed
// after that.
func (r *refresher) refresh(ctx context.Context, c *Client) {
	r.mu.Lock()
	next, wait := r.next, time.Until(r.last.Add(refreshInterval))
	if next != nil {
		r.mu.Unlock()
		select {
		case <-next:
		case <-ctx.Done():
		}
		return
	}
	next = make(chan struct{})
	r.next = next
	r.mu.Unlock()
	defer close(next)
	_ = pause(ctx, wait)
	r.mu.Lock()
	r.next, r.last = nil, time.Now() // a later call needs another one
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout/2)
	defer cancel()
	_, _ = c.transport.RoundTrip(ctx, c.addr, refreshMessage{})
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refreshMessage makes the transport refresh its metadata. kafka-go has no call for
// that, but does it after each answer to CreateTopics: this message pretends to be
// such a request, sends nothing and returns an empty answer.
type refreshMessage struct{}

var _ protocol.RawExchanger = refreshMessage{}

// ApiKey is named so by protocol.Message.
func (refreshMessage) ApiKey() protocol.ApiKey { return protocol.CreateTopics } //nolint:revive // the interface's name

// Required takes the exchange over from kafka-go.
func (refreshMessage) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange sends nothing.
func (refreshMessage) RawExchange(io.ReadWriter) (protocol.Message, error) {
	return &createtopics.Response{}, nil
}
