package journey_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

var everyKind = journey.Mix{Duplicates: 0.02, Faults: 0.01, Late: 0.005, Tombstones: true}

func mixed(v event.Version, seed uint64, mix journey.Mix, n int) []journey.Record {
	g := journey.New(journey.Options{Seed: seed, Version: v, Start: start})
	return slices.Collect(g.Mixed(mix, n))
}

// judge says what becomes of records, by the rules alone: each id is reported
// once, by the first record that has it, and a child needs a parent of its key
// that is reported sooner or later.
func judge(records []journey.Record, v event.Version) (outcomes []string, reasons []event.Reason) {
	type seen struct {
		*event.Event
		key string
	}
	firsts := map[string]seen{}
	decoded := make([]*event.Event, len(records))
	outcomes, reasons = make([]string, len(records)), make([]event.Reason, len(records))
	for i, r := range records {
		if len(r.Value) == 0 {
			outcomes[i] = "skipped"
			continue
		}
		e, fault := event.Decode(r.Value, v)
		if fault != nil {
			outcomes[i], reasons[i] = "dead_letter", fault.Reason
			continue
		}
		decoded[i] = e
		if before, ok := firsts[e.ID]; !ok {
			firsts[e.ID] = seen{e, string(r.Key)}
			outcomes[i] = "reported"
		} else if before.Content() == e.Content() && before.key == string(r.Key) {
			outcomes[i] = "duplicate"
		} else {
			outcomes[i], reasons[i] = "dead_letter", event.ReasonIDConflict
		}
	}
	for i, e := range decoded {
		if outcomes[i] != "reported" || e.ParentID == "" {
			continue
		}
		parent, ok := firsts[e.ParentID]
		if !ok || parent.key != string(records[i].Key) {
			outcomes[i], reasons[i] = "dead_letter", event.ReasonParentNotFound
		} else if fault := e.CheckParent(parent.Type, parent.Time); fault != nil {
			outcomes[i], reasons[i] = "dead_letter", fault.Reason
		}
	}
	return outcomes, reasons
}

func TestMixedExpectsWhatTheRulesSay(t *testing.T) {
	const n = 10_000
	for _, v := range event.Versions() {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(v, "/", seed), func(t *testing.T) {
				records := mixed(v, seed, everyKind, n)
				if len(records) != n {
					t.Fatalf("%d records, want %d", len(records), n)
				}
				outcomes, reasons := judge(records, v)
				found := map[event.Reason]int{}
				for i, r := range records {
					if r.Expect != outcomes[i] || r.Reason != reasons[i] {
						t.Fatalf("record %d is expected to be %s %s, and is %s %s: %s", i, r.Expect, r.Reason, outcomes[i], reasons[i], r.Value)
					}
					found[r.Reason]++
				}
				for _, reason := range event.Reasons() {
					if fromInput(reason) != (found[reason] > 0) {
						t.Errorf("%s occurs %d times", reason, found[reason])
					}
				}
			})
		}
	}
}

// fromInput reports whether a record by itself, or with others, can have the
// reason; the others need a destination's or a process's part in it.
func fromInput(r event.Reason) bool {
	return !slices.Contains([]event.Reason{
		event.ReasonTooLarge, event.ReasonRejected, event.ReasonPoison, event.ReasonUndecodable, event.ReasonUnmapped,
	}, r)
}

func TestMixedShares(t *testing.T) {
	const n = 30_000
	count := map[string]int{}
	firsts, late := 0, 0
	waiting := map[string]bool{} // for the parent
	for _, r := range mixed(event.V3, 2, everyKind, n) {
		count[r.Expect]++
		if r.Expect != "reported" {
			continue
		}
		if r.Event.ParentID == "" {
			firsts++
			if waiting[r.Event.ID] {
				late++
			}
		} else {
			waiting[r.Event.ParentID] = true
		}
	}
	within := func(what string, got int, of int, share float64) {
		if x := float64(got) / float64(of); x < share*0.7 || x > share*1.3 {
			t.Errorf("%s are %.4f, want %.4f", what, x, share)
		}
	}
	within("duplicates", count["duplicate"], n, everyKind.Duplicates)
	within("faults", count["dead_letter"]+count["skipped"], n, everyKind.Faults)
	// Of the late ones, those without children in the meantime can't be told.
	if share := float64(late) / float64(firsts); share < everyKind.Late/2 || share > everyKind.Late*1.3 {
		t.Errorf("%.4f of first events come after a child, want up to %.4f", share, everyKind.Late)
	}
}

func TestDuplicatesAreNearAndFarAndWrittenOtherwise(t *testing.T) {
	at := map[string]int{} // of what was reported
	value := map[string][]byte{}
	near, far, otherwise := 0, 0, 0
	for i, r := range mixed(event.V3, 3, everyKind, 15_000) {
		switch r.Expect {
		case "reported":
			at[r.Event.ID], value[r.Event.ID] = i, r.Value
		case "duplicate":
			if distance := i - at[r.Event.ID]; distance < 300 {
				near++
			} else if distance > 3000 {
				far++
			}
			if !bytes.Equal(r.Value, value[r.Event.ID]) {
				otherwise++
			}
		}
	}
	if near == 0 || far == 0 || otherwise == 0 {
		t.Errorf("%d near, %d far, %d written otherwise", near, far, otherwise)
	}
}

func TestNobodyFollowsAFault(t *testing.T) {
	reported, parents := map[string]bool{}, map[string]bool{}
	for _, r := range mixed(event.V3, 4, everyKind, 15_000) {
		if r.Expect == "reported" {
			reported[r.Event.ID] = true
			parents[r.Event.ParentID] = true
		}
	}
	delete(parents, "")
	for id := range parents {
		if !reported[id] {
			t.Errorf("%s is a parent, and not reported", id)
		}
	}
}

func TestMixedCounts(t *testing.T) {
	for n := 1; n < 400; n += 1 + n/8 {
		records := mixed(event.V3, uint64(n), journey.Mix{Duplicates: 0.2, Faults: 0.2, Late: 0.3, Tombstones: true}, n)
		if len(records) != n {
			t.Fatalf("%d records, want %d", len(records), n)
		}
		outcomes, reasons := judge(records, event.V3)
		for i, r := range records {
			if r.Expect != outcomes[i] || r.Reason != reasons[i] {
				t.Fatalf("of %d, record %d is expected to be %s %s, and is %s %s", n, i, r.Expect, r.Reason, outcomes[i], reasons[i])
			}
		}
	}
}

func TestMixedWithoutTombstones(t *testing.T) {
	for _, r := range mixed(event.V3, 1, journey.DemoMix, 10_000) {
		if len(r.Value) == 0 {
			t.Fatal("there is a record without a value")
		}
	}
}

func TestMixedIsTheSameForTheSameSeed(t *testing.T) {
	a, b := mixed(event.V4, 9, everyKind, 5000), mixed(event.V4, 9, everyKind, 5000)
	for i := range a {
		if !bytes.Equal(a[i].Key, b[i].Key) || !bytes.Equal(a[i].Value, b[i].Value) || a[i].Expect != b[i].Expect {
			t.Fatalf("record %d differs", i)
		}
	}
}
