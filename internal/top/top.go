// Package top shows the replicas of a group in a terminal, as their admin ports describe
// them.
package top

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/terminal"
)

// Replica is a replica's status, or the reason for which there is none.
type Replica struct {
	URL    string
	Status *admin.Status
	Err    error
}

// maxStatus bounds a status in bytes.
const maxStatus = 16 << 20

// Ask asks all replicas for their status at the same time. A request takes at most the
// client's timeout.
func Ask(ctx context.Context, client *http.Client, urls []string) []Replica {
	all := make([]Replica, len(urls))
	var asking sync.WaitGroup
	for i, u := range urls {
		asking.Go(func() {
			s, err := ask(ctx, client, u)
			all[i] = Replica{u, s, err}
		})
	}
	asking.Wait()
	return all
}

func ask(ctx context.Context, client *http.Client, base string) (*admin.Status, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/status", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err = netx.Final(resp, err); err != nil {
		if of, ok := errors.AsType[*url.Error](err); ok {
			err = of.Err // without the URL, which is shown beside it
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	var s admin.Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&s); err != nil || s.Summary.Headline == "" {
		return nil, errors.New("it is not the admin port of clientevents")
	}
	return &s, nil
}

// Bad reports whether a replica does not answer or has a problem that is bad.
func Bad(all []Replica) bool {
	return slices.ContainsFunc(all, func(r Replica) bool { return r.Err != nil || r.Status.Summary.Level == health.Bad })
}

// totals are the sums over the replicas that answer.
type totals struct {
	answering, partitions, inFlight int
	reported, limit                 float64
	backlog                         int64
	lag                             time.Duration
	unread                          bool // the age of the backlog is unknown
	recent                          health.Recent
	outcomes                        map[string]uint64
}

func sum(all []Replica) totals {
	t := totals{outcomes: map[string]uint64{}}
	for _, r := range all {
		if r.Err != nil {
			continue
		}
		s := r.Status
		t.answering++
		t.partitions += len(s.Partitions)
		t.inFlight += s.InFlight
		t.reported += s.Rates.Reported
		t.limit += s.Reporter.Rate
		t.backlog += s.Backlog.Records
		t.recent.Records += s.Recent.Records
		t.recent.DeadLetter += s.Recent.DeadLetter
		if !s.Backlog.Oldest.IsZero() {
			t.lag = max(t.lag, s.Now.Sub(s.Backlog.Oldest))
		}
		for outcome, n := range s.Outcomes {
			t.outcomes[outcome] += n
		}
	}
	if t.recent.Records > 0 {
		t.recent.Share = float64(t.recent.DeadLetter) / float64(t.recent.Records)
	}
	t.unread = t.backlog > 0 && t.lag == 0
	return t
}

// figures are the four numbers that matter most.
func (t *totals) figures() string {
	lag := health.Lasting(t.lag)
	if t.lag == 0 {
		lag = "0 s"
	}
	if t.unread {
		lag = "not read"
	}
	quota := "no limit"
	if t.limit > 0 {
		quota = health.Percent(min(1, t.reported/t.limit)) + " of quota"
	}
	return fmt.Sprintf("%s events/s   lag %s (%s records)   %s dead letters   %s",
		health.PerSecond(t.reported), lag, health.Count(t.backlog), health.Percent(t.recent.Share), quota)
}

// Line describes the group in one line, for a pipe.
func Line(all []Replica, now time.Time) string {
	t := sum(all)
	text := fmt.Sprintf("%s  %d/%d replicas  %s", now.UTC().Format(time.RFC3339), t.answering, len(all), t.figures())
	for _, r := range worst(all) {
		return text + "  " + terminal.Printable(name(r.URL)+": "+headline(r))
	}
	return text
}

// worst returns the replicas that are not well, the worst first.
func worst(all []Replica) []Replica {
	rank := func(r Replica) int {
		switch {
		case r.Err != nil:
			return 0
		case r.Status.Summary.Level == health.Bad:
			return 1
		}
		return 2
	}
	some := slices.DeleteFunc(slices.Clone(all), func(r Replica) bool { return rank(r) == 2 })
	slices.SortStableFunc(some, func(a, b Replica) int { return cmp.Compare(rank(a), rank(b)) })
	return some
}

func headline(r Replica) string {
	if r.Err != nil {
		return "no answer: " + r.Err.Error()
	}
	return r.Status.Summary.Headline
}

// name is the host and port of a replica.
func name(base string) string {
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		return u.Host
	}
	return base
}

// Lines describes the group in lines for a terminal of some rows. What does not fit is
// left out, the least important first.
func Lines(all []Replica, rows int) []string {
	t := sum(all)
	lines := []string{t.figures(), outcomes(t.outcomes) + fmt.Sprintf("   in progress %s", health.Count(int64(t.inFlight)))}
	if len(all) == 1 {
		return fit(append(lines, Summary(all[0])...), rows)
	}
	lines = append(lines, "", fmt.Sprintf("%-22s %9s %9s %5s %7s  %s", "REPLICA", "EVENTS/S", "RECORDS", "PART.", "LEVEL", "STATE"))
	for _, r := range all {
		lines = append(lines, row(r))
	}
	for _, r := range worst(all) {
		lines = append(lines, "", name(r.URL)+":")
		lines = append(lines, Summary(r)...)
	}
	return fit(printable(lines), rows)
}

// row is a replica's line of the table.
func row(r Replica) string {
	if r.Err != nil {
		return fmt.Sprintf("%-22s %9s %9s %5s %7s  %s", name(r.URL), "", "", "", "gone", headline(r))
	}
	s := r.Status
	return fmt.Sprintf("%-22s %9s %9s %5d %7s  %s", name(r.URL), health.PerSecond(s.Rates.Reported), health.Count(s.Backlog.Records),
		len(s.Partitions), s.Summary.Level, headline(r))
}

// Summary describes a replica in a few lines.
func Summary(r Replica) []string {
	if r.Err != nil {
		return printable([]string{headline(r), "What to do: Check that the process runs, and that its admin port can be reached from here."})
	}
	lines := strings.Split(r.Status.Summary.Text(), "\n")
	for i := range r.Status.Problems {
		if p := &r.Status.Problems[i]; p.Reason != r.Status.Summary.Reason {
			lines = append(lines, "Also: "+p.Headline)
		}
	}
	return printable(lines)
}

// outcomes lists the records by outcome.
func outcomes(counts map[string]uint64) string {
	return fmt.Sprintf("reported %s   duplicates %s   dead letters %s   skipped %s",
		health.Count(int64(counts["reported"])), health.Count(int64(counts["duplicate"])),
		health.Count(int64(counts["dead_letter"])), health.Count(int64(counts["skipped"])))
}

func printable(lines []string) []string {
	for i := range lines {
		lines[i] = terminal.Printable(lines[i])
	}
	return lines
}

// fit leaves the first lines, and the number of the others.
func fit(lines []string, rows int) []string {
	if rows < 2 || len(lines) <= rows {
		return lines
	}
	return append(lines[:rows-1:rows-1], fmt.Sprintf("… %d more lines", len(lines)-rows+1))
}

// Watch calls draw at once and then at an interval, until ctx ends.
func Watch(ctx context.Context, every time.Duration, draw func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		draw()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Client returns the client for admin ports.
func Client() *http.Client {
	return &http.Client{
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
