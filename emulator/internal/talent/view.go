package talent

import (
	"strconv"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// view selects the fields of a job that an answer has. Its numbers are those of the
// enum JobView.
type view int

const (
	viewIDOnly view = 1 + iota
	viewMinimal
	viewSmall
	viewFull
)

// jobViews are the names of the enum by their numbers.
var jobViews = []string{"JOB_VIEW_UNSPECIFIED", "JOB_VIEW_ID_ONLY", "JOB_VIEW_MINIMAL", "JOB_VIEW_SMALL", "JOB_VIEW_FULL"}

// viewFields are the fields that a view adds to the previous one.
var viewFields = map[view][]string{
	viewIDOnly:  {"name", "requisitionId", "languageCode"},
	viewMinimal: {"title", "company", "companyName"},
	viewSmall:   {"visibility", "description"},
}

func viewOf(name string, otherwise view) (view, *Error) {
	for i, known := range jobViews {
		if name == known || name == strconv.Itoa(i) {
			if i == 0 {
				return otherwise, nil
			}
			return view(i), nil
		}
	}
	if name == "" {
		return otherwise, nil
	}
	return 0, fieldErrorf(InvalidArgument, "job_view", "%q is not a JobView", protojson.Clip(name))
}

// of returns the fields of a job in the view.
func (w view) of(o Object) Object {
	if w == viewFull {
		return o
	}
	out := Object{}
	for level := viewIDOnly; level <= w; level++ {
		for _, name := range viewFields[level] {
			if value, has := o[name]; has {
				out[name] = value
			}
		}
	}
	// JOB_VIEW_MINIMAL has only DerivedInfo.locations.
	if derived, _ := o["derivedInfo"].(Object); w >= viewMinimal && derived["locations"] != nil {
		out["derivedInfo"] = Object{"locations": derived["locations"]}
	}
	return out
}
