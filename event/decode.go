package event

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Limits of one event.
const (
	// MaxExtraInfoKeys is how many keys extraInfo may have (jobs/v3 discovery
	// document: "At most 20 keys are supported").
	MaxExtraInfoKeys = 20
	// MaxExtraInfoBytes is how many bytes of UTF-8 all keys and values of
	// extraInfo may have together (the same: "2 KB").
	MaxExtraInfoBytes = 2048
	// MaxDepth is how deep a record's values may be nested; an event needs
	// three levels.
	MaxDepth = 32
)

// record is an event as it may stand in a record: proto3 JSON, so each name in
// lowerCamelCase or as in the .proto file.
type record struct {
	EventID     string            `json:"eventId"`
	EventID2    string            `json:"event_id"`
	RequestID   string            `json:"requestId"`
	RequestID2  string            `json:"request_id"`
	ParentID    string            `json:"parentEventId"`
	ParentID2   string            `json:"parent_event_id"`
	CreateTime  string            `json:"createTime"`
	CreateTime2 string            `json:"create_time"`
	JobEvent    *recordJobEvent   `json:"jobEvent"`
	JobEvent2   *recordJobEvent   `json:"job_event"`
	ExtraInfo   map[string]string `json:"extraInfo"`
	ExtraInfo2  map[string]string `json:"extra_info"`
	EventNotes  string            `json:"eventNotes"`
	EventNotes2 string            `json:"event_notes"`
}

type recordJobEvent struct {
	Type string   `json:"type"`
	Jobs []string `json:"jobs"`
}

// strict are the decoder's options: what [diagnose] then explains. Repeated
// names and invalid UTF-8 are refused by default.
var strict = json.RejectUnknownMembers(true)

// Decode reads one event from a record's value and checks every rule that
// needs nothing but the event itself. The event shares no memory with data.
func Decode(data []byte, v Version) (*Event, *Fault) {
	var r record
	if !startsObject(data) || json.Unmarshal(data, &r, strict) != nil || !r.unambiguous(v) {
		// The quick way does not say which fault comes first, nor whether null
		// stood where proto3 JSON has no null; the slow way does.
		if f := diagnose(data, v); f != nil {
			return nil, f
		}
	}
	e := &Event{
		ID:         r.EventID + r.EventID2,
		RequestID:  r.RequestID + r.RequestID2,
		ParentID:   r.ParentID + r.ParentID2,
		CreateTime: r.CreateTime + r.CreateTime2,
		ExtraInfo:  r.ExtraInfo,
		Notes:      r.EventNotes + r.EventNotes2,
	}
	if e.ExtraInfo == nil {
		e.ExtraInfo = r.ExtraInfo2
	}
	job := r.JobEvent
	if job == nil {
		job = r.JobEvent2
	}
	if f := e.validate(job, v); f != nil {
		return nil, f
	}
	return e, nil
}

func startsObject(data []byte) bool {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{'
}

// unambiguous says whether the quick way's result can be taken as it is: no
// field under both its names, no field that the version does not have, and no
// empty string that may have been a null in a list or map.
func (r *record) unambiguous(v Version) bool {
	if (r.EventID != "" && r.EventID2 != "") || (r.RequestID != "" && r.RequestID2 != "") ||
		(r.ParentID != "" && r.ParentID2 != "") || (r.CreateTime != "" && r.CreateTime2 != "") ||
		(r.JobEvent != nil && r.JobEvent2 != nil) || (r.ExtraInfo != nil && r.ExtraInfo2 != nil) ||
		(r.EventNotes != "" && r.EventNotes2 != "") {
		return false
	}
	if !v.hasNotes() && (r.EventNotes != "" || r.EventNotes2 != "") {
		return false
	}
	for _, job := range []*recordJobEvent{r.JobEvent, r.JobEvent2} {
		if job == nil {
			continue
		}
		for _, name := range job.Jobs {
			if name == "" {
				return false
			}
		}
	}
	for _, info := range []map[string]string{r.ExtraInfo, r.ExtraInfo2} {
		for _, value := range info {
			if value == "" {
				return false
			}
		}
	}
	return true
}

// validate checks the rules in the order of [Reasons], from the missing fields
// on, and fills in what it parses on the way.
func (e *Event) validate(job *recordJobEvent, v Version) *Fault {
	switch {
	case e.ID == "":
		return missing(ReasonMissingEventID, "eventId")
	case e.RequestID == "":
		return missing(ReasonMissingRequestID, "requestId")
	case e.CreateTime == "":
		return missing(ReasonMissingCreateTime, "createTime")
	case job == nil || (job.Type == "" && len(job.Jobs) == 0):
		return missing(ReasonMissingJobEvent, "jobEvent")
	case job.Type == "":
		return missing(ReasonMissingType, "jobEvent.type")
	case len(job.Jobs) == 0:
		return missing(ReasonMissingJobs, "jobEvent.jobs")
	}
	var ok bool
	if e.Time, ok = parseTime(e.CreateTime); !ok {
		return &Fault{ReasonInvalidCreateTime, fmt.Sprintf(
			"createTime: %s is not an RFC 3339 time with Z or an offset, such as 2026-01-02T03:04:05.678Z", quote(e.CreateTime))}
	}
	if e.Type, ok = v.parseType(job.Type); !ok {
		return &Fault{ReasonInvalidType, fmt.Sprintf(
			"jobEvent.type: %s is not a type of event in %s: want one of %s", quote(job.Type), v, typeList(v))}
	}
	for i, name := range job.Jobs {
		if !v.isJobName(name) {
			return &Fault{ReasonInvalidJobName, fmt.Sprintf(
				"jobEvent.jobs[%d]: %s is not the name of a job in %s: want %s", i, quote(name), v, v.jobNameForms())}
		}
	}
	e.Jobs = job.Jobs
	if f := checkExtraInfo(e.ExtraInfo); f != nil {
		return f
	}
	if e.ParentID == e.ID {
		return &Fault{ReasonSelfParent, "parentEventId equals eventId: an event can't have led to itself"}
	}
	return nil
}

func missing(reason Reason, field string) *Fault {
	return &Fault{reason, field + " is required, and absent, null or empty"}
}

func checkExtraInfo(info map[string]string) *Fault {
	if len(info) > MaxExtraInfoKeys {
		return &Fault{ReasonExtraInfoTooManyKeys, fmt.Sprintf(
			"extraInfo has %d keys: at most %d are taken", len(info), MaxExtraInfoKeys)}
	}
	size := 0
	for key, value := range info {
		size += len(key) + len(value)
	}
	if size > MaxExtraInfoBytes {
		return &Fault{ReasonExtraInfoTooLarge, fmt.Sprintf(
			"extraInfo has %d bytes in its keys and values: at most %d are taken", size, MaxExtraInfoBytes)}
	}
	return nil
}

func typeList(v Version) string {
	var names []string
	for _, t := range v.Types() {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// quote shows a value in a detail, cut to what a person wants to read of it.
func quote(s string) string {
	const most = 80
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
}

// parseTime reads an RFC 3339 time as google.protobuf.Timestamp has it in JSON:
// Z or an offset, at most nine digits of a second's fraction, the years 1 to
// 9999 in UTC. time.Parse alone lets one-digit hours and commas pass.
func parseTime(s string) (time.Time, bool) {
	const least = len("2006-01-02T15:04:05Z")
	if len(s) < least || s[10] != 'T' || s[13] != ':' || !validFraction(s[19:]) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t, true
}

// validFraction checks what follows the seconds: an optional fraction of one
// to nine digits, and the zone's first letter.
func validFraction(s string) bool {
	if s[0] == '.' {
		digits := 0
		for digits+1 < len(s) && s[digits+1] >= '0' && s[digits+1] <= '9' {
			digits++
		}
		if digits < 1 || digits > 9 {
			return false
		}
		s = s[digits+1:]
	}
	return s == "Z" || (len(s) == len("+00:00") && (s[0] == '+' || s[0] == '-') && s[1] <= '2')
}
