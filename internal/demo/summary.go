package demo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// summarize says what became of what was published, and whether that is what
// should have.
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
	fmt.Fprintf(&b, "accepted by the API %d events, %d of them twice and %d such as it would discard later\n", stats.Accepted, stats.Duplicates, stats.Warned)
	fmt.Fprint(d.o.Out, b.String())
	if err := d.compare(uint64(total), outcomes, letters); err != nil {
		return err
	}
	fmt.Fprintln(d.o.Out, "It adds up: nothing lost, nothing twice, every fault under its reason.")
	return nil
}

// compare finds what does not add up.
func (d *demo) compare(total uint64, outcomes, letters map[string]uint64) error {
	var wrong []error
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	sum := uint64(0)
	for _, n := range outcomes {
		sum += n
	}
	if sum != total {
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
	if d.cut || total != uint64(d.published.Load()) {
		return errors.Join(wrong...) // cut short, or somebody joined in: what was to be expected is not known
	}
	for outcome, n := range d.wanted.outcomes {
		if outcomes[outcome] != n {
			complain("%d records should be %s and %d are", n, outcome, outcomes[outcome])
		}
	}
	for reason, n := range d.wanted.letters {
		if letters[reason] != n {
			complain("%d dead letters should be %s and %d are", n, reason, letters[reason])
		}
	}
	return errors.Join(wrong...)
}
