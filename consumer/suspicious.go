package consumer

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/internal/metric"
)

// suspicions counts suspicious events, and logs each rule now and then.
type suspicions struct {
	log     *slog.Logger
	counted map[partition.SuspicionRule]prometheus.Counter

	mu     sync.Mutex
	logged map[partition.SuspicionRule]logged
}

// logged is when a rule was last logged, and how many events it found since.
type logged struct {
	at    time.Time
	since int
}

// logInterval is the least time between two log lines of one rule.
const logInterval = time.Minute

// newSuspicions returns nil if no event can be suspicious.
func newSuspicions(s partition.Suspicious, log *slog.Logger, reg prometheus.Registerer) *suspicions {
	if s == (partition.Suspicious{}) {
		return nil
	}
	counted := metric.Set{Registerer: reg}.Counters("clientevents_suspicious_total",
		"Events that the API probably accepts and later discards, by rule.", "rule")
	return &suspicions{
		log:     log,
		counted: metric.Each(counted, partition.SuspicionRules(), func(r partition.SuspicionRule) string { return string(r) }),
		logged:  map[partition.SuspicionRule]logged{},
	}
}

// add counts a suspicious event of a partition.
func (s *suspicions) add(id int32, found *partition.Suspicion, now time.Time) {
	s.counted[found.Rule].Inc()
	if events := s.due(found.Rule, now); events > 0 {
		s.log.Warn("the API is likely to discard an event", "rule", string(found.Rule), "by", found.By.Round(time.Second),
			"partition", id, "offset", found.Offset, "events", events)
	}
}

// due returns how many events a rule has found since it was last logged; 0 if it
// must not be logged yet.
func (s *suspicions) due(rule partition.SuspicionRule, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.logged[rule]
	last.since++
	if now.Sub(last.at) < logInterval {
		s.logged[rule] = last
		return 0
	}
	s.logged[rule] = logged{at: now}
	return last.since
}
