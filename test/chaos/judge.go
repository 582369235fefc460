package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/internal/journey"
)

// findings are what the oracle found.
type findings struct {
	lost         int // events and dead letters that are not there
	early        int // events that were reported before their parent
	letters      int // dead letters that should be there
	wrongLetters int // dead letters for another reason, or that should not be
	broken       []string
}

func (f *findings) add(count *int, format string, values ...any) {
	*count++
	f.broken = append(f.broken, fmt.Sprintf(format, values...))
}

// judge compares the outcome of each record with the expected one.
func (w *world) judge(ctx context.Context, records []journey.Record) error {
	found, err := w.deadLetters(ctx)
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	w.result.findings = compare(records, w.seen, found)
	for i, line := range w.result.broken {
		if i == 50 {
			fmt.Printf("chaos: … and %d more\n", len(w.result.broken)-i)
			break
		}
		fmt.Println("chaos: BROKEN:", line)
	}
	return nil
}

// compare is the oracle. The dead letters are given as reasons by identity.
func compare(records []journey.Record, reported *seen, found map[string][]string) (f findings) {
	expected := map[string]bool{}
	for _, r := range records {
		switch r.Expect {
		case "reported":
			at := reported.at(r.Event.ID)
			if at == 0 {
				f.add(&f.lost, "lost: event %s of request %s", r.Event.ID, r.Event.RequestID)
				continue
			}
			if parent := reported.at(r.Event.ParentID); r.Event.ParentID != "" && (parent == 0 || parent > at) {
				f.add(&f.early, "before its parent: event %s of request %s", r.Event.ID, r.Event.RequestID)
			}
		case "dead_letter":
			f.letters++
			id := identity(r.Key, r.Value)
			expected[id] = true
			if len(found[id]) == 0 {
				f.add(&f.lost, "lost: no dead letter for %s: %.200q", r.Reason, r.Value)
			}
			for _, reason := range found[id] {
				if reason != string(r.Reason) {
					f.add(&f.wrongLetters, "a dead letter for %s: want %s: %.200q", reason, r.Reason, r.Value)
				}
			}
		}
	}
	for id, reasons := range found {
		if !expected[id] {
			f.add(&f.wrongLetters, "a dead letter %v that should not be: %.200q", reasons, id)
		}
	}
	return f
}

func identity(key, value []byte) string { return string(key) + "\x00" + string(value) }

// deadLetters reads the whole dead-letter topic: the reasons, by record.
func (w *world) deadLetters(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ends, err := w.admin.ListEndOffsets(ctx, letters)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	left, from := int64(0), map[int32]kgo.Offset{}
	for p, end := range ends[letters] {
		left += end.Offset
		from[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(w.seeds(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{letters: from}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found := map[string][]string{}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			id := identity(r.Key, r.Value)
			for _, h := range r.Headers {
				if h.Key == "dlq-reason" {
					found[id] = append(found[id], string(h.Value))
				}
			}
		})
	}
	return found, nil
}

// verdict prints the promises and what was seen of them.
func (w *world) verdict() error {
	r := &w.result
	var table strings.Builder
	kept := true
	row := func(ok bool, promise, seen string, values ...any) {
		mark := "kept"
		if !ok {
			mark, kept = "BROKEN", false
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", promise, fmt.Sprintf(seen, values...), mark)
	}
	repeated, bound := w.seen.repeats(), (r.kills+r.freezes+r.cuts)*inFlight
	unexcused, again := w.seen.unexcusedRepeats(), w.seen.repeats(duringAgain)
	row(r.lost == 0, "nothing is lost", "%d records (%d with a fault): %d lost", r.records, r.letters, r.lost)
	row(unexcused == 0, "planned changes, brokers that restart, crash or freeze, and outages repeat nothing",
		"%d planned changes, %d of them alone, %d restarts, %d kills and %d freezes of brokers, %d outages: %d repeated without a crash in between",
		r.planned, r.alone, r.restarts, r.brokerKills, r.brokerFreezes, r.outages, unexcused)
	row(repeated <= bound, fmt.Sprintf("a crash or a cut repeats at most what is in flight, %d", inFlight),
		"%d kills, %d freezes, %d cuts: %d repeated (at most %d); %s", r.kills, r.freezes, r.cuts, repeated, bound, w.causes())
	row(again == 0, "what was reported is not reported again after a restart or a kill", "%d published again: %d repeated", r.again, again)
	row(r.early == 0, "no child before its parent", "%d", r.early)
	row(r.wrongLetters == 0, "every fault a dead letter under its reason, nothing else", "%d dead letters, %d wrong", r.letters, r.wrongLetters)
	row(r.failedStops == 0, "SIGTERM: exit 0 within 10 s", "%d stops: median %s, slowest %s; %d failed", len(r.stops), median(r.stops), longest(r.stops), r.failedStops)
	row(r.uncovered == 0 && median(r.takeovers) <= sessionLimit+3*time.Second, "a killed replica is replaced within about 10 s",
		"%d takeovers: median %s, slowest %s; %d not within a minute", len(r.takeovers), median(r.takeovers), longest(r.takeovers), r.uncovered)
	row(w.crashed.Load() == 0, "no replica ends by itself", "%d did, through %d restarts of the broker and %d outages of the API", w.crashed.Load(), r.restarts, r.outages)
	fmt.Printf("\n| promise | seen | |\n|---|---|---|\n%s\n", table.String())
	if !kept {
		return errors.New("a promise is broken")
	}
	return nil
}

// causes names the misfortunes during which events were repeated.
func (w *world) causes() string {
	var all []string
	for _, during := range []string{duringKill, duringFreeze, duringRestart, duringBroker, duringCut, duringChange, duringSettling} {
		all = append(all, fmt.Sprintf("%d during %s", w.seen.repeats(during), during))
	}
	return strings.Join(all, ", ")
}

func longest(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Max(all).Round(10 * time.Millisecond)
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2].Round(10 * time.Millisecond)
}
