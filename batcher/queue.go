package batcher

import (
	"container/heap"
	"math"
	"time"

	"github.com/clientevents/clientevents/event"
)

// entry is a pending delivery.
type entry struct {
	delivery *event.Delivery
	since    time.Duration // when it became pending, on the batcher's clock
	size     int           // in bytes, estimated
}

// queue is what may go now, and in which order: the most valuable rank first,
// but each rank has its turns; within a rank, one partition after the other, so
// that none has to wait for another's backlog; and within a partition, what has
// to be tried again before what is new, since it is older.
type queue struct {
	ranks [event.Ranks]rank
	count int
	bytes int
}

// turns is of how many events one is of the rank at the least, as long as it has
// any: whatever comes in of greater value, something of each rank goes.
var turns = [event.Ranks]int{1, 5, 10}

// rank is what is pending of one rank.
type rank struct {
	lanes   []*lane // by partition; nil where there never was anything
	first   *lane   // of those that are not empty: whose turn it is
	last    *lane
	count   int
	skipped int // how many of other ranks went since one of this did
}

// lane is what is pending of one rank of one partition.
type lane struct {
	again ring
	fresh ring
	count int
	next  *lane
}

func (q *queue) len() int { return q.count }

func (q *queue) push(e entry) {
	r := q.rank(e.delivery)
	l := r.lane(int(e.delivery.Partition))
	e.delivery.Place = l.fresh.push(e)
	q.added(r, l, e.size)
}

func (q *queue) pushAgain(e entry) {
	r := q.rank(e.delivery)
	l := r.lane(int(e.delivery.Partition))
	l.again.push(e)
	q.added(r, l, e.size)
}

func (q *queue) rank(d *event.Delivery) *rank { return &q.ranks[min(d.Rank, event.Ranks-1)] }

func (r *rank) lane(partition int) *lane {
	if partition >= len(r.lanes) {
		r.lanes = append(r.lanes, make([]*lane, partition+1-len(r.lanes))...)
	}
	if r.lanes[partition] == nil {
		r.lanes[partition] = &lane{}
	}
	return r.lanes[partition]
}

func (q *queue) added(r *rank, l *lane, size int) {
	if l.count == 0 {
		r.append(l)
	}
	l.count++
	r.count++
	q.count++
	q.bytes += size
}

func (r *rank) append(l *lane) {
	l.next = nil
	if r.first == nil {
		r.first, r.last = l, l
		return
	}
	r.last.next = l
	r.last = l
}

// pop takes out the next entry; false where there is none, or where it is larger
// than most.
func (q *queue) pop(most int) (d *event.Delivery, size int, ok bool) {
	r := q.whose()
	if r == nil {
		return nil, 0, false
	}
	l := r.first
	from := &l.fresh
	if l.again.count > 0 {
		from = &l.again
	}
	if size = from.at(0).size; size > most {
		return nil, 0, false
	}
	d = from.pop().delivery
	d.Place = 0
	q.count--
	q.bytes -= size
	r.count--
	if l.count--; l != r.last || l.count == 0 {
		r.first = l.next
		if l.count > 0 {
			r.append(l)
		}
	}
	if r.count < q.count {
		for i := range q.ranks {
			q.ranks[i].skipped++
		}
	}
	r.skipped = 0
	return d, size, true
}

// whose is the rank that has its turn.
func (q *queue) whose() *rank {
	if r := &q.ranks[0]; r.count > 0 && r.count == q.count {
		return r
	}
	for i := len(q.ranks) - 1; i > 0; i-- {
		if r := &q.ranks[i]; r.count > 0 && r.skipped >= turns[i]-1 {
			return r
		}
	}
	for i := range q.ranks {
		if r := &q.ranks[i]; r.count > 0 {
			return r
		}
	}
	return nil
}

// raise moves a delivery to another rank. What has to be tried again goes before
// the others of its lane anyway, and stays there.
func (q *queue) raise(d *event.Delivery, to uint8) {
	if d.Place == 0 {
		d.Rank = to
		return
	}
	r := q.rank(d)
	l := r.lanes[d.Partition]
	e := l.fresh.remove(d.Place)
	r.count--
	q.count--
	q.bytes -= e.size
	if l.count--; l.count == 0 {
		r.unlink(l)
	}
	d.Rank = to
	q.push(e)
}

// unlink takes a lane out of those whose turn comes.
func (r *rank) unlink(l *lane) {
	var before *lane
	for at := r.first; at != l; at = at.next {
		before = at
	}
	if before == nil {
		r.first = l.next
	} else {
		before.next = l.next
	}
	if r.last == l {
		r.last = before
	}
}

// oldest is since when the one that has waited longest is pending. There is one.
func (q *queue) oldest() time.Duration {
	oldest := time.Duration(math.MaxInt64)
	for i := range q.ranks {
		for l := q.ranks[i].first; l != nil; l = l.next {
			if l.again.count > 0 {
				oldest = min(oldest, l.again.at(0).since)
			}
			if l.fresh.count > 0 {
				oldest = min(oldest, l.fresh.at(0).since)
			}
		}
	}
	return oldest
}

// ring is a first-in, first-out queue that keeps its memory, up to a point. Its
// length is a power of two.
type ring struct {
	entries []entry
	head    int
	count   int   // with those that were removed in the middle
	popped  int64 // how many left it at the front
}

const (
	minRing = 64
	// keptRing is how many entries a ring keeps room for when it is empty.
	keptRing = 4096
)

// push adds an entry at the end and returns its place, which is not 0.
func (r *ring) push(e entry) (place int64) {
	if r.count == len(r.entries) {
		r.resize(max(minRing, 2*r.count))
	}
	*r.at(r.count) = e
	r.count++
	return r.popped + int64(r.count)
}

// remove takes out what is at a place.
func (r *ring) remove(place int64) entry {
	at := r.at(int(place - 1 - r.popped))
	e := *at
	*at = entry{}
	r.trim()
	return e
}

// trim sees to it that what is at the front was not removed.
func (r *ring) trim() {
	for r.count > 0 && r.at(0).delivery == nil {
		r.drop()
	}
}

func (r *ring) at(i int) *entry { return &r.entries[(r.head+i)&(len(r.entries)-1)] }

func (r *ring) pop() entry {
	e := r.entries[r.head]
	r.drop()
	r.trim()
	return e
}

func (r *ring) drop() {
	r.entries[r.head] = entry{}
	r.head = (r.head + 1) & (len(r.entries) - 1)
	r.count--
	r.popped++
	if len(r.entries) > keptRing && r.count < len(r.entries)/8 {
		r.resize(len(r.entries) / 4)
	}
}

func (r *ring) resize(length int) {
	entries := make([]entry, length)
	for i := range r.count {
		entries[i] = *r.at(i)
	}
	r.entries, r.head = entries, 0
}

// later is what has to be tried again, by when; of what is due at the same
// time, the oldest record first, and then what was returned first.
type later struct {
	h     laterHeap
	count uint64
}

func (l *later) len() int { return len(l.h) }

// due is when the first is to be tried.
func (l *later) due() time.Duration { return l.h[0].at }

func (l *later) push(at time.Duration, d *event.Delivery) {
	l.count++
	heap.Push(&l.h, delayed{at, l.count, d})
}

func (l *later) pop() *event.Delivery { return heap.Pop(&l.h).(delayed).delivery }

type delayed struct {
	at       time.Duration
	number   uint64
	delivery *event.Delivery
}

type laterHeap []delayed

func (h laterHeap) Len() int      { return len(h) }
func (h laterHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h laterHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	if c := h[i].delivery.Timestamp.Compare(h[j].delivery.Timestamp); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}

func (h *laterHeap) Push(x any) { *h = append(*h, x.(delayed)) }

func (h *laterHeap) Pop() any {
	old := *h
	last := len(old) - 1
	e := old[last]
	old[last] = delayed{}
	*h = old[:last]
	return e
}
