package reporter

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/clientevents/clientevents/reporter/talent"
)

// destination is an API with a quota, as it counts and as it answers.
type destination struct {
	counting
	naming   naming
	requests bool          // a request counts as one call, whatever is in it
	noise    float64       // the share of parts, or of requests, that is refused at random
	latency  time.Duration // of a request, and up to a fifth more at random
	// every throttleEvery everything is refused for throttled.
	throttleEvery, throttled time.Duration
	fleet
}

// fleet is a number of replicas with a batch size.
type fleet struct{ replicas, batch int }

// counting is a way to count.
type counting struct {
	name   string
	lasts, // how long what is allowed lasts at a time
	holds time.Duration
	make func() counter
}

func (d *destination) String() string {
	var b strings.Builder
	unit := "parts"
	if d.requests {
		unit = "requests"
	}
	fmt.Fprintf(&b, "%s of %s, wait %s, %v, %d of %d", d.counting.name, unit, d.naming, d.latency, d.replicas, d.batch)
	if d.noise > 0 {
		fmt.Fprintf(&b, ", %v %% at random", 100*d.noise)
	}
	if d.throttled > 0 {
		fmt.Fprintf(&b, ", throttled")
	}
	return b.String()
}

// workers is how many requests a replica has under way at most.
func (d *destination) workers() int {
	if d.batch == 1 {
		return 64
	}
	return 16
}

// naming is how a destination names the wait after a refusal.
type naming string

const (
	exactly   naming = "exact"
	inSeconds naming = "in seconds" // as the header Retry-After does, rounded up
	never     naming = "not named"
	tooShort  naming = "too short" // a second, whatever is right
)

func (n naming) wait(right time.Duration) time.Duration {
	switch n {
	case exactly:
		return right
	case inSeconds:
		return max(time.Second, (right + time.Second - 1).Truncate(time.Second))
	case tooShort:
		return time.Second
	}
	return 0
}

// simulation runs replicas against a destination: the limiter and the gate as they
// are, and in the place of workers and connections one queue of what happens next, in
// a time of its own.
type simulation struct {
	destination
	now       time.Time
	queue     happenings
	happened  int
	counter   counter
	perSecond float64
	began     time.Time
	rng       *rand.Rand
	fleet     []*simulated
	arrivals  float64 // events a second of each replica; 0 for a backlog without end

	// Calls, as the destination counts them; innocent are the refusals that were for no
	// quota.
	accepted, refused, innocent int
	events                      int // accepted
}

// simulated is a replica.
type simulated struct {
	s *simulation
	client
	workers int
	idle    int // of them
	batch   int
	backlog float64
	since   time.Time // when the backlog was brought up to date
	next    time.Time // of the next look
}

// client decides what a replica sends, and learns from the answers.
type client interface {
	// ask returns how many of n events may go now in one request, or when to ask again,
	// 0 for after an answer.
	ask(n int, now time.Time) (allowed int, wait time.Duration, p pass)
	// answered notes the answer to a request of n events: so many were accepted, and the
	// others refused, with this wait named, or 0.
	answered(p pass, n, taken int, named time.Duration, now time.Time)
}

// learner is the client as it is.
type learner struct {
	gate    *gate
	limiter *limiter
}

func newLearner(s *simulation) client {
	return &learner{
		gate:    &gate{wake: newWake(), wait: apiBackoff.After},
		limiter: newLimiter(0, firstBurst, func() float64 { return 1 / float64(s.replicas) }),
	}
}

func (l *learner) ask(n int, now time.Time) (int, time.Duration, pass) {
	p, wait, open := l.gate.check(now)
	if !open {
		return 0, wait, p
	}
	if n, wait = l.limiter.take(n, now); n == 0 {
		return 0, min(wait, max(askAgain, wait/2)), p
	}
	l.gate.enter(p)
	return n, 0, p
}

func (l *learner) answered(p pass, n, taken int, named time.Duration, now time.Time) {
	l.limiter.done(n, n, now)
	if !l.limiter.answered(taken, n-taken, now) {
		l.gate.succeed(p, now)
		return
	}
	err := &talent.Error{Reason: talent.Throttled, Err: errThrottled, Status: 429, RetryAfter: named}
	if wait, news := l.gate.fail(p, err, taken > 0, now); news {
		l.limiter.refused(wait, named > 0, now)
	}
}

type happening struct {
	at  time.Time
	do  func()
	seq int
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (s *simulation) after(d time.Duration, do func()) {
	s.happened++
	heap.Push(&s.queue, happening{s.now.Add(d), do, s.happened})
}

func simulate(d destination, arrivals float64) *simulation {
	return simulateWith(d, arrivals, newLearner)
}

func simulateWith(d destination, arrivals float64, client func(*simulation) client) *simulation {
	began := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	s := &simulation{destination: d, counter: d.make(), now: began, began: began, rng: rand.New(rand.NewPCG(1, 2)), arrivals: arrivals}
	for range d.replicas {
		r := &simulated{s: s, batch: d.batch, workers: d.workers(), since: s.began}
		r.idle, r.client = r.workers, client(s)
		s.fleet = append(s.fleet, r)
		s.after(time.Duration(s.rng.Int64N(int64(time.Second))), r.look)
	}
	return s
}

// run lets some time pass.
func (s *simulation) run(d time.Duration) {
	until := s.now.Add(d)
	for len(s.queue) > 0 && !s.queue[0].at.After(until) && s.happened < mostHappenings {
		next := heap.Pop(&s.queue).(happening)
		s.now = next.at
		next.do()
	}
	s.now = until
}

// mostHappenings ends a simulation that sends without measure.
const mostHappenings = 8e6

// look sends what may be sent.
func (r *simulated) look() {
	now := r.s.now
	if r.s.arrivals > 0 {
		r.backlog += r.s.arrivals * now.Sub(r.since).Seconds()
		r.since = now
	}
	for r.idle > 0 {
		n := r.batch
		if r.s.arrivals > 0 {
			if n = min(n, int(r.backlog)); n == 0 {
				r.again(now, time.Duration(float64(time.Second)/r.s.arrivals)+1)
				return
			}
		}
		n, wait, p := r.ask(n, now)
		if n == 0 {
			if wait > 0 {
				r.again(now, wait)
			}
			return
		}
		r.idle--
		r.backlog -= float64(n)
		r.send(p, n)
	}
}

func (r *simulated) again(now time.Time, wait time.Duration) {
	at := now.Add(wait)
	if r.next.After(now) && !r.next.After(at) {
		return
	}
	r.next = at
	r.s.after(wait, r.look)
}

func (r *simulated) send(p pass, n int) {
	s := r.s
	there := s.latency/2 + time.Duration(s.rng.Int64N(int64(s.latency)+1))/10
	back := s.latency/2 + time.Duration(s.rng.Int64N(int64(s.latency)+1))/10
	s.after(there, func() {
		taken, wait := s.take(n)
		s.after(back, func() {
			r.idle++
			if taken == n {
				wait = 0
			} else {
				wait = s.naming.wait(wait)
			}
			r.answered(p, n, taken, wait, s.now)
			r.backlog += float64(n - taken)
			r.look()
		})
	})
}

// take counts the events of a request.
func (s *simulation) take(n int) (taken int, wait time.Duration) {
	calls, each := n, 1
	if s.requests {
		calls, each = 1, n
	}
	if s.throttleEvery > 0 && s.now.Sub(s.began)%s.throttleEvery > s.throttleEvery-s.throttled {
		s.innocent += calls
		return 0, time.Second
	}
	for range calls {
		if s.noise > 0 && s.rng.Float64() < s.noise {
			s.innocent++
			wait = max(wait, time.Second)
			continue
		}
		right, ok := s.counter.take(s.perSecond, s.now)
		if ok {
			s.accepted++
			taken += each
		} else {
			s.refused++
			wait = max(wait, right)
		}
	}
	s.events += taken
	return taken, wait
}

var errThrottled = errors.New("quota exceeded")

// limitless refuses nothing.
type limitless struct{}

func (limitless) take(float64, time.Time) (time.Duration, bool) { return 0, true }

// oneEvent is a bucket for one event.
const oneEvent = time.Nanosecond

// countings are the ways to count.
func countings() []counting {
	bucket := func(name string, holds time.Duration) counting {
		return counting{"bucket of " + name, 0, holds, func() counter { return &tokenBucket{holds: holds} }}
	}
	clock := func(name string, lasts time.Duration) counting {
		return counting{name, lasts, lasts, func() counter { return &calendar{window: lasts} }}
	}
	first := func(name string, lasts time.Duration) counting {
		return counting{name + " from the first call", lasts, lasts, func() counter { return &window{lasts: lasts} }}
	}
	return []counting{
		bucket("an event", oneEvent), bucket("0.25 s", time.Second/4), bucket("1 s", time.Second), bucket("10 s", 10*time.Second), bucket("60 s", time.Minute),
		clock("seconds", time.Second), clock("minutes", time.Minute), clock("100 s", 100*time.Second), clock("days", day),
		first("seconds", time.Second), first("minutes", time.Minute),
		{"no quota", 0, time.Hour, func() counter { return limitless{} }},
	}
}

const day = 24 * time.Hour

// shapes are all combinations that make sense.
func shapes() (all []destination) {
	for _, c := range countings() {
		for _, n := range []naming{exactly, inSeconds, never, tooShort} {
			for _, latency := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond} {
				for _, noise := range []float64{0, 0.01, 0.05} {
					for _, replicas := range []int{1, 3, 8} {
						for _, throttled := range []time.Duration{0, 3 * time.Second} {
							d := destination{counting: c, naming: n, latency: latency, noise: noise, throttled: throttled, throttleEvery: 60 * throttled}
							d.fleet = fleet{replicas, 100}
							all = append(all, d)
							d.requests = true
							all = append(all, d)
							d.batch, d.requests = 1, false
							all = append(all, d)
						}
					}
				}
			}
		}
	}
	return all
}
