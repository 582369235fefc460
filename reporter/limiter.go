package reporter

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter keeps to a number of events a second. Its bursts are small: quotas
// are counted by the minute, and a burst is spent on top of the rate.
type limiter struct {
	tokens *rate.Limiter
	held   stopwatch

	mu         sync.Mutex
	configured float64
	override   float64 // 0 for none
}

// burstTime is what a burst may run ahead of the rate.
const burstTime = 50 * time.Millisecond

func newLimiter(perSecond float64) *limiter {
	l := &limiter{tokens: rate.NewLimiter(rate.Inf, 1)}
	l.set(perSecond)
	return l
}

// set changes the rate that holds while there is no override; 0 is no limit.
func (l *limiter) set(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = perSecond
	l.apply()
}

// overrule lets another rate hold; 0 ends that.
func (l *limiter) overrule(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.override = perSecond
	l.apply()
}

// apply sets the rate that holds. The caller holds mu.
func (l *limiter) apply() {
	perSecond := l.configured
	if l.override > 0 {
		perSecond = l.override
	}
	if perSecond <= 0 {
		l.tokens.SetLimit(rate.Inf)
		return
	}
	l.tokens.SetBurst(max(1, int(perSecond*burstTime.Seconds())))
	l.tokens.SetLimit(rate.Limit(perSecond))
}

// rate is events a second; 0 where there is no limit.
func (l *limiter) rate() float64 {
	if limit := l.tokens.Limit(); limit != rate.Inf {
		return float64(limit)
	}
	return 0
}

// take lets as many of n events go as a burst may have, or says when they may.
// It does not let fewer go sooner: at a high rate, batches would crumble.
func (l *limiter) take(n int, now time.Time) (int, time.Duration) {
	limit := l.tokens.Limit()
	if limit == rate.Inf {
		return n, 0
	}
	n = min(n, l.tokens.Burst())
	if l.tokens.AllowN(now, n) {
		l.held.stop(now)
		return n, 0
	}
	missing := float64(n) - l.tokens.TokensAt(now)
	wait := max(time.Microsecond, time.Duration(missing/float64(limit)*float64(time.Second))+1)
	l.held.run(now, now.Add(wait))
	return 0, wait
}

// stopwatch adds up the time in which something was held.
type stopwatch struct {
	mu    sync.Mutex
	sum   time.Duration
	since time.Time // zero while it does not run
	until time.Time // when it stops by itself; zero for never
}

// run starts the watch at now, or lets it go on.
func (s *stopwatch) run(now, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(now)
	s.since, s.until = now, until
}

func (s *stopwatch) stop(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(now)
	s.since = time.Time{}
}

// read is the time added up until now.
func (s *stopwatch) read(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(now)
	return s.sum
}

// add adds what passed since it was last done.
func (s *stopwatch) add(now time.Time) {
	if s.since.IsZero() {
		return
	}
	to := now
	if !s.until.IsZero() && s.until.Before(now) {
		to = s.until
	}
	if to.After(s.since) { // whoever waited for the lock may have an older time
		s.sum += to.Sub(s.since)
		s.since = to
	}
}
