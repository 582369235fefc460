package event

import "fmt"

// Type is a JobEventType. Its value is the number that the API gives it
// (google/cloud/talent/v4/event.proto; 16 from v4beta1's of January 2019).
type Type uint8

// The event types, in the API's order.
const (
	Unspecified Type = iota
	Impression
	View
	ViewRedirect
	ApplicationStart
	ApplicationFinish
	ApplicationQuickSubmission
	ApplicationRedirect
	ApplicationStartFromSearch
	ApplicationRedirectFromSearch
	ApplicationCompanySubmit
	Bookmark
	Notification
	Hired
	SentCV
	InterviewGranted
	NotInterested
)

// typeInfo is one row of the table of event types.
type typeInfo struct {
	name     string
	versions versions
	// rank is the type's worth to the ranking of jobs, see [Type.Rank].
	rank uint8
	// parents are the types that may lead to it; none where it starts a journey.
	parents []Type
}

// The ranks, the most valuable first. rankNone is no type's: a type without a rank is
// a mistake that a test finds.
const (
	rankApplication uint8 = iota
	rankInterest
	rankShown
	// Ranks is how many ranks there are, see [Type.Rank].
	Ranks    = 3
	rankNone = Ranks
)

// applied are the types after which an application is with the employer.
var applied = []Type{
	ApplicationFinish, ApplicationQuickSubmission, ApplicationRedirect,
	ApplicationRedirectFromSearch, ApplicationCompanySubmit, SentCV,
}

// types is the table of event types: names and versions as the API has them, ranks as
// documented at [Type.Rank], and which types may lead to which.
//
// The API's documents give these steps: a search renders results (IMPRESSION)
// or an alert lists jobs (NOTIFICATION); from there the seeker opens the job
// (VIEW) or applies at once (…_FROM_SEARCH, "no VIEW"); an application
// otherwise follows a VIEW; QUICK_SUBMISSION and the redirects stand alone,
// without START and FINISH; HIRED and INTERVIEW_GRANTED follow applications.
// v4beta1 dropped NOT_INTERESTED in May 2019.
var types = [...]typeInfo{
	Unspecified: {"JOB_EVENT_TYPE_UNSPECIFIED", 0, rankNone, nil},

	Impression:    {"IMPRESSION", allVersions, rankShown, nil},
	Notification:  {"NOTIFICATION", allVersions, rankShown, nil},
	View:          {"VIEW", allVersions, rankInterest, []Type{Impression, Notification}},
	ViewRedirect:  {"VIEW_REDIRECT", allVersions, rankInterest, []Type{Impression, Notification, View}},
	Bookmark:      {"BOOKMARK", allVersions, rankInterest, []Type{Impression, Notification, View}},
	NotInterested: {"NOT_INTERESTED", versionsOf(V3), rankInterest, []Type{Impression, Notification, View}},

	ApplicationStart:              {"APPLICATION_START", allVersions, rankApplication, []Type{View}},
	ApplicationFinish:             {"APPLICATION_FINISH", allVersions, rankApplication, []Type{View, ApplicationStart, ApplicationStartFromSearch}},
	ApplicationQuickSubmission:    {"APPLICATION_QUICK_SUBMISSION", allVersions, rankApplication, []Type{View}},
	ApplicationRedirect:           {"APPLICATION_REDIRECT", allVersions, rankApplication, []Type{View}},
	ApplicationStartFromSearch:    {"APPLICATION_START_FROM_SEARCH", allVersions, rankApplication, []Type{Impression}},
	ApplicationRedirectFromSearch: {"APPLICATION_REDIRECT_FROM_SEARCH", allVersions, rankApplication, []Type{Impression}},
	ApplicationCompanySubmit:      {"APPLICATION_COMPANY_SUBMIT", allVersions, rankApplication, []Type{View}},
	SentCV:                        {"SENT_CV", allVersions, rankApplication, []Type{View}},
	InterviewGranted:              {"INTERVIEW_GRANTED", allVersions, rankApplication, applied},
	Hired:                         {"HIRED", allVersions, rankApplication, append([]Type{InterviewGranted}, applied...)},
}

var typesByName = func() map[string]Type {
	m := make(map[string]Type, len(types))
	for t := range types {
		m[types[t].name] = Type(t)
	}
	return m
}()

// info returns the type's row; the row of no type for a number that the table lacks.
func (t Type) info() *typeInfo {
	if int(t) < len(types) {
		return &types[t]
	}
	return &types[Unspecified]
}

// String returns the name that the API gives the type.
func (t Type) String() string {
	if int(t) < len(types) {
		return types[t].name
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Types lists the types that an event of this version may have, in the API's
// order. JOB_EVENT_TYPE_UNSPECIFIED is not among them: it has no meaning.
func (v Version) Types() (all []Type) {
	for t := range types {
		if types[t].versions.has(v) {
			all = append(all, Type(t))
		}
	}
	return all
}

// parseType reads a type's name; false where this version has no such type.
func (v Version) parseType(name string) (Type, bool) {
	t, ok := typesByName[name]
	return t, ok && types[t].versions.has(v)
}

// Rank orders types by their worth to the ranking of jobs, which learns from them: 0
// for applications and their results, 1 for a seeker's interest in one job, 2 for jobs
// that were merely shown. It is less than [Ranks] for every type of every version.
func (t Type) Rank() uint8 { return t.info().rank }
