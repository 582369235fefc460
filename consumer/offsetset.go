package consumer

import "slices"

// offsetSet is a set of offsets, as spans in order and apart.
type offsetSet []offsetSpan

// offsetSpan holds the offsets from one to another, which is not in it.
type offsetSpan struct{ from, to int64 }

// find returns the first span that ends at an offset or after it.
func (s offsetSet) find(offset int64) int {
	i, _ := slices.BinarySearchFunc(s, offset, func(span offsetSpan, offset int64) int {
		if span.to < offset {
			return -1
		}
		return 1
	})
	return i
}

func (s offsetSet) has(offset int64) bool {
	i := s.find(offset + 1)
	return i < len(s) && s[i].from <= offset
}

func (s *offsetSet) add(span offsetSpan) {
	first := s.find(span.from)
	behind := first
	for ; behind < len(*s) && (*s)[behind].from <= span.to; behind++ {
		span.from, span.to = min(span.from, (*s)[behind].from), max(span.to, (*s)[behind].to)
	}
	*s = slices.Replace(*s, first, behind, span)
}

// forget removes the offsets before one.
func (s *offsetSet) forget(before int64) {
	*s = slices.Delete(*s, 0, s.find(before+1))
	if len(*s) > 0 {
		(*s)[0].from = max((*s)[0].from, before)
	}
}

// forgetFrom removes an offset and those behind it.
func (s *offsetSet) forgetFrom(end int64) {
	*s = slices.DeleteFunc(*s, func(span offsetSpan) bool { return span.from >= end })
	if n := len(*s); n > 0 {
		(*s)[n-1].to = min((*s)[n-1].to, end)
	}
}
