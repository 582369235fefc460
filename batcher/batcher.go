// Package batcher keeps the events that wait to be sent, and decides when how
// many of them go together.
//
// It has no goroutine of its own: the reporter's workers ask for the next batch
// and sleep until there is one. A batch goes when it is full, when its oldest
// event has lingered long enough, or when nothing is in flight, so that an event
// that finds the reporter idle never waits for company.
//
// A child never shares a batch with its parent: the consumer hands a child over
// only after its parent was accepted.
package batcher

import (
	"context"
	"sync"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Config says how large batches are and how long they are waited for.
type Config struct {
	// Size is how many events a batch has at the most; 1 sends each alone.
	Size int
	// Bytes bounds the sum of the events' estimated sizes in a batch, but for
	// a single event that is larger. 0 is no bound.
	Bytes int
	// Linger is how long a batch that is not full waits for more, while other
	// requests are in flight.
	Linger time.Duration
	// Concurrency is how many batches may be in flight.
	Concurrency int
}

// Admit is asked before a batch of n events is handed out. It allows so many of
// them; where it allows none, it says when to ask again.
type Admit func(n int, now time.Time) (allowed int, wait time.Duration)

// Batcher holds pending deliveries. It is safe for concurrent use.
type Batcher struct {
	cfg Config

	mu       sync.Mutex
	size     int // of a batch, at most
	pending  queue
	later    laterHeap
	inFlight int
	draining bool
	idle     []*worker // asleep, the last one to fall asleep first
	wake     *time.Timer
	wakeAt   time.Time
	empty    chan struct{} // closed and made anew when nothing is left, for Drain
}

// worker is a sleeping caller of Next.
type worker struct{ up chan struct{} }

// entry is a pending delivery and since when it is.
type entry struct {
	delivery *event.Delivery
	since    time.Time
}

// New makes an empty batcher.
func New(cfg Config) *Batcher {
	cfg.Size = max(1, cfg.Size)
	cfg.Concurrency = max(1, cfg.Concurrency)
	return &Batcher{cfg: cfg, size: cfg.Size, empty: make(chan struct{})}
}

// SetSize changes how many events a batch has at the most.
func (b *Batcher) SetSize(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size = max(1, n)
	b.rouse(time.Now())
}

// Accept takes deliveries. It does not block: the consumer bounds how many
// there are.
func (b *Batcher) Accept(ds []*event.Delivery) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range ds {
		b.pending.push(entry{d, now})
	}
	b.rouse(now)
}

// Return takes back a delivery that Next gave out and that has to be tried
// again after delay. It is not in flight meanwhile.
func (b *Batcher) Return(d *event.Delivery, delay time.Duration) {
	now := time.Now()
	b.mu.Lock()
	b.inFlight--
	released := b.draining
	if !released {
		b.later.push(now.Add(delay), d)
	}
	b.settled(now)
	b.mu.Unlock()
	if released {
		release(d)
	}
}

// Settle says that n deliveries that Next gave out are in flight no more.
func (b *Batcher) Settle(n int) {
	if n == 0 {
		return
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight -= n
	b.settled(now)
}

// settled is called after inFlight fell. The caller holds mu.
func (b *Batcher) settled(now time.Time) {
	if b.left() == 0 {
		close(b.empty)
		b.empty = make(chan struct{})
	}
	b.rouse(now)
}

func (b *Batcher) left() int { return b.pending.len() + b.later.len() + b.inFlight }

// Pending counts the deliveries that wait, and InFlight those that were handed
// out and are not settled.
func (b *Batcher) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending.len() + b.later.len()
}

// InFlight counts the deliveries that were handed out and are not settled: what
// a process that is killed at this moment may report twice.
func (b *Batcher) InFlight() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inFlight
}

// Next waits for the next batch and appends it to dst. Each delivery of it is
// later given to exactly one of Settle and Return.
func (b *Batcher) Next(ctx context.Context, dst []*event.Delivery, admit Admit) ([]*event.Delivery, error) {
	var me *worker
	for {
		if err := ctx.Err(); err != nil {
			return dst, err
		}
		now := time.Now()
		b.mu.Lock()
		batch, released := b.take(dst, admit, now)
		if len(batch) > len(dst) {
			b.rouse(now) // there may be enough for somebody else
			b.mu.Unlock()
			return batch, nil
		}
		if me == nil {
			me = &worker{up: make(chan struct{}, 1)}
		}
		b.idle = append(b.idle, me)
		if b.left() == 0 && len(released) > 0 {
			close(b.empty)
			b.empty = make(chan struct{})
		}
		b.mu.Unlock()
		for _, d := range released {
			release(d)
		}
		select {
		case <-me.up:
		case <-ctx.Done():
			b.mu.Lock()
			b.forget(me)
			// Whoever woke me meant it: somebody else has to look.
			b.rouse(time.Now())
			b.mu.Unlock()
			return dst, ctx.Err()
		}
	}
}

// take removes the next batch from what is pending, or says when to look
// again. While draining, it gives back what can't go at once.
func (b *Batcher) take(dst []*event.Delivery, admit Admit, now time.Time) (batch, released []*event.Delivery) {
	b.ripen(now)
	n, wait := b.ready(now)
	if n == 0 {
		b.alarm(now, wait)
		return dst, nil
	}
	n, wait = admit(b.fit(n), now)
	if n == 0 {
		if b.draining {
			return dst, b.clear()
		}
		b.alarm(now, wait)
		return dst, nil
	}
	for range n {
		dst = append(dst, b.pending.at(0).delivery)
		b.pending.pop()
	}
	b.inFlight += n
	return dst, nil
}

// fit says how many of the first n pending deliveries keep to Bytes.
func (b *Batcher) fit(n int) int {
	if b.cfg.Bytes <= 0 || n == 1 {
		return n
	}
	bytes := 0
	for i := range n {
		if bytes += b.pending.at(i).delivery.Size(); bytes > b.cfg.Bytes {
			return max(1, i)
		}
	}
	return n
}

// ready says how many deliveries may go now, or when that will change; 0 and 0
// where only an event from outside changes it.
func (b *Batcher) ready(now time.Time) (int, time.Duration) {
	pending := b.pending.len()
	if pending == 0 {
		return 0, 0
	}
	n := min(pending, b.size)
	if b.size*b.cfg.Concurrency-b.inFlight < n {
		// What is in flight is what a kill may repeat, so it is bounded to what
		// the requests hold; a batch waits whole for room. Settling rouses.
		return 0, 0
	}
	if n == b.size || b.draining || b.inFlight == 0 {
		return n, 0
	}
	if lingered := now.Sub(b.pending.at(0).since); lingered < b.cfg.Linger {
		return 0, b.cfg.Linger - lingered
	}
	return n, 0
}

// ripen moves what was returned and has waited to the front of the pending.
func (b *Batcher) ripen(now time.Time) {
	for b.later.len() > 0 && !b.later.first().After(now) {
		b.pending.push(entry{b.later.pop(), now})
	}
	if b.later.len() > 0 {
		b.alarm(now, b.later.first().Sub(now))
	}
}

// alarm sees to it that a worker looks again after wait, if wait is not 0.
func (b *Batcher) alarm(now time.Time, wait time.Duration) {
	if wait <= 0 {
		return
	}
	at := now.Add(wait)
	if !b.wakeAt.IsZero() && !at.Before(b.wakeAt) && b.wakeAt.After(now) {
		return
	}
	b.wakeAt = at
	if b.wake == nil {
		b.wake = time.AfterFunc(wait, b.onAlarm)
		return
	}
	b.wake.Reset(wait)
}

func (b *Batcher) onAlarm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeAt = time.Time{}
	b.wakeOne()
}

// rouse wakes a worker when it may have something to do. A worker that takes a
// batch rouses the next, so that as many are awake as there are batches.
func (b *Batcher) rouse(now time.Time) {
	b.ripen(now)
	if len(b.idle) == 0 {
		return
	}
	n, wait := b.ready(now)
	if n > 0 {
		b.wakeOne()
		return
	}
	b.alarm(now, wait)
}

func (b *Batcher) wakeOne() {
	if last := len(b.idle) - 1; last >= 0 {
		w := b.idle[last]
		b.idle = b.idle[:last]
		w.up <- struct{}{}
	}
}

// forget takes a worker off the sleepers, if it is still among them.
func (b *Batcher) forget(me *worker) {
	for i, w := range b.idle {
		if w == me {
			b.idle = append(b.idle[:i], b.idle[i+1:]...)
			return
		}
	}
}

// Poke lets a worker look again, because what admit answers has changed.
func (b *Batcher) Poke() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rouse(time.Now())
}

// Drain sends what is pending without lingering, and releases what can't go at
// once. It returns true when nothing is pending or in flight any more, false
// when ctx ends before. Until Resume, what is returned or accepted is released
// or sent the same way.
func (b *Batcher) Drain(ctx context.Context) bool {
	b.mu.Lock()
	b.draining = true
	var released []*event.Delivery
	for b.later.len() > 0 {
		released = append(released, b.later.pop())
	}
	b.rouse(time.Now())
	b.mu.Unlock()
	for _, d := range released {
		release(d)
	}
	for {
		b.mu.Lock()
		left, empty := b.left(), b.empty
		b.mu.Unlock()
		if left == 0 {
			return true
		}
		select {
		case <-empty:
		case <-ctx.Done():
			b.mu.Lock()
			released := b.clear()
			b.mu.Unlock()
			for _, d := range released {
				release(d)
			}
			return false
		}
	}
}

// Resume lingers again after a Drain.
func (b *Batcher) Resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.draining = false
}

// clear empties what is pending. The caller releases it without holding mu.
func (b *Batcher) clear() []*event.Delivery {
	var all []*event.Delivery
	for b.pending.len() > 0 {
		all = append(all, b.pending.at(0).delivery)
		b.pending.pop()
	}
	for b.later.len() > 0 {
		all = append(all, b.later.pop())
	}
	return all
}

func release(d *event.Delivery) { d.Done(d, event.Outcome{Kind: event.Released}) }
