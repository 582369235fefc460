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

var typeNames = [...]string{
	Unspecified:                   "JOB_EVENT_TYPE_UNSPECIFIED",
	Impression:                    "IMPRESSION",
	View:                          "VIEW",
	ViewRedirect:                  "VIEW_REDIRECT",
	ApplicationStart:              "APPLICATION_START",
	ApplicationFinish:             "APPLICATION_FINISH",
	ApplicationQuickSubmission:    "APPLICATION_QUICK_SUBMISSION",
	ApplicationRedirect:           "APPLICATION_REDIRECT",
	ApplicationStartFromSearch:    "APPLICATION_START_FROM_SEARCH",
	ApplicationRedirectFromSearch: "APPLICATION_REDIRECT_FROM_SEARCH",
	ApplicationCompanySubmit:      "APPLICATION_COMPANY_SUBMIT",
	Bookmark:                      "BOOKMARK",
	Notification:                  "NOTIFICATION",
	Hired:                         "HIRED",
	SentCV:                        "SENT_CV",
	InterviewGranted:              "INTERVIEW_GRANTED",
	NotInterested:                 "NOT_INTERESTED",
}

var typesByName = func() map[string]Type {
	m := make(map[string]Type, len(typeNames))
	for t, name := range typeNames {
		m[name] = Type(t)
	}
	return m
}()

// String is the name that the API gives the type.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Types lists the types that an event of this version may have, in the API's
// order. JOB_EVENT_TYPE_UNSPECIFIED is not among them: it has no meaning.
func (v Version) Types() []Type {
	last := InterviewGranted
	if v == V3 {
		last = NotInterested // v4beta1 dropped it in May 2019
	}
	var types []Type
	for t := Impression; t <= last; t++ {
		types = append(types, t)
	}
	return types
}

// parseType reads a type's name; false where this version has no such type.
func (v Version) parseType(name string) (Type, bool) {
	t, ok := typesByName[name]
	if !ok || t == Unspecified || (t == NotInterested && v != V3) {
		return Unspecified, false
	}
	return t, true
}

// Ranks is how many ranks there are, see [Type.Rank].
const Ranks = 3

// Rank orders types by what they are worth to the ranking of jobs, which learns
// from them: 0 for applications and what comes of them, 1 for a seeker's interest
// in one job, 2 for what was merely shown.
func (t Type) Rank() uint8 {
	switch t {
	case Impression, Notification:
		return 2
	case View, ViewRedirect, Bookmark, NotInterested:
		return 1
	}
	return 0
}
