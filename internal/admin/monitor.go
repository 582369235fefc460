package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/internal/reload"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

const (
	// sampleEvery is how often the pipeline is looked at for rates and charts.
	sampleEvery = 2 * time.Second
	// observeEvery is how often problems are looked for, to log them.
	observeEvery = time.Second
	// samplesKept make the ten minutes that the charts show.
	samplesKept = 300
	// rateSpan is what rates are taken over.
	rateSpan = 10 * time.Second
	// recentSpan is the time over which the share of dead letters is taken.
	recentSpan = 5 * time.Minute
)

// monitor looks at the pipeline now and then, so that the status can say how
// fast it goes, and the page can draw what was before somebody opened it.
type monitor struct {
	pipeline *pipeline.Pipeline
	config   *config.Config // as of the start; for keys that never change
	reloader *reload.Reloader
	// certificates are those of the connections; nil for none.
	certificates *tlsfile.Store
	actions      *actions
	tracker      *health.Tracker
	started      time.Time

	mu      sync.Mutex
	samples []sample // the latest last
	// moved is when a record last had an outcome, or there was none to have one.
	moved time.Time
}

// sample is one look at the pipeline. Counts are since its start.
type sample struct {
	Time       time.Time `json:"time"`
	Reported   uint64    `json:"reported"`
	Duplicate  uint64    `json:"duplicate"`
	DeadLetter uint64    `json:"dead_letter"`
	Skipped    uint64    `json:"skipped"`
	Lag        int64     `json:"lag"`

	// Of the events that were accepted: how many, and their seconds from
	// record to acceptance.
	accepted uint64
	seconds  float64
	// throttled is for how many seconds events have waited for quota or the API.
	throttled float64
	// letters counts dead letters by reason, and backlog the records that could have an
	// outcome: those that wait for a parent can't.
	letters map[string]uint64
	backlog int64
}

// history is what /status/history answers.
type history struct {
	Interval float64  `json:"interval_seconds"`
	Samples  []sample `json:"samples"`
}

func newMonitor(p *pipeline.Pipeline, o Options, reg prometheus.Registerer) *monitor {
	now := time.Now()
	return &monitor{
		pipeline: p, config: o.Config, reloader: o.Reloader, certificates: o.Certificates, actions: newActions(p, o), tracker: health.NewTracker(o.Logger, reg),
		started: now, moved: now,
	}
}

// run takes samples until ctx ends.
func (m *monitor) run(ctx context.Context) {
	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	for due := (time.Time{}); ; {
		now := time.Now()
		if !now.Before(due) {
			m.keep(m.look(now))
			due = now.Add(sampleEvery)
		}
		m.actions.complete(now)
		f := m.facts(now)
		m.tracker.Observe(&f)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *monitor) look(now time.Time) sample {
	outcomes, letters := m.pipeline.Consumer().Counts()
	backlog := backlogOf(partitionsOf(m.pipeline.Consumer()))
	s := sample{
		Time:       now,
		Reported:   outcomes["reported"],
		Duplicate:  outcomes["duplicate"],
		DeadLetter: outcomes["dead_letter"],
		Skipped:    outcomes["skipped"],
		Lag:        backlog.Records,
		letters:    letters,
		backlog:    backlog.Records - int64(backlog.Waiting),
	}
	s.accepted, s.seconds = m.pipeline.Consumer().EndToEnd()
	s.throttled = m.pipeline.Reporter().Throttled().Seconds()
	return s
}

func (m *monitor) keep(s sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.samples) == samplesKept {
		copy(m.samples, m.samples[1:])
		m.samples = m.samples[:samplesKept-1]
	}
	if s.backlog <= 0 || len(m.samples) == 0 || s.finished() != m.samples[len(m.samples)-1].finished() {
		m.moved = s.Time
	}
	m.samples = append(m.samples, s)
}

// finished counts the records that had an outcome.
func (s *sample) finished() uint64 { return s.Reported + s.Duplicate + s.DeadLetter + s.Skipped }

// history returns the samples after a time.
func (m *monitor) history() history {
	m.mu.Lock()
	defer m.mu.Unlock()
	return history{sampleEvery.Seconds(), append([]sample{}, m.samples...)}
}

// rates compares now with the sample of rateSpan ago, or the oldest there is.
func (m *monitor) rates(now time.Time) health.Rates {
	before, ok := m.before(now.Add(-rateSpan))
	if !ok {
		return health.Rates{}
	}
	return ratesBetween(before, m.look(now))
}

// recent returns the outcomes of the records of the last [recentSpan].
func (m *monitor) recent(now time.Time) health.Recent {
	m.mu.Lock()
	quiet := now.Sub(m.moved)
	m.mu.Unlock()
	before, ok := m.before(now.Add(-recentSpan))
	if !ok {
		return health.Recent{Letters: map[string]uint64{}, Quiet: quiet}
	}
	r := recentBetween(before, m.look(now))
	r.Quiet = quiet
	return r
}

func recentBetween(a, b sample) health.Recent {
	r := health.Recent{
		Seconds: b.Time.Sub(a.Time).Seconds(), Records: b.finished() - a.finished(),
		DeadLetter: b.DeadLetter - a.DeadLetter, Letters: map[string]uint64{},
	}
	for reason, n := range b.letters {
		if n > a.letters[reason] {
			r.Letters[reason] = n - a.letters[reason]
		}
	}
	if r.Records > 0 {
		r.Share = float64(r.DeadLetter) / float64(r.Records)
	}
	return r
}

// before is the latest sample that is as old as t, or else the oldest of all.
func (m *monitor) before(t time.Time) (found sample, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range slices.Backward(m.samples) {
		found, ok = s, true
		if !found.Time.After(t) {
			break
		}
	}
	return found, ok
}

// ratesBetween needs a moment between the two: the rate of no time is none.
func ratesBetween(a, b sample) (r health.Rates) {
	seconds := b.Time.Sub(a.Time).Seconds()
	if seconds < 0.1 {
		return health.Rates{}
	}
	per := func(a, b uint64) float64 { return float64(b-a) / seconds }
	r = health.Rates{
		Reported:   per(a.Reported, b.Reported),
		Duplicate:  per(a.Duplicate, b.Duplicate),
		DeadLetter: per(a.DeadLetter, b.DeadLetter),
		Skipped:    per(a.Skipped, b.Skipped),
		Throttled:  min(1, (b.throttled-a.throttled)/seconds),
	}
	if n := b.accepted - a.accepted; n > 0 {
		r.EndToEnd = (b.seconds - a.seconds) / float64(n)
	}
	return r
}
