package consumer

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/event"
)

// Suspicious says which events the API is likely to take and then to discard:
// it tells nobody, see docs/delivery.md. The zero value finds none.
type Suspicious struct {
	// Age is how old a createTime, or a request id, may be.
	Age time.Duration
	// Ahead is how far in the future a createTime may be.
	Ahead time.Duration
	// Refuse makes events with such create times dead letters; otherwise they
	// are counted and reported like all others.
	Refuse bool
}

// The rules, values of the label of clientevents_suspicious_total.
const (
	ruleFuture  = "create_time_future" // createTime is ahead of now
	rulePast    = "create_time_past"   // the event was old when it was published
	ruleRequest = "request_id_old"     // its search is older than the ids may be that the service still knows
)

var suspiciousRules = []string{ruleFuture, rulePast, ruleRequest}

// suspicions counts suspicious events, and says so now and then. A nil one finds
// none.
type suspicions struct {
	Suspicious
	log     *slog.Logger
	counted map[string]prometheus.Counter

	mu     sync.Mutex
	logged map[string]logged
}

// logged is when a rule was last logged, and how often it held since.
type logged struct {
	at    time.Time
	since int
}

// logEvery is how often a rule is logged at the most.
const logEvery = time.Minute

func newSuspicions(s Suspicious, log *slog.Logger, reg prometheus.Registerer) *suspicions {
	if s == (Suspicious{}) {
		return nil
	}
	found := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clientevents_suspicious_total",
		Help: "Events that the API is likely to take and then to discard, by rule.",
	}, []string{"rule"})
	of := &suspicions{Suspicious: s, log: log, counted: map[string]prometheus.Counter{}, logged: map[string]logged{}}
	for _, rule := range suspiciousRules {
		of.counted[rule] = found.WithLabelValues(rule)
	}
	if reg != nil {
		reg.MustRegister(found)
	}
	return of
}

// createTime looks at an event's own time. It returns a fault where the event is
// to be refused.
func (s *suspicions) createTime(it *item, now time.Time) *event.Fault {
	if s == nil {
		return nil
	}
	var rule string
	var by time.Duration
	switch ahead, late := it.Time.Sub(now), published(it, now).Sub(it.Time); {
	case ahead > s.Ahead:
		rule, by = ruleFuture, ahead
	case late > s.Age:
		rule, by = rulePast, late
	default:
		return nil
	}
	s.note(rule, it, by, now)
	if !s.Refuse {
		return nil
	}
	detail := fmt.Sprintf("createTime is %v ahead: want at most %v (suspicious.ahead)", by.Round(time.Second), s.Ahead)
	if rule == rulePast {
		detail = fmt.Sprintf("createTime was %v ago when the event was published: want at most %v (suspicious.age)", by.Round(time.Second), s.Age)
	}
	return &event.Fault{Reason: event.ReasonInvalidCreateTime, Detail: detail}
}

// published is when the record was written, as far as it says.
func published(it *item, now time.Time) time.Time {
	if it.Timestamp.UnixMilli() <= 0 {
		return now
	}
	return it.Timestamp
}

// requestID looks at the age of the search that an event stems from. The id
// itself does not tell it; it is at least the age of the event, and of its
// parent, which stems from the same search.
func (s *suspicions) requestID(it *item, parent, now time.Time) {
	if s == nil {
		return
	}
	search := it.Time
	if !parent.IsZero() && parent.Before(search) {
		search = parent
	}
	if age := now.Sub(search); age > s.Age && published(it, now).Sub(it.Time) <= s.Age {
		s.note(ruleRequest, it, age, now)
	}
}

func (s *suspicions) note(rule string, it *item, by time.Duration, now time.Time) {
	s.counted[rule].Inc()
	s.mu.Lock()
	last := s.logged[rule]
	last.since++
	say := now.Sub(last.at) >= logEvery
	if say {
		s.logged[rule] = logged{at: now}
	} else {
		s.logged[rule] = last
	}
	s.mu.Unlock()
	if say {
		s.log.Warn("the API is likely to discard an event", "rule", rule, "by", by.Round(time.Second),
			"partition", it.Partition, "offset", it.record.Offset, "events", last.since)
	}
}
