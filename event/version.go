package event

import (
	"fmt"
	"slices"
	"strings"
)

// Version is a version of the API, which decides the fields, the event types
// and the form of job names that a record may have.
type Version uint8

// The versions whose clientEvents.create the program speaks.
const (
	V3 Version = iota + 1
	V4Beta1
	V4
)

// Versions lists all versions, oldest first.
func Versions() []Version { return []Version{V3, V4Beta1, V4} }

// String is the version as it stands in the API's paths.
func (v Version) String() string {
	switch v {
	case V3:
		return "v3"
	case V4Beta1:
		return "v4beta1"
	case V4:
		return "v4"
	}
	return fmt.Sprintf("Version(%d)", uint8(v))
}

// ParseVersion reads what [Version.String] writes.
func ParseVersion(s string) (Version, error) {
	for _, v := range Versions() {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%q is not a version of the API: expected v3, v4beta1 or v4", s)
}

// versions is a set of versions.
type versions uint8

// allVersions holds every version, also those to come.
const allVersions = ^versions(0)

func versionsOf(all ...Version) (set versions) {
	for _, v := range all {
		set |= 1 << v
	}
	return set
}

func (set versions) has(v Version) bool { return set&(1<<v) != 0 }

// form is how a resource is named: literals, each followed by one segment that
// is not empty and has no slash (google/api/resource.proto; the pattern of a
// segment is [^/]+ in the discovery documents).
type form []string

// The forms of the names that the program meets.
var (
	projectForms   = []form{{"projects/"}}
	tenantForms    = []form{{"projects/", "/tenants/"}}
	eitherForms    = slices.Concat(projectForms, tenantForms)
	jobForms       = []form{{"projects/", "/jobs/"}}
	tenantJobForms = []form{{"projects/", "/tenants/", "/jobs/"}}
	eitherJobForms = slices.Concat(jobForms, tenantJobForms)
)

// pick is the version's choice: only v3's, only v4's, or either, which v4beta1
// takes since it has a default tenant.
func (v Version) pick(v3, v4, either []form) []form {
	switch v {
	case V3:
		return v3
	case V4:
		return v4
	case V4Beta1:
		return either
	}
	panic("event: no version " + v.String())
}

// jobForms are the forms of job names in this version.
func (v Version) jobForms() []form { return v.pick(jobForms, tenantJobForms, eitherJobForms) }

// CheckParent reports whether s is a parent that clientEvents.create of this
// version takes: projects/P for v3, projects/P/tenants/T for v4, and either
// for v4beta1 (jobs/v3 and jobs/v4 discovery documents,
// google/cloud/talent/v4beta1/event_service.proto).
func (v Version) CheckParent(s string) error {
	forms := v.pick(projectForms, tenantForms, eitherForms)
	if !hasForm(s, forms) {
		return fmt.Errorf("%q is not a parent for %s: expected %s", s, v, describe(forms))
	}
	return nil
}

// hasForm reports whether s is a name of one of the forms.
func hasForm(s string, forms []form) bool {
	for _, f := range forms {
		if f.matches(s) {
			return true
		}
	}
	return false
}

// matches allocates nothing: it runs for each job of each event.
func (f form) matches(s string) bool {
	for _, literal := range f {
		rest, ok := strings.CutPrefix(s, literal)
		if !ok {
			return false
		}
		end := strings.IndexByte(rest, '/')
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return false
		}
		s = rest[end:]
	}
	return s == ""
}

// describe writes forms for a person: projects/PROJECT/jobs/JOB.
func describe(forms []form) string {
	var all []string
	for _, f := range forms {
		var b strings.Builder
		for _, literal := range f {
			b.WriteString(literal)
			b.WriteString(strings.ToUpper(strings.TrimSuffix(strings.Trim(literal, "/"), "s")))
		}
		all = append(all, b.String())
	}
	return strings.Join(all, " or ")
}

// pattern is forms as a regular expression.
func pattern(forms []form) string {
	var all []string
	for _, f := range forms {
		all = append(all, strings.Join(f, "[^/]+")+"[^/]+")
	}
	return "^(" + strings.Join(all, "|") + ")$"
}
