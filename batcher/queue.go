package batcher

import (
	"container/heap"
	"math"
	"slices"
	"time"

	"github.com/clientevents/clientevents/event"
)

// queued is a delivery in the queue.
type queued struct {
	delivery *event.Delivery
	since    time.Duration // when it became pending, on the batcher's clock
	size     int           // in bytes, estimated
}

// queue orders the pending deliveries: the most valuable rank first, but each rank
// has its turns; within a rank, the partitions in turn, so that none waits for
// another's backlog; and within a partition, retries before new deliveries, since
// they are older.
type queue struct {
	ranks [event.Ranks]rank
	count int
	bytes int
}

// turns bounds the wait of a rank: at least one of so many events sent is of that
// rank while it has any, however many of greater value arrive.
var turns = [event.Ranks]int{1, 5, 10}

// rank holds the pending deliveries of one rank.
type rank struct {
	lanes   []*lane // by partition; nil where there never was a delivery
	first   *lane   // the lane that has its turn, of those that are not empty
	last    *lane
	count   int
	skipped int // deliveries of other ranks sent since the last of this one
}

// lane holds the pending deliveries of one rank and partition.
type lane struct {
	retry ring
	fresh ring
	count int
	next  *lane
}

func (q *queue) len() int { return q.count }

func (q *queue) push(d queued) {
	r := q.rank(d.delivery)
	l := r.lane(int(d.delivery.Partition))
	d.delivery.Place = l.fresh.push(d)
	q.added(r, l, d.size)
}

func (q *queue) pushRetry(d queued) {
	r := q.rank(d.delivery)
	l := r.lane(int(d.delivery.Partition))
	l.retry.push(d)
	q.added(r, l, d.size)
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

// pop takes out the next delivery; ok is false where there is none, or where it is
// larger than most bytes.
func (q *queue) pop(most int) (d *event.Delivery, size int, ok bool) {
	r := q.turn()
	if r == nil {
		return nil, 0, false
	}
	l := r.first
	from := &l.fresh
	if l.retry.count > 0 {
		from = &l.retry
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

// turn returns the rank that has its turn; nil where none has a delivery.
func (q *queue) turn() *rank {
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

// raise moves a delivery to another rank. A retry goes before the others of its
// lane anyway, and stays there.
func (q *queue) raise(d *event.Delivery, to uint8) {
	if d.Place == 0 {
		d.Rank = to
		return
	}
	r := q.rank(d)
	l := r.lanes[d.Partition]
	moved := l.fresh.remove(d.Place)
	r.count--
	q.count--
	q.bytes -= moved.size
	if l.count--; l.count == 0 {
		r.unlink(l)
	}
	d.Rank = to
	q.push(moved)
}

// takeOver takes out the deliveries of terms that are over.
func (q *queue) takeOver() (taken []*event.Delivery) {
	for i := range q.ranks {
		r := &q.ranks[i]
		for _, l := range r.lanes {
			if l == nil || l.count == 0 {
				continue
			}
			before, bytes := len(taken), 0
			for _, of := range []*ring{&l.retry, &l.fresh} {
				taken = of.takeOver(taken, &bytes)
			}
			n := len(taken) - before
			q.count, r.count, l.count, q.bytes = q.count-n, r.count-n, l.count-n, q.bytes-bytes
			if n > 0 && l.count == 0 {
				r.unlink(l)
			}
		}
	}
	return taken
}

// unlink removes a lane from those that take turns.
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

// oldest returns the time since which the longest waiting delivery is pending. The
// queue is not empty.
func (q *queue) oldest() time.Duration {
	oldest := time.Duration(math.MaxInt64)
	for i := range q.ranks {
		for l := q.ranks[i].first; l != nil; l = l.next {
			if l.retry.count > 0 {
				oldest = min(oldest, l.retry.at(0).since)
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
	slots  []queued
	head   int
	count  int   // of slots in use, including those removed in the middle
	popped int64 // number of deliveries that left at the front
}

const (
	minRing = 64
	// keptRing is for how many deliveries an empty ring keeps room.
	keptRing = 4096
)

// push adds a delivery at the end and returns its place, which is not 0.
func (r *ring) push(d queued) (place int64) {
	if r.count == len(r.slots) {
		r.resize(max(minRing, 2*r.count))
	}
	*r.at(r.count) = d
	r.count++
	return r.popped + int64(r.count)
}

// remove takes out the delivery at a place.
func (r *ring) remove(place int64) queued {
	at := r.at(int(place - 1 - r.popped))
	d := *at
	*at = queued{}
	r.trim()
	return d
}

// takeOver takes out the deliveries of terms that are over, appends them to taken,
// and adds their sizes to bytes.
func (r *ring) takeOver(taken []*event.Delivery, bytes *int) []*event.Delivery {
	for i := range r.count {
		if d := r.at(i); d.delivery != nil && d.delivery.Term.Over() {
			d.delivery.Place = 0
			*bytes += d.size
			taken = append(taken, d.delivery)
			*d = queued{}
		}
	}
	r.trim()
	return taken
}

// trim drops removed deliveries from the front.
func (r *ring) trim() {
	for r.count > 0 && r.at(0).delivery == nil {
		r.drop()
	}
}

func (r *ring) at(i int) *queued { return &r.slots[(r.head+i)&(len(r.slots)-1)] }

func (r *ring) pop() queued {
	d := r.slots[r.head]
	r.drop()
	r.trim()
	return d
}

func (r *ring) drop() {
	r.slots[r.head] = queued{}
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.count--
	r.popped++
	if len(r.slots) > keptRing && r.count < len(r.slots)/8 {
		r.resize(len(r.slots) / 4)
	}
}

func (r *ring) resize(length int) {
	slots := make([]queued, length)
	for i := range r.count {
		slots[i] = *r.at(i)
	}
	r.slots, r.head = slots, 0
}

// retries are the deliveries that wait for the time of another attempt, by that
// time; of those due at the same time, the oldest record first, and then the first
// that was returned.
type retries struct {
	h     retryHeap
	count uint64
}

func (r *retries) len() int { return len(r.h) }

// due returns the time of the first; there is one.
func (r *retries) due() time.Duration { return r.h[0].at }

func (r *retries) push(at time.Duration, d *event.Delivery) {
	r.count++
	heap.Push(&r.h, retry{at, r.count, d})
}

func (r *retries) pop() *event.Delivery { return heap.Pop(&r.h).(retry).delivery }

// takeOver takes out the deliveries of terms that are over.
func (r *retries) takeOver() (taken []*event.Delivery) {
	r.h = slices.DeleteFunc(r.h, func(d retry) bool {
		if d.delivery.Term.Over() {
			taken = append(taken, d.delivery)
		}
		return d.delivery.Term.Over()
	})
	heap.Init(&r.h)
	return taken
}

type retry struct {
	at       time.Duration
	number   uint64
	delivery *event.Delivery
}

type retryHeap []retry

func (h retryHeap) Len() int      { return len(h) }
func (h retryHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h retryHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	if c := h[i].delivery.Timestamp.Compare(h[j].delivery.Timestamp); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}

func (h *retryHeap) Push(x any) { *h = append(*h, x.(retry)) }

func (h *retryHeap) Pop() any {
	old := *h
	last := len(old) - 1
	r := old[last]
	old[last] = retry{}
	*h = old[:last]
	return r
}
