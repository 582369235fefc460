package shape

import (
	"encoding/json"
	"hash/fnv"
	"strings"
	"time"
)

// facts are what every shape carries of an event. A nil fact is absent.
type facts struct {
	id, request, parent, at, kind any
	// jobs are the jobs' IDs, or nil.
	jobs []string
}

// factsOf reads an event, which may be invalid.
func factsOf(value []byte) (facts, error) {
	var e struct {
		EventID       any
		RequestID     any
		ParentEventID any
		CreateTime    any
		JobEvent      struct {
			Type any
			Jobs []string
		}
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return facts{}, err
	}
	f := facts{id: e.EventID, request: e.RequestID, parent: e.ParentEventID, at: e.CreateTime, kind: e.JobEvent.Type}
	if e.JobEvent.Jobs != nil {
		f.jobs = make([]string, len(e.JobEvent.Jobs))
	}
	for i, name := range e.JobEvent.Jobs {
		f.jobs[i] = name // an invalid name stays one
		if at := strings.LastIndex(name, "/jobs/"); at > 0 {
			f.jobs[i] = name[at+len("/jobs/"):]
		}
	}
	return f, nil
}

// text is a fact as a string; "" if it is absent or something else.
func text(fact any) string {
	s, _ := fact.(string)
	return s
}

// time is the event's time; false if it has none.
func (f *facts) time() (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, text(f.at))
	return t, err == nil
}

// number makes an integer of up to 19 digits of an ID.
func number(id any) any {
	s := text(id)
	if s == "" {
		return nil
	}
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64() >> 1
}
