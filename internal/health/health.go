// Package health decides whether a replica does its work, and if not, what is wrong,
// since when, in whose words, what that affects and what to do. The status page,
// /status, /readyz, the log, the metric and the command line all show its result.
package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/internal/oneline"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/internal/tlsfile"
	"github.com/clientevents/clientevents/reporter"
)

// Level is how serious a problem is.
type Level string

// The levels.
const (
	OK Level = "ok"
	// Busy means that the replica starts, waits for a moment or is behind.
	Busy Level = "busy"
	// Paused means that an operator paused or drained something.
	Paused Level = "paused"
	// Bad means that events wait or are lost to the destination until the cause is gone.
	Bad Level = "bad"
)

// Problem is one thing that is wrong.
type Problem struct {
	// Reason is a value of [Reasons].
	Reason   Reason `json:"reason,omitempty"`
	Level    Level  `json:"level"`
	Headline string `json:"headline"`
	// Since is when this reason began to hold, and Seconds for how long it has held.
	Since   time.Time `json:"since,omitzero"`
	Seconds float64   `json:"for_seconds,omitempty"`
	// Detail is the whole description in sentences. Said is the broker's or the API's
	// own words, which it repeats.
	Detail string `json:"detail,omitempty"`
	Said   string `json:"said,omitempty"`
	// Affects is what waits or goes wrong, and Advice what to do.
	Affects string `json:"affects,omitempty"`
	Advice  string `json:"advice,omitempty"`

	// facts are sentences about this problem beyond its time and words.
	facts string
	// slot names what the problem is about: a problem replaces another one in its slot.
	// cause tells problems apart that have the same slot and reason.
	slot, cause string
	// ordinary problems are not logged when they begin and end: they pass by
	// themselves, or are logged elsewhere.
	ordinary bool
}

// Facts are what the health is computed from.
type Facts struct {
	Now time.Time
	// The names of the topics, the group and the destination.
	Topic, DeadLetterTopic, StateTopic, ByRequestTopic, Group string
	Parent                                                    string

	Readiness consumer.Readiness
	// Leased reports whether the coordinator has confirmed in time that the partitions
	// are this replica's.
	Leased bool
	Member group.Status
	// Throttled is for how long the brokers ask for no further request.
	Throttled  time.Duration
	Partitions []consumer.PartitionStatus
	// Uncommitted is why offsets can't be committed; nil if they can.
	Uncommitted *consumer.Cause
	// Loss is what the brokers deleted before it was read.
	Loss consumer.Loss
	// State is what is wrong with the state topic.
	State consumer.StateTopicStatus
	// SourcePartitions are, with input.rekey, those of the source topic; Partitions are
	// then those of the internal topic.
	SourcePartitions []consumer.PartitionStatus
	Reporter         reporter.Status
	// SchemaRegistry is why the schema registry can't be used; "" if it can.
	SchemaRegistry string

	Reload Reload
	// Config is the hash of the configuration.
	Config string
	// Certificates are those in use.
	Certificates      []tlsfile.Expiry
	Operator          Operator
	InFlight, Pending int
	Rates             Rates
	Backlog           Backlog
	Recent            Recent
}

// Reload is a change of the configuration that is not in force.
type Reload struct {
	// Error is the reason; "" if the last change is in force.
	Error string
	// NeedsRestart reports that the changed keys take effect at a start only.
	NeedsRestart bool
}

// Operator is what an operator did to the replica.
type Operator struct {
	Drained, Paused bool
	// Since and By are of the pause.
	Since time.Time
	By    string
}

// Rates are records a second by outcome, over the last ten seconds.
type Rates struct {
	Reported   float64 `json:"reported"`
	Duplicate  float64 `json:"duplicate"`
	DeadLetter float64 `json:"dead_letter"`
	Skipped    float64 `json:"skipped"`
	// EndToEnd is the mean time in seconds from a record's timestamp to the
	// API's acceptance, of the events that were accepted in these ten seconds.
	EndToEnd float64 `json:"end_to_end_seconds"`
	// Throttled is the share of these ten seconds, 0 to 1, in which events waited
	// for the rate limit or the API.
	Throttled float64 `json:"throttled_share"`
}

// Backlog is the records without an outcome on the partitions of this replica.
type Backlog struct {
	Records int64 `json:"records"`
	// Oldest is the timestamp of the oldest record that was read and has no
	// outcome; zero if there is none.
	Oldest  time.Time `json:"oldest,omitzero"`
	Waiting int       `json:"waiting_for_parent"`
}

// Recent are the outcomes of the records of the last minutes.
type Recent struct {
	// Seconds is the time that the counts are of.
	Seconds float64 `json:"seconds"`
	Records uint64  `json:"records"`
	// Letters counts dead letters by reason.
	Letters    map[string]uint64 `json:"dead_letters"`
	DeadLetter uint64            `json:"dead_letter"`
	// Share is the dead letters' share of the records, 0 to 1.
	Share float64 `json:"dead_letter_share"`
	// Quiet is for how long no record has had an outcome.
	Quiet time.Duration `json:"-"`
}

// Report is the health at a moment.
type Report struct {
	// Summary is the most important problem, or how fast events flow.
	Summary Problem
	// Problems are all problems, the most important first.
	Problems []Problem
}

// Evaluate returns the health. Problems that have no time of their own begin at
// f.Now; a [Tracker] knows better.
func Evaluate(f *Facts) Report {
	var all []Problem
	for _, find := range []func(*Facts) []Problem{
		ofOperator, ofGroup, ofMembership, ofLease, ofAPI, ofTopics, ofRegistry, ofCommits, ofLoss, ofState, ofDeadLetters, ofStall,
		ofThrottling, ofReload, ofDrift, ofCertificates, ofPausedPartitions,
	} {
		all = append(all, find(f)...)
	}
	for i := range all {
		all[i].complete(f.Now)
	}
	separate(all)
	slices.SortStableFunc(all, func(a, b Problem) int { return rank(&a) - rank(&b) })
	return Report{Problems: all}
}

// separate gives each problem a slot of its own.
func separate(all []Problem) {
	taken := map[string]int{}
	for i := range all {
		name := all[i].slot
		if taken[name]++; taken[name] > 1 {
			all[i].slot = fmt.Sprintf("%s/%d", name, taken[name])
		}
	}
}

// rank orders problems: an operator's intention explains the others.
func rank(p *Problem) int {
	switch {
	case p.Reason == Drained || p.Reason == PausedByOperator:
		return 0
	case p.Level == Bad:
		return 1
	case p.Reason == Draining:
		return 2
	case p.Reason == PartitionsPaused:
		return 4
	}
	return 3
}

// complete fills in the fields that follow from the reason.
func (p *Problem) complete(now time.Time) {
	t := texts[p.Reason]
	if p.Headline == "" {
		p.Headline = t.headline
	}
	if p.Affects == "" {
		p.Affects = t.affects
	}
	if p.Advice == "" {
		p.Advice = t.advice
	}
	if p.Level == "" {
		p.Level = Bad
	}
	if p.Since.IsZero() {
		p.Since = now
	}
	if p.slot == "" {
		p.slot = string(p.Reason)
	}
	p.ordinary = p.ordinary || t.ordinary
	p.Said, p.facts = said(p.Said), terminal.Printable(p.facts)
}

// said makes the words of a broker or of the API fit for a page, a log and a terminal.
func said(text string) string {
	const most = 400 // bytes
	return terminal.Printable(oneline.Shorten(oneline.Of(text), most))
}

// settle describes the problem at now, when its beginning is known.
func (p *Problem) settle(now time.Time) {
	p.Seconds = max(0, now.Sub(p.Since).Seconds())
	p.Detail = p.facts
	if d := now.Sub(p.Since); d >= time.Second {
		p.Detail = join("Since "+Clock(p.Since, now)+" ("+Lasting(d)+").", p.Detail)
	}
	if p.Said != "" {
		label := "Error: "
		if p.slot == slotAPI {
			label = "It said: "
		}
		p.Detail = join(p.Detail, label+p.Said)
	}
}

// Text returns the problem in lines for a person.
func (p *Problem) Text() string {
	var text strings.Builder
	text.WriteString(p.Headline)
	for _, line := range []struct{ label, text string }{{"", p.Detail}, {"Affects: ", p.Affects}, {"What to do: ", p.Advice}} {
		if line.text != "" {
			text.WriteString("\n" + line.label + line.text)
		}
	}
	return text.String()
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}
