package quality

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// TestMonitorIsExact: the report of a window and, an hour later, the metrics are exact for
// generated journeys with known faults.
func TestMonitorIsExact(t *testing.T) {
	const journeys = 2000
	g := generate(journeys)
	reg := prometheus.NewPedanticRegistry()
	m := NewMonitor(DefaultPairs, reg)
	for i, s := range g.steps {
		m.Add(noon.Add(time.Duration(i)*time.Millisecond), s.request, s.kind, []string{s.job})
	}
	r := m.Report(noon.Add(Window - time.Minute))
	if r.Journeys != journeys || r.Jobs != int64(g.jobs) || r.Events != int64(len(g.steps)) || r.Forgotten != 0 || r.WindowSeconds != 3600 {
		t.Errorf("%+v, expected %d journeys, %d jobs and %d events", r, journeys, g.jobs, len(g.steps))
	}
	for _, rule := range r.Rules {
		if rule.Violations != g.want[rule.Rule] {
			t.Errorf("%s: %+v, expected %+v", rule.Rule, rule.Violations, g.want[rule.Rule])
		}
	}
	for _, of := range r.Types {
		if of.Events != g.events[of.Type] {
			t.Errorf("%+v, expected %d", of, g.events[of.Type])
		}
	}
	if n := valueOf(m.metrics.journeys); n != 0 {
		t.Errorf("%v journeys are judged within the window", n)
	}
	if r := m.Report(noon.Add(2 * Window)); r.Journeys != 0 || r.Events != 0 || len(m.open.byID) != 0 {
		t.Errorf("after the window, %+v is left", r)
	}
	if n := valueOf(m.metrics.journeys); n != journeys {
		t.Errorf("%v journeys are judged, expected %d", n, journeys)
	}
	if n := valueOf(m.metrics.jobs); n != float64(g.jobs) {
		t.Errorf("%v jobs are judged, expected %d", n, g.jobs)
	}
	for i := range rules {
		if n := valueOf(m.metrics.violations[i]); n != float64(g.want[rules[i].rule].Jobs) {
			t.Errorf("%s is %v, expected %d", rules[i].rule, n, g.want[rules[i].rule].Jobs)
		}
	}
}

// TestMonitorWindow: a journey belongs to the minute in which it began, and leaves the
// report an hour later with all its events judged.
func TestMonitorWindow(t *testing.T) {
	m := NewMonitor(100, nil)
	m.Add(noon, "r1", "VIEW", []string{"a"})
	m.Add(noon.Add(30*time.Minute), "r1", "IMPRESSION", []string{"a"})
	m.Add(noon.Add(30*time.Minute), "r2", "VIEW", []string{"a"})
	m.Add(noon, "r3", "VIEW", []string{"a"}) // the clock went back
	for _, test := range []struct {
		after             time.Duration
		journeys, views   int64
		events, withNoSee int64
	}{
		{59 * time.Minute, 3, 3, 4, 2},
		{60 * time.Minute, 2, 2, 3, 2},
		{89 * time.Minute, 2, 2, 3, 2},
		{90 * time.Minute, 0, 0, 0, 0},
	} {
		r := m.Report(noon.Add(test.after))
		if r.Journeys != test.journeys || r.Events != test.events || r.Rules[0].Journeys != test.withNoSee {
			t.Errorf("after %v: %+v", test.after, r)
		}
	}
	if n := valueOf(m.metrics.violations[0]); n != 2 {
		t.Errorf("%v views without an impression, expected 2", n)
	}
}

// TestMonitorMemory: a million journeys within the window use at most 16 MB, and all are
// in the report; so do journeys that never end.
func TestMonitorMemory(t *testing.T) {
	for name, test := range map[string]struct {
		n                  int
		add                func(m *Monitor, i int)
		journeys, jobs, at int64
	}{
		"a million journeys": {
			1_000_000, func(m *Monitor, i int) {
				now := noon.Add(time.Duration(i) * time.Millisecond) // 17 minutes in all
				m.Add(now, fmt.Sprint(i), "VIEW", []string{"a"})
				m.Add(now, fmt.Sprint(i), "APPLICATION_START", []string{"a"})
			}, 1_000_000, 1_000_000, 1_000_000,
		},
		"one request id for all": {
			200_000, func(m *Monitor, i int) { m.Add(noon, "constant", "VIEW", []string{fmt.Sprint(i)}) }, 8, 200_000, 8,
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			m := NewMonitor(DefaultPairs, nil)
			for i := range test.n {
				test.add(m, i)
			}
			if used := int64(heap()-before) / DefaultPairs; used > pairBytes {
				t.Errorf("%d bytes for each job, expected at most %d", used, pairBytes)
			}
			if len(m.open.byID) > DefaultPairs || m.open.pairs > DefaultPairs {
				t.Errorf("%d journeys with %d jobs are remembered", len(m.open.byID), m.open.pairs)
			}
			r := m.Report(noon.Add(Window / 2))
			if r.Journeys != test.journeys || r.Jobs != test.jobs || r.Rules[0].Journeys != test.at || r.Journeys-r.Forgotten != int64(len(m.open.byID)) {
				t.Errorf("%+v", r)
			}
		})
	}
	if pairBytes*DefaultPairs > 16<<20 {
		t.Error("the default may exceed 16 MB")
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestPairs(t *testing.T) {
	for memory, want := range map[int64]int{0: DefaultPairs, 1 << 40: DefaultPairs, 1 << 20: 1000, 256 << 20: 52428} {
		if got := Pairs(memory); got != want {
			t.Errorf("%d pairs for %d bytes, expected %d", got, memory, want)
		}
	}
}

func BenchmarkMonitor(b *testing.B) {
	m := NewMonitor(DefaultPairs, nil)
	jobs := make([]string, 20)
	for i := range jobs {
		jobs[i] = fmt.Sprint("projects/p/tenants/t/jobs/", i)
	}
	i := 0
	for b.Loop() {
		m.Add(noon, fmt.Sprint(i/10), "VIEW", jobs[i%20:i%20+1])
		i++
	}
}

func valueOf(c prometheus.Counter) float64 {
	var m dto.Metric
	_ = c.Write(&m)
	return m.GetCounter().GetValue()
}
