package batcher

import (
	"container/heap"
	"time"

	"github.com/clientevents/clientevents/event"
)

// queue is what is pending, in the order in which it goes.
type queue struct {
	ring  []entry
	head  int
	count int
}

func (q *queue) len() int { return q.count }

func (q *queue) push(e entry) {
	if q.count == len(q.ring) {
		q.resize(max(64, 2*q.count))
	}
	q.ring[(q.head+q.count)%len(q.ring)] = e
	q.count++
}

// at is the i-th from the front.
func (q *queue) at(i int) *entry { return &q.ring[(q.head+i)%len(q.ring)] }

func (q *queue) pop() {
	q.ring[q.head] = entry{}
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	if len(q.ring) > 4096 && q.count < len(q.ring)/8 {
		q.resize(len(q.ring) / 4)
	}
}

func (q *queue) resize(size int) {
	ring := make([]entry, size)
	for i := range q.count {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = ring, 0
}

// laterHeap is what has to be tried again, by when.
type laterHeap struct{ h returned }

func (l *laterHeap) len() int { return len(l.h) }

func (l *laterHeap) first() time.Time { return l.h[0].at }

func (l *laterHeap) push(at time.Time, d *event.Delivery) { heap.Push(&l.h, delayed{at, d}) }

func (l *laterHeap) pop() *event.Delivery { return heap.Pop(&l.h).(delayed).delivery }

type delayed struct {
	at       time.Time
	delivery *event.Delivery
}

type returned []delayed

func (r returned) Len() int           { return len(r) }
func (r returned) Less(i, j int) bool { return r[i].at.Before(r[j].at) }
func (r returned) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *returned) Push(x any)        { *r = append(*r, x.(delayed)) }

func (r *returned) Pop() any {
	old := *r
	last := old[len(old)-1]
	*r = old[:len(old)-1]
	return last
}
