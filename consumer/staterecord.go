package consumer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
)

// The state topic holds three kinds of records, distinguished by the first byte
// of the key:
//
//	'r' + 16 bytes of the event ID's SHA-256   a reported event
//	's'                                        the session of the partition's owner
//	's:source'                                 the same, of the owner in the source topic with rekeying
//	'p'                                        the partition is paused
//
// The value of a reported event is
//
//	1 byte   format, 1
//	1 byte   the event's type, the API's number, never 0
//	6 bytes  content hash, big-endian
//	varint   create time, Unix milliseconds
//
// and the record's timestamp is the time of the report. The value of a session is
//
//	1 byte   format, 1
//	1 byte   1 if the session is closed, otherwise 0
//	varint   the first offset that is being examined
//	varint   the offset that follows the last one
//	varints  the offsets of records that are known to end the process
//
// Its header "unproven", a decimal number, is the number of the partition's dead
// letters without evidence since the last acceptance (see
// [ownership.Unproven]); without the header there are none. It is a header because
// versions that do not know it pass over it.
//
// Its header "dead-letters" names the records behind the watermark that are dead letters,
// see [deadLettered].
//
// The headers "watermark", a decimal number, and "topic-id" of a session and of the
// last record of each write of reported events say how far the source partition is
// finished, see [finished].
//
// The value of a pause, which is deleted when the partition is resumed, is
//
//	1 byte   format, 1
//	varint   the begin of the pause, Unix milliseconds
//
// A varint is signed, as encoding/binary writes it. A format changes only
// together with its first byte. An unknown format is an error, since passing
// over it would report those events again.
const (
	stateReported = 'r'
	stateSession  = 's'
	statePause    = 'p'
	stateFormat   = 1
	// entryFixed is the length of a reported event's value before the varint.
	entryFixed = 2 + partition.ContentBits/8
)

// maxStateBytes bounds the key and the value of a reported event's record.
const maxStateBytes = 1 + len(partition.Key{}) + entryFixed + binary.MaxVarintLen64

func appendStateKey(dst []byte, k partition.Key) []byte {
	return append(append(dst, stateReported), k[:]...)
}

// appendEntry appends the value of a reported event's record.
func appendEntry(dst []byte, e *partition.Entry) []byte {
	dst = append(dst, stateFormat, byte(e.Type))
	for shift := partition.ContentBits - 8; shift >= 0; shift -= 8 {
		dst = append(dst, byte(e.Content>>shift))
	}
	return binary.AppendVarint(dst, e.Created.UnixMilli())
}

// parseEntry reads a reported event's record; timestamp is the record's own.
func parseEntry(recordKey, value []byte, timestamp time.Time) (partition.Key, partition.Entry, error) {
	var k partition.Key
	if len(recordKey) != 1+len(k) {
		return k, partition.Entry{}, fmt.Errorf("a key of %d bytes: expected %d", len(recordKey), 1+len(k))
	}
	if recordKey[0] != stateReported {
		return k, partition.Entry{}, fmt.Errorf("a key of kind %q: expected %q", recordKey[0], stateReported)
	}
	// The format comes before the length, which may be another in another format.
	if len(value) > 0 && value[0] != stateFormat {
		return k, partition.Entry{}, unknownFormat(value[0])
	}
	if len(value) <= entryFixed {
		return k, partition.Entry{}, fmt.Errorf("a value of %d bytes: expected more than %d", len(value), entryFixed)
	}
	if value[1] == 0 {
		return k, partition.Entry{}, errors.New("a reported event without a type")
	}
	var content uint64
	for _, b := range value[2:entryFixed] {
		content = content<<8 | uint64(b)
	}
	created, n := binary.Varint(value[entryFixed:])
	if n != len(value)-entryFixed {
		return k, partition.Entry{}, errors.New("a create time that is no varint")
	}
	copy(k[:], recordKey[1:])
	return k, partition.Entry{
		Content:  content,
		Type:     event.Type(value[1]),
		Created:  time.UnixMilli(created).UTC(),
		Reported: timestamp,
	}, nil
}

func unknownFormat(format byte) error {
	return fmt.Errorf("format %d, which this version does not know: was it written by a newer one?", format)
}

// session is the session of a partition's owner. One that was not closed ended
// with the process, which perhaps a record has killed; see owner.examine.
type session struct {
	state sessionState
	// from and to are the offsets that were being examined, to excluded.
	from, to int64
	// poison are the offsets of records that are known to end the process.
	poison []int64
	// unproven is the number of dead letters without evidence.
	unproven int
	// group is that of its replica; "" if its release did not record it.
	group string
	// deadLettered are the dead letters behind the watermark.
	deadLettered offsetSet
}

// sessionState is whether a session is closed, as its record says.
type sessionState byte

const (
	sessionOpen   sessionState = 0
	sessionClosed sessionState = 1
)

var (
	sessionKey = []byte{stateSession}
	// firstSessionKey is for the first half of a consumer that rekeys.
	firstSessionKey = []byte{stateSession, ':', 's', 'o', 'u', 'r', 'c', 'e'}
)

func (s session) value() []byte {
	b := []byte{stateFormat, byte(s.state)}
	b = binary.AppendVarint(b, s.from)
	b = binary.AppendVarint(b, s.to)
	for _, offset := range s.poison {
		b = binary.AppendVarint(b, offset)
	}
	return b
}

// headerUnproven is the header of a session's number of dead letters without
// evidence.
const headerUnproven = "unproven"

func (s session) headers() []kafka.Header {
	var headers []kafka.Header
	if s.unproven != 0 {
		headers = append(headers, header(headerUnproven, strconv.Itoa(s.unproven)))
	}
	if s.group != "" {
		headers = append(headers, header(headerGroup, s.group))
	}
	return append(headers, s.deadLettered.headers()...)
}

// sessionGroup returns the group of a session.
func sessionGroup(headers []kafka.Header) string {
	for _, h := range headers {
		if h.Key == headerGroup {
			return string(h.Value)
		}
	}
	return ""
}

// parseUnproven reads the header. One that is no number counts as none: it bounds
// only how many dead letters have no evidence.
func parseUnproven(headers []kafka.Header) (n int) {
	for _, h := range headers {
		if h.Key == headerUnproven {
			n, _ = strconv.Atoi(string(h.Value))
		}
	}
	return max(0, n)
}

// parseSession reads a session's value, which has all but its header.
func parseSession(value []byte) (session, error) {
	if len(value) > 0 && value[0] != stateFormat {
		return session{}, unknownFormat(value[0])
	}
	if len(value) < 4 {
		return session{}, fmt.Errorf("a session of %d bytes: expected 4 or more", len(value))
	}
	s := session{state: sessionState(value[1])}
	if s.state != sessionOpen && s.state != sessionClosed {
		return session{}, fmt.Errorf("a session in state %d: expected 1 (closed) or 0 (open)", s.state)
	}
	var numbers []int64
	for rest := value[2:]; len(rest) > 0; {
		v, n := binary.Varint(rest)
		if n <= 0 {
			return session{}, errors.New("a session with an offset that is no varint")
		}
		numbers, rest = append(numbers, v), rest[n:]
	}
	if len(numbers) < 2 {
		return session{}, errors.New("a session without the offsets that it examines")
	}
	s.from, s.to = numbers[0], numbers[1]
	if len(numbers) > 2 {
		s.poison = numbers[2:]
	}
	return s, nil
}
