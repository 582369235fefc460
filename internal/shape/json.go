package shape

import (
	"encoding/json"
	"strings"
)

// jsonShape writes facts as one JSON object.
type jsonShape func(f *facts) map[string]any

func (object jsonShape) encode(f *facts) ([]byte, error) { return json.Marshal(object(f)) }

func (jsonShape) broken(value []byte) []byte { return value[:len(value)/2] }

func (object jsonShape) describe(f *facts, _ []byte) string {
	indented, _ := json.MarshalIndent(object(f), "", "  ") // strings and numbers have JSON
	return string(indented)
}

func flat(f *facts) map[string]any {
	at := f.at
	if t, ok := f.time(); ok {
		at = t.UnixMilli()
	}
	kind := f.kind
	if s := text(kind); s != "" {
		kind = strings.ToLower(s)
	}
	return present(map[string]any{
		"id": number(f.id), "search_id": f.request, "parent_id": number(f.parent), "ts": at,
		"action": kind, "job_ids": f.list(), "user": "u-1",
	})
}

// nestedKinds are the types of docs/mapping/nested by the names of events.
var nestedKinds = map[string]string{
	"IMPRESSION": "SHOWN", "NOTIFICATION": "NOTIFIED", "VIEW": "VIEWED", "VIEW_REDIRECT": "LEFT",
	"BOOKMARK": "SAVED", "APPLICATION_START": "APPLY_STARTED", "APPLICATION_FINISH": "APPLIED",
	"APPLICATION_QUICK_SUBMISSION": "APPLIED_QUICKLY", "APPLICATION_REDIRECT": "APPLY_LEFT",
	"APPLICATION_START_FROM_SEARCH":    "APPLY_STARTED_IN_SEARCH",
	"APPLICATION_REDIRECT_FROM_SEARCH": "APPLY_LEFT_IN_SEARCH",
	"APPLICATION_COMPANY_SUBMIT":       "APPLIED_AT_COMPANY", "SENT_CV": "CV_SENT",
	"INTERVIEW_GRANTED": "INTERVIEWED", "HIRED": "HIRED",
}

func nested(f *facts) map[string]any {
	var jobs []any
	for _, id := range f.jobs {
		jobs = append(jobs, map[string]any{"id": id})
	}
	context := map[string]any{"search": present(map[string]any{"requestId": f.request}), "page": "results"}
	if f.parent != nil {
		context["parent"] = map[string]any{"uuid": f.parent}
	}
	payload := map[string]any{"context": context}
	if f.jobs != nil {
		payload["jobs"] = append([]any{}, jobs...)
	}
	return map[string]any{
		"meta":    present(map[string]any{"uuid": f.id, "kind": named(nestedKinds, f.kind), "occurredAt": f.at, "device": "phone"}),
		"payload": payload,
	}
}

// segmentEvents are the types of docs/mapping/segment by the names of events.
var segmentEvents = map[string]string{
	"IMPRESSION": "Jobs Shown", "NOTIFICATION": "Jobs Mailed", "VIEW": "Job Viewed", "VIEW_REDIRECT": "Job Left",
	"BOOKMARK": "Job Bookmarked", "APPLICATION_START": "Application Started", "APPLICATION_FINISH": "Application Submitted",
	"APPLICATION_QUICK_SUBMISSION": "Quick Application Submitted", "APPLICATION_REDIRECT": "Application Left",
	"APPLICATION_START_FROM_SEARCH":    "Search Application Started",
	"APPLICATION_REDIRECT_FROM_SEARCH": "Search Application Left",
	"APPLICATION_COMPANY_SUBMIT":       "Company Application Submitted", "SENT_CV": "CV Sent",
	"INTERVIEW_GRANTED": "Interview Granted", "HIRED": "Seeker Hired",
}

func segment(f *facts) map[string]any {
	name := named(segmentEvents, f.kind)
	if name == nil {
		name = "" // an event that this mapping leaves out
	}
	return present(map[string]any{
		"type": "track", "event": name, "messageId": f.id, "userId": "u-1", "timestamp": f.at,
		"properties": present(map[string]any{"search_id": f.request, "parent_id": f.parent, "job_ids": f.list()}),
		"context":    map[string]any{"library": map[string]any{"name": "analytics.js"}},
	})
}

func cloudEvent(f *facts) map[string]any {
	var kind any
	if s := text(f.kind); s != "" {
		kind = "com.example.job." + strings.ToLower(s)
	}
	return present(map[string]any{
		"specversion": "1.0", "id": f.id, "source": "/web", "type": kind, "time": f.at,
		"data": present(map[string]any{"searchId": f.request, "parentId": f.parent, "jobIds": f.list()}),
	})
}

// named is a type's name in a shape; a type that has none keeps its own.
func named(names map[string]string, kind any) any {
	if name := names[text(kind)]; name != "" {
		return name
	}
	return kind
}

// list is the jobs' IDs, or nil.
func (f *facts) list() any {
	if f.jobs == nil {
		return nil
	}
	return f.jobs
}

// present removes the members that are null.
func present(object map[string]any) map[string]any {
	for name, member := range object {
		if member == nil {
			delete(object, name)
		}
	}
	return object
}
