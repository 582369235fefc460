// Package batcher keeps the events that wait to be sent, and decides when how
// many of them are sent together.
//
// It has no goroutine of its own: the reporter's workers ask for the next batch
// (next.go) and sleep until there is one (sleep.go). A batch is ready when it is
// full, when its oldest event has lingered long enough, or when no event is in
// flight, so that an event never lingers while the reporter is idle.
//
// While not all events can be sent, the more valuable go first, and partitions
// take turns (queue.go). A drain (drain.go) sends the rest and waits for it.
//
// A child never shares a batch with its parent: the consumer hands a child over
// only after its parent was accepted.
package batcher

import (
	"sync"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Config bounds batches and how long they wait.
type Config struct {
	// Size is the largest number of events in a batch; 1 sends each alone.
	Size int
	// Bytes bounds the sum of the events' estimated sizes ([event.Event.Size])
	// in a batch, except for a single event that is larger. 0 is no bound.
	Bytes int
	// Linger is how long a batch that is not full waits for more events while
	// others are in flight.
	Linger time.Duration
	// Concurrency is the number of workers. At most Concurrency × (Size + 1) events are
	// in flight: sent, and not yet recorded.
	Concurrency int
}

// Permit decides how many events may be sent now.
type Permit = interface {
	// Ask reports how many of n events may be sent at now. Where it allows none, it
	// reports when to ask again: after wait, or where wait is 0, when Wake has a
	// value. It is called for one worker at a time, without the batcher's lock.
	Ask(n int, now time.Time) (allowed int, wait time.Duration)
	// Wake has a value when Ask may answer otherwise than before.
	Wake() <-chan struct{}
}

// Batcher holds pending deliveries. It is safe for concurrent use.
type Batcher struct {
	cfg Config
	// start is the zero of the batcher's clock. A time since then takes a third
	// of the room of a [time.Time], and less to read.
	start   time.Time
	flights *event.Flights

	// asking is held by the worker that takes the next batch, from its look at the
	// pending deliveries until it has them. It is locked before mu.
	asking sync.Mutex

	// mu is held for short sections: no I/O, no logging, no functions of others.
	mu       sync.Mutex
	size     int // the largest number of events in a batch
	pending  queue
	retries  retries
	draining []*event.Term // those that a Drain ends

	// refused: the permit allowed nothing, until refusedUntil where that is not 0,
	// or until Wake has a value.
	refused      bool
	refusedUntil time.Duration
	changes      int // signals that the permit answers otherwise

	asleep []*sleeper // the last one to fall asleep last
	spare  []*sleeper
	woken  bool // a worker was woken and has not looked yet
	alarm  *time.Timer
	ringAt time.Duration // when alarm rings; 0 when it does not
}

// New returns an empty batcher.
func New(cfg Config) *Batcher {
	cfg.Size = max(1, cfg.Size)
	cfg.Concurrency = max(1, cfg.Concurrency)
	return &Batcher{cfg: cfg, size: cfg.Size, start: time.Now(), flights: event.NewFlights()}
}

func (b *Batcher) now() time.Duration { return time.Since(b.start) }

// SetSize changes the largest number of events in a batch, between 1 and the
// configured size. It returns the number in force.
func (b *Batcher) SetSize(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size = min(max(1, n), b.cfg.Size)
	b.rouse(b.now())
	return b.size
}

// SetLinger changes how long an incomplete batch waits, also of one that waits.
func (b *Batcher) SetLinger(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg.Linger = d
	b.rouse(b.now())
}

// Accept takes deliveries. It does not block: the consumer bounds their number.
func (b *Batcher) Accept(ds []*event.Delivery) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range ds {
		d.Enter()
		b.pending.push(b.queued(d, now))
	}
	b.rouse(now)
}

func (b *Batcher) queued(d *event.Delivery, now time.Duration) queued {
	q := queued{delivery: d, since: now}
	if b.cfg.Bytes > 0 {
		q.size = d.Size()
	}
	return q
}

// Raise gives a delivery a better rank, wherever it is: a more valuable event
// waits for it.
func (b *Batcher) Raise(d *event.Delivery, rank uint8) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rank < d.Rank {
		b.pending.raise(d, rank)
	}
}

// Return takes back deliveries that Next handed out, for another attempt after
// delay. They land, and go before new ones when they are due. Those of a term that
// is over are released.
func (b *Batcher) Return(ds []*event.Delivery, delay time.Duration) {
	now := b.now()
	var over []*event.Delivery
	b.mu.Lock()
	for _, d := range ds {
		if d.Term.Over() {
			over = append(over, d)
			continue
		}
		d.Land() // before another worker can take it
		if delay > 0 {
			b.retries.push(now+delay, d)
		} else {
			b.pending.pushRetry(b.queued(d, now))
		}
	}
	b.rouse(now)
	b.mu.Unlock()
	release(over)
}

// Pending returns the number of deliveries that wait to be sent.
func (b *Batcher) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending.len() + b.retries.len()
}

// Ready returns the number of pending deliveries without those that wait for the
// time of another attempt.
func (b *Batcher) Ready() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ripen(b.now())
	return b.pending.len()
}

// InFlight returns the number of deliveries that were handed out and have not
// landed: those that the next owner reports again when the process is killed now.
func (b *Batcher) InFlight() int { return b.flights.Count() }
