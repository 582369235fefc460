// Package quality judges client events by the rules of Google's documentation
// about journeys: which types go alone, and which need another one before them.
//
// A journey are the events with one request ID. A rule is about one job of a
// journey: the types of the events that name it.
package quality

import (
	"slices"
	"strings"
	"sync"
)

// Rule is something that a job of a journey can violate.
type Rule string

// The rules. Each is quoted from the documentation of JobEventType or of
// ClientEvent.
const (
	// ViewWithoutImpression: a "view event usually follows a parent impression
	// event". A notification shows a job as well.
	ViewWithoutImpression Rule = "view_without_impression"
	// ImpressionWithoutView is no fault of one job: most jobs that are shown are
	// not opened. A board that opens none does not report its views.
	ImpressionWithoutView Rule = "impression_without_view"
	// QuickSubmissionNotAlone: "If this event is sent, there is no need to send
	// an APPLICATION_START or APPLICATION_FINISH event".
	QuickSubmissionNotAlone Rule = "quick_submission_not_alone"
	// StartFromSearchWithView: the application began on the results page; "no
	// VIEW".
	StartFromSearchWithView Rule = "start_from_search_with_view"
	// RedirectFromSearchNotAlone: sent alone, without START, FINISH or VIEW.
	RedirectFromSearchNotAlone Rule = "redirect_from_search_not_alone"
	// ApplicationWithoutView: an application follows the view of its job.
	ApplicationWithoutView Rule = "application_without_view"
	// OutcomeWithoutApplication: HIRED and INTERVIEW_GRANTED are only for
	// applications that began in the search.
	OutcomeWithoutApplication Rule = "outcome_without_application"
)

// types is a set of event types, in the low typeBits.
type types uint16

const (
	impression types = 1 << iota
	notification
	view
	viewRedirect
	start
	finish
	quickSubmission
	redirect
	startFromSearch
	redirectFromSearch
	companySubmit
	sentCV
	hired
	interview
)

// typesByName are the types that rules are about.
var typesByName = map[string]types{
	"IMPRESSION": impression, "NOTIFICATION": notification, "VIEW": view, "VIEW_REDIRECT": viewRedirect,
	"APPLICATION_START": start, "APPLICATION_FINISH": finish, "APPLICATION_QUICK_SUBMISSION": quickSubmission,
	"APPLICATION_REDIRECT": redirect, "APPLICATION_START_FROM_SEARCH": startFromSearch,
	"APPLICATION_REDIRECT_FROM_SEARCH": redirectFromSearch, "APPLICATION_COMPANY_SUBMIT": companySubmit,
	"SENT_CV": sentCV, "HIRED": hired, "INTERVIEW_GRANTED": interview,
}

func (t types) any(of types) bool { return t&of != 0 }

const (
	shown       = impression | notification
	fromView    = start | quickSubmission | redirect
	fromSearch  = startFromSearch | redirectFromSearch
	application = fromView | fromSearch | finish | companySubmit | sentCV
)

// rules is the table of rules: violated reports whether the types that name a
// job violate one.
var rules = []struct {
	rule     Rule
	meaning  string
	violated func(t types) bool
}{
	{ViewWithoutImpression, "a job was viewed that no impression or notification had shown", func(t types) bool {
		return t.any(view|viewRedirect) && !t.any(shown)
	}},
	{ImpressionWithoutView, "a job was shown and neither viewed nor applied to; most jobs are, but not all", func(t types) bool {
		return t.any(shown) && !t.any(view|viewRedirect|application)
	}},
	{QuickSubmissionNotAlone, "APPLICATION_QUICK_SUBMISSION came with APPLICATION_START or APPLICATION_FINISH", func(t types) bool {
		return t.any(quickSubmission) && t.any(start|finish)
	}},
	{StartFromSearchWithView, "APPLICATION_START_FROM_SEARCH came with VIEW", func(t types) bool {
		return t.any(startFromSearch) && t.any(view)
	}},
	{RedirectFromSearchNotAlone, "APPLICATION_REDIRECT_FROM_SEARCH came with APPLICATION_START, APPLICATION_FINISH or VIEW", func(t types) bool {
		return t.any(redirectFromSearch) && t.any(start|finish|view)
	}},
	{ApplicationWithoutView, "a job was applied to without VIEW", func(t types) bool {
		return t.any(fromView) && !t.any(view|viewRedirect)
	}},
	{OutcomeWithoutApplication, "HIRED or INTERVIEW_GRANTED came without an application", func(t types) bool {
		return t.any(hired|interview) && !t.any(application)
	}},
}

// Rules lists the rules.
func Rules() (all []Rule) {
	for i := range rules {
		all = append(all, rules[i].rule)
	}
	return all
}

// DefaultPairs is the number of jobs of journeys that a [Tracker] remembers by
// default, in at most 16 MB.
const DefaultPairs = 100_000

// Tracker judges events as they come. It is safe for concurrent use. Its memory is
// bounded: when it remembers too many jobs, the journeys that began first are
// judged for good, and later events of theirs begin new ones.
type Tracker struct {
	mu     sync.Mutex
	open   journeys
	events int64
	byType map[string]int64
	done   tally // of the journeys that are forgotten
}

// tally counts journeys and, by the index of rules, violations.
type tally struct {
	journeys int64
	jobs     int64
	violated [ruleCount]Violations
}

// ruleCount is the length of rules.
const ruleCount = 7

// Violations are the journeys that violate a rule, and their jobs that do.
type Violations struct {
	Journeys int64 `json:"journeys"`
	Jobs     int64 `json:"jobs"`
}

// NewTracker returns a tracker that remembers at most that many jobs of journeys.
func NewTracker(pairs int) *Tracker {
	return &Tracker{open: newJourneys(pairs), byType: map[string]int64{}}
}

// Add judges an event. Names of one job must be equal. An event without a request
// ID belongs to no journey and is only counted.
func (t *Tracker) Add(requestID, eventType string, jobs []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events++
	t.byType[eventType]++
	if requestID == "" {
		return
	}
	t.open.add(requestID, typesByName[eventType], jobs, 0, func(j *journey) { t.done.add(j) })
}

func (t *tally) add(j *journey) {
	t.journeys++
	t.jobs += int64(len(j.jobs))
	for i := range rules {
		violations := int64(0)
		for _, p := range j.jobs {
			if rules[i].violated(p.types()) {
				violations++
			}
		}
		t.violated[i].Jobs += violations
		if violations > 0 {
			t.violated[i].Journeys++
		}
	}
}

// Report is the judgement of all events so far.
type Report struct {
	Events   int64 `json:"events"`
	Journeys int64 `json:"journeys"`
	// Jobs counts the jobs of each journey.
	Jobs  int64        `json:"jobs"`
	Rules []RuleReport `json:"rules"`
	Types []TypeReport `json:"types"`
}

// RuleReport counts the violations of one rule.
type RuleReport struct {
	Rule    Rule   `json:"rule"`
	Meaning string `json:"meaning"`
	Violations
}

// TypeReport counts the events of one type.
type TypeReport struct {
	Type   string  `json:"type"`
	Events int64   `json:"events"`
	Share  float64 `json:"share"` // of all events, from 0 to 1
}

// Report judges the events so far: each rule in the order of their table, and the
// types with the most frequent first.
func (t *Tracker) Report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.done
	for j := range t.open.all() {
		all.add(j)
	}
	return report(&all, t.events, t.byType)
}

func report(all *tally, events int64, byType map[string]int64) Report {
	r := Report{Events: events, Journeys: all.journeys, Jobs: all.jobs, Types: []TypeReport{}}
	for i := range rules {
		r.Rules = append(r.Rules, RuleReport{rules[i].rule, rules[i].meaning, all.violated[i]})
	}
	for name, n := range byType {
		r.Types = append(r.Types, TypeReport{name, n, float64(n) / float64(events)})
	}
	slices.SortFunc(r.Types, func(a, b TypeReport) int {
		if a.Events != b.Events {
			return int(b.Events - a.Events)
		}
		return strings.Compare(a.Type, b.Type)
	})
	return r
}
