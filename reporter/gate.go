package reporter

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// The first wait after a failure, and the longest.
const (
	firstWait = 500 * time.Millisecond
	maxWait   = time.Minute
)

// maxTokenWait is the longest wait for tokens to be taken again. Each try is with
// a new one, and costs a request that is refused at the door.
const maxTokenWait = 15 * time.Second

// waitAfter is how long to wait after so many failures in a row, at least one:
// twice as long after each, and up to a half more or less, so that replicas
// don't come back all at once.
func waitAfter(failures int) time.Duration {
	wait := min(maxWait, firstWait<<min(failures-1, 10))
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(wait), backoff.WithMaxElapsedTime(0))
	return min(maxWait, b.NextBackOff())
}

// gate decides whether requests may start. While the destination fails as a
// whole it is closed; when the wait is over, one request goes as a probe, and
// what becomes of it decides. So an outage costs one request a wait, not one a
// worker.
type gate struct {
	log *slog.Logger
	// wait is waitAfter, but in tests.
	wait func(failures int) time.Duration
	// renews says that a token that was refused is replaced.
	renews bool
	// restless says that a refusal for quota does not tell of the next one.
	restless func() bool
	// poke says that what check answers has changed.
	poke func()
	held stopwatch

	mu       sync.Mutex
	closed   bool
	failures int
	since    time.Time // when it closed
	until    time.Time // when a probe may go
	asked    bool      // the destination named the time until
	probing  bool
	epoch    int // counts the changes, see pass
	reason   Reason
	last     string // what the last failure said
	told     bool   // the log was told that it is closed
}

// pass is what a request that may start got at the gate. What becomes of a
// request counts according to how the gate was then: one that started before it
// closed is part of the same outage and not one more.
type pass struct {
	epoch int
	probe bool
}

// check says whether a request may start now; if not, when to ask again, 0 for
// when poked. A request that does start begins with enter.
func (g *gate) check(now time.Time) (p pass, wait time.Duration, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch p = (pass{g.epoch, g.closed}); {
	case !g.closed:
		return p, 0, true
	case g.probing:
		return p, 0, false
	}
	wait = g.until.Sub(now)
	return p, wait, wait <= 0
}

// enter is called for what check let pass.
func (g *gate) enter(p pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.probe && p.epoch == g.epoch {
		g.probing = true
	}
}

// succeed: the destination answered as it should. That opens the gate, except
// that a request from before it closed does not outvote a destination that has
// said since how long it wants to be left alone.
func (g *gate) succeed(p pass) {
	g.mu.Lock()
	probe := p.probe && p.epoch == g.epoch
	if !g.closed || (g.asked && !probe) {
		g.mu.Unlock()
		return
	}
	now := time.Now()
	closedFor, reason := now.Sub(g.since), g.reason
	g.closed, g.failures, g.probing, g.reason = false, 0, false, ""
	g.since, g.until, g.asked = time.Time{}, time.Time{}, false
	g.epoch++
	g.held.stop(now)
	told := g.told
	g.told = false
	g.mu.Unlock()
	if told {
		g.log.Info("reporting goes on", "after", closedFor.Round(time.Millisecond), "was", reason)
	}
	g.poke()
}

// fail: a request failed for a reason that concerns all requests; some says that
// nevertheless some of its events were taken. It returns how long nothing goes,
// and whether that is news: a request that started before the gate closed is
// part of the same outage.
func (g *gate) fail(p pass, err *Error, some bool) (wait time.Duration, news bool) {
	now := time.Now()
	g.mu.Lock()
	g.last = err.Error()
	first := !g.closed
	if !first && !(p.probe && p.epoch == g.epoch) {
		defer g.mu.Unlock()
		g.hold(now, err.RetryAfter)
		return max(0, g.until.Sub(now)), false
	}
	if first || some {
		g.since, g.failures = now, 0
	}
	if first {
		g.closed, g.told = true, false
		g.held.run(now, time.Time{})
	}
	g.failures++
	g.epoch++
	g.probing, g.asked, g.until = false, false, now
	g.reason = err.Reason
	switch {
	case err.Reason == Throttled:
		g.hold(now, g.quotaWait(err.RetryAfter))
	case err.RetryAfter > 0:
		g.hold(now, err.RetryAfter)
	case g.renews && err.Reason == Unauthenticated && err.Status != 0 && g.failures == 1:
		// The token is being replaced; the probe waits for the new one.
	case g.renews && err.Reason == Unauthenticated:
		g.until = now.Add(min(maxTokenWait, g.wait(g.failures)))
	default:
		g.until = now.Add(g.wait(g.failures))
	}
	failures, wait := g.failures, g.until.Sub(now)
	tell := g.tell(wait)
	g.mu.Unlock()
	if tell {
		g.log.Warn("reporting waits", "reason", err.Reason, "error", err.Err, "status", err.Status,
			"failures", failures, "next_try", wait.Round(time.Millisecond))
	}
	g.poke()
	return wait, true
}

const (
	// shortWait is how long nothing goes after a refusal for quota that names no
	// time: many quotas are counted by the second. Where that does not help,
	// longWait comes on top of the backoff: Google's advice for quotas is 30 s
	// at the least (cloud.google.com/service-usage/docs/troubleshooting).
	shortWait = time.Second
	longWait  = 30 * time.Second
)

// quotaWait is how long nothing goes after a refusal for quota. The caller holds
// mu.
func (g *gate) quotaWait(named time.Duration) time.Duration {
	switch {
	case g.failures > 1 && named > 0:
		// It said so before, and it was not enough.
		return max(named, g.wait(g.failures))
	case g.failures > 1 && g.restless():
		return g.wait(g.failures)
	case g.failures > 1:
		return longWait + g.wait(g.failures)
	case named > 0:
		return named
	}
	return shortWait
}

// tell says whether the log is to be told of a failure. A quota that is used up
// for less than a minute is an everyday thing. The caller holds mu.
func (g *gate) tell(wait time.Duration) bool {
	if g.told {
		return g.failures%10 == 0
	}
	g.told = g.reason != Throttled || g.failures > 1 || wait > maxWait
	return g.told
}

// hold keeps the gate closed for as long as the destination asks.
func (g *gate) hold(now time.Time, asked time.Duration) {
	if until := now.Add(asked); asked > 0 && !until.Before(g.until) {
		g.until, g.asked = until, true
	}
}

// withdraw: the request ended without saying anything about the destination.
func (g *gate) withdraw(p pass) {
	g.mu.Lock()
	was := p.probe && p.epoch == g.epoch
	if was {
		g.probing = false
	}
	g.mu.Unlock()
	if was {
		g.poke()
	}
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
	return GateStatus{Open: !g.closed, Reason: g.reason, Since: g.since, NextTry: g.until, LastError: g.last}
}

// pausedAfter is how long an outage lasts before it is called a pause: shorter
// ones are what backoff is for.
const pausedAfter = 10 * time.Second

// paused says whether reporting stands still for one of these reasons.
func (g *gate) paused(now time.Time, reasons ...Reason) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		return false
	}
	for _, r := range reasons {
		switch {
		case g.reason != r:
		case r == Unauthenticated, r == Forbidden:
			return g.failures > 1 // not even a new token helped
		default:
			return now.Sub(g.since) > pausedAfter
		}
	}
	return false
}
