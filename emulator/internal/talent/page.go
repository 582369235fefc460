package talent

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// Page is the requested part of a list.
type Page struct {
	Token string // from the previous page, "" for the first
	Size  int    // at most this many; the list's default if it is not positive
}

// question identifies the list of a page token: its query without the page's size and
// the view of its elements.
type question uint64

func questionOf(about string) question {
	h := fnv.New64a()
	h.Write([]byte(about))
	return question(h.Sum64())
}

// token returns the page token for the elements after a position in the list.
func (q question) token(position []byte) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(position, uint64(q)))
}

// position reads a page token; nil is the beginning.
func (q question) position(token string) ([]byte, *Error) {
	if token == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < 8 || binary.BigEndian.Uint64(raw[len(raw)-8:]) != uint64(q) {
		return nil, fieldErrorf(InvalidArgument, "page_token", "is not a token of this list")
	}
	return raw[:len(raw)-8], nil
}

// sequenced is an element of a list in the order of creation.
type sequenced interface{ sequenceNumber() int64 }

// list sorts all, and returns one page and the token of the next one. size is
// positive. Elements that are added or removed between two pages neither
// repeat nor hide others.
func list[T sequenced](q question, token string, size int, all []T, show func(T) Object) (some []any, next string, err *Error) {
	position, err := q.position(token)
	if err != nil {
		return nil, "", err
	}
	var after int64
	if len(position) == 8 {
		after = int64(binary.BigEndian.Uint64(position))
	}
	all = slices.DeleteFunc(all, func(e T) bool { return e.sequenceNumber() <= after })
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(a.sequenceNumber(), b.sequenceNumber()) })
	if len(all) > size {
		all = all[:size]
		next = q.token(binary.BigEndian.AppendUint64(nil, uint64(all[size-1].sequenceNumber())))
	}
	for _, one := range all {
		if o := show(one); o != nil {
			some = append(some, o)
		}
	}
	return some, next, nil
}

// pageSize returns the requested size, the default if it is not positive, and at most
// the most.
func pageSize(asked, most int) int {
	if asked < 1 {
		return most
	}
	return min(asked, most)
}
