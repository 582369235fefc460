package partition

import (
	"fmt"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Suspicious defines which events the API is likely to accept and then discard
// without notice, see docs/delivery.md. The zero value finds none.
type Suspicious struct {
	// Age is the limit for the age of a create time, or of a request ID.
	Age time.Duration
	// Ahead is the limit for how far a create time may be in the future.
	Ahead time.Duration
	// Refuse turns events with such create times into dead letters; otherwise
	// they are reported like all others.
	Refuse bool
}

// SuspicionRule is a rule by which an event is suspicious, a value of the label
// rule of clientevents_suspicious_total.
type SuspicionRule string

// The rules.
const (
	CreateTimeFuture SuspicionRule = "create_time_future" // the create time is in the future
	CreateTimePast   SuspicionRule = "create_time_past"   // the event was old when it was published
	RequestIDOld     SuspicionRule = "request_id_old"     // the search is older than the request IDs that the service knows
)

// SuspicionRules lists all rules.
func SuspicionRules() []SuspicionRule {
	return []SuspicionRule{CreateTimeFuture, CreateTimePast, RequestIDOld}
}

// Suspicion is a suspicious event.
type Suspicion struct {
	Rule SuspicionRule
	// By is how old the event or its search is, or how far it is in the future.
	By time.Duration
	// Offset is that of the event's record.
	Offset int64
}

// checkCreateTime checks an event's create time. It returns a fault if the
// event must be refused.
func (p *Partition) checkCreateTime(it *item, now time.Time) *event.Fault {
	s := &p.rules.Suspicious
	if *s == (Suspicious{}) {
		return nil
	}
	var detail string
	switch ahead, late := it.Time.Sub(now), it.published(now).Sub(it.Time); {
	case ahead > s.Ahead:
		p.suspect(CreateTimeFuture, it, ahead)
		if s.Refuse {
			detail = fmt.Sprintf("createTime is %v ahead: expected at most %v (suspicious.ahead)", ahead.Round(time.Second), s.Ahead)
		}
	case late > s.Age:
		p.suspect(CreateTimePast, it, late)
		if s.Refuse {
			detail = fmt.Sprintf("createTime was %v ago when the event was published: expected at most %v (suspicious.age)", late.Round(time.Second), s.Age)
		}
	}
	if detail == "" {
		return nil
	}
	return &event.Fault{Reason: event.ReasonInvalidCreateTime, Detail: detail}
}

// published returns when the record was written; now if it does not say.
func (it *item) published(now time.Time) time.Time {
	if it.Timestamp.UnixMilli() <= 0 {
		return now
	}
	return it.Timestamp
}

// checkRequestID checks the age of the search that an event stems from. The ID
// itself does not tell it. It is at least that of the event, and of its parent,
// which stems from the same search.
func (p *Partition) checkRequestID(it *item, parent, now time.Time) {
	s := &p.rules.Suspicious
	if *s == (Suspicious{}) {
		return
	}
	search := it.Time
	if !parent.IsZero() && parent.Before(search) {
		search = parent
	}
	if age := now.Sub(search); age > s.Age && it.published(now).Sub(it.Time) <= s.Age {
		p.suspect(RequestIDOld, it, age)
	}
}

func (p *Partition) suspect(rule SuspicionRule, it *item, by time.Duration) {
	p.effects.Suspicions = append(p.effects.Suspicions, Suspicion{rule, by, it.record.Offset})
}
