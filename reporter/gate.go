package reporter

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"
)

// The first wait after a failure, and the longest.
const (
	firstWait = 500 * time.Millisecond
	maxWait   = time.Minute
)

// jittered is d, up to a half more or less, so that replicas don't come back
// all at once.
func jittered(d time.Duration) time.Duration {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(d), backoff.WithMaxElapsedTime(0))
	return b.NextBackOff()
}

// waitAfter is how long to wait after so many failures in a row.
func waitAfter(failures int) time.Duration {
	return jittered(min(maxWait, firstWait<<min(failures-1, 10)))
}

// gate decides whether requests may start. While the destination fails as a
// whole it is closed; when the wait is over, one request goes as a probe, and
// what becomes of it decides. So an outage costs one request a wait, not one a
// worker.
type gate struct {
	log     *slog.Logger
	limiter *rate.Limiter
	lease   func(time.Time) bool
	judge   *judge
	poke    func()

	mu       sync.Mutex
	failures int
	until    time.Time
	since    time.Time // when it closed
	probing  bool
	epoch    int // counts changes, so that late failures of before don't count
	reason   Reason
	last     string // what the last failure said

	throttled    func(time.Duration)
	heldBackFrom time.Time
}

// leaseWait is how soon to look again when the partitions may not be ours.
const leaseWait = 100 * time.Millisecond

// admit says how many of n events may go now in one request, or when to ask.
func (g *gate) admit(n int, now time.Time) (int, time.Duration) {
	allowed, wait := g.decide(n, now)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.account(allowed > 0, now)
	return allowed, wait
}

// account adds up the time in which something was held back.
func (g *gate) account(open bool, now time.Time) {
	if !g.heldBackFrom.IsZero() {
		g.throttled(max(0, now.Sub(g.heldBackFrom))) // workers read the clock before they take turns
	}
	g.heldBackFrom = time.Time{}
	if !open {
		g.heldBackFrom = now
	}
}

func (g *gate) decide(n int, now time.Time) (int, time.Duration) {
	if g.lease != nil && !g.lease(now) {
		return 0, leaseWait
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.until.IsZero() {
		if g.probing {
			return 0, 0
		}
		if wait := g.until.Sub(now); wait > 0 {
			return 0, wait
		}
	}
	n, wait := g.judge.admit(n, now)
	if n == 0 {
		return 0, wait
	}
	n, wait = g.tokens(n, now)
	if n == 0 {
		return 0, wait
	}
	g.probing = !g.until.IsZero()
	g.judge.admitted(now)
	return n, 0
}

// tokens takes up to n from the rate limit.
func (g *gate) tokens(n int, now time.Time) (int, time.Duration) {
	limit := g.limiter.Limit()
	if limit == rate.Inf {
		return n, 0
	}
	if have := int(g.limiter.TokensAt(now)); have >= 1 {
		n = min(n, have)
		if g.limiter.AllowN(now, n) {
			return n, 0
		}
	}
	if limit <= 0 {
		return 0, time.Second
	}
	missing := 1 - g.limiter.TokensAt(now)
	return 0, max(time.Millisecond, time.Duration(missing/float64(limit)*float64(time.Second)))
}

// attempt remembers when a request started, for opened and closed.
func (g *gate) attempt() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch
}

// open: the destination answered as it should.
func (g *gate) open() {
	g.mu.Lock()
	was := g.until
	if was.IsZero() {
		g.mu.Unlock()
		return
	}
	closedFor := time.Since(g.since)
	reason := g.reason
	g.until, g.since, g.failures, g.probing, g.reason = time.Time{}, time.Time{}, 0, false, ""
	g.epoch++
	g.mu.Unlock()
	g.log.Info("reporting goes on", "after", closedFor.Round(time.Millisecond), "was", reason)
	g.poke()
}

// fail: a request that began at epoch failed for a reason that concerns all
// requests.
func (g *gate) fail(epoch int, err *Error, now time.Time) {
	g.mu.Lock()
	g.last = err.Error()
	first := g.until.IsZero()
	if epoch != g.epoch && !first {
		// It began before the gate closed: one outage, not one more.
		g.until = maxTime(g.until, now.Add(err.RetryAfter))
		g.mu.Unlock()
		return
	}
	g.epoch++
	g.failures++
	g.probing = false
	g.reason = err.Reason
	wait := max(waitAfter(g.failures), err.RetryAfter)
	g.until = now.Add(wait)
	if first {
		g.since = now
	}
	failures := g.failures
	g.mu.Unlock()
	if first || failures%10 == 0 {
		g.log.Warn("reporting waits", "reason", err.Reason, "error", err.Err, "status", err.Status, "next_try", wait.Round(time.Millisecond))
	}
	g.poke()
}

// unprobe: the probe ended without saying anything about the destination.
func (g *gate) unprobe() {
	g.mu.Lock()
	g.probing = false
	g.mu.Unlock()
	g.poke()
}

// GateStatus is what the status page says of the gate.
type GateStatus struct {
	Open      bool      `json:"open"`
	Reason    Reason    `json:"reason,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	NextTry   time.Time `json:"next_try,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

func (g *gate) status() GateStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GateStatus{Open: g.until.IsZero(), Reason: g.reason, Since: g.since, NextTry: g.until, LastError: g.last}
}

// pausedAfter is how long an outage lasts before it is called a pause: shorter
// ones are what backoff is for.
const pausedAfter = 10 * time.Second

// paused says whether reporting stands still for one of these reasons.
func (g *gate) paused(now time.Time, reasons ...Reason) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until.IsZero() {
		return false
	}
	for _, r := range reasons {
		if g.reason == r {
			if r == Unauthenticated || r == Forbidden {
				return g.failures > 1 // the first is answered with a new token
			}
			return now.Sub(g.since) > pausedAfter
		}
	}
	return false
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
