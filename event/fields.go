package event

import "strings"

// kind is the JSON type that a field's value has.
type kind uint8

const (
	text kind = iota
	textList
	textMap
	object
)

// String names the kind as a fault's detail does.
func (k kind) String() string {
	switch k {
	case text:
		return "a string"
	case textList:
		return "a list of strings"
	case textMap:
		return "a map of strings"
	}
	return "an object"
}

// field is one row of the table of what a record may hold. Both ways of reading a
// record and the JSON Schema are made from it.
type field struct {
	name, snakeName string // in lowerCamelCase, and as in the .proto file
	kind            kind
	required        bool
	description     string
	// known says whether records of a version have the field; nil where all do.
	known func(Version) bool
	// fields of an object.
	fields []*field
	// target is where a record keeps the value: a *string, *[]string or
	// *map[string]string as the kind says; nil for an object.
	target func(*record) any
	// bit is the field's own among those of its object.
	bit uint
}

// The fields of a record. What each means is from the jobs/v3 discovery
// document and google/cloud/talent/v4/event.proto.
var (
	fieldEventID = &field{
		name: "eventId", kind: text, required: true,
		description: "The event's identity, chosen by its producer: an id is reported once.",
		target:      func(r *record) any { return &r.event.ID },
	}
	fieldRequestID = &field{
		name: "requestId", kind: text, required: true,
		description: "metadata.requestId of the search response that the journey began with. The service discards events without it.",
		target:      func(r *record) any { return &r.event.RequestID },
	}
	fieldParentEventID = &field{
		name: "parentEventId", kind: text,
		description: "The eventId of the event that led to this one. It differs from eventId.",
		target:      func(r *record) any { return &r.event.ParentID },
	}
	fieldCreateTime = &field{
		name: "createTime", kind: text, required: true,
		description: "When the event happened: RFC 3339 with Z or an offset, at most nine digits of a second's fraction.",
		target:      func(r *record) any { return &r.event.CreateTime },
	}
	fieldType = &field{
		name: "type", kind: text, required: true,
		description: "What happened.",
		target:      func(r *record) any { return &r.typ },
	}
	fieldJobs = &field{
		name: "jobs", kind: textList, required: true,
		description: "The resource names of the jobs concerned: of an IMPRESSION all that were shown, of a VIEW the one viewed.",
		target:      func(r *record) any { return &r.event.Jobs },
	}
	fieldJobEvent = &field{
		name: "jobEvent", kind: object, required: true,
		description: "What happened to which jobs.",
		fields:      []*field{fieldType, fieldJobs},
	}
	fieldExtraInfo = &field{
		name: "extraInfo", kind: textMap,
		description: "Free text by key: at most 20 keys, and at most 2,048 bytes of UTF-8 in all keys and values together.",
		target:      func(r *record) any { return &r.event.ExtraInfo },
	}
	fieldEventNotes = &field{
		name: "eventNotes", kind: text, known: Version.hasNotes,
		description: "Free text from recruiters or seekers.",
		target:      func(r *record) any { return &r.event.Notes },
	}
)

var recordFields = named([]*field{
	fieldEventID, fieldRequestID, fieldParentEventID, fieldCreateTime,
	fieldJobEvent, fieldExtraInfo, fieldEventNotes,
})

// named fills in the snake_case names and the bits.
func named(fields []*field) []*field {
	for i, f := range fields {
		f.snakeName, f.bit = snakeCase(f.name), 1<<i
		named(f.fields)
	}
	return fields
}

// snakeCase is a field's name as in the .proto file.
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

func (f *field) knownTo(v Version) bool { return f.known == nil || f.known(v) }

// find looks a field up by either of its names; nil where the version has none.
func find(fields []*field, name string, v Version) *field {
	for _, f := range fields {
		if (name == f.name || name == f.snakeName) && f.knownTo(v) {
			return f
		}
	}
	return nil
}
