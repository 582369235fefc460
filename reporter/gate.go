package reporter

import (
	"sync"
	"time"

	"github.com/clientevents/clientevents/internal/backoff"
	"github.com/clientevents/clientevents/reporter/talent"
)

// apiBackoff is for requests to the API that failed.
var apiBackoff = backoff.Policy{First: 500 * time.Millisecond, Max: time.Minute}

// maxTokenWait is the longest wait until a new token is tried. Each try costs one
// request that is refused before it counts for a quota.
const maxTokenWait = 15 * time.Second

// maxOutageWait is the longest wait until a destination that fails as a whole is tried
// again. Each try costs a replica one request, so a short wait burdens nobody, and it is
// what an outage lasts longer for us.
const maxOutageWait = 5 * time.Second

// gate decides whether requests may start. While the destination fails as a
// whole it is closed; when the wait is over, one request goes as a probe, and its
// result decides. So an outage costs one request a wait, not one a worker.
type gate struct {
	// wait is apiBackoff.After, except in tests.
	wait func(failures int) time.Duration
	// renews: a refused token is replaced.
	renews bool
	// wake signals that check may answer otherwise than before.
	wake   wake
	closed stopwatch

	mu       sync.Mutex
	state    gateState
	failures int
	began    time.Time // when it closed
	since    time.Time // when it closed, or when the reason became another one
	until    time.Time // when a probe may go
	asked    bool      // the destination named the time until
	epoch    int       // counts the changes, see pass
	reason   talent.Reason
	last     string // the last failure's message
}

type gateState uint8

const (
	gateOpen    gateState = iota
	gateClosed            // no request starts before until; then one does
	gateProbing           // that one is under way
)

// pass is given to a request that may start. The result of a request counts
// according to the gate's state at that time: one that started before the gate
// closed belongs to the same outage and is not one more.
type pass struct {
	epoch int
	probe bool
}

// check reports whether a request may start now; if not, when to ask again, 0 for
// after a wake. A request that does start begins with enter.
func (g *gate) check(now time.Time) (p pass, wait time.Duration, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p = pass{g.epoch, g.state != gateOpen}
	switch g.state {
	case gateOpen:
		return p, 0, true
	case gateProbing:
		return p, 0, false
	}
	wait = g.until.Sub(now)
	return p, wait, wait <= 0
}

// enter is called for a request that check let pass.
func (g *gate) enter(p pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isProbe(p) {
		g.state = gateProbing
	}
}

// isProbe reports whether a pass is that of the current probe. The caller holds
// mu.
func (g *gate) isProbe(p pass) bool { return p.probe && p.epoch == g.epoch }

// succeed: the destination answered as it should. That opens the gate, except
// that a request from before it closed does not outvote a destination that has
// named since how long to wait.
func (g *gate) succeed(p pass, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateOpen || (g.asked && !g.isProbe(p)) {
		return
	}
	g.state, g.failures, g.reason = gateOpen, 0, ""
	g.began, g.since, g.until, g.asked = time.Time{}, time.Time{}, time.Time{}, false
	g.epoch++
	g.closed.stop(now)
	g.wake.up()
}

// fail: a request failed for a reason that concerns all requests; some is true
// where some of its events were accepted nevertheless. It returns how long no
// request starts, and whether that is news: a request that started before the gate
// closed belongs to the same outage.
func (g *gate) fail(p pass, err *talent.Error, some bool, now time.Time) (wait time.Duration, news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = err.Error()
	first := g.state == gateOpen
	if !first && !g.isProbe(p) {
		g.keepClosed(now, err.RetryAfter)
		return max(0, g.until.Sub(now)), false
	}
	if first || some {
		g.began, g.failures = now, 0
	}
	if first || some || err.Reason != g.reason {
		g.since = now
	}
	if first {
		g.closed.run(now, time.Time{})
	}
	g.state = gateClosed
	g.failures++
	g.epoch++
	g.asked, g.until = false, now
	g.reason = err.Reason
	g.setWait(now, err)
	g.wake.up()
	return g.until.Sub(now), true
}

// setWait sets the time of the next probe. The caller holds mu.
func (g *gate) setWait(now time.Time, err *talent.Error) {
	switch {
	case err.Reason == talent.Throttled:
		g.keepClosed(now, g.quotaWait(err.RetryAfter, now))
	case err.RetryAfter > 0:
		g.keepClosed(now, err.RetryAfter)
	case g.renews && err.Reason == talent.Unauthenticated && err.Status != 0 && g.failures == 1:
		// The token is being replaced; the probe waits for the new one.
	case g.renews && err.Reason == talent.Unauthenticated:
		g.until = now.Add(min(maxTokenWait, g.wait(g.failures)))
	default:
		g.until = now.Add(min(maxOutageWait, g.wait(g.failures)))
	}
}

// shortWait follows a refusal for quota that names no time: many quotas are counted by
// the second.
const shortWait = time.Second

// A long block, as by a quota by the day, is tried again after a longBlock-th of the time
// passed, but at least every mostBlocked: its end may come at any time.
const (
	longBlock   = 50
	mostBlocked = 5 * time.Minute
)

// quotaWait returns how long no request starts after a refusal for quota. Where the time
// before was not enough, the next one is two thirds of the time passed, up to a minute, and
// longer in a long block: what a window of the destination leaves unused because of it is
// in proportion to the window. The caller holds mu.
func (g *gate) quotaWait(named time.Duration, now time.Time) time.Duration {
	switch {
	case g.failures > 1:
		passed := now.Sub(g.since)
		longer := backoff.Policy{First: passed * 2 / 3, Max: max(apiBackoff.Max, min(mostBlocked, passed/longBlock))}
		return max(named, shortWait, longer.After(1))
	case named > 0:
		return named
	}
	return shortWait
}

// keepClosed keeps the gate closed for as long as the destination asks. The caller
// holds mu.
func (g *gate) keepClosed(now time.Time, asked time.Duration) {
	if until := now.Add(asked); asked > 0 && !until.Before(g.until) {
		g.until, g.asked = until, true
	}
}

// withdraw: the request ended without a result about the destination.
func (g *gate) withdraw(p pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateProbing && g.isProbe(p) {
		g.state = gateClosed
		g.wake.up()
	}
}

// GateStatus is the gate on the status page. Since is when it closed, or when the
// reason became another one.
type GateStatus struct {
	Open      bool          `json:"open"`
	Reason    talent.Reason `json:"reason,omitempty"`
	Since     time.Time     `json:"since,omitzero"`
	NextTry   time.Time     `json:"next_try,omitzero"`
	LastError string        `json:"last_error,omitempty"`
}

func (g *gate) status() GateStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GateStatus{Open: g.state == gateOpen, Reason: g.reason, Since: g.since, NextTry: g.until, LastError: g.last}
}

// pausedAfter is how long an outage lasts before it counts as a pause; backoff is
// for shorter ones.
const pausedAfter = 10 * time.Second

// paused reports whether reporting is paused for one of these reasons.
func (g *gate) paused(now time.Time, reasons ...talent.Reason) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateOpen {
		return false
	}
	for _, r := range reasons {
		switch {
		case g.reason != r:
		case r == talent.Unauthenticated, r == talent.Forbidden:
			return g.failures > 1 // not even a new token helped
		default:
			return now.Sub(g.began) > pausedAfter
		}
	}
	return false
}
