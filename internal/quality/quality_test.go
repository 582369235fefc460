package quality

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

func TestRuleCount(t *testing.T) {
	if len(rules) != ruleCount {
		t.Errorf("ruleCount is %d, there are %d rules", ruleCount, len(rules))
	}
}

// kinds are journeys about one job, with the rules that each violates.
var kinds = []struct {
	types string
	rules []Rule
}{
	{"IMPRESSION VIEW APPLICATION_START APPLICATION_FINISH HIRED", nil},
	{"NOTIFICATION VIEW APPLICATION_QUICK_SUBMISSION", nil},
	{"IMPRESSION APPLICATION_REDIRECT_FROM_SEARCH", nil},
	{"IMPRESSION APPLICATION_START_FROM_SEARCH APPLICATION_FINISH INTERVIEW_GRANTED", nil},
	{"IMPRESSION VIEW_REDIRECT", nil},
	{"IMPRESSION VIEW BOOKMARK NOT_INTERESTED", nil},
	{"IMPRESSION", []Rule{ImpressionWithoutView}},
	{"NOTIFICATION BOOKMARK", []Rule{ImpressionWithoutView}},
	{"VIEW", []Rule{ViewWithoutImpression}},
	{"VIEW IMPRESSION", nil}, // the order in which they arrive does not matter
	{"IMPRESSION VIEW APPLICATION_QUICK_SUBMISSION APPLICATION_START", []Rule{QuickSubmissionNotAlone}},
	{"IMPRESSION VIEW APPLICATION_QUICK_SUBMISSION APPLICATION_FINISH", []Rule{QuickSubmissionNotAlone}},
	{"IMPRESSION VIEW APPLICATION_START_FROM_SEARCH", []Rule{StartFromSearchWithView}},
	{"IMPRESSION VIEW APPLICATION_REDIRECT_FROM_SEARCH", []Rule{RedirectFromSearchNotAlone}},
	{"IMPRESSION APPLICATION_START APPLICATION_FINISH", []Rule{ApplicationWithoutView}},
	{"IMPRESSION APPLICATION_START APPLICATION_REDIRECT_FROM_SEARCH", []Rule{RedirectFromSearchNotAlone, ApplicationWithoutView}},
	{"IMPRESSION VIEW HIRED", []Rule{OutcomeWithoutApplication}},
	{"VIEW INTERVIEW_GRANTED", []Rule{ViewWithoutImpression, OutcomeWithoutApplication}},
}

// step is an event of a generated journey.
type step struct{ request, kind, job string }

// generated are the events of journeys with known faults, which interleave, and their
// judgement.
type generated struct {
	steps  []step
	jobs   int
	want   map[Rule]Violations
	events map[string]int64
}

func generate(journeys int) generated {
	random := rand.New(rand.NewPCG(1, 2))
	g := generated{want: map[Rule]Violations{}, events: map[string]int64{}}
	for i := range journeys {
		violated := map[Rule]int64{}
		for j := range 1 + random.IntN(4) {
			kind := kinds[random.IntN(len(kinds))]
			for name := range strings.FieldsSeq(kind.types) {
				g.steps = append(g.steps, step{fmt.Sprint("request ", i), name, fmt.Sprint("job ", j)})
				g.events[name]++
			}
			for _, rule := range kind.rules {
				violated[rule]++
			}
			g.jobs++
		}
		for rule, n := range violated {
			g.want[rule] = Violations{g.want[rule].Journeys + 1, g.want[rule].Jobs + n}
		}
	}
	random.Shuffle(len(g.steps), func(a, b int) { g.steps[a], g.steps[b] = g.steps[b], g.steps[a] })
	return g
}

// The numbers are exact for generated journeys with known faults, whose events
// interleave.
func TestReportIsExact(t *testing.T) {
	const journeys = 2000
	g := generate(journeys)
	want, events, jobs, steps := g.want, g.events, g.jobs, g.steps
	tracker := NewTracker(DefaultPairs)
	for _, s := range steps {
		tracker.Add(s.request, s.kind, []string{s.job})
	}
	tracker.Add("", "VIEW", []string{"job"})
	events["VIEW"]++

	r := tracker.Report()
	if r.Journeys != journeys || r.Jobs != int64(jobs) || r.Events != int64(len(steps)+1) {
		t.Errorf("%d journeys, %d jobs, %d events, want %d, %d, %d", r.Journeys, r.Jobs, r.Events, journeys, jobs, len(steps)+1)
	}
	for _, rule := range r.Rules {
		if rule.Violations != want[rule.Rule] || rule.Journeys == 0 {
			t.Errorf("%s: %+v, want %+v", rule.Rule, rule.Violations, want[rule.Rule])
		}
	}
	for i, of := range r.Types {
		if of.Events != events[of.Type] || of.Share != float64(of.Events)/float64(r.Events) || i > 0 && of.Events > r.Types[i-1].Events {
			t.Errorf("%+v, want %d", of, events[of.Type])
		}
	}
	if len(r.Types) != len(events) {
		t.Errorf("%d types, want %d", len(r.Types), len(events))
	}
}

// Journeys that are forgotten stay in the report, and the memory is bounded.
func TestForgottenJourneysCount(t *testing.T) {
	tracker := NewTracker(10)
	for i := range 1000 {
		tracker.Add(fmt.Sprint(i), "VIEW", []string{"a", "b"})
	}
	r := tracker.Report()
	if r.Journeys != 1000 || r.Jobs != 2000 || r.Rules[0].Violations != (Violations{1000, 2000}) || len(tracker.open.byID) != 5 {
		t.Errorf("%+v, %d remembered", r, len(tracker.open.byID))
	}
}

func TestMemory(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	tracker := NewTracker(DefaultPairs)
	for i := range 2 * DefaultPairs {
		tracker.Add(fmt.Sprint(i), "VIEW", []string{"a"}) // the most journeys
	}
	if used := (heap() - before) >> 20; used > 32 {
		t.Errorf("%d MB", used)
	}
	runtime.KeepAlive(tracker)
}
