package batcher

import (
	"container/heap"
	"time"

	"github.com/clientevents/clientevents/event"
)

// entry is a pending delivery.
type entry struct {
	delivery *event.Delivery
	since    time.Duration // when it became pending, on the batcher's clock
	size     int           // in bytes, estimated
}

// queue is what may go now, and in which order: what has to be tried again is
// older than what is new, so it goes first.
type queue struct {
	again ring
	fresh ring
	bytes int
}

func (q *queue) len() int { return q.again.count + q.fresh.count }

func (q *queue) push(e entry)      { q.fresh.push(e); q.bytes += e.size }
func (q *queue) pushAgain(e entry) { q.again.push(e); q.bytes += e.size }

// at is the i-th from the front.
func (q *queue) at(i int) *entry {
	if i < q.again.count {
		return q.again.at(i)
	}
	return q.fresh.at(i - q.again.count)
}

func (q *queue) pop() *event.Delivery {
	from := &q.fresh
	if q.again.count > 0 {
		from = &q.again
	}
	e := from.pop()
	q.bytes -= e.size
	return e.delivery
}

// oldest is since when the one that has waited longest is pending. There is one.
func (q *queue) oldest() time.Duration {
	switch {
	case q.again.count == 0:
		return q.fresh.at(0).since
	case q.fresh.count == 0:
		return q.again.at(0).since
	}
	return min(q.again.at(0).since, q.fresh.at(0).since)
}

// ring is a first-in, first-out queue that keeps its memory, up to a point. Its
// length is a power of two.
type ring struct {
	entries []entry
	head    int
	count   int
}

const (
	minRing = 64
	// keptRing is how many entries a ring keeps room for when it is empty.
	keptRing = 4096
)

func (r *ring) push(e entry) {
	if r.count == len(r.entries) {
		r.resize(max(minRing, 2*r.count))
	}
	*r.at(r.count) = e
	r.count++
}

func (r *ring) at(i int) *entry { return &r.entries[(r.head+i)&(len(r.entries)-1)] }

func (r *ring) pop() entry {
	e := r.entries[r.head]
	r.entries[r.head] = entry{}
	r.head = (r.head + 1) & (len(r.entries) - 1)
	r.count--
	if len(r.entries) > keptRing && r.count < len(r.entries)/8 {
		r.resize(len(r.entries) / 4)
	}
	return e
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
