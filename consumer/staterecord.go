package consumer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/event"
)

// The state topic holds two kinds of records, told apart by the first byte of
// the key:
//
//	'r' + 16 bytes of the event id's SHA-256   a reported event
//	's'                                        how the partition's owner fares
//
// The value of a reported event is
//
//	1 byte   format, 1
//	1 byte   the event's type, the API's number
//	6 bytes  content hash, big-endian
//	varint   create time, Unix milliseconds
//
// and when it was reported is the record's timestamp. The format changes only
// together with its first byte; a format that is not known is refused, since to
// pass over it would be to report those events again.
const (
	stateReported = 'r'
	stateSession  = 's'
	stateFormat   = 1
)

func stateKey(k key) []byte {
	return append([]byte{stateReported}, k[:]...)
}

func appendEntry(dst []byte, e entry) []byte {
	dst = append(dst, stateFormat, byte(e.typ))
	content := binary.BigEndian.AppendUint64(nil, e.content<<(64-contentBits))
	dst = append(dst, content[:contentBits/8]...)
	return binary.AppendVarint(dst, e.created.UnixMilli())
}

func parseEntry(stateKey, value []byte, timestamp time.Time) (key, entry, error) {
	var k key
	if len(stateKey) != 1+len(k) {
		return k, entry{}, fmt.Errorf("a key of %d bytes: want %d", len(stateKey), 1+len(k))
	}
	copy(k[:], stateKey[1:])
	const fixed = 2 + contentBits/8
	if len(value) <= fixed {
		return k, entry{}, fmt.Errorf("a value of %d bytes: want more than %d", len(value), fixed)
	}
	if value[0] != stateFormat {
		return k, entry{}, unknownFormat(value[0])
	}
	if value[1] == 0 {
		return k, entry{}, errors.New("a reported event without a type")
	}
	var content [8]byte
	copy(content[2:], value[2:fixed])
	created, n := binary.Varint(value[fixed:])
	if n <= 0 || n != len(value)-fixed {
		return k, entry{}, errors.New("a create time that is no varint")
	}
	return k, entry{
		content:  binary.BigEndian.Uint64(content[:]),
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
	if len(value) < 4 {
		return session{}, fmt.Errorf("a session of %d bytes: want 4 or more", len(value))
	}
	if value[0] != stateFormat {
		return session{}, unknownFormat(value[0])
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
