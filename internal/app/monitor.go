package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/clientevents/clientevents/internal/config"
)

const (
	// sampleEvery is how often the pipeline is looked at for rates and charts.
	sampleEvery = 2 * time.Second
	// samplesKept make the ten minutes that the charts show.
	samplesKept = 300
	// rateSpan is what rates are taken over.
	rateSpan = 10 * time.Second
)

// monitor looks at the pipeline now and then, so that the status can say how
// fast it goes, and the page can draw what was before somebody opened it.
type monitor struct {
	pipeline *Pipeline
	config   *config.Config
	actions  *actions
	started  time.Time

	mu      sync.Mutex
	samples []sample // the latest last
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
}

// history is what /status/history answers.
type history struct {
	Interval float64  `json:"interval_seconds"`
	Samples  []sample `json:"samples"`
}

func newMonitor(p *Pipeline, o Options) *monitor {
	return &monitor{pipeline: p, config: o.Config, actions: newActions(p, o), started: time.Now()}
}

// run takes samples until ctx ends.
func (m *monitor) run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		m.keep(m.look(now))
		m.actions.settle(now)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *monitor) look(now time.Time) sample {
	outcomes, _ := m.pipeline.consumer.Counts()
	s := sample{
		Time:       now,
		Reported:   outcomes["reported"],
		Duplicate:  outcomes["duplicate"],
		DeadLetter: outcomes["dead_letter"],
		Skipped:    outcomes["skipped"],
		Lag:        backlogOf(m.pipeline.consumer.Partitions()).Records,
	}
	s.accepted, s.seconds = m.pipeline.consumer.EndToEnd()
	s.throttled = m.pipeline.reporter.Throttled().Seconds()
	return s
}

func (m *monitor) keep(s sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.samples) == samplesKept {
		copy(m.samples, m.samples[1:])
		m.samples = m.samples[:samplesKept-1]
	}
	m.samples = append(m.samples, s)
}

// history returns the samples after a time.
func (m *monitor) history() history {
	m.mu.Lock()
	defer m.mu.Unlock()
	return history{sampleEvery.Seconds(), append([]sample{}, m.samples...)}
}

// rates compares now with the sample of rateSpan ago, or the oldest there is.
func (m *monitor) rates(now time.Time) Rates {
	before, ok := m.before(now.Add(-rateSpan))
	if !ok {
		return Rates{}
	}
	return ratesBetween(before, m.look(now))
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
func ratesBetween(a, b sample) (r Rates) {
	seconds := b.Time.Sub(a.Time).Seconds()
	if seconds < 0.1 {
		return Rates{}
	}
	per := func(a, b uint64) float64 { return float64(b-a) / seconds }
	r = Rates{
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
