// Package backoff is the project's one way to wait longer after each failure.
package backoff

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Policy is how long to wait after failures.
type Policy struct {
	// First is the wait after one failure, and Max the longest wait.
	First, Max time.Duration
}

// Exact returns the wait after so many failures in a row, at least one: twice as
// long after each, up to Max.
func (p Policy) Exact(failures int) time.Duration {
	return min(p.Max, p.First<<min(max(failures, 1)-1, 20))
}

// After is Exact with up to a half more or less, but no more than Max, so that
// replicas do not return at the same time.
func (p Policy) After(failures int) time.Duration {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(p.Exact(failures)), backoff.WithMaxElapsedTime(0))
	return min(p.Max, b.NextBackOff())
}

// Sleep waits for After, or until ctx ends; then it returns ctx's error.
func (p Policy) Sleep(ctx context.Context, failures int) error {
	timer := time.NewTimer(p.After(failures))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
