package batcher

import (
	"context"
	"slices"

	"github.com/clientevents/clientevents/event"
)

// Drain ends terms. It sends their pending deliveries without lingering, and
// releases those that cannot be sent at once: retries that are not due, and
// deliveries that the permit refuses. It returns true when all deliveries of the
// terms have their outcome, and false when ctx ends before; then none is pending,
// but some are in flight. Deliveries that are returned later are released. Other
// terms are not affected.
func (b *Batcher) Drain(ctx context.Context, terms ...*event.Term) bool {
	now := b.now()
	b.mu.Lock()
	for _, t := range terms {
		t.End()
	}
	b.draining = append(b.draining, terms...)
	b.ripen(now)
	released := b.takeOver(b.isRefused(now))
	b.rouse(now)
	b.mu.Unlock()
	release(released)
	finished := true
	for _, t := range terms {
		finished = finished && t.Wait(ctx) == nil
	}
	b.mu.Lock()
	released = b.takeOver(true)
	b.draining = slices.DeleteFunc(b.draining, func(t *event.Term) bool { return slices.Contains(terms, t) })
	b.mu.Unlock()
	release(released)
	return finished
}

// takeOver takes out the deliveries of terms that are over, to be released: those
// that wait for another attempt, and with pending the others, too. The caller holds
// mu.
func (b *Batcher) takeOver(pending bool) (taken []*event.Delivery) {
	if len(b.draining) == 0 {
		return nil
	}
	taken = b.retries.takeOver()
	if pending {
		taken = append(taken, b.pending.takeOver()...)
	}
	return taken
}

func release(ds []*event.Delivery) {
	for _, d := range ds {
		d.Done(event.Outcome{Kind: event.Released})
	}
}
