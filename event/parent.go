package event

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ClockSkew is how much later than its child a parent may have been created,
// since the two may come from different machines.
const ClockSkew = 5 * time.Second

// parents is the whole table of which types may lead to which. A type without
// an entry starts a journey and follows nothing.
//
// The API's documents give these steps: a search renders results (IMPRESSION)
// or an alert lists jobs (NOTIFICATION); from there the seeker opens the job
// (VIEW) or applies at once (…_FROM_SEARCH, "no VIEW"); an application
// otherwise follows a VIEW; QUICK_SUBMISSION and the redirects stand alone,
// without START and FINISH; HIRED and INTERVIEW_GRANTED come of applications.
var parents = map[Type][]Type{
	View:                          {Impression, Notification},
	ViewRedirect:                  {Impression, Notification, View},
	Bookmark:                      {Impression, Notification, View},
	NotInterested:                 {Impression, Notification, View},
	ApplicationStart:              {View},
	ApplicationFinish:             {View, ApplicationStart, ApplicationStartFromSearch},
	ApplicationQuickSubmission:    {View},
	ApplicationRedirect:           {View},
	ApplicationStartFromSearch:    {Impression},
	ApplicationRedirectFromSearch: {Impression},
	ApplicationCompanySubmit:      {View},
	SentCV:                        {View},
	InterviewGranted:              applied,
	Hired:                         append([]Type{InterviewGranted}, applied...),
}

// applied are the types after which an application is with the employer.
var applied = []Type{
	ApplicationFinish, ApplicationQuickSubmission, ApplicationRedirect,
	ApplicationRedirectFromSearch, ApplicationCompanySubmit, SentCV,
}

// Parents lists the types that may lead to t; none for a type that starts a
// journey.
func (t Type) Parents() []Type { return slices.Clone(parents[t]) }

// CheckParent says what is wrong with an event of type parent, created at
// created, as the parent of e; nil where nothing is.
func (e *Event) CheckParent(parent Type, created time.Time) *Fault {
	allowed := parents[e.Type]
	switch {
	case len(allowed) == 0:
		return mismatch("%s starts a journey and has no parent, but parentEventId names %s", e.Type, article(parent))
	case !slices.Contains(allowed, parent):
		return mismatch("%s can't follow %s: its parent is %s", e.Type, article(parent), oneOf(allowed))
	case created.After(e.Time.Add(ClockSkew)):
		return mismatch("the parent was created at %s, after its child at %s",
			created.UTC().Format(time.RFC3339Nano), e.Time.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

func mismatch(format string, args ...any) *Fault {
	return &Fault{Reason: ReasonParentMismatch, Detail: fmt.Sprintf(format, args...)}
}

func article(t Type) string {
	if strings.ContainsRune("AEIOU", rune(t.String()[0])) {
		return "an " + t.String()
	}
	return "a " + t.String()
}

func oneOf(types []Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	if len(names) == 1 {
		return article(types[0])
	}
	return "one of " + strings.Join(names, ", ")
}
