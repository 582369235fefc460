package event

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParentTable says for all pairs of types which may follow which: a row a
// child, with its parents by their numbers.
func TestParentTable(t *testing.T) {
	want := map[Type][]Type{
		Impression:                    nil,
		Notification:                  nil,
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
		InterviewGranted: {
			ApplicationFinish, ApplicationQuickSubmission, ApplicationRedirect,
			ApplicationRedirectFromSearch, ApplicationCompanySubmit, SentCV,
		},
		Hired: {
			ApplicationFinish, ApplicationQuickSubmission, ApplicationRedirect,
			ApplicationRedirectFromSearch, ApplicationCompanySubmit, SentCV, InterviewGranted,
		},
	}
	types := V3.Types() // v3 has them all
	if len(want) != len(types) {
		t.Fatalf("the table has %d rows for %d types", len(want), len(types))
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, child := range types {
		parents := slices.Sorted(slices.Values(child.Parents()))
		if !slices.Equal(parents, slices.Sorted(slices.Values(want[child]))) {
			t.Errorf("%s.Parents() = %v, want %v", child, parents, want[child])
		}
		e := &Event{Type: child, Time: at}
		for _, parent := range append(types, Unspecified) {
			f := e.CheckParent(parent, at)
			switch {
			case slices.Contains(want[child], parent):
				if f != nil {
					t.Errorf("%s after %s: %v", child, parent, f)
				}
			case f == nil:
				t.Errorf("%s after %s: no fault", child, parent)
			case f.Reason != ReasonParentMismatch || !strings.Contains(f.Detail, child.String()) || !strings.Contains(f.Detail, parent.String()):
				t.Errorf("%s after %s: %v", child, parent, f)
			}
		}
	}
}

// TestEveryTypeIsReachable: whatever a version has can come about from what
// starts a journey in that version.
func TestEveryTypeIsReachable(t *testing.T) {
	for _, v := range Versions() {
		reached := map[Type]bool{}
		for range v.Types() { // as many rounds as the longest path has steps
			for _, child := range v.Types() {
				parents := child.Parents()
				reached[child] = reached[child] || len(parents) == 0 ||
					slices.ContainsFunc(parents, func(p Type) bool { return reached[p] })
			}
		}
		for _, typ := range v.Types() {
			if !reached[typ] {
				t.Errorf("%s: no journey leads to %s", v, typ)
			}
		}
	}
}

func TestParentClockSkew(t *testing.T) {
	child := &Event{Type: View, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	tests := []struct {
		later time.Duration // than the child
		ok    bool
	}{
		{-24 * 365 * time.Hour, true},
		{-time.Nanosecond, true},
		{0, true},
		{time.Nanosecond, true},
		{ClockSkew - time.Nanosecond, true},
		{ClockSkew, true},
		{ClockSkew + time.Nanosecond, false},
		{time.Hour, false},
	}
	for _, test := range tests {
		f := child.CheckParent(Impression, child.Time.Add(test.later).In(time.FixedZone("", 3600)))
		if (f == nil) != test.ok {
			t.Errorf("a parent %s later: %v, want no fault: %t", test.later, f, test.ok)
		}
		if f != nil && (f.Reason != ReasonParentMismatch || !strings.Contains(f.Detail, "2026-01-02T03:04:05Z")) {
			t.Errorf("a parent %s later: %v", test.later, f)
		}
	}
}

func TestParentsIsACopy(t *testing.T) {
	parents := View.Parents()
	parents[0] = Hired
	if slices.Contains(View.Parents(), Hired) {
		t.Error("the table can be changed from outside")
	}
}

func TestParentDetails(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		child, parent Type
		at            time.Time
		want          string
	}{
		{Impression, View, at, "IMPRESSION starts a journey and has no parent, but parentEventId names a VIEW"},
		{View, ApplicationStart, at, "VIEW can't follow an APPLICATION_START: its parent is one of IMPRESSION, NOTIFICATION"},
		{SentCV, Impression, at, "SENT_CV can't follow an IMPRESSION: its parent is a VIEW"},
		{View, Impression, at.Add(time.Minute), "the parent was created at 2026-01-02T03:05:05Z, after its child at 2026-01-02T03:04:05Z"},
	}
	for _, test := range tests {
		e := &Event{Type: test.child, Time: at}
		if f := e.CheckParent(test.parent, test.at); f == nil || f.Detail != test.want {
			t.Errorf("%s after %s: %v, want %s", test.child, test.parent, f, test.want)
		}
	}
}
