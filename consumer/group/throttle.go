package group

import (
	"context"
	"sync"
	"time"
)

// throttle holds requests back for as long as brokers ask for it.
type throttle struct {
	mu    sync.Mutex
	until map[int32]time.Time // by broker
}

func (t *throttle) begin(broker int32, d time.Duration) {
	if d <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.until == nil {
		t.until = map[int32]time.Time{}
	}
	t.until[broker] = time.Now().Add(d)
}

// left is for how long a broker still wants no request.
func (t *throttle) left(broker int32) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Until(t.until[broker])
}

func (t *throttle) wait(ctx context.Context, broker int32) error {
	return sleep(ctx, t.left(broker))
}

// longest is for how long any broker still wants no request.
func (t *throttle) longest() (d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, until := range t.until {
		d = max(d, time.Until(until))
	}
	return d
}

// sleep returns after d, or with an error when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
