package event

import (
	"slices"
	"strings"
	"testing"
)

func TestVersions(t *testing.T) {
	for _, v := range Versions() {
		if got, err := ParseVersion(v.String()); err != nil || got != v {
			t.Errorf("ParseVersion(%q) = %v, %v", v.String(), got, err)
		}
	}
	for _, s := range []string{"", "V3", "v2", "v3p1beta1", "4", " v4"} {
		if v, err := ParseVersion(s); err == nil || !strings.Contains(err.Error(), "expected v3, v4beta1 or v4") {
			t.Errorf("ParseVersion(%q) = %v, %v", s, v, err)
		}
	}
	if got := Version(9).String(); got != "Version(9)" {
		t.Errorf("an unknown version is %q", got)
	}
}

func TestCheckParentPath(t *testing.T) {
	tests := map[string][]Version{
		"projects/p":                   {V3, V4Beta1},
		"projects/my.org:p-1":          {V3, V4Beta1},
		"projects/p/tenants/t":         {V4Beta1, V4},
		"":                             nil,
		"p":                            nil,
		"projects":                     nil,
		"projects/":                    nil,
		"projects//tenants/t":          nil,
		"projects/p/":                  nil,
		"/projects/p":                  nil,
		"projects/p/tenants":           nil,
		"projects/p/tenants/":          nil,
		"projects/p/tenants/t/":        nil,
		"projects/p/tenants/t/jobs/j":  nil,
		"projects/p/companies/c":       nil,
		"tenants/t":                    nil,
		"v4/projects/p/tenants/t":      nil,
		"PROJECTS/p":                   nil,
		"projects/p/tenants/t/extra/e": nil,
	}
	for parent, versions := range tests {
		for _, v := range Versions() {
			err := v.CheckParent(parent)
			if (err == nil) != slices.Contains(versions, v) {
				t.Errorf("%s.CheckParent(%q) = %v", v, parent, err)
			}
		}
	}
	for v, want := range map[Version]string{
		V3:      `"x" is not a parent for v3: expected projects/PROJECT`,
		V4Beta1: `"x" is not a parent for v4beta1: expected projects/PROJECT or projects/PROJECT/tenants/TENANT`,
		V4:      `"x" is not a parent for v4: expected projects/PROJECT/tenants/TENANT`,
	} {
		if err := v.CheckParent("x"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestTypes holds the numbers to those of JobEventType in
// google/cloud/talent/v4/event.proto, and NOT_INTERESTED to v3 alone.
func TestTypes(t *testing.T) {
	numbers := map[Type]string{
		0: "JOB_EVENT_TYPE_UNSPECIFIED", 1: "IMPRESSION", 2: "VIEW", 3: "VIEW_REDIRECT", 4: "APPLICATION_START", 5: "APPLICATION_FINISH",
		6: "APPLICATION_QUICK_SUBMISSION", 7: "APPLICATION_REDIRECT", 8: "APPLICATION_START_FROM_SEARCH", 9: "APPLICATION_REDIRECT_FROM_SEARCH",
		10: "APPLICATION_COMPANY_SUBMIT", 11: "BOOKMARK", 12: "NOTIFICATION", 13: "HIRED", 14: "SENT_CV", 15: "INTERVIEW_GRANTED", 16: "NOT_INTERESTED",
	}
	for number, name := range numbers {
		if number.String() != name {
			t.Errorf("type %d is %s, want %s", number, number, name)
		}
		if ranked := number.Rank() < Ranks; ranked != (number != Unspecified) {
			t.Errorf("%s has the rank %d", number, number.Rank())
		}
		for _, v := range Versions() {
			want := number != 0 && (v == V3 || name != "NOT_INTERESTED")
			if got := slices.Contains(v.Types(), number); got != want {
				t.Errorf("%s.Types() has %s: %t", v, name, got)
			}
			reason := ReasonInvalidType
			if want {
				reason = ""
			}
			e := wantReason(t, recordWith(v, edits{"type": `"` + name + `"`}), v, reason)
			if e != nil && e.Type != number {
				t.Errorf("%s decodes as %d", name, e.Type)
			}
		}
	}
	if got := Type(17).String(); got != "Type(17)" {
		t.Errorf("an unknown type is %q", got)
	}
}
