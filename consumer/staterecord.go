package consumer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/event"
)

// The state topic holds three kinds of records, told apart by the first byte of
// the key:
//
//	'r' + 16 bytes of the event id's SHA-256   a reported event
//	's'                                        how the partition's owner fares
//	'p'                                        the partition is paused
//
// The value of a reported event is
//
//	1 byte   format, 1
//	1 byte   the event's type, the API's number, never 0
//	6 bytes  content hash, big-endian
//	varint   create time, Unix milliseconds
//
// and when it was reported is the record's timestamp. The value of an owner's is
//
//	1 byte   format, 1
//	1 byte   1 if the owner took its leave, otherwise 0
//	varint   the first offset that is being examined
//	varint   the offset that follows the last one
//	varints  the offsets of records that are known to end the process
//
// and that of a pause, which is deleted when the partition goes on,
//
//	1 byte   format, 1
//	varint   since when, Unix milliseconds
//
// where a varint is signed, as encoding/binary writes it. A format changes only
// together with its first byte; a format that is not known is refused, since to
// pass over it would be to report those events again.
const (
	stateReported = 'r'
	stateSession  = 's'
	statePause    = 'p'
	stateFormat   = 1
	// entryFixed is how long a reported event's value is before the varint.
	entryFixed = 2 + contentBits/8
)

// maxStateBytes bounds the key and the value of a reported event's record.
const maxStateBytes = 1 + len(key{}) + entryFixed + binary.MaxVarintLen64

func stateKey(k key) []byte { return appendStateKey(nil, k) }

func appendStateKey(dst []byte, k key) []byte {
	return append(append(dst, stateReported), k[:]...)
}

// appendEntry appends the value of a reported event's record.
func appendEntry(dst []byte, e entry) []byte {
	dst = append(dst, stateFormat, byte(e.typ))
	for shift := contentBits - 8; shift >= 0; shift -= 8 {
		dst = append(dst, byte(e.content>>shift))
	}
	return binary.AppendVarint(dst, e.created.UnixMilli())
}

// parseEntry reads a reported event's record; timestamp is the record's own.
func parseEntry(recordKey, value []byte, timestamp time.Time) (key, entry, error) {
	var k key
	if len(recordKey) != 1+len(k) {
		return k, entry{}, fmt.Errorf("a key of %d bytes: want %d", len(recordKey), 1+len(k))
	}
	if recordKey[0] != stateReported {
		return k, entry{}, fmt.Errorf("a key of kind %q: want %q", recordKey[0], stateReported)
	}
	// The format comes before the length, which may be another in another format.
	if len(value) > 0 && value[0] != stateFormat {
		return k, entry{}, unknownFormat(value[0])
	}
	if len(value) <= entryFixed {
		return k, entry{}, fmt.Errorf("a value of %d bytes: want more than %d", len(value), entryFixed)
	}
	if value[1] == 0 {
		return k, entry{}, errors.New("a reported event without a type")
	}
	var content uint64
	for _, b := range value[2:entryFixed] {
		content = content<<8 | uint64(b)
	}
	created, n := binary.Varint(value[entryFixed:])
	if n != len(value)-entryFixed {
		return k, entry{}, errors.New("a create time that is no varint")
	}
	copy(k[:], recordKey[1:])
	return k, entry{
		content:  content,
		typ:      event.Type(value[1]),
		created:  time.UnixMilli(created).UTC(),
		reported: timestamp,
	}, nil
}

func unknownFormat(format byte) error {
	return fmt.Errorf("format %d, which this version does not know: was it written by a newer one?", format)
}

// session says how a partition's owner fares: whether it took its leave, and
// what it was examining when it last wrote. A session that did not end cleanly
// was killed, perhaps by a record; see owner.examine.
type session struct {
	clean bool
	// from and to are the offsets that were being examined, to excluded.
	from, to int64
	// poison are the offsets of records that are known to end the process.
	poison []int64
}

var sessionKey = []byte{stateSession}

func (s session) value() []byte {
	b := []byte{stateFormat, 0}
	if s.clean {
		b[1] = 1
	}
	b = binary.AppendVarint(b, s.from)
	b = binary.AppendVarint(b, s.to)
	for _, offset := range s.poison {
		b = binary.AppendVarint(b, offset)
	}
	return b
}

func parseSession(value []byte) (session, error) {
	if len(value) > 0 && value[0] != stateFormat {
		return session{}, unknownFormat(value[0])
	}
	if len(value) < 4 {
		return session{}, fmt.Errorf("a session of %d bytes: want 4 or more", len(value))
	}
	if value[1] > 1 {
		return session{}, fmt.Errorf("a session that ended with %d where 1 (clean) or 0 is wanted", value[1])
	}
	s := session{clean: value[1] == 1}
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
