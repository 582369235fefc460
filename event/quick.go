package event

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// quick reads a record as nearly all are spelled, in one pass and with one copy
// of its text, which all of the event's texts are parts of. It is false for
// every faulty record, and for a few good ones: those with a null, or with
// escapes in a name.
func quick(data []byte, v Version) (record, bool) {
	if !utf8.Valid(data) {
		return record{}, false
	}
	room := new(withJob)
	s := scanner{data: data, text: string(data), version: v, record: record{event: &room.Event}, job: &room.job}
	ok := s.object(recordFields) && s.next() == endOfText
	s.record.event.value = s.text
	return s.record, ok
}

// withJob is an event with room for one job, as most have.
type withJob struct {
	Event
	job [1]string
}

// scanner reads JSON of the few forms that a good record has. Its methods are
// false where something else comes; it is of no use then.
type scanner struct {
	data    []byte
	text    string // the same
	at      int    // the next byte
	version Version
	record  record
	job     *[1]string // for a list of one
}

// endOfText is what next gives where nothing follows; no JSON holds it.
const endOfText = 0

// next takes the next byte that is not a space.
func (s *scanner) next() byte {
	for s.at < len(s.data) {
		b := s.data[s.at]
		s.at++
		if b > ' ' || strings.IndexByte(space, b) < 0 {
			return max(b, endOfText+1) // a zero byte is not the end
		}
	}
	return endOfText
}

// opens takes the bracket that a list or an object opens with, and its closing
// one where it is empty.
func (s *scanner) opens(bracket, closing byte) (ok, empty bool) {
	if s.next() != bracket {
		return false, false
	}
	first := s.at
	if s.next() == closing {
		return true, true
	}
	s.at = first
	return true, false
}

// more takes what follows a member: a comma, or the closing bracket.
func (s *scanner) more(closing byte) (ok, more bool) {
	switch s.next() {
	case ',':
		return true, true
	case closing:
		return true, false
	}
	return false, false
}

func (s *scanner) object(fields []*field) bool {
	ok, empty := s.opens('{', '}')
	seen := uint(0)
	for more := ok && !empty; more; {
		name, plain := s.string()
		f := find(fields, name, s.version)
		if !plain || f == nil || seen&f.bit != 0 || s.next() != ':' || !s.value(f) {
			return false
		}
		seen |= f.bit
		ok, more = s.more('}')
	}
	return ok
}

func (s *scanner) value(f *field) (ok bool) {
	switch f.kind {
	case object:
		return s.object(f.fields)
	case textMap:
		return s.info(f.info(s.record.event))
	case textList:
		return s.list(f.list(s.record.event))
	case text, timestamp, eventType:
		into := s.record.text(f)
		*into, ok = s.string()
	}
	return ok
}

func (s *scanner) info(into *Info) bool {
	var room [MaxExtraInfoKeys]Pair
	info := Info(room[:0])
	ok, empty := s.opens('{', '}')
	for more := ok && !empty; more; {
		name, ok1 := s.string()
		if !ok1 || s.next() != ':' {
			return false
		}
		value, ok2 := s.string()
		if !ok2 {
			return false
		}
		info = append(info, Pair{name, value})
		ok, more = s.more('}')
	}
	*into = slices.Clone(info)
	return into.sort() && ok
}

func (s *scanner) list(into *[]string) bool {
	var room [16]string // more cost an allocation
	list := room[:0]
	ok, empty := s.opens('[', ']')
	for more := ok && !empty; more; {
		value, isString := s.string()
		if !isString {
			return false
		}
		list = append(list, value)
		ok, more = s.more(']')
	}
	if len(list) == 1 {
		s.job[0] = list[0]
		*into = s.job[:]
	} else {
		*into = slices.Clone(list)
	}
	return ok
}

// string takes a string, which is a part of the text unless it has escapes.
func (s *scanner) string() (string, bool) {
	if s.next() != '"' {
		return "", false
	}
	begin := s.at
	s.at += plainLength(s.data[begin:])
	if s.at == len(s.data) {
		return "", false
	}
	switch s.data[s.at] {
	case '"':
		s.at++
		return s.text[begin : s.at-1], true
	case '\\':
		return s.escaped(begin)
	}
	return "", false // a control character
}

// escaped takes the rest of a string with escapes that begins at begin.
func (s *scanner) escaped(begin int) (string, bool) {
	for s.at < len(s.data) && s.data[s.at] != '"' {
		if s.data[s.at] == '\\' {
			s.at++
		}
		s.at++
	}
	if s.at >= len(s.data) {
		return "", false
	}
	s.at++
	value, err := jsontext.AppendUnquote(nil, s.data[begin-1:s.at])
	return string(value), err == nil
}

// plainLength is how many bytes stand before the first quote, backslash or
// control character. It looks at eight bytes at a time: where taking 1 from a
// byte borrows, which shows in its highest bit, it was zero; and a byte is zero
// where it was what was exclusive-ored with.
func plainLength(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, backslash := w^ones*'"', w^ones*'\\'
		found := ((w-ones*' ')&^w | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
		if found != 0 {
			// A borrow goes upwards, so that the lowest one found is a true one.
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}
