package partition

import (
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// TestSettle: with Settle, a wait ends only when everything that was published before
// its end has been admitted.
func TestSettle(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(Config{Rules: Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second, Settle: true}})
	r := &Record{Offset: 0}
	r.Add(&event.Event{ID: "child", ParentID: "parent", RequestID: "r", Type: event.View})
	p.Admit([]*Record{r}, 1, now)
	tick := func(after time.Duration) int { return p.Tick(now.Add(after), true).DeadLetters }
	tick(0)
	if tick(time.Minute) != 0 {
		t.Fatal("the wait ended before the partition settled")
	}
	p.Settle(now.Add(time.Second - 1))
	if tick(2*time.Minute) != 0 {
		t.Fatal("the wait ended although its parent may be published")
	}
	p.Settle(now.Add(time.Second))
	if tick(3*time.Minute) != 1 {
		t.Error("the wait did not end")
	}
}

// TestForward: events are accepted as they are, whatever their IDs and parents, and the
// watermark moves when they are recorded.
func TestForward(t *testing.T) {
	p := New(Config{Rules: Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second, Forward: true}})
	r := &Record{Offset: 0}
	for range 2 {
		r.Add(&event.Event{ID: "same", ParentID: "unknown", RequestID: "r", Type: event.View})
	}
	if e := p.Admit([]*Record{r}, 1, time.Now()); e.Accepted != 2 || len(e.Ready) != 0 {
		t.Fatalf("%+v", e)
	}
	accepted := p.TakeAccepted(nil)
	if p.Watermark() != 0 || len(accepted) != 2 || accepted[0].Record() != r || p.Stats().Unwritten != 2 {
		t.Fatalf("%d are accepted, %+v", len(accepted), p.Stats())
	}
	p.Recorded(accepted[:1])
	if p.Watermark() != 0 {
		t.Error("the record is finished before all its events are recorded")
	}
	p.Recorded(accepted[1:])
	if s := p.Stats(); p.Watermark() != 1 || s.Unwritten != 0 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}
