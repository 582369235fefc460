// Package batcher keeps the events that wait to be sent, and decides when how
// many of them go together.
//
// It has no goroutine of its own: the reporter's workers ask for the next batch
// and sleep until there is one. A batch goes when it is full, when its oldest
// event has lingered long enough, or when nothing is in flight, so that an event
// that finds the reporter idle never waits for company.
//
// While not everything can go, what is of more value goes first, and partitions
// take turns; see queue.
//
// A child never shares a batch with its parent: the consumer hands a child over
// only after its parent was accepted.
package batcher

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Config says how large batches are and how long they are waited for.
type Config struct {
	// Size is how many events a batch has at the most; 1 sends each alone.
	Size int
	// Bytes bounds the sum of the events' estimated sizes ([event.Event.Size])
	// in a batch, but for a single event that is larger. 0 is no bound.
	Bytes int
	// Linger is how long a batch that is not full waits for more, while other
	// requests are in flight.
	Linger time.Duration
	// Concurrency is how many batches may be in flight.
	Concurrency int
}

// Admit is asked before a batch of n events is handed out, with the batcher
// locked, so it must not call it. It allows so many of them, which then go, or
// fewer where they would exceed the bytes of a batch;
// where it allows none, it says when to ask again: after wait, or where that is
// 0, after [Batcher.Poke].
type Admit = func(n int, now time.Time) (allowed int, wait time.Duration)

// Batcher holds pending deliveries. It is safe for concurrent use.
type Batcher struct {
	cfg Config
	// start is the zero of the batcher's clock. A time since then takes a third
	// of the room of a [time.Time], and less to read.
	start time.Time

	mu       sync.Mutex
	size     int // of a batch, at most
	pending  queue
	later    later
	inFlight int
	draining bool
	// releasing counts what is taken out and not yet told so: a drain is over
	// only when everything has been told.
	releasing int
	empty     chan struct{} // closed when nothing is left; nil unless a Drain waits

	// Admit was asked and allowed nothing: until then, or until Poke.
	heldUntil time.Duration
	held      bool

	idle   []*worker // asleep, the last one to fall asleep last
	spare  []*worker
	coming bool // a worker was woken and has not looked yet
	alarm  *time.Timer
	ringAt time.Duration // when alarm rings; 0 when it does not
}

// worker is a sleeping caller of Next.
type worker struct{ up chan struct{} }

// New makes an empty batcher.
func New(cfg Config) *Batcher {
	cfg.Size = max(1, cfg.Size)
	cfg.Concurrency = max(1, cfg.Concurrency)
	return &Batcher{cfg: cfg, size: cfg.Size, start: time.Now()}
}

func (b *Batcher) now() time.Duration { return time.Since(b.start) }

// SetSize changes how many events a batch has at the most, between 1 and what
// the configuration says. It returns how many that are.
func (b *Batcher) SetSize(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size = min(max(1, n), b.cfg.Size)
	b.rouse(b.now())
	return b.size
}

// Accept takes deliveries. It does not block: the consumer bounds how many
// there are.
func (b *Batcher) Accept(ds []*event.Delivery) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range ds {
		b.pending.push(b.entry(d, now))
	}
	b.rouse(now)
}

func (b *Batcher) entry(d *event.Delivery, now time.Duration) entry {
	e := entry{delivery: d, since: now}
	if b.cfg.Bytes > 0 {
		e.size = d.Size()
	}
	return e
}

// Raise gives a delivery a better rank, wherever it is: something of more value
// waits for it.
func (b *Batcher) Raise(d *event.Delivery, rank uint8) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rank < d.Rank {
		b.pending.raise(d, rank)
	}
}

// Return takes back deliveries that Next gave out and that have to be tried
// again after delay. They are not in flight meanwhile, and go before what is new
// when they are due. While draining they are released.
func (b *Batcher) Return(ds []*event.Delivery, delay time.Duration) {
	if len(ds) == 0 {
		return
	}
	now := b.now()
	b.mu.Lock()
	b.inFlight -= len(ds)
	if b.draining {
		b.releasing += len(ds)
		b.rouse(now)
		b.mu.Unlock()
		b.release(ds)
		return
	}
	defer b.mu.Unlock()
	for _, d := range ds {
		if delay > 0 {
			b.later.push(now+delay, d)
		} else {
			b.pending.pushAgain(b.entry(d, now))
		}
	}
	b.rouse(now)
}

// Settle says that n deliveries that Next gave out are in flight no more.
func (b *Batcher) Settle(n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight -= n
	b.signalEmpty()
	if b.mayRouse() {
		b.rouse(b.now())
	}
}

// signalEmpty tells a Drain that nothing is left. The caller holds mu.
func (b *Batcher) signalEmpty() {
	if b.empty != nil && b.left() == 0 {
		close(b.empty)
		b.empty = nil
	}
}

func (b *Batcher) left() int { return b.pending.len() + b.later.len() + b.inFlight + b.releasing }

// Pending counts the deliveries that wait to be sent.
func (b *Batcher) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending.len() + b.later.len()
}

// Ready counts those of the pending deliveries that need not wait for another
// attempt.
func (b *Batcher) Ready() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ripen(b.now())
	return b.pending.len()
}

// InFlight counts the deliveries that were handed out and are not settled: what
// a process that is killed at this moment may report twice.
func (b *Batcher) InFlight() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inFlight
}

// Next waits for the next batch and appends it to dst. Each delivery of it is
// later given to exactly one of Settle and Return. The error is ctx's.
func (b *Batcher) Next(ctx context.Context, dst []*event.Delivery, admit Admit) ([]*event.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	for {
		now := b.now()
		b.mu.Lock()
		batch, released := b.take(dst, admit, now)
		if len(batch) > len(dst) {
			b.rouse(now) // there may be enough for somebody else
			b.mu.Unlock()
			return batch, nil
		}
		if len(released) > 0 {
			b.mu.Unlock()
			b.release(released)
			continue
		}
		me := b.fallAsleep()
		b.mu.Unlock()

		err := me.sleep(ctx)
		b.mu.Lock()
		woken := b.getUp(me)
		if err != nil {
			if woken {
				// Whoever woke me meant it: somebody else has to look.
				b.rouse(b.now())
			}
			b.mu.Unlock()
			return dst, err
		}
		b.mu.Unlock()
	}
}

func (b *Batcher) fallAsleep() *worker {
	me := &worker{}
	if last := len(b.spare) - 1; last >= 0 {
		me, b.spare = b.spare[last], b.spare[:last]
	} else {
		me.up = make(chan struct{}, 1)
	}
	b.idle = append(b.idle, me)
	return me
}

func (w *worker) sleep(ctx context.Context) error {
	select {
	case <-w.up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// getUp takes a worker that sleeps no more off the sleepers. It returns whether
// it was woken.
func (b *Batcher) getUp(me *worker) (woken bool) {
	woken = true
	for i, w := range b.idle {
		if w == me {
			b.idle = append(b.idle[:i], b.idle[i+1:]...)
			woken = false
			break
		}
	}
	if woken {
		b.coming = false
		select {
		case <-me.up: // woken while its context ended
		default:
		}
	}
	b.spare = append(b.spare, me)
	return woken
}

// take removes the next batch from what is pending, or sees to it that somebody
// looks again. While draining, it gives back what can't go at once.
func (b *Batcher) take(dst []*event.Delivery, admit Admit, now time.Duration) (batch, released []*event.Delivery) {
	b.ripen(now)
	n, at := b.ready(now)
	if n == 0 {
		b.ring(now, at)
		return dst, nil
	}
	if !b.isHeld(now) {
		allowed, wait := admit(n, b.start.Add(now))
		if allowed > 0 {
			return b.hand(dst, allowed), nil
		}
		b.held, b.heldUntil = true, 0
		if wait > 0 {
			b.heldUntil = now + wait
		}
	}
	if b.draining {
		return dst, b.clear()
	}
	b.ring(now, b.heldUntil)
	return dst, nil
}

// hand moves n pending deliveries to dst, or as many of them as keep to Bytes.
func (b *Batcher) hand(dst []*event.Delivery, n int) []*event.Delivery {
	before, room := len(dst), math.MaxInt
	for range n {
		d, size, ok := b.pending.pop(room)
		if !ok {
			break
		}
		if dst = append(dst, d); b.cfg.Bytes > 0 {
			if len(dst)-before == 1 {
				room = b.cfg.Bytes
			}
			room -= size
		}
	}
	b.inFlight += len(dst) - before
	return dst
}

// isHeld says whether Admit would allow nothing.
func (b *Batcher) isHeld(now time.Duration) bool {
	if b.held && b.heldUntil > 0 && now >= b.heldUntil {
		b.held = false
	}
	return b.held
}

// ready says how many deliveries may go now as far as the batcher is concerned,
// or when that will be; 0 and 0 where only an event from outside changes it.
func (b *Batcher) ready(now time.Duration) (n int, at time.Duration) {
	pending := b.pending.len()
	if pending == 0 {
		return 0, b.dueAt()
	}
	n = min(pending, b.size)
	if b.size*b.cfg.Concurrency-b.inFlight < n {
		// What is in flight is what a kill may repeat, so it is bounded to what
		// the requests hold; a batch waits whole for room. Settling rouses.
		return 0, 0
	}
	full := n == b.size || (b.cfg.Bytes > 0 && b.pending.bytes >= b.cfg.Bytes)
	if full || b.draining || b.inFlight == 0 {
		return n, 0
	}
	if lingers := b.pending.oldest() + b.cfg.Linger; lingers > now {
		if due := b.dueAt(); due > 0 {
			lingers = min(lingers, due)
		}
		return 0, lingers
	}
	return n, 0
}

// dueAt is when the first delivery that waits for another attempt is due; 0 for
// never.
func (b *Batcher) dueAt() time.Duration {
	if b.later.len() == 0 {
		return 0
	}
	return b.later.due()
}

// ripen moves what waited long enough for another attempt to the pending.
func (b *Batcher) ripen(now time.Duration) {
	for b.later.len() > 0 && b.later.due() <= now {
		b.pending.pushAgain(b.entry(b.later.pop(), now))
	}
}

// ring sees to it that a worker looks again at the given time, if it is not 0.
func (b *Batcher) ring(now, at time.Duration) {
	if at == 0 || (b.ringAt > now && b.ringAt <= at) {
		return
	}
	b.ringAt = at
	if b.alarm == nil {
		b.alarm = time.AfterFunc(at-now, b.onAlarm)
		return
	}
	b.alarm.Reset(at - now)
}

func (b *Batcher) onAlarm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ringAt = 0
	b.rouse(b.now())
}

// rouse wakes a worker when there is a batch for it. A worker that took a batch
// rouses the next, so that as many are awake as there are batches, and never
// all of them for one. The caller holds mu.
func (b *Batcher) rouse(now time.Duration) {
	if !b.mayRouse() {
		return
	}
	b.ripen(now)
	n, at := b.ready(now)
	if n > 0 && b.isHeld(now) && !b.draining {
		n, at = 0, b.heldUntil
	}
	if n == 0 {
		b.ring(now, at)
		return
	}
	last := len(b.idle) - 1
	w := b.idle[last]
	b.idle = b.idle[:last]
	b.coming = true
	w.up <- struct{}{}
}

// mayRouse says whether there is a worker to wake, and none on its way.
func (b *Batcher) mayRouse() bool { return len(b.idle) > 0 && !b.coming }

// Poke lets a worker look again, because what admit answers has changed.
func (b *Batcher) Poke() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = false
	b.rouse(b.now())
}

// Drain sends what is pending without lingering, and releases what can't go at
// once: what waits for another attempt, and what admit does not allow. It
// returns true when nothing is pending or in flight any more, and false when ctx
// ends before; then nothing is pending, but something in flight. Until Resume,
// what is returned is released, and what is accepted goes at once or is.
func (b *Batcher) Drain(ctx context.Context) bool {
	b.mu.Lock()
	b.draining = true
	var released []*event.Delivery
	now := b.now()
	if b.ripen(now); b.isHeld(now) {
		released = b.clear()
	} else {
		released = b.clearLater(nil)
	}
	b.rouse(now)
	b.mu.Unlock()
	b.release(released)
	for {
		empty := b.emptied()
		if empty == nil {
			return true
		}
		select {
		case <-empty:
		case <-ctx.Done():
			b.mu.Lock()
			released := b.clear()
			b.mu.Unlock()
			b.release(released)
			return b.emptied() == nil
		}
	}
}

// emptied is closed when nothing is left; nil where nothing is.
func (b *Batcher) emptied() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left() == 0 {
		return nil
	}
	if b.empty == nil {
		b.empty = make(chan struct{})
	}
	return b.empty
}

// Resume lingers again after a Drain.
func (b *Batcher) Resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.draining = false
	b.rouse(b.now())
}

// clear takes out all that is pending, for release.
func (b *Batcher) clear() []*event.Delivery {
	all := make([]*event.Delivery, 0, b.pending.len()+b.later.len())
	for b.pending.len() > 0 {
		d, _, _ := b.pending.pop(math.MaxInt)
		all = append(all, d)
	}
	b.releasing += len(all)
	return b.clearLater(all)
}

// clearLater takes out what waits for another attempt.
func (b *Batcher) clearLater(all []*event.Delivery) []*event.Delivery {
	b.releasing += b.later.len()
	for b.later.len() > 0 {
		all = append(all, b.later.pop())
	}
	return all
}

// release tells deliveries that were taken out. The caller does not hold mu.
func (b *Batcher) release(ds []*event.Delivery) {
	for _, d := range ds {
		d.Done(d, event.Outcome{Kind: event.Released})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.releasing -= len(ds)
	b.signalEmpty()
}
