package kafkalog

import (
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// throttle keeps requests back for as long as a broker's quota demands. Since Kafka 2.0
// a broker answers at once, with the time that the client must wait in
// throttle_time_ms, and ignores the connection for that time (KIP-219).
type throttle struct {
	mu    sync.Mutex
	until map[throttled]time.Time
	total time.Duration
}

// throttled names the requests that wait together. Quotas are per broker and kind
// of request; a partition stands for the broker that leads it.
type throttled struct {
	request   string
	topic     string
	partition int32
}

// maxThrottle bounds a throttle time: an answer that does not follow the protocol must
// not keep a partition back for ever.
const maxThrottle = time.Minute

// note records an answer's throttle_time_ms, for all requests that must wait.
func (t *throttle) note(ms int32, all ...throttled) {
	if ms <= 0 {
		return
	}
	d := min(time.Duration(ms)*time.Millisecond, maxThrottle)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += d
	if t.until == nil {
		t.until = map[throttled]time.Time{}
	}
	for _, of := range all {
		t.until[of] = time.Now().Add(d)
	}
}

// remaining returns how long requests of a kind must still wait.
func (t *throttle) remaining(of throttled) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.until[of]
	if !ok {
		return 0
	}
	left := time.Until(until)
	if left <= 0 {
		delete(t.until, of)
	}
	return max(0, left)
}

// wait waits until a request may be sent, or ctx ends.
func (t *throttle) wait(ctx context.Context, of throttled) error {
	return pause(ctx, t.remaining(of))
}

// Throttled returns the sum of the times that brokers told this client to wait
// because of a quota, and when the last of these waits ends.
func (c *Client) Throttled() (total time.Duration, until time.Time) {
	t := &c.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, end := range t.until {
		if end.After(until) {
			until = end
		}
	}
	return t.total, until
}

// mutedError is an answer with which the broker throttles the connection: it reads no
// further request from it for that time, of whatever kind. The transport would give the
// connection to the next request, such as a heartbeat. It closes a connection whose
// exchange fails.
type mutedError struct{ answer protocol.Message }

func (*mutedError) Error() string { return "the broker throttles the connection" }

// mutedFrom is the throttle time from which a new connection is worth its cost.
const mutedFrom = 250 * time.Millisecond

// unlessMuted returns an answer, as a mutedError if no other request should wait for the
// end of its throttle time.
func unlessMuted(answer protocol.Message, throttleMS int32) (protocol.Message, error) {
	if time.Duration(throttleMS)*time.Millisecond >= mutedFrom {
		return nil, &mutedError{answer}
	}
	return answer, nil
}
