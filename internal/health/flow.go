package health

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clientevents/clientevents/consumer"
)

const (
	// BadShare is the share of dead letters that is a problem, and LeastLetters how many
	// there must be: a share of few records means little.
	BadShare     = 0.10
	LeastLetters = 10
	// StalledAfter is for how long no record may have an outcome while some wait.
	StalledAfter = time.Minute
	// slowFrom is the time from a record to its acceptance from which the replica is
	// behind.
	slowFrom = 2 * time.Second
)

// ofDeadLetters finds a share of dead letters that is no accident.
func ofDeadLetters(f *Facts) []Problem {
	r := &f.Recent
	if r.DeadLetter < LeastLetters || r.Share < BadShare {
		return nil
	}
	reasons := slices.SortedFunc(maps.Keys(r.Letters), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Letters[b], r.Letters[a]), cmp.Compare(a, b))
	})
	counts := make([]string, 0, len(reasons))
	for _, reason := range reasons {
		if n := r.Letters[reason]; n > 0 {
			counts = append(counts, reason+" "+Count(int64(n)))
		}
	}
	main, _, _ := strings.Cut(counts[0], " ")
	return []Problem{{
		Reason:   DeadLetterShare,
		Headline: fmt.Sprintf("%s of the records become dead letters, most for %s", Percent(r.Share), main),
		facts: fmt.Sprintf("%s of %s records in the last %s: %s.", Count(int64(r.DeadLetter)), Count(int64(r.Records)),
			Lasting(time.Duration(r.Seconds*float64(time.Second))), strings.Join(counts, ", ")),
		Advice: "List the latest with `clientevents dead-letters list --newest --reason " + main + "`; docs/dead-letters.md has the cause and the remedy of each reason.",
		cause:  main,
	}}
}

// ofStall finds records that have no outcome for no known reason.
func ofStall(f *Facts) []Problem {
	idle := f.Backlog.Records == 0 || int64(f.Backlog.Waiting) == f.Backlog.Records
	if idle || f.Recent.Quiet < StalledAfter || len(f.Partitions) == 0 || explained(f) {
		return nil
	}
	return []Problem{{Reason: Stalled, Since: f.Now.Add(-f.Recent.Quiet), facts: Count(f.Backlog.Records) + " records have no outcome."}}
}

// explained reports whether another problem is the reason for a standstill.
func explained(f *Facts) bool {
	if f.Operator.Paused || f.Operator.Drained || !f.Reporter.Gate.Open || len(f.Reporter.Paused) > 0 || f.Throttled > 0 || !f.Leased || !f.Readiness.Ready() {
		return true
	}
	if f.Reporter.Held > 0 || f.Reporter.Rate > 0 && f.Reporter.Rate < 1 {
		return true
	}
	return slices.ContainsFunc(slices.Concat(f.Partitions, f.SourcePartitions), func(p consumer.PartitionStatus) bool { return p.Trouble != "" || p.Paused })
}

// flow describes how fast events go where nothing is wrong.
func flow(f *Facts) Problem {
	p := ofRate(f)
	p.Reason = "" // nothing is wrong
	return p
}

func ofRate(f *Facts) Problem {
	rate := f.Rates.Reported
	switch {
	case len(f.Partitions) == 0:
		return Problem{Level: OK, Headline: "Standing by: other replicas have all the partitions", Detail: "This one takes over when one of them ends."}
	case rate == 0 && f.Backlog.Records == 0:
		return Problem{Level: OK, Headline: "Up to date: nothing to report"}
	case rate == 0 && int64(f.Backlog.Waiting) == f.Backlog.Records:
		return Problem{Level: OK, Headline: fmt.Sprintf("Up to date: %s waiting for parents", Events(f.Backlog.Waiting))}
	case rate == 0:
		return Problem{
			Level: Busy, Headline: "Nothing was reported in the last ten seconds",
			Detail: Count(f.Backlog.Records) + " records have no outcome yet.",
		}
	}
	headline := fmt.Sprintf("Reporting %s events/s", PerSecond(rate))
	behind := time.Duration(f.Rates.EndToEnd * float64(time.Second))
	if behind < slowFrom {
		return Problem{Level: OK, Headline: headline + ", up to date", Detail: flowDetail(f, behind)}
	}
	return Problem{Level: Busy, Headline: headline + ", " + Lasting(behind) + " behind", Detail: flowDetail(f, behind)}
}

func flowDetail(f *Facts, behind time.Duration) string {
	text := "An event reaches the API " + Lasting(behind) + " after it was published"
	if rate, limit := f.Rates.Reported, f.Reporter.Rate; limit > 0 && rate > 0.9*limit {
		what := "the rate limit of " + PerSecond(limit) + "/s"
		if f.Reporter.Learned > 0 && (f.Reporter.Configured == 0 || limit < f.Reporter.Configured) {
			what = "the API's quota, learned to be about " + PerSecond(limit) + "/s,"
		}
		return text + "; " + what + " holds it up."
	}
	return text + "."
}
