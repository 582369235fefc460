package batcher

import (
	"context"
	"math"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Next waits for the next batch and appends it to dst. Its deliveries are in
// flight until they land: by their outcome, or by Return. The batch is empty where
// a drain released the deliveries while the permit was asked for them. The error
// is ctx's.
func (b *Batcher) Next(ctx context.Context, dst []*event.Delivery, permit Permit) ([]*event.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	for {
		batch, taken, me := b.tryNext(dst, permit)
		switch {
		case taken:
			return batch, nil
		case me == nil:
			continue
		}
		if err := b.sleep(ctx, me, permit.Wake()); err != nil {
			return dst, err
		}
	}
}

// tryNext takes the next batch. Where there is none, it lays the worker down and
// returns its bed; nil where it has to look again.
func (b *Batcher) tryNext(dst []*event.Delivery, permit Permit) (batch []*event.Delivery, taken bool, me *sleeper) {
	b.asking.Lock()
	defer b.asking.Unlock()
	now := b.now()
	n, changes, me := b.look(now)
	if me != nil {
		return dst, false, me
	}
	allowed, wait := 0, time.Duration(0)
	if n > 0 {
		allowed, wait = permit.Ask(n, b.start.Add(now))
	}
	b.mu.Lock()
	if allowed > 0 {
		batch = b.hand(dst, allowed)
		b.rouse(now) // there may be enough for another worker
		b.mu.Unlock()
		return batch, true, nil
	}
	if b.changes != changes {
		// Another worker took the signal that the permit answers otherwise than before,
		// maybe before this answer: ask again, since no other signal comes.
		b.mu.Unlock()
		return dst, false, nil
	}
	if n > 0 {
		b.refused, b.refusedUntil = true, 0
		if wait > 0 {
			b.refusedUntil = now + wait
		}
	}
	if released := b.takeOver(true); len(released) > 0 {
		b.mu.Unlock()
		release(released)
		return dst, false, nil
	}
	defer b.mu.Unlock()
	b.ring(now, b.refusedUntil)
	return dst, false, b.lieDown()
}

// look returns the number of deliveries for which to ask the permit, and the number of
// its changes so far; 0 deliveries where a drain has to release those that it refused.
// Where no batch is ready, it lays the worker down.
func (b *Batcher) look(now time.Duration) (n, changes int, me *sleeper) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ripen(now)
	n, at := b.ready(now)
	switch {
	case n == 0:
		b.ring(now, at)
		return 0, b.changes, b.lieDown()
	case !b.isRefused(now):
		return n, b.changes, nil
	case len(b.draining) > 0:
		return 0, b.changes, nil
	}
	b.ring(now, b.refusedUntil)
	return 0, b.changes, b.lieDown()
}

// hand moves n pending deliveries to dst, or as many of them as keep to Bytes.
func (b *Batcher) hand(dst []*event.Delivery, n int) []*event.Delivery {
	before, room := len(dst), math.MaxInt
	for range n {
		d, size, ok := b.pending.pop(room)
		if !ok {
			break
		}
		d.Depart(b.flights)
		if dst = append(dst, d); b.cfg.Bytes > 0 {
			if len(dst)-before == 1 {
				room = b.cfg.Bytes
			}
			room -= size
		}
	}
	return dst
}

// isRefused reports whether the permit would allow nothing, as far as is known.
func (b *Batcher) isRefused(now time.Duration) bool {
	if b.refused && b.refusedUntil > 0 && now >= b.refusedUntil {
		b.refused = false
	}
	return b.refused
}

// ready returns the number of deliveries that may be sent as far as the batcher is
// concerned. Where it is 0, at is the time at which that changes by itself; 0 for
// never.
func (b *Batcher) ready(now time.Duration) (n int, at time.Duration) {
	pending := b.pending.len()
	if pending == 0 {
		return 0, b.dueAt()
	}
	n = min(pending, b.size)
	inFlight := b.flights.Count()
	if most := (b.size+1)*b.cfg.Concurrency - n; inFlight > most {
		// A kill repeats the events in flight, so their number is bounded: by what the
		// requests hold and one event more for each, which waits for its record while
		// its worker sends the next. A batch waits for room for all of it.
		b.flights.Await(max(0, most))
		return 0, 0
	}
	full := n == b.size || (b.cfg.Bytes > 0 && b.pending.bytes >= b.cfg.Bytes)
	if full || len(b.draining) > 0 || inFlight == 0 {
		return n, 0
	}
	lingers := b.pending.oldest() + b.cfg.Linger
	if lingers <= now {
		return n, 0
	}
	b.flights.Await(0)
	if due := b.dueAt(); due > 0 {
		lingers = min(lingers, due)
	}
	return 0, lingers
}

// dueAt returns when the first retry is due; 0 for never.
func (b *Batcher) dueAt() time.Duration {
	if b.retries.len() == 0 {
		return 0
	}
	return b.retries.due()
}

// ripen moves the retries that are due to the pending deliveries.
func (b *Batcher) ripen(now time.Duration) {
	for b.retries.len() > 0 && b.retries.due() <= now {
		b.pending.pushRetry(b.queued(b.retries.pop(), now))
	}
}
