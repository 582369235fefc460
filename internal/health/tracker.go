package health

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/metric"
)

const (
	// lasts is how long a problem must last before it is logged.
	lasts = 2 * time.Second
	// reminder is how often a problem that lasts is logged again.
	reminder = time.Minute
	// between is the least time between two logs of the beginning of a problem in one
	// slot: one that comes and goes must not fill the log.
	between = 10 * time.Second
)

// Tracker remembers since when each problem exists, and logs the changes: one line when
// a problem begins or its reason changes, a reminder each minute, and one line when it
// ends.
type Tracker struct {
	log   *slog.Logger
	since *prometheus.GaugeVec

	mu    sync.Mutex
	slots map[string]*slot
}

// kind is what makes a problem another one.
type kind struct {
	reason Reason
	cause  string
}

// slot is what one problem is about, such as the API. It holds one problem at a time.
type slot struct {
	what    kind
	since   time.Time
	present bool
	// logged is what that was logged and has not been logged as ended; zero for
	// none. began is when the beginning was last logged, told when any line was.
	logged      kind
	loggedSince time.Time
	began, told time.Time
	// seen is when the problem was last present.
	seen time.Time
}

// NewTracker logs to log, and registers a metric.
func NewTracker(log *slog.Logger, reg prometheus.Registerer) *Tracker {
	t := &Tracker{log: log, slots: map[string]*slot{}, since: metric.Set{Registerer: reg}.Gauges("clientevents_problem_since_timestamp_seconds",
		"Time since which /status shows this reason as a problem of level bad; 0 if it does not.", "reason")}
	for _, reason := range Reasons() {
		t.since.WithLabelValues(string(reason))
	}
	return t
}

// Report evaluates the facts and completes the problems with their times.
func (t *Tracker) Report(f *Facts) Report {
	r := Evaluate(f)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.take(r.Problems, f.Now)
	for i := range r.Problems {
		p := &r.Problems[i]
		p.Since = t.slots[p.slot].since
		p.settle(f.Now)
	}
	if len(r.Problems) > 0 && r.Problems[0].Reason != PartitionsPaused {
		r.Summary = r.Problems[0]
		return r
	}
	r.Summary = flow(f)
	if len(r.Problems) > 0 {
		p := r.Problems[0]
		r.Summary = Problem{
			Reason: p.Reason, Level: p.Level, Since: p.Since, Seconds: p.Seconds, Affects: p.Affects, Advice: p.Advice,
			Headline: r.Summary.Headline + "; " + lowerFirst(p.Headline), Detail: join(r.Summary.Detail, p.Detail),
		}
	}
	return r
}

// take notes which problems exist.
func (t *Tracker) take(problems []Problem, now time.Time) {
	for name, s := range t.slots {
		s.present = slices.ContainsFunc(problems, func(p Problem) bool { return p.slot == name })
		if !s.present && now.Sub(s.seen) > texts[s.what.reason].lingers {
			s.what = kind{}
		}
	}
	for i := range problems {
		p := &problems[i]
		s, ok := t.slots[p.slot]
		if !ok {
			s = &slot{}
			t.slots[p.slot] = s
		}
		what := kind{p.Reason, p.cause}
		if s.what != what || p.Since.Before(now) {
			s.since = p.Since
		}
		s.what, s.present, s.seen = what, true, now
	}
}

// Observe evaluates the facts, logs the changes and sets the metric. It is called about
// once a second.
func (t *Tracker) Observe(f *Facts) {
	r := t.Report(f)
	t.mu.Lock()
	defer t.mu.Unlock()
	bad := map[Reason]time.Time{}
	for i := range r.Problems {
		p := &r.Problems[i]
		if p.Level == Bad {
			bad[p.Reason] = p.Since
		}
		t.tell(p, f.Now)
	}
	for name, s := range t.slots {
		if !s.present && f.Now.Sub(s.seen) > texts[s.logged.reason].lingers {
			t.ended(s, f.Now)
		}
		if !s.present && s.what == (kind{}) && s.logged == (kind{}) && f.Now.Sub(s.began) > between {
			delete(t.slots, name)
		}
	}
	for _, reason := range Reasons() {
		value := 0.0
		if since, ok := bad[reason]; ok {
			value = float64(since.UnixMilli()) / 1000
		}
		t.since.WithLabelValues(string(reason)).Set(value)
	}
}

// tell logs a problem if that is due. The caller holds mu.
func (t *Tracker) tell(p *Problem, now time.Time) {
	s, what := t.slots[p.slot], kind{p.Reason, p.cause}
	switch {
	case p.Level == Paused || now.Sub(p.Since) < lasts:
	case s.logged == what:
		if p.Level == Bad && now.Sub(s.told) >= reminder {
			s.told = now
			t.write(p, still[isAPI(p.slot)])
		}
	case p.ordinary: // its beginning is logged elsewhere, or it ends by itself
		if p.Level == Bad {
			s.logged, s.loggedSince, s.told = what, p.Since, now
		}
	case now.Sub(s.began) >= between || s.logged != (kind{}):
		s.logged, s.loggedSince, s.began, s.told = what, p.Since, now, now
		t.write(p, began[isAPI(p.slot)])
	}
}

// ended logs the end of a problem whose beginning was logged. The caller holds mu.
func (t *Tracker) ended(s *slot, now time.Time) {
	if s.logged == (kind{}) {
		return
	}
	message := over[isAPIReason(s.logged.reason)]
	if !texts[s.logged.reason].ordinary {
		t.log.Info(message, "reason", string(s.logged.reason), "after", now.Sub(s.loggedSince).Round(time.Second)) //nolint:sloglint // one of the messages below
	}
	s.logged = kind{}
}

// The messages of the log. Those of the API say what it means for reporting.
var (
	began = map[bool]string{true: "reporting paused", false: "problem began"}
	still = map[bool]string{true: "reporting still paused", false: "problem continues"}
	over  = map[bool]string{true: "reporting resumed", false: "problem ended"}
)

func isAPI(slot string) bool { return slot == slotAPI }

func isAPIReason(r Reason) bool {
	for _, api := range apiReasons {
		if r == api {
			return true
		}
	}
	return r == NoToken
}

func (t *Tracker) write(p *Problem, message string) {
	level := slog.LevelError
	if p.Level == Busy {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("reason", string(p.Reason)), slog.String("problem", p.Headline),
		slog.Time("since", p.Since.UTC()), slog.Duration("for", time.Duration(p.Seconds*float64(time.Second)).Round(time.Second)),
	}
	for _, a := range []struct{ key, value string }{{"details", p.facts}, {"error", p.Said}, {"affects", p.Affects}, {"advice", p.Advice}} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	t.log.LogAttrs(context.Background(), level, message, attrs...) //nolint:sloglint // one of the messages above
}
