package consumer

import (
	"math/rand/v2"
	"time"
	"unsafe"
)

// ticket names a record in a tracker, in the order in which they were added.
type ticket uint64

// tracker knows which records of a partition have their outcome, and so how far
// the partition may be committed: records finish in any order, but an offset is
// committed only when everything before it is finished. It is not safe for
// concurrent use.
type tracker struct {
	spans []span // a ring
	head  int    // the ring's index of the oldest span
	count int
	first ticket // the oldest span's
	mark  int64
	open  int // spans that are not done
}

// span is a record and the gap behind it.
type span struct {
	offset    int64
	after     int64 // the offset that follows the record and the gap
	timestamp int64 // Unix milliseconds
	done      bool
}

const (
	// firstSpans is the ring's first size.
	firstSpans = 64
	// keptSpans is how large a ring may be for good, however few it holds.
	keptSpans = 1024
)

// newTracker starts at an offset below which everything is finished.
//
// Tickets begin at random, so that those of one tracker mean nothing to another.
// A partition that is begun anew has a new one, and an outcome of before must
// not finish a record of after: that would be committed without being reported.
func newTracker(start int64) tracker {
	return tracker{mark: start, first: ticket(rand.Uint64N(1 << 62))}
}

// add takes the next record; after is the offset that follows it and the gap
// behind it, if there is one. Offsets only grow.
func (t *tracker) add(offset, after int64, timestamp time.Time) ticket {
	if t.count == len(t.spans) {
		t.resize(max(firstSpans, 2*t.count))
	}
	t.spans[(t.head+t.count)%len(t.spans)] = span{offset: offset, after: after, timestamp: timestamp.UnixMilli()}
	t.count++
	t.open++
	return t.first + ticket(t.count-1)
}

// extend says that there are no records between the last one added and after:
// the broker compacted them away, or they are not for us (aborted transactions
// and control records).
func (t *tracker) extend(after int64) {
	if t.count == 0 {
		t.mark = max(t.mark, after)
		return
	}
	last := &t.spans[(t.head+t.count-1)%len(t.spans)]
	last.after = max(last.after, after)
}

// done notes a record's outcome; false if it was noted before, or if the record
// was never added to this tracker.
func (t *tracker) done(k ticket) bool {
	if k < t.first || k >= t.first+ticket(t.count) {
		return false
	}
	s := &t.spans[(t.head+int(k-t.first))%len(t.spans)]
	if s.done {
		return false
	}
	s.done = true
	t.open--
	for t.count > 0 && t.spans[t.head].done {
		t.mark = max(t.mark, t.spans[t.head].after)
		t.head = (t.head + 1) % len(t.spans)
		t.first++
		t.count--
	}
	if len(t.spans) > keptSpans && t.count < len(t.spans)/8 {
		t.resize(max(keptSpans, 2*t.count))
	}
	return true
}

func (t *tracker) resize(size int) {
	spans := make([]span, size)
	for i := range t.count {
		spans[i] = t.spans[(t.head+i)%len(t.spans)]
	}
	t.spans, t.head = spans, 0
}

// watermark is the offset that may be committed: all records before it have
// their outcome.
func (t *tracker) watermark() int64 { return t.mark }

// unfinished is how many records have no outcome yet.
func (t *tracker) unfinished() int { return t.open }

// oldest is the unfinished record with the lowest offset.
func (t *tracker) oldest() (offset int64, timestamp time.Time, ok bool) {
	if t.count == 0 {
		return 0, time.Time{}, false
	}
	s := t.spans[t.head] // the oldest span is never done, see done
	return s.offset, time.UnixMilli(s.timestamp), true
}

// bytes is the memory that the tracker holds.
func (t *tracker) bytes() int { return cap(t.spans) * int(unsafe.Sizeof(span{})) }
