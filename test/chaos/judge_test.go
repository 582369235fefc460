package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/journey"
)

// wellDone is what a pipeline without a fault makes of records: the ids in the
// order in which they are reported, and the dead letters.
func wellDone(records []journey.Record) (ids []string, letters map[string][]string) {
	letters = map[string][]string{}
	waiting, reported := map[string][]string{}, map[string]bool{}
	var report func(id string)
	report = func(id string) {
		ids = append(ids, id)
		reported[id] = true
		for _, child := range waiting[id] {
			report(child)
		}
	}
	for _, r := range records {
		switch {
		case r.Expect == "dead_letter":
			id := identity(r.Key, r.Value)
			letters[id] = append(letters[id], string(r.Reason))
		case r.Expect != "reported":
		case r.Event.ParentID != "" && !reported[r.Event.ParentID]:
			waiting[r.Event.ParentID] = append(waiting[r.Event.ParentID], r.Event.ID)
		default:
			report(r.Event.ID)
		}
	}
	return ids, letters
}

// someChild is the position of an event that has a parent, and its parent's.
func someChild(t *testing.T, records []journey.Record, ids []string) (child, parent int) {
	t.Helper()
	at := map[string]int{}
	for i, id := range ids {
		at[id] = i
	}
	for _, r := range records {
		if r.Expect == "reported" && r.Event.ParentID != "" {
			return at[r.Event.ID], at[r.Event.ParentID]
		}
	}
	t.Fatal("no event has a parent")
	return 0, 0
}

func TestOracleFindsWhatIsWrong(t *testing.T) {
	records := traffic(7, 5000)
	tests := []struct {
		name  string
		spoil func(t *testing.T, ids []string, letters map[string][]string) []string
		want  findings // its counts
		again int
	}{
		{
			name:  "nothing",
			spoil: func(_ *testing.T, ids []string, _ map[string][]string) []string { return ids },
		},
		{
			name:  "the last event is not reported",
			spoil: func(_ *testing.T, ids []string, _ map[string][]string) []string { return ids[:len(ids)-1] },
			want:  findings{lost: 1},
		},
		{
			name:  "events are reported again",
			spoil: func(_ *testing.T, ids []string, _ map[string][]string) []string { return append(ids, ids[:3]...) },
			again: 3,
		},
		{
			name: "a child comes before its parent",
			spoil: func(t *testing.T, ids []string, _ map[string][]string) []string {
				child, parent := someChild(t, records, ids)
				id := ids[child]
				copy(ids[parent+1:child+1], ids[parent:child])
				ids[parent] = id
				return ids
			},
			want: findings{early: 1},
		},
		{
			name: "a dead letter is missing",
			spoil: func(_ *testing.T, ids []string, letters map[string][]string) []string {
				for id := range letters {
					delete(letters, id)
					break
				}
				return ids
			},
			want: findings{lost: 1},
		},
		{
			name: "a dead letter has another reason",
			spoil: func(_ *testing.T, ids []string, letters map[string][]string) []string {
				for id := range letters {
					letters[id] = []string{"too_large"}
					break
				}
				return ids
			},
			want: findings{wrongLetters: 1},
		},
		{
			name: "an event in order is a dead letter",
			spoil: func(_ *testing.T, ids []string, letters map[string][]string) []string {
				letters[identity([]byte("key"), []byte("value"))] = []string{"malformed"}
				return ids
			},
			want: findings{wrongLetters: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ids, letters := wellDone(records)
			s := newSeen()
			for _, id := range tt.spoil(t, ids, letters) {
				s.accept(emulator.Accepted{Event: emulator.Event{EventID: id}})
			}
			got := compare(records, s, letters)
			if got.lost != tt.want.lost || got.early != tt.want.early || got.wrongLetters != tt.want.wrongLetters {
				t.Errorf("lost %d, early %d, wrong letters %d: want %d, %d, %d\n%q", got.lost, got.early, got.wrongLetters,
					tt.want.lost, tt.want.early, tt.want.wrongLetters, got.broken)
			}
			if s.repeats() != tt.again {
				t.Errorf("%d repeated: want %d", s.repeats(), tt.again)
			}
		})
	}
}

func TestOnlyACrashExcusesARepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeen()
		accept := func(id string) { s.accept(emulator.Accepted{Event: emulator.Event{EventID: id}}) }
		for _, id := range []string{"again", "before the crash", "much later"} {
			accept(id)
		}
		accept("again")
		s.crash()
		accept("on its way")
		accept("before the crash")
		time.Sleep(onTheWay)
		synctest.Wait()
		accept("on its way")
		accept("much later")
		if s.unexcusedRepeats() != 1 {
			t.Errorf("%d repetitions without an excuse: want 1", s.unexcusedRepeats())
		}
		for _, id := range []string{"much later", "on its way"} {
			accept(id)
		}
		if s.unexcusedRepeats() != 3 || s.repeats() != 6 {
			t.Errorf("%d of %d repetitions without an excuse: want 3 of 6, since there was one crash", s.unexcusedRepeats(), s.repeats())
		}
	})
}

func TestACutExcusesWhatIsAcceptedDuringIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeen()
		accept := func(id string) { s.accept(emulator.Accepted{Event: emulator.Event{EventID: id}}) }
		s.cut()
		time.Sleep(10 * onTheWay)
		accept("during the cut")
		accept("during the cut")
		s.crash() // the link works again
		accept("during the cut")
		time.Sleep(onTheWay)
		synctest.Wait()
		accept("after it")
		if s.unexcusedRepeats() != 0 {
			t.Errorf("%d repetitions without an excuse: want 0", s.unexcusedRepeats())
		}
		accept("after it")
		if s.unexcusedRepeats() != 1 {
			t.Errorf("%d repetitions without an excuse: want 1", s.unexcusedRepeats())
		}
	})
}

func TestTrafficOfTwoPhasesHasNothingInCommon(t *testing.T) {
	first := map[string]bool{}
	for _, r := range traffic(14, 2000) {
		if r.Event != nil {
			first[r.Event.ID] = true
		}
	}
	for _, r := range traffic(15, 2000) {
		if r.Event != nil && first[r.Event.ID] {
			t.Fatalf("event %s is in both", r.Event.ID)
		}
	}
}

func TestPace(t *testing.T) {
	p := newPace(4)
	if got := p.of(100); got > 25 {
		t.Errorf("at the beginning %d of 100 are due: want at most a quarter", got)
	}
	p.next()
	p.began = p.began.Add(-time.Hour) // it takes long
	if got := p.of(100); got != 50 {
		t.Errorf("in a long second step %d of 100 are due: want 50", got)
	}
	p.end()
	if got := p.of(100); got != 100 {
		t.Errorf("at the end %d of 100 are due: want all", got)
	}
}
