package partition

import (
	"math/rand/v2"
	"time"
)

// ticket identifies a record in a tracker, in the order in which records were
// added.
type ticket uint64

// tracker knows which records of a partition have their outcome, and so the
// offset that may be committed. Records finish in any order, but an offset is
// committed only when everything before it is finished. A tracker is not safe
// for concurrent use.
type tracker struct {
	// chunks hold the spans from the oldest unfinished one on, in order. One
	// record may be stuck while hundreds of thousands finish behind it, so they
	// grow in steps and are never copied.
	chunks []*chunkOfSpans
	spare  *chunkOfSpans
	head   int // the oldest span's place in the first chunk
	count  int
	first  ticket // the oldest span's
	mark   int64  // the watermark
	open   int    // spans that are not done
}

// span is a record and the gap behind it.
type span struct {
	after int64 // the offset that follows the record and the gap
	// when is the record's timestamp in Unix milliseconds, doubled, plus 1 if the
	// record is done.
	when int64
}

func (s *span) done() bool { return s.when&1 != 0 }

const spansInChunk = 512

type chunkOfSpans [spansInChunk]span

// newTracker returns a tracker that starts at an offset below which everything
// is finished.
//
// Tickets begin at random, so that those of one tracker mean nothing to another.
// A partition that starts again has a new tracker. A late outcome of an earlier
// record must not finish a later record: that one would be committed without
// having been reported.
func newTracker(start int64) tracker {
	return tracker{mark: start, first: ticket(rand.Uint64N(1 << 62))}
}

// add adds the next record; after is the offset that follows it and the gap
// behind it, if any. Offsets only grow.
func (t *tracker) add(after int64, timestamp time.Time) ticket {
	if t.head+t.count == len(t.chunks)*spansInChunk {
		t.grow()
	}
	*t.at(t.count) = span{after: after, when: timestamp.UnixMilli() << 1}
	t.count++
	t.open++
	return t.first + ticket(t.count-1)
}

// at returns the i-th span from the oldest.
func (t *tracker) at(i int) *span {
	i += t.head
	return &t.chunks[i/spansInChunk][i%spansInChunk]
}

func (t *tracker) grow() {
	c := t.spare
	if t.spare = nil; c == nil {
		c = new(chunkOfSpans)
	}
	t.chunks = append(t.chunks, c)
}

// extend declares that there are no records between the last one added and
// after: the broker compacted them away, or they are control records or belong
// to aborted transactions.
func (t *tracker) extend(after int64) {
	if t.count == 0 {
		t.mark = max(t.mark, after)
		return
	}
	last := t.at(t.count - 1)
	last.after = max(last.after, after)
}

// done notes a record's outcome. It reports false if the outcome was noted
// before, or if the record was never added to this tracker.
func (t *tracker) done(k ticket) bool {
	if k < t.first || k >= t.first+ticket(t.count) {
		return false
	}
	s := t.at(int(k - t.first))
	if s.done() {
		return false
	}
	s.when |= 1
	t.open--
	for t.count > 0 && t.at(0).done() {
		t.pass()
	}
	return true
}

// pass moves the watermark over the oldest span, which is done.
func (t *tracker) pass() {
	t.mark = max(t.mark, t.at(0).after)
	t.head++
	t.first++
	t.count--
	switch {
	case t.head == spansInChunk:
		t.spare, t.chunks[0] = t.chunks[0], nil
		t.chunks, t.head = t.chunks[1:], 0
	case t.count == 0:
		t.head = 0
	}
}

// watermark returns the offset that may be committed: all records before it
// have their outcome.
func (t *tracker) watermark() int64 { return t.mark }

// unfinished returns the number of records without an outcome.
func (t *tracker) unfinished() int { return t.open }

// oldest returns the timestamp of the unfinished record with the lowest offset;
// zero if there is none.
func (t *tracker) oldest() time.Time {
	if t.count == 0 {
		return time.Time{}
	}
	return time.UnixMilli(t.at(0).when >> 1) // the oldest span is never done
}
