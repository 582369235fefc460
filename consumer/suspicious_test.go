package consumer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/event"
)

// suspect is a partition that looks for suspicious events.
type suspect struct {
	*partition
	t   *testing.T
	log bytes.Buffer
	now time.Time
	n   int64
}

func newSuspect(t *testing.T, refuse bool) *suspect {
	b := newBudget(1<<30, 1<<30, 1<<30)
	s := &suspect{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	m := newMetrics(nil, b, event.V3)
	m.suspicious = newSuspicions(Suspicious{Age: 24 * time.Hour, Ahead: 5 * time.Minute, Refuse: refuse},
		slog.New(slog.NewTextHandler(&s.log, nil)), prometheus.NewRegistry())
	s.partition = newPartition(3, Rules{Version: event.V3, Window: 1000 * time.Hour, ParentsRequired: true, ParentsWait: time.Hour}, m, &account{budget: b}, 0)
	return s
}

// publish has an event come that was created and published so long ago.
func (s *suspect) publish(id, parent string, created, published time.Duration) {
	it := newItem(&record{Offset: s.n, Value: []byte("{}")}, 3, nil)
	it.Event = &event.Event{ID: id, ParentID: parent, Time: s.now.Add(-created), Type: event.Impression}
	if parent != "" {
		it.Type = event.View
	}
	it.Timestamp, it.key = s.now.Add(-published), keyOf(id)
	it.chunk = s.account.take(2, 1, nil)
	s.n++
	for _, d := range s.admit([]*item{it}, []*event.Fault{nil}, s.n, s.now) {
		s.accepted(d, s.now)
	}
}

func (s *suspect) want(future, past, request uint64) {
	s.t.Helper()
	counted := s.metrics.suspicious.counted
	got := [3]uint64{counterValue(counted[ruleFuture]), counterValue(counted[rulePast]), counterValue(counted[ruleRequest])}
	if got != [3]uint64{future, past, request} {
		s.t.Errorf("%d in the future, %d in the past and %d with old request ids, want %d, %d and %d", got[0], got[1], got[2], future, past, request)
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
	s.publish("f", "", 30*time.Hour, 29*time.Hour) // it was published in time, and waited here
	s.want(1, 1, 1)
	s.publish("g", "", 20*time.Hour, 20*time.Hour)
	s.now = s.now.Add(10 * time.Hour)
	s.publish("h", "g", 0, 0) // its search is that of its parent
	s.want(1, 1, 2)
	s.publish("h", "g", 0, 0) // a duplicate is not sent
	s.want(1, 1, 2)
	if len(s.letters) != 0 {
		t.Errorf("%d dead letters, want none", len(s.letters))
	}
}

func TestSuspiciousEventsAreRefused(t *testing.T) {
	s := newSuspect(t, true)
	s.publish("a", "", -time.Hour, 0)
	s.publish("b", "", 48*time.Hour, 0)
	s.publish("c", "", 30*time.Hour, 29*time.Hour) // not for what is not the producer's fault
	s.publish("d", "", 0, 0)
	s.want(1, 1, 1)
	if len(s.letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(s.letters))
	}
	for i, want := range []string{"createTime is 1h0m0s ahead: want at most 5m0s", "createTime was 48h0m0s ago when the event was published: want at most 24h0m0s"} {
		if f := s.letters[i].fault; f.Reason != event.ReasonInvalidCreateTime || !strings.HasPrefix(f.Detail, want) {
			t.Errorf("refused for %v, want %s", f, want)
		}
	}
}

// Each rule is logged once a minute, with how many there were.
func TestSuspiciousEventsAreLoggedNowAndThen(t *testing.T) {
	s := newSuspect(t, false)
	for i := range 100 {
		s.publish("past"+string(rune('A'+i)), "", 48*time.Hour, 0)
		s.publish("future"+string(rune('A'+i)), "", -time.Hour, 0)
	}
	if got := strings.Count(s.log.String(), "\n"); got != 2 {
		t.Errorf("%d log lines, want one for each rule:\n%s", got, s.log.String())
	}
	s.log.Reset()
	s.now = s.now.Add(time.Minute)
	s.publish("again", "", 48*time.Hour, 0)
	if got := s.log.String(); !strings.Contains(got, "rule=create_time_past by=48h0m0s partition=3 offset=200 events=100") {
		t.Errorf("the log says %s", got)
	}
}

func BenchmarkSuspicious(b *testing.B) {
	s := newSuspicions(Suspicious{Age: 24 * time.Hour, Ahead: 5 * time.Minute}, slog.New(slog.DiscardHandler), nil)
	now := time.Now()
	it := &item{}
	it.Event, it.Timestamp = &event.Event{Time: now}, now
	for b.Loop() {
		s.createTime(it, now)
		s.requestID(it, now, now)
	}
}
