package event

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// AppendRequest appends the body of clientEvents.create for version v: the
// event in the wrapper {"clientEvent": …} for v3 and v4beta1, and bare for v4
// (jobs/v3 and jobs/v4 discovery documents). The table of fields tells which of them
// the version has.
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
	return appendObject(dst, recordFields, e, versionsOf(v))
}

// AppendRecord appends the event as it may stand in a record's value, with
// every field that it has, whatever the version sends.
func (e *Event) AppendRecord(dst []byte) []byte {
	return appendObject(dst, recordFields, e, allVersions)
}

// appendObject appends the fields that requests of one of the versions have and that
// the event sets.
func appendObject(dst []byte, fields []*field, e *Event, in versions) []byte {
	separator := byte('{')
	for _, f := range fields {
		if f.sent&in == 0 || !f.isSet(e) {
			continue
		}
		dst = append(append(dst, separator, '"'), f.name...)
		dst = f.append(append(dst, `":`...), e, in)
		separator = ','
	}
	return append(dst, '}')
}

func appendInfo(dst []byte, info Info) []byte {
	separator := byte('{')
	for _, p := range info {
		dst = append(appendString(append(dst, separator), p.Key), ':')
		dst = appendString(dst, p.Value)
		separator = ','
	}
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	// The error is invalid UTF-8, which no decoded event has.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// Size bounds the bytes of the event's request from above, but for what escaping
// adds.
func (e *Event) Size() int {
	if e.value != "" {
		// It has each text with its name and its escapes: no request states them in more
		// bytes. The texts themselves may have left the cache since they were read.
		return len(`{"clientEvent":}`) + len(e.value)
	}
	size := len(`{"clientEvent":{}}`)
	for _, f := range recordFields {
		size += f.size(e)
	}
	return size
}

// Content is a hash of everything in the event but its id. Two events with the
// same content have the same hash however their records were formatted, in
// this process and in any other.
func (e *Event) Content() uint64 {
	var room [1024]byte
	b := room[:0]
	for _, f := range contentFields {
		b = f.hash(b, e)
	}
	return xxhash.Sum64(b) + hashInfo(b[:0], e.ExtraInfo)
}

// hashInfo adds up the hashes of the texts, as was necessary when they had no order;
// state topics hold the sums.
func hashInfo(b []byte, info Info) (sum uint64) {
	for _, p := range info {
		sum += xxhash.Sum64(appendField(appendField(b, p.Key), p.Value))
	}
	return sum
}

func appendField(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
