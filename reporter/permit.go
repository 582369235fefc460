package reporter

import (
	"context"
	"time"
)

// permit lets one worker send. The batcher asks it before it hands out a batch.
// It reads state that others keep current and does no I/O: the pause by an
// operator, the ownership of the partitions, the gate, the access token, the
// judge, and the rate.
//
// What it allowed last is in its fields, until end.
type permit struct {
	r *Reporter

	ctx     context.Context // of the request; ends with Abort
	pass    pass
	summons summons // of the judge
	allowed int
}

// askAgain is the longest time until a worker asks again for values that change
// without a signal: the lease, and the share of the rate.
const askAgain = 100 * time.Millisecond

// wake is a signal to a worker to ask again. Sending never blocks.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

func (w wake) up() {
	select {
	case w <- struct{}{}:
	default: // a signal that was not read yet tells the same
	}
}

// Wake has a value when Ask may answer otherwise than before.
func (p *permit) Wake() <-chan struct{} { return p.r.wake }

// Ask reports how many of n events may be sent now in one request, or when to ask
// again. It is called for one worker at a time.
func (p *permit) Ask(n int, now time.Time) (allowed int, wait time.Duration) {
	// Counted before the pause is read, so that an operator who paused and then
	// sees no request can be sure that there is none.
	p.r.requests.Add(1)
	if !p.r.paused.Load() {
		allowed, wait = p.ask(n, now)
	}
	if p.allowed = allowed; allowed == 0 {
		p.r.requests.Add(-1)
	}
	return allowed, wait
}

func (p *permit) ask(n int, now time.Time) (int, time.Duration) {
	r := p.r
	if !r.cfg.Ownership.Leased(now) {
		return 0, askAgain
	}
	pass, wait, open := r.gate.check(now)
	if !open {
		return 0, wait
	}
	if !r.authorized(now) {
		return 0, 0
	}
	if n, wait = r.judge.check(n, now); n == 0 {
		return 0, wait
	}
	if n, wait = r.limiter.take(n, now); n == 0 {
		return 0, min(wait, askAgain)
	}
	r.gate.enter(pass)
	p.pass, p.summons, p.ctx = pass, r.judge.enter(), r.requestContext()
	return n, 0
}

// authorized reports whether there is an access token. Without one no request
// starts: it would tell nothing about the destination.
func (r *Reporter) authorized(now time.Time) bool {
	if r.tokens == nil {
		return true
	}
	if !r.tokens.Ready(now) {
		r.tokenless.run(now, time.Time{})
		return false
	}
	r.tokenless.stop(now)
	return true
}

// end ends the request. Its batch had sent events, which is less than the permit
// allowed where their bytes did not fit.
func (p *permit) end(sent int) {
	if p.summons.trial {
		p.r.judge.end()
	}
	if p.r.limiter.done(p.allowed, sent, time.Now()) {
		p.r.wake.up()
	}
	p.allowed = 0
	p.r.requests.Add(-1)
}
