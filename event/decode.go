package event

import (
	"bytes"
	"fmt"
	"strings"
	"time"
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

// record is an event as it is read, before its type and its time are.
type record struct {
	event *Event
	typ   string
}

// text returns where the record keeps a text.
func (r *record) text(f *field) *string {
	if f.kind == eventType {
		return &r.typ
	}
	return f.text(r.event)
}

// Decode reads one event from a record's value and checks every rule that
// needs nothing but the event itself; either the event or the fault is nil.
// The event shares no memory with data.
func Decode(data []byte, v Version) (*Event, *Fault) {
	r, ok := quick(data, v)
	if !ok {
		// The quick way does not say what was wrong, nor does it know every
		// spelling of a good record; the walk does.
		var f *Fault
		if r, f = walk(data, v); f != nil {
			return nil, f
		}
	}
	if f := r.event.validate(r.typ, v); f != nil {
		return nil, f
	}
	return r.event, nil
}

func startsObject(data []byte) bool {
	trimmed := bytes.TrimLeft(data, space)
	return len(trimmed) > 0 && trimmed[0] == '{'
}

// space is what may stand between JSON values.
const space = " \t\r\n"

// validate checks the rules in the order of [Reasons], from the missing fields
// on, and fills in what it parses on the way.
func (e *Event) validate(typ string, v Version) *Fault {
	switch {
	case e.ID == "":
		return missing(ReasonMissingEventID, "eventId")
	case e.RequestID == "":
		return missing(ReasonMissingRequestID, "requestId")
	case e.CreateTime == "":
		return missing(ReasonMissingCreateTime, "createTime")
	case typ == "" && len(e.Jobs) == 0:
		return missing(ReasonMissingJobEvent, "jobEvent")
	case typ == "":
		return missing(ReasonMissingType, "jobEvent.type")
	case len(e.Jobs) == 0:
		return missing(ReasonMissingJobs, "jobEvent.jobs")
	}
	var ok bool
	if e.Time, ok = parseTime(e.CreateTime); !ok {
		return &Fault{ReasonInvalidCreateTime, fmt.Sprintf(
			"createTime: %s is not an RFC 3339 time with Z or an offset, such as 2026-01-02T03:04:05.678Z", quote(e.CreateTime))}
	}
	if e.Type, ok = v.parseType(typ); !ok {
		return &Fault{ReasonInvalidType, fmt.Sprintf(
			"jobEvent.type: %s is not a type of event in %s: expected one of %s", quote(typ), v, typeList(v))}
	}
	forms := v.jobForms()
	for i, name := range e.Jobs {
		if !hasForm(name, forms) {
			return &Fault{ReasonInvalidJobName, fmt.Sprintf(
				"jobEvent.jobs[%d]: %s is not the name of a job in %s: expected %s", i, quote(name), v, describe(forms))}
		}
	}
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

func checkExtraInfo(info Info) *Fault {
	if len(info) > MaxExtraInfoKeys {
		return &Fault{ReasonExtraInfoTooManyKeys, fmt.Sprintf(
			"extraInfo has %d keys: at most %d are taken", len(info), MaxExtraInfoKeys)}
	}
	size := 0
	for _, p := range info {
		size += len(p.Key) + len(p.Value)
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
// 9999 in UTC. time.Parse alone lets one-digit hours, commas and the offset
// +24:00 pass.
func parseTime(s string) (time.Time, bool) {
	const seconds = "dddd-dd-ddTdd:dd:dd"
	if len(s) <= len(seconds) || !hasShape(s[:len(seconds)], seconds) || !validZone(afterFraction(s[len(seconds):])) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC()
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// timePattern is what parseTime takes, as far as a regular expression can say.
const timePattern = `^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])` +
	`T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`

// hasShape reports whether s has a digit where shape has a d, and otherwise the
// same bytes.
func hasShape(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		if shape[i] == 'd' && (s[i] < '0' || s[i] > '9') || shape[i] != 'd' && s[i] != shape[i] {
			return false
		}
	}
	return true
}

// afterFraction is s without a leading fraction of one to nine digits.
func afterFraction(s string) string {
	if s[0] != '.' {
		return s
	}
	rest := strings.TrimLeft(s[1:], "0123456789")
	if digits := len(s) - 1 - len(rest); digits < 1 || digits > 9 {
		return ""
	}
	return rest
}

func validZone(s string) bool {
	return s == "Z" || (hasShape(s, "+dd:dd") || hasShape(s, "-dd:dd")) && s[1:3] <= "23" && s[4:6] <= "59"
}
