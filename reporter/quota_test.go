package reporter

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/pipenet"
)

// counter is how an API counts calls against its quota. take counts one call, or
// says how long there is no quota.
type counter interface {
	take(perSecond float64, now time.Time) (wait time.Duration, ok bool)
}

// tokenBucket is refilled all the time and holds what comes in a while.
type tokenBucket struct {
	holds  time.Duration
	tokens float64
	at     time.Time
}

func (b *tokenBucket) take(perSecond float64, now time.Time) (time.Duration, bool) {
	b.tokens = min(b.tokens+perSecond*now.Sub(b.at).Seconds(), max(1, perSecond*b.holds.Seconds()))
	b.at = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) / perSecond * float64(time.Second)), false
	}
	b.tokens--
	return 0, true
}

// calendar counts by windows of the clock.
type calendar struct {
	window time.Duration
	start  time.Time
	used   float64
}

func (c *calendar) take(perSecond float64, now time.Time) (time.Duration, bool) {
	if start := now.Truncate(c.window); !start.Equal(c.start) {
		c.start, c.used = start, 0
	}
	if c.used+1 > perSecond*c.window.Seconds() {
		return c.start.Add(c.window).Sub(now), false
	}
	c.used++
	return 0, true
}

// window is how the emulator counts: a window begins with the first call after the
// last one's end.
type window struct {
	lasts time.Duration
	start time.Time
	used  float64
}

func (w *window) take(perSecond float64, now time.Time) (time.Duration, bool) {
	if now.Sub(w.start) >= w.lasts {
		w.start, w.used = now, 0
	}
	if w.used+1 > perSecond*w.lasts.Seconds() {
		return w.start.Add(w.lasts).Sub(now), false
	}
	w.used++
	return 0, true
}

// api is an emulator that counts in some way, and what it saw.
type api struct {
	*emulator.Emulator
	mu        sync.Mutex
	counter   counter
	perSecond float64
	named     bool
	accepted  int
	refused   int
}

func (a *api) hook(r *emulator.Request) *emulator.Fault {
	if r.Path == "/batch" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	wait, ok := a.counter.take(a.perSecond, time.Now())
	if ok {
		a.accepted++
		return nil
	}
	a.refused++
	if !a.named {
		wait = 0
	}
	return &emulator.Fault{Status: http.StatusTooManyRequests, RetryAfter: wait}
}

func (a *api) set(perSecond float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.perSecond = perSecond
}

func (a *api) counts() (accepted, refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted, a.refused
}

// backlog keeps a reporter in events.
type backlog struct {
	b *batcher.Batcher
}

func (l *backlog) delivery() *event.Delivery {
	d := &event.Delivery{
		Event: &event.Event{
			ID: "e", RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/p/jobs/j"},
		},
	}
	d.OnDone(l.done)
	return d
}

func (l *backlog) done(_ *event.Delivery, o event.Outcome) (keep bool) {
	if o.Kind == event.Accepted {
		l.b.Accept([]*event.Delivery{l.delivery()})
	}
	return false
}

// replicas starts reporters with a backlog each.
func replicas(t *testing.T, n, batchSize int, a *api) []*Reporter {
	var network pipenet.Network
	network.Serve(t, "127.0.0.1:80", a)
	var all []*Reporter
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	concurrency := 16
	if batchSize == 1 {
		concurrency = 64 // or it would be the limit
	}
	for range n {
		l := &backlog{b: batcher.New(batcher.Config{Size: batchSize, Concurrency: concurrency, Linger: 5 * time.Millisecond})}
		r, err := New(Config{
			Endpoint: "http://127.0.0.1", Version: event.V3, Parent: "projects/p", Concurrency: concurrency, Dial: network.DialContext,
		}, l.b)
		if err != nil {
			t.Fatal(err)
		}
		ds := make([]*event.Delivery, 3000)
		for i := range ds {
			ds[i] = l.delivery()
		}
		l.b.Accept(ds)
		running.Go(func() { r.Run(ctx) })
		all = append(all, r)
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return all
}

// step is a quota that lasts for a time.
type step struct {
	perSecond float64
	lasts     time.Duration
}

// found is when a quota that has changed has to be found.
const found = time.Minute

// Quotas that step up and down are used from a minute after each step on, to nine tenths by
// one replica with batches, and to 70 % at least where that takes longer, and at most 1 % of
// what is sent is refused, with nothing configured.
func TestQuotaIsFound(t *testing.T) {
	steps := []step{
		{5, 4 * time.Minute},
		{50, 3 * time.Minute},
		{300, 3 * time.Minute},
		{5, 4 * time.Minute},
		{300, 3 * time.Minute},
		{50, 3 * time.Minute},
		{5, 4 * time.Minute},
	}
	second := func() counter { return &tokenBucket{holds: time.Second} }
	large := func() counter { return &tokenBucket{holds: 10 * time.Second} }
	seconds := func() counter { return &calendar{window: time.Second} }
	anchored := func() counter { return &window{lasts: time.Second} }
	for _, test := range []struct {
		name    string
		counter func() counter
		naming  naming
		fleet   fleet
		used    float64
	}{
		{"bucket", second, inSeconds, fleet{1, 100}, 0.9},
		{"bucket, no time named", second, never, fleet{1, 100}, 0.9},
		{"bucket, single events", second, inSeconds, fleet{1, 1}, 0.7},
		{"large bucket", large, inSeconds, fleet{1, 100}, 0.95},
		{"large bucket, no time named", large, never, fleet{1, 100}, 0.95},
		{"emulator", anchored, inSeconds, fleet{1, 100}, 0.7},
		{"emulator, single events", anchored, inSeconds, fleet{1, 1}, 0.7},
		// Here a wait in whole seconds costs most of one that may be used again.
		{"windows", seconds, inSeconds, fleet{1, 100}, 0.8},
		{"windows, single events", seconds, inSeconds, fleet{1, 1}, 0.7},
		{"windows, no time named", seconds, never, fleet{1, 100}, 0.8},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := simulate(destination{counting: counting{make: test.counter}, naming: test.naming, latency: 30 * time.Millisecond, fleet: test.fleet}, 0)
			s.follow(t, steps, test.used)
			s.wantRefused(t, 0.01)
		})
	}
}

// follow has the quota step, and sees how much of it is used.
func (s *simulation) follow(t *testing.T, steps []step, want float64) {
	t.Helper()
	for _, step := range steps {
		s.perSecond = step.perSecond
		sc := s.measure(step)
		t.Logf("%v", sc.String())
		if sc.used < want {
			t.Errorf("of %v a second %.1f %% are used, want %v %%", step.perSecond, 100*sc.used, 100*want)
		}
	}
}

func (s *simulation) wantRefused(t *testing.T, most float64) {
	t.Helper()
	share := float64(s.refused) / float64(s.accepted+s.refused)
	t.Logf("%d of %d are refused, %.2f %%", s.refused, s.accepted+s.refused, 100*share)
	if share > most {
		t.Errorf("%.2f %% are refused, want at most %v %%", 100*share, 100*most)
	}
}

// A quota by the minute, as Google's are, is used whole, though it takes a minute
// to see where it ends.
func TestQuotaByTheMinute(t *testing.T) {
	for _, test := range []struct {
		name          string
		perMinute     float64
		naming        naming
		lasts         time.Duration
		used, refused float64
	}{
		{"300", 300, inSeconds, time.Hour, 0.95, 0.01},
		{"3000", 3000, inSeconds, 15 * time.Minute, 0.95, 0.015},
		// Each try for more ends in half a minute in which nothing goes.
		{"300, no time named", 300, never, time.Hour, 0.8, 0.03},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := counting{make: func() counter { return &window{lasts: time.Minute} }, lasts: time.Minute}
			s := simulate(destination{counting: c, naming: test.naming, latency: 30 * time.Millisecond, fleet: fleet{1, 100}}, 0)
			s.follow(t, []step{{test.perMinute / 60, test.lasts}}, test.used)
			s.wantRefused(t, test.refused)
		})
	}
}

// TestReporterFindsTheQuota: what the simulations have of the reporter is as in a real one,
// of which the workers send over connections.
func TestReporterFindsTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(&tokenBucket{holds: time.Second}, true)
		rs := replicas(t, 1, 100, a)
		for _, step := range []step{{5, 3 * time.Minute}, {50, 2 * time.Minute}, {5, 3 * time.Minute}} {
			a.set(step.perSecond)
			time.Sleep(found)
			before, _ := a.counts()
			time.Sleep(step.lasts - found)
			after, _ := a.counts()
			used := float64(after-before) / (step.perSecond * (step.lasts - found).Seconds())
			if learned := rs[0].Status().Learned; used < 0.9 || math.Abs(learned/step.perSecond-1) > 0.15 {
				t.Errorf("of %v a second %.1f %% are used, and %v learned: want 90 %%", step.perSecond, 100*used, learned)
			}
		}
		if accepted, refused := a.counts(); refused > (accepted+refused)/50 {
			t.Errorf("%d are accepted and %d refused: want at most 2 %%", accepted, refused)
		}
	})
}

func newAPI(c counter, named bool) *api {
	a := &api{counter: c, named: named}
	a.Emulator = emulator.New(emulator.Options{Keep: -1, Faults: emulator.Faults{Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond, Hook: a.hook}})
	return a
}

// stumbler refuses a share of what it gets, whatever the rate, and asks to wait.
type stumbler struct {
	share float64
	wait  time.Duration
	rng   *rand.Rand
}

func (s *stumbler) take(float64, time.Time) (time.Duration, bool) {
	return s.wait, s.rng.Float64() >= s.share
}

// A destination that refuses here and there for no rate of ours is not taken for
// one with a small quota for long: the refused events wait, and the rest continues.
func TestStumblingIsNoQuota(t *testing.T) {
	for _, share := range []float64{0.02, 0.3, 0.5} {
		for _, named := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v, a time named %v", share, named), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAPI(&stumbler{share, 2 * time.Second, rand.New(rand.NewPCG(1, 2))}, named)
					rs := replicas(t, 1, 10, a)
					began, before := time.Now(), 0
					for {
						time.Sleep(10 * time.Second)
						after, _ := a.counts()
						perSecond, learned := (after-before)/10, rs[0].Status().Learned
						if perSecond >= 50 {
							t.Logf("known after %v", time.Since(began))
							return
						}
						if time.Since(began) > 30*time.Minute { // for how long it mostly takes, see below
							t.Fatalf("%d events a second go, with a learned rate of %v; want 50", perSecond, learned)
						}
						before = after
					}
				})
			})
		}
	}
}

// TestStumblingIsKnownSoon: nineteen in twenty times, an API that refuses half of the events at
// random is known within four minutes, and always within half an hour, whichever events it
// refuses.
func TestStumblingIsKnownSoon(t *testing.T) {
	const n, soon, last = 500, 4 * time.Minute, 30 * time.Minute
	for _, named := range []naming{inSeconds, never} {
		t.Run(string(named), func(t *testing.T) {
			late, slowest := 0, time.Duration(0)
			for seed := range uint64(n) {
				known := stumblingKnown(seed, named, last)
				if slowest = max(slowest, known); known > soon {
					late++
				}
			}
			t.Logf("%d of %d are not known after %v, and the slowest after %v", late, n, soon, slowest)
			if late > n/20 || slowest > last {
				t.Errorf("want at most %d, and none after %v", n/20, last)
			}
		})
	}
}

// stumblingKnown returns how long it takes until 50 events a second are accepted by an API
// that refuses half of the events at random; it is more than last where it takes longer.
func stumblingKnown(seed uint64, named naming, last time.Duration) time.Duration {
	c := counting{make: func() counter { return &stumbler{0.5, 2 * time.Second, rand.New(rand.NewPCG(seed, 1))} }}
	s := simulate(destination{counting: c, naming: named, latency: 20 * time.Millisecond, fleet: fleet{1, 10}}, 0)
	const look = 10 * time.Second
	at := look
	for before := 0; at <= last; at += look {
		s.run(look)
		if s.accepted-before >= 50*int(look/time.Second) {
			break
		}
		before = s.accepted
	}
	return at
}
