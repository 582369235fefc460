package event

import (
	"encoding/binary"
	"slices"
	"strings"
)

// kind is the form that a field's value has.
type kind uint8

const (
	text      kind = iota
	timestamp      // text in a record, and the time that it names
	eventType      // text in a record, and the type that it names
	textList
	textMap
	object
)

// String names the JSON type of a kind, as a fault's detail does.
func (k kind) String() string {
	switch k {
	case text, timestamp, eventType:
		return "a string"
	case textList:
		return "a list of strings"
	case textMap:
		return "a map of strings"
	case object:
		return "an object"
	}
	panic("event: a field of no kind")
}

// field is one row of the table of what an event may hold. Decoding, encoding, the
// content's hash and the JSON Schema are all made from it.
type field struct {
	name, snakeName string // in lowerCamelCase, and as in the .proto file
	kind            kind
	required        bool
	// personal reports whether the value may tell of a person, so that it must not
	// stand in faults, logs and headers.
	personal    bool
	description string
	// known and sent are the versions whose records and whose requests have the
	// field.
	known, sent versions
	// fields are those of an object.
	fields []*field
	// One of these, by the kind, is where an event keeps the value.
	text func(*Event) *string
	list func(*Event) *[]string
	info func(*Event) *Info
	// bit is the field's own among those of its object.
	bit uint
}

// The fields of a record. Their meanings are from the jobs/v3 discovery document and
// google/cloud/talent/v4/event.proto; jobEvent.profile is from v4beta1's.
var (
	fieldEventID = &field{
		name: "eventId", kind: text, required: true, known: allVersions, sent: allVersions,
		description: "The event's identity, chosen by its producer: an id is reported once.",
		text:        func(e *Event) *string { return &e.ID },
	}
	fieldRequestID = &field{
		name: "requestId", kind: text, required: true, known: allVersions, sent: allVersions,
		description: "metadata.requestId of the search response that the journey began with. The service discards events without it.",
		text:        func(e *Event) *string { return &e.RequestID },
	}
	fieldParentEventID = &field{
		name: "parentEventId", kind: text, known: allVersions, sent: versionsOf(V3),
		description: "The eventId of the event that led to this one. It differs from eventId.",
		text:        func(e *Event) *string { return &e.ParentID },
	}
	fieldCreateTime = &field{
		name: "createTime", kind: timestamp, required: true, known: allVersions, sent: allVersions,
		description: "When the event happened: RFC 3339 with Z or an offset, at most nine digits of a second's fraction.",
		text:        func(e *Event) *string { return &e.CreateTime },
	}
	fieldType = &field{
		name: "type", kind: eventType, required: true, known: allVersions, sent: allVersions,
		description: "The kind of step in the journey.",
	}
	fieldJobs = &field{
		name: "jobs", kind: textList, required: true, known: allVersions, sent: allVersions,
		description: "The resource names of the jobs concerned: of an IMPRESSION all that were shown, of a VIEW the one viewed.",
		list:        func(e *Event) *[]string { return &e.Jobs },
	}
	fieldProfile = &field{
		name: "profile", kind: text, personal: true, known: versionsOf(V4Beta1), sent: versionsOf(V4Beta1),
		description: "The resource name of the profile that the event concerns.",
		text:        func(e *Event) *string { return &e.Profile },
	}
	fieldJobEvent = &field{
		name: "jobEvent", kind: object, required: true, known: allVersions, sent: allVersions,
		description: "The step and its jobs.",
		fields:      []*field{fieldType, fieldJobs, fieldProfile},
	}
	fieldExtraInfo = &field{
		name: "extraInfo", kind: textMap, personal: true, known: allVersions, sent: versionsOf(V3),
		description: "Free text by key: at most 20 keys, and at most 2,048 bytes of UTF-8 in all keys and values together.",
		info:        func(e *Event) *Info { return &e.ExtraInfo },
	}
	fieldEventNotes = &field{
		name: "eventNotes", kind: text, personal: true, known: versionsOf(V4Beta1, V4), sent: versionsOf(V4Beta1, V4),
		description: "Free text from recruiters or seekers.",
		text:        func(e *Event) *string { return &e.Notes },
	}
)

// recordFields are in the order in which requests have them.
var recordFields = named([]*field{
	fieldEventID, fieldRequestID, fieldParentEventID, fieldCreateTime,
	fieldJobEvent, fieldExtraInfo, fieldEventNotes,
})

// contentFields are all but the event id, in the order in which [Event.Content] hashes
// them. State topics hold these hashes, so that the order stays: a new field comes
// last, and adds nothing where it is not set.
var contentFields = []*field{
	fieldRequestID, fieldParentEventID, fieldEventNotes, fieldCreateTime, fieldType, fieldJobs, fieldExtraInfo, fieldProfile,
}

// named fills in the snake_case names and the bits.
func named(fields []*field) []*field {
	for i, f := range fields {
		f.snakeName, f.bit = snakeCase(f.name), 1<<i
		named(f.fields)
	}
	return fields
}

// snakeCase returns a field's name as in the .proto file.
func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// find returns the field of either name; nil where the version has none.
func find(fields []*field, name string, v Version) *field {
	for _, f := range fields {
		if (name == f.name || name == f.snakeName) && f.known.has(v) {
			return f
		}
	}
	return nil
}

// isSet reports whether an event has a value for the field.
func (f *field) isSet(e *Event) bool {
	switch f.kind {
	case text, timestamp:
		return *f.text(e) != ""
	case textList:
		return len(*f.list(e)) > 0
	case textMap:
		return len(*f.info(e)) > 0
	case eventType, object:
		return true
	}
	panic("event: a field of no kind")
}

// append appends the field's value as JSON; of an object, the fields of in.
func (f *field) append(dst []byte, e *Event, in versions) []byte {
	switch f.kind {
	case text, timestamp:
		return appendString(dst, *f.text(e))
	case eventType:
		return append(append(append(dst, '"'), e.Type.String()...), '"')
	case textList:
		dst = append(dst, '[')
		for i, s := range *f.list(e) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, s)
		}
		return append(dst, ']')
	case textMap:
		return appendInfo(dst, *f.info(e))
	case object:
		return appendObject(dst, f.fields, e, in)
	}
	panic("event: a field of no kind")
}

// hash appends what [Event.Content] hashes of the field's value. Of extra
// info, see hashInfo.
func (f *field) hash(b []byte, e *Event) []byte {
	switch f.kind {
	case text:
		if f == fieldProfile && e.Profile == "" {
			return b
		}
		return appendField(b, *f.text(e))
	case timestamp:
		b = binary.AppendVarint(b, e.Time.Unix())
		return binary.AppendVarint(b, int64(e.Time.Nanosecond()))
	case eventType:
		return append(b, byte(e.Type))
	case textList:
		for _, s := range *f.list(e) {
			b = appendField(b, s)
		}
		return b
	case textMap, object:
		return b
	}
	panic("event: a field of no kind")
}

// size bounds the bytes of the value and its name in a request from above, but for
// what escaping adds.
func (f *field) size(e *Event) int {
	if !f.isSet(e) {
		return 0
	}
	size := len(`"":,`) + len(f.name)
	switch f.kind {
	case text, timestamp:
		return size + len(`""`) + len(*f.text(e))
	case eventType:
		return size + len(`""`) + len(e.Type.String())
	case textList:
		for _, s := range *f.list(e) {
			size += len(s) + len(`"",`)
		}
		return size + len("[]")
	case textMap:
		for _, p := range *f.info(e) {
			size += len(p.Key) + len(p.Value) + len(`"":"",`)
		}
		return size + len("{}")
	case object:
		for _, inner := range f.fields {
			size += inner.size(e)
		}
		return size + len("{}")
	}
	panic("event: a field of no kind")
}

// Personal lists the texts of an event that may tell of a person: what must not
// stand in faults, logs and headers.
func (e *Event) Personal() (texts []string) {
	for _, f := range contentFields {
		switch {
		case !f.personal:
		case f.kind == text && f.isSet(e):
			texts = append(texts, *f.text(e))
		case f.kind == textMap:
			for _, p := range *f.info(e) {
				texts = append(texts, p.Value)
			}
		}
	}
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}
