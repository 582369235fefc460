package reporter

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter keeps to a number of events a second: the one that is configured, or
// the one that the destination was seen to take, whichever is lower. Its bursts
// are small: quotas are counted by the minute, and a burst is spent on top of
// the rate.
type limiter struct {
	held stopwatch

	mu     sync.Mutex
	tokens *rate.Limiter
	// configured is a rate that is not exceeded, and override another in its
	// place; 0 for none.
	configured float64
	override   float64
	quota      quota
	burst      float64 // see firstBurst
	inFlight   int
	starting   bool // somebody waits for what is in flight, see start

	// waiting says that somebody was told to wait until wanted; otherwise wanted
	// is when events last went. See catchUp.
	waiting bool
	wanted  time.Time
}

const (
	// burstTime is what a burst may run ahead of the rate.
	burstTime = 10 * time.Millisecond
	// catchUp is how much of the time by which somebody who waited came late is made
	// good. On a machine that is busy everybody comes late, and half of the rate
	// would be lost otherwise; of a quota by the second this is a twentieth.
	catchUp = 50 * time.Millisecond
	// gone is how late nobody comes who waits.
	gone = time.Second
)

func newLimiter(perSecond, burst float64) *limiter {
	l := &limiter{tokens: rate.NewLimiter(rate.Inf, 1), burst: burst}
	l.set(perSecond)
	return l
}

// set changes the rate that is not exceeded while there is no override; 0 is no
// limit.
func (l *limiter) set(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = perSecond
	l.apply(time.Now())
}

// overrule sets another rate in its place, which is tried whatever was learned
// before; 0 ends that.
func (l *limiter) overrule(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.override = perSecond
	if perSecond > 0 {
		l.quota = quota{}
	}
	l.apply(time.Now())
}

// apply brings the bucket in line with the rate. The caller holds mu.
func (l *limiter) apply(now time.Time) {
	perSecond := l.limit()
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	if limit == l.tokens.Limit() {
		return
	}
	l.tokens.SetLimitAt(now, limit)
	if perSecond > 0 {
		l.tokens.SetBurstAt(now, l.ordinary())
	}
}

// ordinary is the burst of somebody who did not wait. The caller holds mu.
func (l *limiter) ordinary() int {
	return max(1, int(float64(l.tokens.Limit())*burstTime.Seconds()))
}

// late is the burst of somebody who waited. The caller holds mu.
func (l *limiter) late() int {
	return l.ordinary() + int(math.Ceil(float64(l.tokens.Limit())*catchUp.Seconds()))
}

// idle says whether the bucket filled because nobody wanted anything. The caller
// holds mu.
func (l *limiter) idle(now time.Time) bool {
	if l.waiting {
		return now.Sub(l.wanted) > gone
	}
	return now.Sub(l.wanted) > burstTime
}

// limit is events a second; 0 where there is no limit. The caller holds mu.
func (l *limiter) limit() float64 {
	ceiling := max(0, l.configured)
	if l.override > 0 {
		ceiling = l.override
	}
	switch {
	case l.quota.rate == 0:
		return ceiling
	case ceiling == 0:
		return l.quota.rate
	}
	return min(ceiling, l.quota.rate)
}

// rates are the limit in force and what was learned of the destination's, in
// events a second; 0 where there is none.
func (l *limiter) rates() (limit, learned float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit(), l.quota.base
}

// ceiling is the configured rate in events a second; 0 for none.
func (l *limiter) ceiling() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.configured)
}

// take lets as many of n events go as a burst may have, or says when they may;
// 0 is when poked. It does not let fewer go sooner: at a high rate, batches
// would crumble.
func (l *limiter) take(n int, now time.Time) (int, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota.advance(now)
	l.apply(now)
	limit := l.tokens.Limit()
	if limit == rate.Inf {
		return l.start(n), 0
	}
	if l.idle(now) {
		l.tokens.SetBurstAt(now, l.ordinary())
	}
	n = min(n, max(l.ordinary(), int(l.tokens.TokensAt(now))))
	if l.tokens.AllowN(now, n) {
		l.held.stop(now)
		l.inFlight += n
		l.waiting, l.wanted = false, now
		return n, 0
	}
	if l.quota.rate == float64(limit) {
		l.quota.pressed = now
	}
	missing := float64(n) - l.tokens.TokensAt(now)
	wait := max(time.Microsecond, time.Duration(missing/float64(limit)*float64(time.Second))+1)
	l.held.run(now, now.Add(wait))
	l.tokens.SetBurstAt(now, l.late())
	l.waiting, l.wanted = true, now.Add(wait)
	return 0, wait
}

// start is take while no limit is known: what is in flight grows with what was
// accepted, since all of it is refused where the quota is small.
func (l *limiter) start(n int) int {
	n = min(n, int(l.burst+l.quota.accepted*firstGrowth)-l.inFlight)
	if n <= 0 {
		l.starting = true
		return 0
	}
	l.inFlight += n
	return n
}

// done says that n events that were let go are in flight no more. It returns
// whether somebody waited for that.
func (l *limiter) done(n int) (awaited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight -= n
	awaited, l.starting = l.starting, false
	return awaited
}

// accepted notes that n events were within the destination's quota.
func (l *limiter) accepted(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota.accept(n, time.Now())
}

// exhausted notes that the destination refused so many events for its quota, and
// says whether it is used up; otherwise the refusals are for these events alone.
func (l *limiter) exhausted(refused int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quota.exhausted(refused, time.Now())
}

// restless says that the destination refuses and accepts in turns, so that one
// refusal more does not tell how long it will refuse.
func (l *limiter) restless() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quota.restless > 1
}

// refused notes that the destination refused events for its quota; nothing is
// sent for the wait that follows, which it may have named.
func (l *limiter) refused(wait time.Duration, named bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.quota.refuse(wait, named, now)
	l.apply(now)
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
