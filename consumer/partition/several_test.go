package partition

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// TestSeveralEvents: a record is done when all its events are. If one of them is
// invalid, the record becomes one dead letter, and only after the others are
// done, so that a replay reports only those that were not reported.
func TestSeveralEvents(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []*event.Event
		// rejected are the events that the API rejects.
		rejected string
		want     Outcome
		replayed string // sent when the record is replayed
	}{
		{"all are accepted", []*event.Event{impression("a"), view("b", "a"), impression("c")}, "", Reported, ""},
		{"the first is rejected", []*event.Event{impression("a"), impression("b"), impression("c")}, "a", DeadLettered, "a"},
		{"the last is rejected", []*event.Event{impression("a"), impression("b"), impression("c")}, "c", DeadLettered, "c"},
		{"all are rejected", []*event.Event{impression("a"), impression("b")}, "a b", DeadLettered, "a b"},
		{"a parent is rejected", []*event.Event{impression("a"), view("b", "a"), impression("c")}, "a", DeadLettered, "a"},
		{"one was reported", []*event.Event{impression("known"), impression("b")}, "", Reported, ""},
		{"all were reported", []*event.Event{impression("known"), impression("known")}, "", Duplicate, ""},
		{"one conflicts", []*event.Event{impression("a"), other("known")}, "", DeadLettered, ""},
		{"the same twice", []*event.Event{impression("a"), impression("a")}, "", Reported, ""},
		{"the same twice, rejected", []*event.Event{impression("a"), impression("a")}, "a", DeadLettered, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, strict)
			w.report(impression("known"))
			got := w.finish(w.admit(c.events...), c.rejected)
			w.wantFinished(got, map[int64]Outcome{1: c.want})
			w.wantWatermark(2)
			effects := w.admit(c.events...)
			w.wantReady(effects, c.replayed)
		})
	}
}

// finish tells outcomes until the record at offset 1 is finished. It fails the
// test if the record becomes a dead letter before its other events are done.
func (w *world) finish(effects Effects, rejected string) map[int64]Outcome {
	w.t.Helper()
	all := outcomesOf(effects)
	ready := effects.Ready
	for len(ready) > 0 {
		if letters := w.TakeDeadLetters(); len(letters) > 0 {
			w.t.Fatalf("a dead letter while %s is in flight", ready[0].ID)
		}
		d := ready[0]
		kind := event.Accepted
		if strings.Contains(rejected, d.ID) {
			kind = event.Rejected
		}
		effects := w.outcome(d, kind)
		maps.Copy(all, outcomesOf(effects))
		ready = append(ready[1:], effects.Ready...)
		accepted := w.TakeAccepted(nil)
		if kind == event.Accepted && len(w.TakeDeadLetters()) > 0 {
			w.t.Fatalf("a dead letter before the state record of %s is durable", d.ID)
		}
		recorded, _ := w.Recorded(accepted)
		maps.Copy(all, outcomesOf(recorded))
	}
	w.Tick(w.now.Add(time.Hour), true)
	letters := w.TakeDeadLetters()
	if len(letters) > 1 {
		w.t.Fatalf("%d dead letters of one record", len(letters))
	}
	maps.Copy(all, outcomesOf(w.DeadLettered(letters)))
	if w.Stats().InFlight != 0 {
		w.t.Errorf("%d in flight, want none", w.Stats().InFlight)
	}
	return all
}

// TestRevoke: after a partition was revoked, nothing has an effect, and its index
// holds what is durable.
func TestRevoke(t *testing.T) {
	w := newWorld(t, strict)
	w.report(impression("durable"))
	accept := func(id string) { w.outcome(w.wantReady(w.admit(impression(id)), id)[0], event.Accepted) }
	accept("given up")
	w.NotRecorded(w.TakeAccepted(nil))
	accept("being written")
	writing := w.TakeAccepted(nil)
	accept("unrecorded")
	d := w.wantReady(w.admit(impression("in flight")), "in flight")[0]
	w.admit(impression("in flight"))
	w.admit(view("child", "none"), view("child of the same record", "none"))
	r := w.record()
	r.Invalidate(&event.Fault{Reason: event.ReasonMalformed})
	w.Admit([]*Record{r}, w.offset, w.now)

	revoked := w.Revoke()
	if len(revoked.Unrecorded) != 1 || revoked.Unrecorded[0].ID != "unrecorded" {
		t.Errorf("unrecorded: %v", revoked.Unrecorded)
	}
	var offsets []int64
	for _, r := range revoked.Unfinished {
		offsets = append(offsets, r.Offset)
	}
	if slices.Sort(offsets); !slices.Equal(offsets, []int64{3, 4, 5, 6, 7}) {
		t.Errorf("unfinished: %v", offsets)
	}
	if _, ours := w.Outcome(d, event.Outcome{}, w.now); ours {
		t.Error("an outcome is taken")
	}
	if _, ours := w.Recorded(writing); ours {
		t.Error("state records are taken")
	}
	w.NotRecorded(writing)
	w.DeadLettered([]DeadLetter{{Record: r}})
	w.wantReady(w.Tick(w.now.Add(time.Hour), true), "")
	w.wantReady(w.admit(impression("new")), "")
	w.wantWatermark(1)
	if s := w.Stats(); s.Known != 0 || s.Waiting != 0 || s.InFlight != 0 || s.Unwritten != 0 {
		t.Errorf("stats %+v", s)
	}
	if again := w.Revoke(); len(again.Unrecorded) > 0 || len(again.Unfinished) > 0 || again.Index.Len() > 0 {
		t.Errorf("revoked again: %+v", again)
	}

	next := New(Config{Rules: strict, Index: revoked.Index})
	for id, known := range map[string]bool{"durable": true, "given up": false, "being written": true, "unrecorded": false} {
		if _, ok := next.index.get(KeyOf(id), w.now); ok != known {
			t.Errorf("the next incarnation knows %q: %t, want %t", id, ok, known)
		}
	}
}

// TestManyOfOneKind: the effort is linear where many events wait for the same
// event. With quadratic effort, this test would take minutes.
func TestManyOfOneKind(t *testing.T) {
	const many = 150_000
	records := func(w *world, create func(i int) *event.Event) []*Record {
		all := []*Record{}
		for i := range many {
			all = append(all, w.record(create(i)))
		}
		return all
	}
	t.Run("children of a parent that does not arrive", func(t *testing.T) {
		w := newWorld(t, strict)
		w.Admit(records(w, func(i int) *event.Event { return view(strconv.Itoa(i), "parent") }), many, w.now)
		if effects := w.Tick(w.now.Add(time.Hour), true); effects.DeadLetters != many {
			t.Errorf("%d dead letters, want %d", effects.DeadLetters, many)
		}
	})
	t.Run("copies that are rejected", func(t *testing.T) {
		w := newWorld(t, strict)
		ready := w.Admit(records(w, func(int) *event.Event { return impression("same") }), many, w.now).Ready
		for len(ready) > 0 {
			ready = w.outcome(ready[0], event.Rejected).Ready
		}
		if got := len(w.TakeDeadLetters()); got != many {
			t.Errorf("%d dead letters, want %d", got, many)
		}
	})
}

// TestFinishedEnds: the iterator stops where its user does.
func TestFinishedEnds(t *testing.T) {
	w := newWorld(t, strict)
	effects := w.Admit([]*Record{w.record(), w.record()}, 2, w.now)
	n := 0
	for range effects.Finished() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

// Every value of a closed set has a name of its own.
func TestNames(t *testing.T) {
	names := map[string]bool{}
	for i, o := range Outcomes() {
		names[o.String()] = true
		if int(o) != i {
			t.Errorf("outcome %d is listed at %d", o, i)
		}
	}
	if len(names) != OutcomeCount || names[""] {
		t.Errorf("outcomes %v: want %d names", names, OutcomeCount)
	}
	if rules := SuspicionRules(); len(rules) != 3 || slices.Contains(rules, "") {
		t.Errorf("rules %v", rules)
	}
}
