package partition

import (
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// TestSetRules changes each rule of a partition that works.
func TestSetRules(t *testing.T) {
	rules := strict
	rules.ByValue = true
	w := newWorld(t, rules)
	w.admit(view("first", "missing"))
	tick := func(d time.Duration) {
		w.now = w.now.Add(d)
		w.Tick(w.now, true)
	}
	tick(10 * time.Second)

	rules.ParentsWait = 20 * time.Second // instead of a minute
	w.SetRules(rules)
	w.admit(view("second", "missing"))
	tick(9 * time.Second)
	if letters := w.TakeDeadLetters(); len(letters) != 0 {
		t.Fatalf("%d dead letters after 19 s of 20", len(letters))
	}
	tick(time.Second)
	w.wantLetter(0, event.ReasonParentNotFound)
	rules.ParentsWait = time.Hour
	w.SetRules(rules)
	tick(time.Minute)
	if n := w.Stats().Waiting; n != 1 {
		t.Errorf("%d events wait after the wait was lengthened, expected 1", n)
	}

	if d := w.wantReady(w.admit(view("valued", "")), "valued")[0]; d.Rank == 0 {
		t.Error("a view has the best rank while events are sent by value")
	}
	rules.ByValue = false
	rules.Suspicious = Suspicious{Age: time.Hour, Ahead: time.Minute, Refuse: true}
	w.SetRules(rules)
	if d := w.wantReady(w.admit(view("equal", "")), "equal")[0]; d.Rank != 0 {
		t.Error("events have a rank while they are sent by arrival")
	}
	ahead := view("ahead", "")
	ahead.Time = w.now.Add(time.Hour)
	w.admit(ahead)
	w.wantLetter(w.offset-1, event.ReasonInvalidCreateTime)

	rules.Window = time.Second
	w.SetRules(rules)
	if w.rules.Window != strict.Window {
		t.Error("the window changed under the index")
	}
}
