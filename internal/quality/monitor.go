package quality

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/metric"
)

const (
	// Window is the time over which a [Monitor] reports. A journey is judged for good
	// when it began that long ago.
	Window = time.Hour
	// interval is how exactly the window's ends are kept.
	interval  = time.Minute
	intervals = int64(Window / interval)
	// pairBytes bounds what a job of a journey takes in memory, as measured
	// (TestMonitorMemory).
	pairBytes = 160
)

// Pairs returns how many jobs of journeys to remember in a process with a limit of memory,
// in bytes; 0 without a limit.
func Pairs(memory int64) int {
	const share, least = 32, 1000
	if memory <= 0 {
		return DefaultPairs
	}
	return int(min(max(memory/share/pairBytes, least), DefaultPairs))
}

// Monitor judges the events of the last [Window] as they come, in bounded memory. It is
// safe for concurrent use. Journeys that are forgotten before the window's end, since
// there are too many, are judged by what came until then.
type Monitor struct {
	metrics metrics

	mu    sync.Mutex
	open  journeys
	now   int64 // the number of the current interval
	early [intervals]intervalCounts
}

// intervalCounts are those of a minute.
type intervalCounts struct {
	events int64
	byType map[string]int64
	judged tally // journeys that began in it and are forgotten
}

// metrics count journeys when they are judged for good.
type metrics struct {
	journeys, jobs, forgotten prometheus.Counter
	violations                [ruleCount]prometheus.Counter
}

// NewMonitor returns a monitor that remembers at most that many jobs of journeys. A nil
// registerer registers nothing.
func NewMonitor(pairs int, reg prometheus.Registerer) *Monitor {
	set := metric.Set{Registerer: reg}
	counter := func(name, help string) prometheus.Counter { return set.Counter("clientevents_quality_"+name, help) }
	m := &Monitor{open: newJourneys(pairs), metrics: metrics{
		journeys:  counter("journeys_total", "Journeys evaluated, an hour after their first reported event or earlier to save memory."),
		jobs:      counter("jobs_total", "Jobs of the evaluated journeys."),
		forgotten: counter("forgotten_journeys_total", "Journeys evaluated before the hour had passed, to save memory."),
	}}
	violations := set.Counters("clientevents_quality_violations_total", "Jobs of evaluated journeys that violate a rule of Google's documentation, by rule.", "rule")
	for i := range rules {
		m.metrics.violations[i] = violations.WithLabelValues(string(rules[i].rule))
	}
	return m
}

// Add judges an event that was reported at now. Names of one job must be equal.
func (m *Monitor) Add(now time.Time, requestID, eventType string, jobs []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	c := m.counts(m.now)
	c.events++
	if c.byType == nil {
		c.byType = map[string]int64{}
	}
	c.byType[eventType]++
	m.open.add(requestID, typesByName[eventType], jobs, m.now, func(j *journey) {
		m.counts(j.began).judged.add(j)
		m.metrics.forgotten.Inc()
		m.metrics.add(j)
	})
}

// counts returns those of an interval within the window.
func (m *Monitor) counts(number int64) *intervalCounts { return &m.early[number%intervals] }

// advance judges the journeys for good that began before the window. A clock that goes
// back changes nothing.
func (m *Monitor) advance(now time.Time) {
	number := now.Unix() / int64(interval/time.Second)
	if number <= m.now {
		return
	}
	for i := max(m.now+1, number-intervals+1); i <= number; i++ {
		*m.counts(i) = intervalCounts{}
	}
	m.now = number
	for m.open.list.First != nil && m.open.list.First.began <= number-intervals {
		m.metrics.add(m.open.remove(m.open.list.First))
	}
}

func (m *metrics) add(j *journey) {
	var t tally
	t.add(j)
	m.journeys.Inc()
	m.jobs.Add(float64(t.jobs))
	for i := range t.violated {
		if n := t.violated[i].Jobs; n > 0 {
			m.violations[i].Add(float64(n))
		}
	}
}

// WindowReport is the judgement of the journeys that began in the window.
type WindowReport struct {
	WindowSeconds int64 `json:"window_seconds"`
	Report
	// Forgotten counts the journeys among them that were judged before the window's
	// end.
	Forgotten int64 `json:"forgotten"`
}

// Report judges the journeys that began in the window before now by their events so far.
func (m *Monitor) Report(now time.Time) WindowReport {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	var all tally
	events, byType := int64(0), map[string]int64{}
	for i := range m.early {
		c := &m.early[i]
		all.addAll(&c.judged)
		events += c.events
		for name, n := range c.byType {
			byType[name] += n
		}
	}
	forgotten := all.journeys
	for j := range m.open.all() {
		all.add(j)
	}
	return WindowReport{int64(Window / time.Second), report(&all, events, byType), forgotten}
}

func (t *tally) addAll(other *tally) {
	t.journeys += other.journeys
	t.jobs += other.jobs
	for i, v := range other.violated {
		t.violated[i].Journeys += v.Journeys
		t.violated[i].Jobs += v.Jobs
	}
}
