package partition

import (
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// suspect is a partition that looks for suspicious events.
type suspect struct {
	*world
	found map[SuspicionRule]int
}

func newSuspect(t testing.TB, refuse bool) *suspect {
	rules := strict
	rules.Suspicious = Suspicious{Age: 24 * time.Hour, Ahead: 5 * time.Minute, Refuse: refuse}
	return &suspect{newWorld(t, rules), map[SuspicionRule]int{}}
}

// publish admits an event that was created and published so long ago, and has
// it accepted.
func (s *suspect) publish(id, parent string, created, published time.Duration) {
	e := impression(id)
	if parent != "" {
		e = view(id, parent)
	}
	e.Time = s.now.Add(-created)
	r := s.record(e)
	r.SetTimestamp(s.now.Add(-published))
	if published == never {
		r.SetTimestamp(time.UnixMilli(0))
	}
	effects := s.Admit([]*Record{r}, s.offset, s.now)
	for _, found := range effects.Suspicions {
		s.found[found.Rule]++
		if found.Offset != r.Offset {
			s.t.Errorf("offset %d is suspicious, want %d", found.Offset, r.Offset)
		}
	}
	for _, d := range effects.Ready {
		s.outcome(d, event.Accepted)
	}
}

// never is for a record without a timestamp.
const never time.Duration = -1 << 62

func (s *suspect) want(future, past, request int) {
	s.t.Helper()
	if got := [3]int{s.found[CreateTimeFuture], s.found[CreateTimePast], s.found[RequestIDOld]}; got != [3]int{future, past, request} {
		s.t.Errorf("%d in the future, %d in the past and %d with old request IDs, want %d, %d and %d", got[0], got[1], got[2], future, past, request)
	}
}

func TestSuspiciousEvents(t *testing.T) {
	s := newSuspect(t, false)
	s.publish("a", "", 0, 0)
	s.publish("b", "", -5*time.Minute, 0)
	s.publish("c", "", 24*time.Hour, 0)
	s.want(0, 0, 0)
	s.publish("d", "", -5*time.Minute-1, 0)
	s.want(1, 0, 0)
	s.publish("e", "", 24*time.Hour+1, 0)
	s.want(1, 1, 0)
	s.publish("f", "", 30*time.Hour, 29*time.Hour) // published in time, and waited here
	s.want(1, 1, 1)
	s.publish("g", "", 20*time.Hour, 20*time.Hour)
	s.now = s.now.Add(10 * time.Hour)
	s.publish("h", "g", 0, 0) // its search is that of its parent
	s.want(1, 1, 2)
	s.publish("h", "g", 0, 0) // a duplicate is not sent
	s.want(1, 1, 2)
	s.publish("i", "", 25*time.Hour, never) // counts as published now
	s.want(1, 2, 2)
	if letters := s.TakeDeadLetters(); len(letters) != 0 {
		t.Errorf("%d dead letters, want none", len(letters))
	}
}

func TestSuspiciousEventsAreRefused(t *testing.T) {
	s := newSuspect(t, true)
	s.publish("a", "", -time.Hour, 0)
	s.publish("b", "", 48*time.Hour, 0)
	s.publish("c", "", 30*time.Hour, 29*time.Hour) // not for a delay that is not the producer's fault
	s.publish("d", "", 0, 0)
	s.want(1, 1, 1)
	letters := s.TakeDeadLetters()
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(letters))
	}
	for i, want := range []string{"createTime is 1h0m0s ahead: expected at most 5m0s", "createTime was 48h0m0s ago when the event was published: expected at most 24h0m0s"} {
		if f := letters[i].Fault; f.Reason != event.ReasonInvalidCreateTime || !strings.HasPrefix(f.Detail, want) {
			t.Errorf("refused for %v, want %s", f, want)
		}
	}
}

func BenchmarkSuspicious(b *testing.B) {
	s := newSuspect(b, false)
	it := &s.record(impression("a")).first
	it.Timestamp = s.now
	for b.Loop() {
		s.checkCreateTime(it, s.now)
		s.checkRequestID(it, s.now, s.now)
	}
}
