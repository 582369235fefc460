package reporter

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	quotas      = flag.Int("quotas", 0, "how many of the shapes of quota to simulate, chosen at random; -1 for all, which takes hours of CPU")
	quotaSeed   = flag.Uint64("quotaseed", 0, "chooses other shapes than those that the learner was developed with")
	quotaMethod = flag.String("quotamethod", "learner", "what finds the quotas: learner, aimd, estimator or prober")
)

var methods = map[string]func(*simulation) client{
	"learner":   newLearner,
	"aimd":      newRival(func() method { return aimd{} }),
	"estimator": newRival(func() method { return &estimator{} }),
	"prober":    newRival(func() method { return &prober{} }),
}

// score is what a destination's quota was used for, from the warm-up on.
type score struct {
	destination
	perSecond   float64
	used        float64       // the share of the quota
	refused     float64       // the share of what was sent, beside what was refused for no quota
	found       time.Duration // when nine tenths were first used for ten seconds, or as long as the quota is counted
	oscillation float64       // the standard deviation of what was accepted in a minute, in proportion

	// possible is the used share of the best oracle, which cost that share of refusals.
	possible, cost float64
}

// part is the used share of what is possible.
func (s *score) part() float64 { return s.used / s.possible }

func (s *score) String() string {
	return fmt.Sprintf("%6.1f %% used of %5.1f %%, %6.2f %% refused of %5.2f %%, found after %5.0f s, oscillation %4.0f %%: %v a second, %s",
		100*s.used, 100*s.possible, 100*s.refused, 100*s.cost, s.found.Seconds(), 100*s.oscillation, s.perSecond, s.destination.String())
}

// steps are the quotas, one after the other.
func (d *destination) steps() []step {
	switch {
	case d.lasts >= day:
		return []step{{0.5, 3 * day}, {1.5, 3 * day}, {0.2, 3 * day}}
	case d.counting.name == "no quota":
		return []step{{100, 20 * time.Minute}}
	}
	return []step{{20, 15 * time.Minute}, {200, 10 * time.Minute}, {5, 15 * time.Minute}, {20, 10 * time.Minute}}
}

// reach is how many calls a second the workers can make.
func (d *destination) reach() float64 {
	calls := d.batch
	if d.requests {
		calls = 1
	}
	return float64(d.replicas*d.workers()*calls) / (1.2*d.latency.Seconds() + 0.001)
}

// rate scores a client beside the oracle that makes the most of its calls.
func (d destination) rate(client func(*simulation) client) []score {
	scores := d.follow(client)
	for _, pace := range paces {
		for i, o := range d.follow(newOracle(pace)) {
			if s := &scores[i]; o.used-o.refused > s.possible-s.cost {
				s.possible, s.cost = min(1, o.used), o.refused
			}
		}
	}
	return scores
}

// follow lets the quota step, and scores each step from a minute on, or from the second
// day on.
func (d destination) follow(client func(*simulation) client) (scores []score) {
	arrivals := 0.0
	if d.counting.name == "no quota" {
		arrivals = 100 / float64(d.replicas)
	}
	s := simulateWith(d, arrivals, client)
	for _, step := range d.steps() {
		s.perSecond = step.perSecond
		sc := s.measure(step)
		if d.reach() > 1.2*step.perSecond {
			scores = append(scores, sc)
		}
	}
	return scores
}

func (s *simulation) measure(step step) score {
	const tick = 5 * time.Second
	warm, bin := time.Minute, time.Minute
	if s.lasts >= day {
		warm, bin = day, time.Hour
	}
	over := max(2*tick, s.lasts)
	sc := score{destination: s.destination, perSecond: step.perSecond, found: step.lasts}
	var counts []int // accepted at each tick
	var bins []float64
	var accepted, refused, innocent int
	for at := tick; at <= step.lasts; at += tick {
		before := s.count()
		if at-tick == warm {
			accepted, refused, innocent = before, s.refused, s.innocent
		}
		counts = append(counts, before)
		s.run(tick)
		if i := len(counts) - int(over/tick); i >= 0 && sc.found == step.lasts && float64(s.count()-counts[i]) >= 0.9*step.perSecond*over.Seconds() {
			sc.found = at
		}
		if i := len(counts) - int(bin/tick); at >= warm+bin && (at-warm)%bin == 0 {
			bins = append(bins, float64(s.count()-counts[i]))
		}
	}
	seconds := (step.lasts - warm).Seconds()
	if s.throttleEvery > 0 && s.holds < s.throttled {
		seconds *= 1 - s.throttled.Seconds()/s.throttleEvery.Seconds() // it is lost
	}
	a, b := float64(s.count()-accepted), float64(s.refused-refused)
	sc.used, sc.refused = a/step.perSecond/seconds, b/max(1, a+b+float64(s.innocent-innocent))
	sc.oscillation = deviation(bins)
	return sc
}

// count returns how much was accepted: calls, or events where no calls are counted.
func (s *simulation) count() int {
	if s.counting.name == "no quota" {
		return s.events
	}
	return s.accepted
}

func deviation(all []float64) float64 {
	var sum, squares float64
	for _, x := range all {
		sum += x
		squares += x * x
	}
	n := float64(len(all))
	return math.Sqrt(max(0, squares/n-sum/n*sum/n)) / max(1e-9, sum/n)
}

// TestQuotaScores lets destinations count and answer in many ways, with quotas that step
// up and down, and prints what becomes of them. The bounds are for at least 60 shapes.
func TestQuotaScores(t *testing.T) {
	if *quotas == 0 {
		t.Skip("not run without -quotas; make simulate runs it")
	}
	all := shapes()
	rand.New(rand.NewPCG(3, 4+*quotaSeed)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	n := *quotas
	if n < 0 {
		n = len(all)
	}
	scores := scoreAll(all[:min(n, len(all))], methods[*quotaMethod])
	table(t, scores)
	used := part(scores, func(s score) float64 { return s.used }, 0.5)
	refused := part(scores, func(s score) float64 { return s.refused }, 0.5)
	if *quotaMethod == "learner" && (used < 0.95 || refused > 0.04) {
		t.Errorf("half of the quotas are used to less than %.3f, and refuse more than %.3f: want 0.95 and 0.04", used, refused)
	}
}

func scoreAll(all []destination, client func(*simulation) client) (scores []score) {
	results := make([][]score, len(all))
	var next atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(all); i = next.Add(1) - 1 {
				results[i] = all[i].rate(client)
			}
		})
	}
	running.Wait()
	return slices.Concat(results...)
}

// dimensions are the columns by which the table groups.
var dimensions = []struct {
	name string
	of   func(*score) string
}{
	{"all", func(*score) string { return "all" }},
	{"counted", func(s *score) string { return s.counting.name }},
	{"calls", func(s *score) string {
		switch {
		case s.requests:
			return "requests of 100"
		case s.batch == 1:
			return "single events"
		}
		return "parts of 100"
	}},
	{"wait", func(s *score) string { return "wait " + string(s.naming) }},
	{"latency", func(s *score) string { return s.latency.String() }},
	{"replicas", func(s *score) string { return fmt.Sprintf("%d replicas", s.replicas) }},
	{"noise", func(s *score) string { return fmt.Sprintf("%v %% at random", 100*s.noise) }},
	{"throttles", func(s *score) string { return fmt.Sprintf("throttled for %v", s.throttled) }},
	{"quota", func(s *score) string { return fmt.Sprintf("%v a second", s.perSecond) }},
}

func table(t *testing.T, all []score) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %5s | %7s %7s %7s | %7s %7s %7s | %7s %7s %7s | %7s %7s | %6s %6s | %5s\n", "", "n", "used", "tenth", "worst", "of what", "is pos-", "sible", "refused", "tenth", "worst", "oracle", "tenth", "found", "tenth", "osc.")
	for _, d := range dimensions {
		groups := map[string][]score{}
		var names []string
		for i := range all {
			name := d.of(&all[i])
			if groups[name] == nil {
				names = append(names, name)
			}
			groups[name] = append(groups[name], all[i])
		}
		slices.Sort(names)
		for _, name := range names {
			row(&b, name, groups[name])
		}
	}
	t.Log("\n" + b.String())
	if testing.Verbose() {
		for _, s := range slices.SortedFunc(slices.Values(all), func(a, b score) int { return cmp.Compare(a.used, b.used) })[:min(20, len(all))] {
			t.Log(s.String())
		}
		for _, s := range slices.SortedFunc(slices.Values(all), func(a, b score) int { return cmp.Compare(b.refused, a.refused) })[:min(20, len(all))] {
			t.Log(s.String())
		}
	}
}

func row(b *strings.Builder, name string, all []score) {
	used := func(s score) float64 { return min(1, s.used) }
	of := func(s score) float64 { return min(1, s.part()) }
	refused := func(s score) float64 { return s.refused }
	cost := func(s score) float64 { return s.cost }
	found := func(s score) float64 { return s.found.Seconds() }
	osc := func(s score) float64 { return s.oscillation }
	fmt.Fprintf(b, "%-28s %5d | %7.1f %7.1f %7.1f | %7.1f %7.1f %7.1f | %7.2f %7.2f %7.2f | %7.2f %7.2f | %6.0f %6.0f | %5.1f\n", name, len(all),
		100*part(all, used, 0.5), 100*part(all, used, 0.1), 100*part(all, used, 0),
		100*part(all, of, 0.5), 100*part(all, of, 0.1), 100*part(all, of, 0),
		100*part(all, refused, 0.5), 100*part(all, refused, 0.9), 100*part(all, refused, 1),
		100*part(all, cost, 0.5), 100*part(all, cost, 0.9),
		part(all, found, 0.5), part(all, found, 0.9), 100*part(all, osc, 0.5))
}

// part returns the value than which a part of the scores is lower.
func part(all []score, of func(score) float64, at float64) float64 {
	sorted := make([]float64, 0, len(all))
	for _, s := range all {
		sorted = append(sorted, of(s))
	}
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, int(at*float64(len(sorted))))]
}

// TestQuotaAtASlowAPI: workers that are all waiting for the API do not cost a part of the
// rate.
func TestQuotaAtASlowAPI(t *testing.T) {
	c := counting{"bucket of 1 s", 0, time.Second, func() counter { return &tokenBucket{holds: time.Second} }}
	s := simulate(destination{counting: c, naming: exactly, latency: time.Second / 2, fleet: fleet{1, 100}}, 0)
	s.perSecond = 500
	if sc := s.measure(step{500, 4 * time.Minute}); sc.used < 0.85 {
		t.Errorf("%.1f %% are used: want 85 %%", 100*sc.used)
	}
}

// TestShortThrottlesAreNoQuota: an API that refuses everything for 3 s of each 30 is not
// taken for one with a small quota: 200 events a second keep up for half an hour.
func TestShortThrottlesAreNoQuota(t *testing.T) {
	c := counting{"no quota", 0, time.Hour, func() counter { return limitless{} }}
	s := simulate(destination{
		counting: c, naming: inSeconds, latency: 20 * time.Millisecond, fleet: fleet{1, 100},
		throttleEvery: 30 * time.Second, throttled: 3 * time.Second,
	}, 200)
	// Between two throttles, what the first one held up is sent.
	s.run(15 * time.Second)
	var most float64
	for at := 15 * time.Second; at <= time.Hour/2; at += 30 * time.Second {
		most = max(most, 200*at.Seconds()-float64(s.events))
		s.run(30 * time.Second)
	}
	if most > 200*12 {
		t.Errorf("%.0f events wait in the middle between two throttles: want what comes in 12 s at most", most)
	}
	if share := float64(s.innocent) / float64(s.accepted+s.innocent); share > 0.01 {
		t.Errorf("%.2f %% are refused: want 1 %% at most", 100*share)
	}
}

// TestQuotaOfManyKinds: what a destination counts, refusals at random beside a quota, and a
// quota by the day are recognised.
func TestQuotaOfManyKinds(t *testing.T) {
	find := func(name string) counting {
		for _, c := range countings() {
			if c.name == name {
				return c
			}
		}
		t.Fatalf("no %s", name)
		return counting{}
	}
	for _, test := range []struct {
		name    string
		d       destination
		step    step
		used    float64
		refused float64
	}{
		{"requests", destination{counting: find("bucket of 1 s"), naming: inSeconds, requests: true, fleet: fleet{1, 100}}, step{200, 5 * time.Minute}, 0.95, 0.01},
		{"noise", destination{counting: find("bucket of 1 s"), naming: inSeconds, noise: 0.05, fleet: fleet{1, 1}}, step{20, 20 * time.Minute}, 0.85, 0.05},
		{"a day", destination{counting: find("days"), naming: never, fleet: fleet{1, 100}}, step{0.5, 3 * day}, 0.95, 0.02},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.d.latency = 20 * time.Millisecond
			s := simulate(test.d, 0)
			s.perSecond = test.step.perSecond
			sc := s.measure(test.step)
			t.Log(sc.String())
			if sc.used < test.used || sc.refused > test.refused {
				t.Errorf("want %v used, and at most %v refused", test.used, test.refused)
			}
			if test.d.requests && s.events < 50*s.accepted {
				t.Errorf("%d requests have %d events: want nearly full ones", s.accepted, s.events)
			}
			if test.d.lasts >= day && sc.oscillation > 0.5 {
				t.Error("the day's quota is not spread over the day")
			}
		})
	}
}

// TestQuotaShapes: one replica uses a quota that steps up and down, however it is counted,
// without noise or throttles beside it.
func TestQuotaShapes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	var scores []score
	for _, c := range countings() {
		if c.holds == oneEvent || c.lasts >= day || c.name == "no quota" {
			continue
		}
		for _, n := range []naming{inSeconds, never} {
			d := destination{counting: c, naming: n, latency: 5 * time.Millisecond, fleet: fleet{1, 100}}
			s := simulate(d, 0)
			steps := []step{{20, 4 * time.Minute}, {200, 4 * time.Minute}, {5, 6 * time.Minute}, {20, 4 * time.Minute}}
			if c.lasts > time.Second {
				steps = []step{{20, 9 * time.Minute}, {100, 9 * time.Minute}, {5, 9 * time.Minute}, {20, 9 * time.Minute}}
			}
			for _, step := range steps {
				s.perSecond = step.perSecond
				scores = append(scores, s.measure(step))
			}
		}
	}
	table(t, scores)
	half, tenth := part(scores, func(s score) float64 { return s.used }, 0.5), part(scores, func(s score) float64 { return s.used }, 0.1)
	if half < 0.95 || tenth < 0.8 {
		t.Errorf("half of the quotas are used to less than %.3f, a tenth to less than %.3f: want 0.95 and 0.8", half, tenth)
	}
	if half := part(scores, func(s score) float64 { return s.refused }, 0.5); half > 0.01 {
		t.Errorf("half refuse more than %.4f of the events: want 0.01", half)
	}
	if half := part(scores, func(s score) float64 { return s.found.Seconds() }, 0.5); half > 60 {
		t.Errorf("half are found after %v s: want a minute", half)
	}
}
