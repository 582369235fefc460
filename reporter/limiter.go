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

	// A destination may count requests instead of what is in them. wholes is how much
	// speaks for that, see counted; size is the usual size of a request.
	requests bool
	wholes   float64
	size     float64
	// atOnce is how many events may go at once, 0 for any number: it is for a destination
	// that refuses parts of what goes at once at a rate that it accepts.
	atOnce float64

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
	// mostAtOnce is how many events at once are as good as any number.
	mostAtOnce = 10
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
	most := l.burstOf(limit)
	switch {
	case l.waiting && now.Sub(l.wanted) <= gone:
		if most += limit * catchUp.Seconds(); l.atOnce > 0 {
			most = min(most, l.atOnce)
		}
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

// burstOf returns the ordinary burst, or what the destination accepts at once.
func (l *limiter) burstOf(limit float64) float64 {
	if l.atOnce > 0 {
		return max(1, min(ordinary(limit), math.Floor(l.atOnce)))
	}
	return ordinary(limit)
}

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
	l.quota.fleet = 1 / max(l.share(), 1.0/64)
	if l.quota.advance(now) && l.atOnce > 0 {
		if l.atOnce++; l.atOnce > mostAtOnce {
			l.atOnce = 0
		}
	}
	limit := l.limit()
	if limit == 0 {
		return l.start(n), 0
	}
	l.refill(limit, now)
	if n = l.fit(n); n <= 0 {
		l.starting = true
		return 0, 0
	}
	cost := float64(l.calls(n))
	if l.credit < cost && l.quota.rate == limit {
		l.quota.pressed = now
	}
	if !l.requests {
		n = min(n, int(max(l.burstOf(limit), l.credit)))
		cost = float64(n)
	}
	if l.credit >= cost {
		l.credit -= cost
		l.waited.stop(now)
		l.inFlight += n
		l.quota.inFlight(l.callsInFlight())
		l.waiting, l.wanted = false, now
		return n, 0
	}
	wait := max(time.Microsecond, time.Duration((cost-l.credit)/limit*float64(time.Second))+1)
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
func (l *limiter) done(allowed, sent int, now time.Time) (awaited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight -= allowed
	l.credit += float64(allowed - sent) // the rest is not used up
	l.freed = now
	awaited, l.starting = l.starting, false
	return awaited
}

// answered notes the answers to a request: so many events were within the
// destination's quota, and so many were refused for it. It reports whether the quota is
// used up; otherwise the refusals are for these events alone.
func (l *limiter) answered(taken, refused int, now time.Time) (exhausted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if refused > 0 {
		l.counted(refused, taken+refused, now)
	}
	if taken > 0 {
		if l.size == 0 {
			l.size = float64(taken)
		}
		l.size += (float64(taken) - l.size) / 16
	}
	taken, refused = l.calls(taken), l.calls(refused)
	l.quota.accept(taken, now)
	return l.quota.noise.answered(&l.quota, float64(taken), float64(refused), now)
}

// counted finds out what the destination counts. A quota of which the last call is in
// the middle of a request accepts a part of it, unless requests count.
func (l *limiter) counted(refused, of int, now time.Time) {
	switch {
	case refused < of && l.requests:
		l.requests, l.wholes = false, 0
		l.quota.scale(max(1, l.size))
	case refused < of:
		l.wholes = min(0, l.wholes)
		if l.wholes--; of-refused < 2 && l.quota.growing.since.IsZero() && l.quota.base > 0 && !now.Before(l.quota.resumed) && float64(of) <= l.burstOf(l.quota.rate)+1 {
			l.atOnce = 1
		}
	case of < 2 && l.quota.growing.since.IsZero() && l.quota.sent > 0:
		l.atOnce = 1
	case l.requests || of < 2 || (l.quota.base > 0 && now.Before(l.quota.resumed)):
	default:
		if l.wholes += math.Log(float64(of)); l.wholes > certain {
			l.requests = true
			l.quota.scale(1 / max(1, l.size))
		}
	}
}

// certain is the logarithm of how much more probable it has to be that requests count.
const certain = 4.5

// calls returns as what so many events of a request count.
func (l *limiter) calls(n int) int {
	if l.requests {
		return min(n, 1)
	}
	return n
}

// callsInFlight returns how many calls are in flight, about.
func (l *limiter) callsInFlight() int {
	if l.requests {
		return l.inFlight / max(1, int(l.size))
	}
	return l.inFlight
}

// fit returns how many of n events there is room for in flight. Where the destination
// refused everything lately, one event finds out whether it still does.
func (l *limiter) fit(n int) int {
	room := l.quota.room() - l.callsInFlight()
	if l.requests {
		if room <= 0 {
			return 0
		}
		return n
	}
	if l.quota.base > 0 && l.quota.sent == 0 {
		n = min(n, 1)
	}
	return min(n, room)
}

// refused notes that the destination refused events for its quota; no event is
// sent for the wait that follows, which it may have named.
func (l *limiter) refused(wait time.Duration, named bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota.refuse(wait, named, now)
}
