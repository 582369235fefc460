package event

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// AppendRequest appends the body of clientEvents.create for version v: the
// event in the wrapper {"clientEvent": …} for v3 and v4beta1, and bare for v4
// (jobs/v3 and jobs/v4 discovery documents). parentEventId and extraInfo are
// fields of v3 alone, eventNotes of the others.
func (e *Event) AppendRequest(dst []byte, v Version) []byte {
	if v == V4 {
		return e.AppendJSON(dst, v)
	}
	dst = append(dst, `{"clientEvent":`...)
	dst = e.AppendJSON(dst, v)
	return append(dst, '}')
}

// AppendJSON appends the event as version v has it, as one JSON object with
// its names in lowerCamelCase.
func (e *Event) AppendJSON(dst []byte, v Version) []byte {
	return e.appendObject(dst, v.sendsLinks(), v.hasNotes())
}

// AppendRecord appends the event as it may stand in a record's value, with
// every field that it has, whatever the version sends.
func (e *Event) AppendRecord(dst []byte) []byte {
	return e.appendObject(dst, true, true)
}

func (e *Event) appendObject(dst []byte, links, notes bool) []byte {
	dst = appendMember(append(dst, '{'), "eventId", e.ID)
	dst = appendMember(append(dst, ','), "requestId", e.RequestID)
	if links && e.ParentID != "" {
		dst = appendMember(append(dst, ','), "parentEventId", e.ParentID)
	}
	dst = appendMember(append(dst, ','), "createTime", e.CreateTime)
	dst = append(dst, `,"jobEvent":{"type":"`...)
	dst = append(dst, e.Type.String()...)
	dst = append(dst, `","jobs":[`...)
	for i, name := range e.Jobs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
	}
	dst = append(dst, "]}"...)
	if links && len(e.ExtraInfo) > 0 {
		dst = e.appendExtraInfo(dst)
	}
	if notes && e.Notes != "" {
		dst = appendMember(append(dst, ','), "eventNotes", e.Notes)
	}
	return append(dst, '}')
}

// appendExtraInfo writes the keys in order, so that the same event is always
// the same bytes.
func (e *Event) appendExtraInfo(dst []byte) []byte {
	var room [MaxExtraInfoKeys]string
	keys := room[:0]
	for key := range e.ExtraInfo {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	dst = append(dst, `,"extraInfo":{`...)
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		dst = appendString(dst, e.ExtraInfo[key])
	}
	return append(dst, '}')
}

// appendMember takes a name that needs no escaping.
func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return appendString(dst, value)
}

func appendString(dst []byte, s string) []byte {
	// The error is invalid UTF-8, which no decoded event has.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// Size estimates the bytes of the event's request from above, but for what
// escaping adds.
func (e *Event) Size() int {
	const names = 160
	size := names + len(e.ID) + len(e.RequestID) + len(e.ParentID) + len(e.CreateTime) + len(e.Notes)
	for _, name := range e.Jobs {
		size += len(name) + len(`"",`)
	}
	for key, value := range e.ExtraInfo {
		size += len(key) + len(value) + len(`"":"",`)
	}
	return size
}

// Content is a hash of everything in the event but its id. Two events with the
// same content have the same hash however their records were formatted, in
// this process and in any other.
func (e *Event) Content() uint64 {
	var room [1024]byte
	b := room[:0]
	b = appendField(b, e.RequestID)
	b = appendField(b, e.ParentID)
	b = appendField(b, e.Notes)
	b = binary.AppendVarint(b, e.Time.Unix())
	b = binary.AppendVarint(b, int64(e.Time.Nanosecond()))
	b = append(b, byte(e.Type))
	for _, name := range e.Jobs {
		b = appendField(b, name)
	}
	sum := xxhash.Sum64(b)
	for key, value := range e.ExtraInfo {
		// Added up, since a map has no order.
		sum += xxhash.Sum64(appendField(appendField(b[:0], key), value))
	}
	return sum
}

func appendField(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
