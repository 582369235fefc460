package reporter

import (
	"math"
	"sync"
	"time"
)

// limiter keeps to a number of events a second: this replica's share of the
// configured one, or the one that the destination was seen to accept, whichever is
// lower. Its bursts are small: quotas are counted by the minute, and a burst is
// spent in addition to the rate.
type limiter struct {
	waited stopwatch
	// share returns this replica's share of the configured rate, above 0 and at
	// most 1.
	share func() float64

	mu sync.Mutex
	// credit is the number of events that may go at time at, see refill.
	credit float64
	at     time.Time
	// configured is the rate of all replicas together, and override one for this
	// replica in its place; 0 for none.
	configured float64
	override   float64
	quota      quota
	burst      float64 // see firstBurst
	inFlight   int
	starting   bool // a worker waits for events in flight, see start

	// waiting: a worker waits until wanted; otherwise wanted is the time at which
	// events were last sent. freed is when a request last ended. See catchUp.
	waiting       bool
	wanted, freed time.Time
}

const (
	// burstTime is the time by which a burst may run ahead of the rate.
	burstTime = 10 * time.Millisecond
	// catchUp is how much of a waiting worker's delay may be caught up. On a busy
	// machine every worker is late, which would cost half of the rate otherwise; of
	// a quota by the second this is a twentieth.
	catchUp = 50 * time.Millisecond
	// busyTime is how much of the time may be caught up in which all workers waited
	// for a slow API.
	busyTime = time.Second / 4
	// gone is the delay after which no waiter can still be scheduled.
	gone = time.Second
)

func newLimiter(perSecond, burst float64, share func() float64) *limiter {
	return &limiter{share: share, configured: max(0, perSecond), burst: burst}
}

// configure changes the rate of all replicas together.
func (l *limiter) configure(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = max(0, perSecond)
}

// overrule sets a rate in the place of the configured one, whatever was learned
// before; 0 ends that.
func (l *limiter) overrule(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.override = perSecond
	if perSecond > 0 {
		l.quota = quota{}
	}
}

// refill adds the credit of the time since it was last done. The caller holds mu.
func (l *limiter) refill(limit float64, now time.Time) {
	most := ordinary(limit)
	switch {
	case l.waiting && now.Sub(l.wanted) <= gone:
		most += limit * catchUp.Seconds()
	case !l.waiting && now.Sub(l.wanted) <= burstTime, now.Sub(l.freed) <= burstTime:
		most += limit * busyTime.Seconds()
	}
	if l.at.IsZero() {
		l.credit = most
	}
	l.credit = min(l.credit+limit*now.Sub(l.at).Seconds(), most)
	l.at = now
}

// ordinary returns the burst of a worker that did not wait, in events.
func ordinary(limit float64) float64 { return max(1, math.Floor(limit*burstTime.Seconds())) }

// limit returns the limit in force, in events a second; 0 for none. The caller
// holds mu.
func (l *limiter) limit() float64 {
	ceiling := l.configured * l.share()
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

// rates returns the limit in force and the one learned of the destination, in
// events a second; 0 for none.
func (l *limiter) rates() (limit, learned float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit(), l.quota.base
}

// ceiling returns this replica's share of the configured rate, in events a second;
// 0 for none.
func (l *limiter) ceiling() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.configured * l.share()
}

// take allows as many of n events as a burst may have, or returns when it does; 0
// is after a wake. It does not allow fewer sooner: at a high rate, batches would
// become small.
func (l *limiter) take(n int, now time.Time) (int, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota.advance(now)
	limit := l.limit()
	if limit == 0 {
		return l.start(n), 0
	}
	l.refill(limit, now)
	if n = min(n, l.quota.room()-l.inFlight); n <= 0 {
		l.starting = true
		return 0, 0
	}
	if l.credit < float64(n) && l.quota.rate == limit {
		l.quota.pressed = now
	}
	n = min(n, int(max(ordinary(limit), l.credit)))
	if l.credit >= float64(n) {
		l.credit -= float64(n)
		l.waited.stop(now)
		l.inFlight += n
		l.quota.inFlight(l.inFlight)
		l.waiting, l.wanted = false, now
		return n, 0
	}
	wait := max(time.Microsecond, time.Duration((float64(n)-l.credit)/limit*float64(time.Second))+1)
	l.waited.run(now, now.Add(wait))
	l.waiting, l.wanted = true, now.Add(wait)
	return 0, wait
}

// start is take while no limit is known: the events in flight grow with the number
// accepted, since all of them are refused where the quota is small.
func (l *limiter) start(n int) int {
	n = min(n, int(l.burst+l.quota.accepted*firstGrowth)-l.inFlight)
	if n <= 0 {
		l.starting = true
		return 0
	}
	l.inFlight += n
	return n
}

// done ends a request for which take allowed so many events, of which so many were
// sent. It reports whether a worker waits for that.
func (l *limiter) done(allowed, sent int) (awaited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight -= allowed
	l.credit += float64(allowed - sent) // the rest is not used up
	l.freed = time.Now()
	awaited, l.starting = l.starting, false
	return awaited
}

// accepted notes that n events were within the destination's quota.
func (l *limiter) accepted(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota.accept(n, time.Now())
}

// exhausted notes that the destination refused so many events for its quota. It
// reports whether the quota is used up; otherwise the refusals are for these events
// alone.
func (l *limiter) exhausted(refused int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quota.exhausted(refused, time.Now())
}

// refused notes that the destination refused events for its quota; no event is
// sent for the wait that follows, which it may have named.
func (l *limiter) refused(wait time.Duration, named bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota.refuse(wait, named, time.Now())
}
