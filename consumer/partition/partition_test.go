package partition

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/linked"
)

// world is a partition in a test, with a clock.
type world struct {
	*Partition
	t      testing.TB
	now    time.Time
	offset int64
}

var strict = Rules{Window: 1000 * time.Hour, ParentsRequired: true, ParentsWait: time.Minute}

func newWorld(t testing.TB, rules Rules) *world {
	w := &world{t: t, now: noon, Partition: New(Config{ID: 3, Rules: rules})}
	w.Tick(w.now, true)
	return w
}

// view and impression are events with little in them.
func view(id, parent string) *event.Event {
	return &event.Event{ID: id, ParentID: parent, Type: event.View, Time: noon}
}

func impression(id string) *event.Event {
	return &event.Event{ID: id, Type: event.Impression, Time: noon}
}

// record returns the next record, with events.
func (w *world) record(events ...*event.Event) *Record {
	r := &Record{Offset: w.offset}
	r.SetTimestamp(w.now)
	w.offset++
	for _, e := range events {
		r.Add(e)
	}
	return r
}

// admit admits one record with events.
func (w *world) admit(events ...*event.Event) Effects {
	return w.Admit([]*Record{w.record(events...)}, w.offset, w.now)
}

// outcome tells the outcome of a delivery that is in process.
func (w *world) outcome(d *event.Delivery, kind event.OutcomeKind) Effects {
	w.t.Helper()
	effects, ours := w.Outcome(d, event.Outcome{Kind: kind, HTTPStatus: 400, Detail: "detail"}, w.now)
	if !ours {
		w.t.Fatalf("the outcome of %s is not taken", d.ID)
	}
	return effects
}

// write makes everything durable and returns the outcomes of the records by
// offset.
func (w *world) write() map[int64]Outcome {
	w.t.Helper()
	effects, ours := w.Recorded(w.TakeAccepted(nil))
	if !ours {
		w.t.Fatal("state records are not taken")
	}
	all := outcomesOf(effects)
	maps.Copy(all, outcomesOf(w.DeadLettered(w.TakeDeadLetters())))
	return all
}

func outcomesOf(effects Effects) map[int64]Outcome {
	all := map[int64]Outcome{}
	for r := range effects.Finished() {
		all[r.Offset] = r.Outcome()
	}
	return all
}

// ids lists the events that are ready.
func ids(effects Effects) string {
	var all []string
	for _, d := range effects.Ready {
		all = append(all, d.ID)
	}
	return strings.Join(all, " ")
}

// wantReady fails the test unless exactly these events are ready.
func (w *world) wantReady(effects Effects, want string) []*event.Delivery {
	w.t.Helper()
	if got := ids(effects); got != want {
		w.t.Fatalf("ready: %q, want %q", got, want)
	}
	return effects.Ready
}

// TestEndedWaitsAreForgotten: a child that waited for a moment leaves nothing
// behind, though it might have waited for long.
func TestEndedWaitsAreForgotten(t *testing.T) {
	const children = 20_000
	rules := strict
	rules.ParentsWait = time.Hour
	w := newWorld(t, rules)
	w.admit(view("stays", "never"))
	for i := range children {
		parent := fmt.Sprint("parent", i)
		w.admit(view(fmt.Sprint("child", i), parent))
		d := w.wantReady(w.admit(impression(parent)), parent)[0]
		w.wantReady(w.outcome(d, event.Accepted), fmt.Sprint("child", i))
	}
	w.Tick(w.now.Add(time.Second), true)
	if ps := &w.parents; ps.waits.First == nil || ps.waits.First != ps.waits.Last || ps.spares > 2 || w.Stats().Waiting != 1 {
		t.Errorf("%d wait, and %d waits are kept: want 1, and not many more kept", w.Stats().Waiting, ps.spares)
	}
	for i := range children {
		w.admit(view(fmt.Sprint("burst", i), "burst"))
	}
	d := w.wantReady(w.admit(impression("burst")), "burst")[0]
	if effects := w.outcome(d, event.Accepted); len(effects.Ready) != children || effects.Resumed != children || w.parents.spares != maxSpares {
		t.Errorf("%d are sent, %d of them resumed, and %d waits are kept: want all, and no more than %d kept", len(effects.Ready), effects.Resumed, w.parents.spares, maxSpares)
	}
	w.Tick(w.now.Add(2*time.Hour), true)
	if letters := w.TakeDeadLetters(); len(letters) != 1 || w.parents.waits != (linked.List[wait]{}) {
		t.Errorf("%d dead letters: want the one that waited, and nothing left that waits", len(letters))
	}
}

// wantLetter wants exactly one dead letter, and returns it.
func (w *world) wantLetter(offset int64, reason event.Reason) DeadLetter {
	w.t.Helper()
	letters := w.TakeDeadLetters()
	if len(letters) != 1 || letters[0].Record.Offset != offset || letters[0].Fault.Reason != reason {
		w.t.Fatalf("dead letters %+v: want one, of offset %d, for %s", letters, offset, reason)
	}
	return letters[0]
}

// report admits an event, has it accepted and its state record written.
func (w *world) report(e *event.Event) {
	w.t.Helper()
	for _, d := range w.admit(e).Ready {
		w.outcome(d, event.Accepted)
	}
	w.write()
}

// wantFinished fails the test unless exactly this is finished.
func (w *world) wantFinished(got map[int64]Outcome, want map[int64]Outcome) {
	w.t.Helper()
	if !maps.Equal(got, want) {
		w.t.Fatalf("finished %v, want %v", got, want)
	}
}

func (w *world) wantWatermark(want int64) {
	w.t.Helper()
	if got := w.Watermark(); got != want {
		w.t.Fatalf("watermark %d, want %d", got, want)
	}
}

// other is the same ID with other content.
func other(id string) *event.Event {
	return &event.Event{ID: id, Type: event.Impression, Time: noon, Jobs: []string{"other"}}
}

func application(id, parent string) *event.Event {
	return &event.Event{ID: id, ParentID: parent, Type: event.ApplicationStart, Time: noon}
}

// TestRules has a test for each rule by which a partition decides.
func TestRules(t *testing.T) {
	lenient, ranked := strict, strict
	lenient.ParentsRequired = false
	ranked.ByValue = true
	for _, c := range []struct {
		name  string
		rules Rules
		run   func(w *world)
	}{
		{"a record without events is skipped", strict, func(w *world) {
			w.wantFinished(outcomesOf(w.admit()), map[int64]Outcome{0: Skipped})
			w.wantWatermark(1)
		}},
		{"a record that is a dead letter already is a duplicate", strict, func(w *world) {
			r := w.record()
			r.Repeat()
			w.wantFinished(outcomesOf(w.Admit([]*Record{r}, 1, w.now)), map[int64]Outcome{0: Duplicate})
			w.wantWatermark(1)
		}},
		{"an invalid record becomes a dead letter", strict, func(w *world) {
			r := w.record()
			r.Invalidate(&event.Fault{Reason: event.ReasonMalformed})
			if effects := w.Admit([]*Record{r}, 1, w.now); effects.DeadLetters != 1 || r.Fault() == nil {
				w.t.Errorf("%d dead letters, want 1", effects.DeadLetters)
			}
			letters := w.TakeDeadLetters()
			w.wantWatermark(0)
			w.wantFinished(outcomesOf(w.DeadLettered(letters)), map[int64]Outcome{0: DeadLettered})
			w.wantWatermark(1)
		}},
		{"an invalid record sends none of its events", strict, func(w *world) {
			r := w.record(impression("a"))
			r.Invalidate(&event.Fault{Reason: event.ReasonMalformed})
			w.wantReady(w.Admit([]*Record{r}, 1, w.now), "")
			w.wantLetter(0, event.ReasonMalformed)
		}},
		{"an accepted event is done when its state record is durable", strict, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			if d.Partition != 3 || !d.Timestamp.Equal(noon) {
				w.t.Errorf("the delivery is of partition %d at %v", d.Partition, d.Timestamp)
			}
			if effects := w.outcome(d, event.Accepted); effects.Accepted != 1 {
				w.t.Errorf("%d accepted, want 1", effects.Accepted)
			}
			w.wantWatermark(0)
			accepted := w.TakeAccepted(nil)
			if a := &accepted[0]; a.Key() != KeyOf("a") || a.Delivery() != d || !a.Entry().Reported.Equal(noon) || a.Entry().Type != event.Impression {
				w.t.Errorf("accepted %+v", a.Entry())
			}
			effects, _ := w.Recorded(accepted)
			w.wantFinished(outcomesOf(effects), map[int64]Outcome{0: Reported})
			w.wantWatermark(1)
		}},
		{"the same event again is a duplicate", strict, func(w *world) {
			w.report(impression("a"))
			w.wantFinished(outcomesOf(w.admit(impression("a"))), map[int64]Outcome{1: Duplicate})
		}},
		{"other content under a reported ID is a conflict", strict, func(w *world) {
			w.report(impression("a"))
			w.admit(other("a"))
			w.wantLetter(1, event.ReasonIDConflict)
		}},
		{"an ID is forgotten after the window", strict, func(w *world) {
			w.report(impression("a"))
			w.now = w.now.Add(2 * strict.Window)
			w.Tick(w.now, true)
			w.wantReady(w.admit(impression("a")), "a")
		}},
		{"a remembered event is known", strict, func(w *world) {
			e := impression("a")
			w.Remember([]Known{{KeyOf("a"), Entry{Content: e.Content(), Created: noon, Type: e.Type, Reported: noon}}})
			w.wantFinished(outcomesOf(w.admit(e)), map[int64]Outcome{0: Duplicate})
		}},
		{"a copy waits for the outcome of the first", strict, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			effects := w.admit(impression("a"))
			w.wantReady(effects, "")
			if len(effects.Parked) != 1 || effects.Parked[0].Offset != 1 {
				w.t.Errorf("parked %v, want the copy", effects.Parked)
			}
			w.admit(other("a"))
			w.wantFinished(outcomesOf(w.outcome(d, event.Accepted)), map[int64]Outcome{1: Duplicate})
			w.wantLetter(2, event.ReasonIDConflict)
			w.wantWatermark(0)
		}},
		{"a copy is sent after the first was rejected", strict, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			w.admit(impression("a"))
			w.admit(impression("a"))
			d = w.wantReady(w.outcome(d, event.Rejected), "a")[0]
			if l := w.wantLetter(0, event.ReasonRejected); l.HTTPStatus != 400 || l.Fault.Detail != "detail" {
				w.t.Errorf("dead letter %+v", l)
			}
			w.wantFinished(outcomesOf(w.outcome(d, event.Accepted)), map[int64]Outcome{2: Duplicate})
		}},
		{"too large alone", strict, func(w *world) {
			w.outcome(w.wantReady(w.admit(impression("a")), "a")[0], event.TooLarge)
			if l := w.wantLetter(0, event.ReasonTooLarge); l.HTTPStatus != 400 {
				w.t.Errorf("status %d, want that of the answer", l.HTTPStatus)
			}
		}},
		{"a released event stays unfinished", strict, func(w *world) {
			w.outcome(w.wantReady(w.admit(impression("a")), "a")[0], event.Released)
			w.wantFinished(w.write(), nil)
			w.wantWatermark(0)
		}},
		{"an outcome counts once", strict, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			w.outcome(d, event.Accepted)
			if _, ours := w.Outcome(d, event.Outcome{Kind: event.Rejected}, w.now); ours {
				w.t.Error("a second outcome is taken")
			}
			if _, ours := w.Outcome(&event.Delivery{}, event.Outcome{}, w.now); ours {
				w.t.Error("the outcome of another's delivery is taken")
			}
			w.wantFinished(w.write(), map[int64]Outcome{0: Reported})
		}},
		{"a child of a reported parent is sent", strict, func(w *world) {
			w.report(impression("a"))
			w.wantReady(w.admit(view("b", "a")), "b")
		}},
		{"children wait for their parent, and follow in their order", strict, func(w *world) {
			if effects := w.admit(view("b", "a")); len(effects.Parked) != 1 {
				w.t.Error("the waiting child is not parked")
			}
			w.admit(view("c", "a"))
			w.wantReady(w.admit(application("d", "c")), "")
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			next := w.wantReady(w.outcome(d, event.Accepted), "b c")
			w.wantReady(w.outcome(next[1], event.Accepted), "d")
			if got := w.Stats().Waiting; got != 0 {
				w.t.Errorf("%d wait, want none", got)
			}
		}},
		{"a child that waits is judged as one that comes later", strict, func(w *world) {
			parent := impression("a")
			parent.Time = noon.Add(event.ClockSkew + time.Microsecond) // the index has milliseconds
			d := w.wantReady(w.admit(parent), "a")[0]
			w.admit(view("b", "a"))
			w.wantReady(w.outcome(d, event.Accepted), "b")
			w.wantReady(w.admit(view("c", "a")), "c")
		}},
		{"a parent of the wrong type", strict, func(w *world) {
			w.report(view("a", ""))
			w.admit(view("b", "a"))
			w.wantLetter(1, event.ReasonParentMismatch)
		}},
		{"a parent of the wrong type, where parents are not required", lenient, func(w *world) {
			w.report(view("a", ""))
			w.wantReady(w.admit(view("b", "a")), "b")
		}},
		{"a parent that does not arrive", strict, func(w *world) {
			w.admit(view("b", "a"))
			w.admit(view("c", "a"))
			w.Tick(w.now.Add(time.Minute-1), true)
			if letters := w.TakeDeadLetters(); len(letters) > 0 {
				w.t.Fatalf("%d dead letters before the wait is over", len(letters))
			}
			if effects := w.Tick(w.now.Add(time.Minute), true); effects.DeadLetters != 2 {
				w.t.Errorf("%d dead letters, want 2", effects.DeadLetters)
			}
			if len(w.parents.orphans) != 0 {
				w.t.Error("the family is not forgotten")
			}
		}},
		{"a parent that does not arrive, where parents are not required", lenient, func(w *world) {
			w.admit(view("b", "a"))
			w.wantReady(w.Tick(w.now.Add(time.Minute), true), "b")
		}},
		{"a copy of a child whose parent does not arrive waits as long again", strict, func(w *world) {
			w.admit(view("b", "a"))
			w.admit(view("b", "a"))
			w.Tick(w.now.Add(time.Minute), true)
			w.wantLetter(0, event.ReasonParentNotFound)
			w.Tick(w.now.Add(2*time.Minute), true)
			w.wantLetter(1, event.ReasonParentNotFound)
		}},
		{"an outage is not waiting time", strict, func(w *world) {
			w.admit(view("b", "a"))
			w.Tick(w.now.Add(time.Hour), false)
			if effects := w.Tick(w.now.Add(time.Hour+time.Second), true); effects.DeadLetters > 0 {
				w.t.Error("the time of an outage counts")
			}
		}},
		{"a child waits for a parent at the API, however long that takes", strict, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			w.admit(view("b", "a"))
			w.admit(application("c", "b"))
			w.admit(view("e", "none"))
			w.Tick(w.now.Add(time.Hour), true)
			w.wantLetter(3, event.ReasonParentNotFound)
			w.wantReady(w.outcome(d, event.Accepted), "b")
		}},
		{"the children of a rejected parent wait until their time is over", strict, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			w.admit(view("b", "a"))
			w.outcome(d, event.Rejected)
			w.wantLetter(0, event.ReasonRejected)
			w.Tick(w.now.Add(time.Minute), true)
			w.wantLetter(1, event.ReasonParentNotFound)
		}},
		{"events linked in a circle", ranked, func(w *world) {
			w.admit(view("a", "b"))
			w.admit(view("b", "a"))
			w.Tick(w.now.Add(time.Minute), true)
			if got := len(w.TakeDeadLetters()); got != 2 {
				w.t.Errorf("%d dead letters, want 2", got)
			}
		}},
		{"a parent in flight is raised to the rank of its child", ranked, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			if d.Rank != 2 {
				w.t.Errorf("rank %d, want 2", d.Rank)
			}
			w.admit(view("b", "a"))
			w.admit(application("c", "b"))
			raised := w.TakeRaised()
			if len(raised) != 2 || raised[0] != (Raise{d, 1}) || raised[1] != (Raise{d, 0}) {
				w.t.Errorf("raised %v, want to 1 and then 0", raised)
			}
			if more := w.TakeRaised(); more != nil {
				w.t.Errorf("raised again: %v", more)
			}
			if d := w.wantReady(w.outcome(d, event.Accepted), "b")[0]; d.Rank != 0 {
				w.t.Errorf("the raised child has rank %d, want 0", d.Rank)
			}
		}},
		{"a parent that arrives late has the rank of its children", ranked, func(w *world) {
			w.admit(application("b", "a"))
			w.admit(view("c", "a"))
			if d := w.wantReady(w.admit(impression("a")), "a")[0]; d.Rank != 0 {
				w.t.Errorf("rank %d, want 0", d.Rank)
			}
		}},
		{"children that gave up raise no parent", ranked, func(w *world) {
			w.admit(application("b", "a"))
			w.now = w.now.Add(30 * time.Second)
			w.Tick(w.now, true)
			w.admit(view("c", "a"))
			w.admit(view("d", "a"))
			w.Tick(w.now.Add(30*time.Second), true)
			if d := w.wantReady(w.admit(impression("a")), "a")[0]; d.Rank != 1 {
				w.t.Errorf("rank %d, want 1", d.Rank)
			}
		}},
		{"an outcome of before a new start does not move the watermark", strict, func(w *world) {
			d := w.wantReady(w.admit(impression("a")), "a")[0]
			w.StartAt(100)
			w.offset = 100
			w.admit(impression("b"))
			w.outcome(d, event.Accepted)
			w.write()
			w.wantWatermark(100)
		}},
		{"offsets without records are passed over", strict, func(w *world) {
			w.admit(impression("a"))
			w.SkipTo(10)
			w.wantWatermark(0)
			if got, want := w.Stats(), (Stats{Unfinished: 1, Spread: 1, InFlight: 1, Oldest: noon.Local()}); got != want {
				w.t.Errorf("stats %+v, want %+v", got, want)
			}
			if w.ID() != 3 {
				w.t.Errorf("ID %d", w.ID())
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newWorld(t, c.rules)) })
	}
}
