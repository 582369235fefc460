package event

import (
	"fmt"
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
	return 0, fmt.Errorf("%q is not a version of the API: want v3, v4beta1 or v4", s)
}

// hasNotes: eventNotes came with v4beta1, with which extraInfo and
// parentEventId went (google/cloud/talent/v4/event.proto).
func (v Version) hasNotes() bool { return v != V3 }

// sendsLinks says whether parentEventId and extraInfo are fields of the API
// and not of our records alone.
func (v Version) sendsLinks() bool { return v == V3 }

// CheckParent says whether s is a parent that clientEvents.create of this
// version takes: projects/P for v3, projects/P/tenants/T for v4, and either
// for v4beta1 (jobs/v3 and jobs/v4 discovery documents,
// google/cloud/talent/v4beta1/event_service.proto).
func (v Version) CheckParent(s string) error {
	switch segments := resourceSegments(s); {
	case v != V4 && matches(segments, "projects"),
		v != V3 && matches(segments, "projects", "tenants"):
		return nil
	}
	return fmt.Errorf("%q is not a parent for %s: want %s", s, v, v.parentForms())
}

func (v Version) parentForms() string {
	switch v {
	case V3:
		return "projects/PROJECT"
	case V4:
		return "projects/PROJECT/tenants/TENANT"
	}
	return "projects/PROJECT or projects/PROJECT/tenants/TENANT"
}

// isJobName says whether s is a resource name that jobs have in this version.
func (v Version) isJobName(s string) bool {
	switch v {
	case V3:
		return hasForm(s, "projects/", "/jobs/")
	case V4:
		return hasForm(s, "projects/", "/tenants/", "/jobs/")
	}
	return hasForm(s, "projects/", "/jobs/") || hasForm(s, "projects/", "/tenants/", "/jobs/")
}

func (v Version) jobNameForms() string {
	switch v {
	case V3:
		return "projects/PROJECT/jobs/JOB"
	case V4:
		return "projects/PROJECT/tenants/TENANT/jobs/JOB"
	}
	return "projects/PROJECT/jobs/JOB or projects/PROJECT/tenants/TENANT/jobs/JOB"
}

// hasForm says whether s is the given literals, each followed by one segment
// that is not empty and has no slash. It allocates nothing: it runs for each
// job of each event.
func hasForm(s string, literals ...string) bool {
	for i, literal := range literals {
		rest, ok := strings.CutPrefix(s, literal)
		if !ok {
			return false
		}
		end := len(rest)
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			end = slash
		}
		if end == 0 || (i == len(literals)-1 && end != len(rest)) {
			return false
		}
		s = rest[end:]
	}
	return true
}

func resourceSegments(s string) []string { return strings.Split(s, "/") }

// matches says whether segments alternate between the given collections and
// ids that are not empty.
func matches(segments []string, collections ...string) bool {
	if len(segments) != 2*len(collections) {
		return false
	}
	for i, c := range collections {
		if segments[2*i] != c || segments[2*i+1] == "" {
			return false
		}
	}
	return true
}
