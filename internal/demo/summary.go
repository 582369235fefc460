package demo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/internal/health"
)

// tally counts outcomes, and dead letters by reason.
type tally struct {
	outcomes, letters map[string]uint64
}

func newTally() tally { return tally{map[string]uint64{}, map[string]uint64{}} }

func (t tally) add(outcome, reason string) {
	t.outcomes[outcome]++
	if outcome == "dead_letter" {
		t.letters[reason]++
	}
}

// summarize prints the outcomes of the published records and checks that they are
// the expected ones.
func (d *demo) summarize() error {
	total, err := d.inTopic()
	if err != nil {
		return err
	}
	outcomes, letters := d.outcomes()
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "published     %8d\n", total)
	fmt.Fprintf(&b, "  reported    %8d\n", outcomes["reported"])
	fmt.Fprintf(&b, "  duplicates  %8d\n", outcomes["duplicate"])
	if n := outcomes["skipped"]; n > 0 {
		fmt.Fprintf(&b, "  skipped     %8d\n", n)
	}
	fmt.Fprintf(&b, "  dead letters%8d\n", outcomes["dead_letter"])
	for _, reason := range slices.Sorted(maps.Keys(letters)) {
		if letters[reason] > 0 {
			fmt.Fprintf(&b, "    %-26s%6d\n", reason, letters[reason])
		}
	}
	stats := d.api.Stats()
	fmt.Fprintf(&b, "API accepted %s; %s twice, %s that it would discard later\n", health.Events(int(stats.Accepted)), noneOr(stats.Duplicates), noneOr(stats.Warned))
	fmt.Fprint(d.o.Out, b.String())
	if err := d.compare(uint64(total), outcomes, letters); err != nil {
		return err
	}
	if d.unsettled {
		fmt.Fprintf(d.o.Out, "Stopped before %s had an outcome; 'run' would continue with them.\n", health.Events(d.unfinished()))
		return nil
	}
	fmt.Fprintln(d.o.Out, "The counts add up: no event lost, none reported twice, each dead letter with its reason.")
	return nil
}

// noneOr writes a number; none for 0.
func noneOr(n int64) string {
	if n == 0 {
		return "none"
	}
	return health.Count(n)
}

// compare finds the counts that do not add up.
func (d *demo) compare(total uint64, outcomes, letters map[string]uint64) error {
	var wrong []error
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	sum := uint64(0)
	for _, n := range outcomes {
		sum += n
	}
	if sum != total && !d.unsettled {
		complain("%d records were published and %d have an outcome", total, sum)
	}
	stats := d.api.Stats()
	if uint64(stats.Accepted) != outcomes["reported"] {
		complain("%d events are counted as reported and the API accepted %d", outcomes["reported"], stats.Accepted)
	}
	if stats.Duplicates > 0 {
		complain("%d events were reported twice", stats.Duplicates)
	}
	if stats.Warned > 0 && total == uint64(d.published.Load()) {
		complain("%d events name searches or jobs that the API does not know", stats.Warned)
	}
	if d.cut.Load() || total != uint64(d.published.Load()) {
		return errors.Join(wrong...) // stopped early, or another producer published: the expected outcomes are unknown
	}
	for outcome, n := range d.wanted.outcomes {
		if outcomes[outcome] != n {
			complain("expected %d records to be %s, got %d", n, outcome, outcomes[outcome])
		}
	}
	for reason, n := range d.wanted.letters {
		if letters[reason] != n {
			complain("expected %d dead letters to be %s, got %d", n, reason, letters[reason])
		}
	}
	return errors.Join(wrong...)
}
