package reporter

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/reporter/talent"
)

// destination is an API with a quota, as it counts and as it answers.
type destination struct {
	name    string
	counter func() counter
	naming  naming
	long    bool          // it counts by minutes
	latency time.Duration // of a request, and up to a fifth more at random
	// every throttleEvery everything is refused for throttled.
	throttleEvery, throttled time.Duration
}

// naming is how a destination names the wait after a refusal.
type naming string

const (
	exactly   naming = "exactly"
	inSeconds naming = "in seconds" // as the header Retry-After does, rounded up
	never     naming = "never"
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
// are, and in the place of workers and connections one queue of what happens next.
type simulation struct {
	destination
	queue     happenings
	happened  int
	counter   counter
	perSecond float64
	began     time.Time
	rng       *rand.Rand
	replicas  []*simulated
	arrivals  float64 // events a second of each replica; 0 for a backlog without end
	accepted  int
	refused   int
}

// simulated is a replica.
type simulated struct {
	s       *simulation
	gate    *gate
	limiter *limiter
	workers int
	idle    int // of them
	batch   int
	backlog float64
	since   time.Time // when the backlog was brought up to date
	next    time.Time // of the next look
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
	heap.Push(&s.queue, happening{time.Now().Add(d), do, s.happened})
}

func simulate(d destination, replicas, batch int, arrivals float64) *simulation {
	s := &simulation{destination: d, counter: d.counter(), began: time.Now(), rng: rand.New(rand.NewPCG(1, 2)), arrivals: arrivals}
	for range replicas {
		r := &simulated{s: s, batch: batch, workers: 16, since: s.began}
		if batch == 1 {
			r.workers = 64
		}
		r.idle = r.workers
		r.limiter = newLimiter(0, firstBurst, func() float64 { return 1 })
		r.gate = &gate{wake: newWake(), wait: apiBackoff.After}
		s.replicas = append(s.replicas, r)
		s.after(0, r.look)
	}
	return s
}

// run lets some time pass.
func (s *simulation) run(d time.Duration) {
	until := time.Now().Add(d)
	for len(s.queue) > 0 && !s.queue[0].at.After(until) {
		next := heap.Pop(&s.queue).(happening)
		if wait := time.Until(next.at); wait > 0 {
			time.Sleep(wait)
		}
		next.do()
	}
	time.Sleep(time.Until(until))
}

// look sends what may be sent.
func (r *simulated) look() {
	now := time.Now()
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
		p, wait, open := r.gate.check(now)
		if !open {
			if wait > 0 {
				r.again(now, wait)
			}
			return
		}
		n, wait = r.limiter.take(n, now)
		if n == 0 {
			if wait > 0 {
				r.again(now, wait)
			}
			return
		}
		r.gate.enter(p)
		r.idle--
		r.backlog -= float64(n)
		r.send(p, n)
	}
}

func (r *simulated) again(now time.Time, wait time.Duration) {
	wait = min(wait, askAgain)
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
		s.after(back, func() { r.answered(p, n, taken, wait) })
	})
}

// take counts the events of a request.
func (s *simulation) take(n int) (taken int, wait time.Duration) {
	now := time.Now()
	if s.throttleEvery > 0 && now.Sub(s.began)%s.throttleEvery > s.throttleEvery-s.throttled {
		s.refused += n
		return 0, time.Second
	}
	for range n {
		right, ok := s.counter.take(s.perSecond, now)
		if ok {
			taken++
		} else {
			wait = max(wait, right)
		}
	}
	s.accepted += taken
	s.refused += n - taken
	return taken, wait
}

func (r *simulated) answered(p pass, n, taken int, right time.Duration) {
	r.idle++
	r.limiter.done(n, n)
	if taken > 0 {
		r.limiter.accepted(taken)
	}
	switch {
	case taken == n:
		r.gate.succeed(p)
	case !r.limiter.exhausted(n - taken):
		r.gate.succeed(p)
	default:
		err := &talent.Error{Reason: talent.Throttled, Err: errThrottled, Status: 429, RetryAfter: r.s.naming.wait(right)}
		if wait, news := r.gate.fail(p, err, taken > 0); news {
			r.limiter.refused(wait, err.RetryAfter > 0)
		}
	}
	r.backlog += float64(n - taken)
	r.look()
}

var errThrottled = errors.New("quota exceeded")

// score is what a destination's quota was used for.
type score struct {
	name          string
	used, refused float64
	found         time.Duration
}

// steps lets the quota step and scores each step from a minute on.
func (s *simulation) follow(all []step) (scores []score) {
	for _, step := range all {
		s.perSecond = step.perSecond
		sc := score{name: fmt.Sprintf("%s: %v/s", s.name, step.perSecond), found: math.MaxInt64}
		accepted, refused := s.accepted, s.refused
		before := s.accepted
		for at := 10 * time.Second; at <= step.lasts; at += 10 * time.Second {
			s.run(10 * time.Second)
			if float64(s.accepted-before) >= 9*step.perSecond && sc.found == math.MaxInt64 {
				sc.found = at
			}
			before = s.accepted
			if at == time.Minute {
				accepted, refused = s.accepted, s.refused
			}
		}
		reach := float64(len(s.replicas)) * float64(s.replicas[0].workers) * float64(s.replicas[0].batch) / (1.1 * s.latency.Seconds())
		if reach < step.perSecond {
			continue
		}
		a, b := float64(s.accepted-accepted), float64(s.refused-refused)
		sc.used, sc.refused = a/step.perSecond/(step.lasts-time.Minute).Seconds(), b/max(1, a+b)
		scores = append(scores, sc)
	}
	return scores
}

// TestQuotaShapes lets destinations count and answer in many ways, with quotas that step
// up and down: -slow takes all combinations, and prints the worst.
func TestQuotaShapes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	var all []score
	for _, d := range shapes() {
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, f := range fleets(d) {
					s := simulate(d, f.replicas, f.batch, 0)
					s.name = fmt.Sprintf("%s, %d of %d", d.name, f.replicas, f.batch)
					all = append(all, s.follow(d.steps())...)
				}
			})
		})
	}
	if len(all) > 0 {
		report(t, all)
	}
}

// fleet is a number of replicas with a batch size.
type fleet struct{ replicas, batch int }

func fleets(d destination) []fleet {
	all := []fleet{{1, 100}, {1, 1}, {3, 100}}
	switch {
	case !*slow:
		return all[:1]
	case strings.HasPrefix(d.name, "bucket of 0.25"):
		return all[:2] // it is too small for those who know nothing of one another
	}
	return all
}

// steps are the quotas. A window of more than a second is seen for several of its time.
func (d *destination) steps() []step {
	if d.long {
		return []step{{50, 11 * time.Minute}, {300, 11 * time.Minute}, {5, 11 * time.Minute}, {50, 11 * time.Minute}}
	}
	return []step{{50, 4 * time.Minute}, {500, 4 * time.Minute}, {5, 6 * time.Minute}, {50, 4 * time.Minute}}
}

// TestQuotaAtASlowAPI: workers that are all waiting for the API do not cost a part of the
// rate.
func TestQuotaAtASlowAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulate(destination{counter: func() counter { return &tokenBucket{holds: time.Second} }, naming: exactly, latency: time.Second / 2}, 1, 100, 0)
		for _, score := range s.follow([]step{{500, 4 * time.Minute}}) {
			if score.used < 0.85 {
				t.Errorf("%.1f %% are used: want 85 %%", 100*score.used)
			}
		}
	})
}

// TestShortThrottlesAreNoQuota: an API that refuses everything for 3 s of each 30 is not
// taken for one with a small quota. 500 events a second keep up, with -slow for an hour.
func TestShortThrottlesAreNoQuota(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	synctest.Test(t, func(t *testing.T) {
		s := simulate(destination{
			counter: func() counter { return &tokenBucket{holds: time.Hour} }, naming: inSeconds, latency: 20 * time.Millisecond,
			throttleEvery: 30 * time.Second, throttled: 3 * time.Second,
		}, 1, 100, 500)
		s.perSecond = 1e9
		lasts := 20 * time.Minute
		if *slow {
			lasts = time.Hour
		}
		// Between two throttles, what the first one held up is sent.
		s.run(15 * time.Second)
		var most float64
		for at := 15 * time.Second; at <= lasts; at += 30 * time.Second {
			most = max(most, 500*at.Seconds()-float64(s.accepted))
			s.run(30 * time.Second)
		}
		if most > 500*12 {
			t.Errorf("%.0f events wait in the middle between two throttles: want what comes in 12 s at most", most)
		}
		if share := float64(s.refused) / float64(s.accepted+s.refused); share > 0.01 {
			t.Errorf("%.2f %% are refused: want 1 %% at most", 100*share)
		}
	})
}

func report(t *testing.T, all []score) {
	t.Helper()
	part := func(of func(score) float64, at float64) float64 {
		sorted := slices.SortedFunc(slices.Values(all), func(a, b score) int { return cmp.Compare(of(a), of(b)) })
		return of(sorted[min(len(sorted)-1, int(at*float64(len(sorted))))])
	}
	used := func(s score) float64 { return s.used }
	refused := func(s score) float64 { return s.refused }
	found := func(s score) float64 { return s.found.Seconds() }
	t.Logf("%d quotas: used in the worst case %.3f, a tenth less than %.3f, half less than %.3f", len(all), part(used, 0), part(used, 0.1), part(used, 0.5))
	t.Logf("refused: half less than %.4f, nine tenths less than %.4f", part(refused, 0.5), part(refused, 0.9))
	t.Logf("found: half within %v s, nine tenths within %v s", part(found, 0.5), part(found, 0.9))
	if half, tenth := part(used, 0.5), part(used, 0.1); half < 0.95 || tenth < 0.8 {
		t.Errorf("half of the quotas are used to less than %.3f, a tenth to less than %.3f: want 0.95 and 0.8", half, tenth)
	}
	if half := part(refused, 0.5); half > 0.01 {
		t.Errorf("half refuse more than %.4f of the events: want 0.01", half)
	}
	if half := part(found, 0.5); half > 60 {
		t.Errorf("half are found after %v s: want a minute", half)
	}
	if *slow {
		for _, s := range slices.SortedFunc(slices.Values(all), func(a, b score) int { return cmp.Compare(a.used, b.used) })[:20] {
			t.Logf("%5.1f %% used %5.2f %% refused, found after %4.0f s: %s", 100*s.used, 100*s.refused, s.found.Seconds(), s.name)
		}
	}
}

func shapes() (all []destination) {
	namings := []naming{exactly, inSeconds, never, tooShort}
	latencies := []time.Duration{5 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond}
	if !*slow {
		namings, latencies = []naming{inSeconds, never}, latencies[:1]
	}
	for _, c := range []struct {
		name string
		long bool
		make func() counter
	}{
		{"bucket of 0.25 s", false, func() counter { return &tokenBucket{holds: time.Second / 4} }},
		{"bucket of 1 s", false, func() counter { return &tokenBucket{holds: time.Second} }},
		{"bucket of 10 s", false, func() counter { return &tokenBucket{holds: 10 * time.Second} }},
		{"bucket of 60 s", false, func() counter { return &tokenBucket{holds: time.Minute} }},
		{"seconds", false, func() counter { return &calendar{window: time.Second} }},
		{"minutes", true, func() counter { return &calendar{window: time.Minute} }},
		{"100 s", true, func() counter { return &calendar{window: 100 * time.Second} }},
		{"anchored seconds", false, func() counter { return &window{lasts: time.Second} }},
		{"anchored minutes", true, func() counter { return &window{lasts: time.Minute} }},
	} {
		for _, n := range namings {
			for _, latency := range latencies {
				if latency == 500*time.Millisecond && c.name == "bucket of 0.25 s" {
					continue // no pace reaches it in order
				}
				name := fmt.Sprintf("%s, named %s, %v", c.name, n, latency)
				all = append(all, destination{name: name, counter: c.make, naming: n, long: c.long, latency: latency})
			}
		}
	}
	return all
}
