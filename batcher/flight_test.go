package batcher

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/event"
)

// ledger plays the consumer: an accepted event stays in flight until its record is
// durable, or until its partition is revoked.
type ledger struct {
	mu      sync.Mutex
	kept    []*event.Delivery
	revoked bool
	ended   int
}

func (l *ledger) done(d *event.Delivery, o event.Outcome) (keep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended++
	if o.Kind == event.Accepted && !l.revoked {
		l.kept = append(l.kept, d)
		return true
	}
	return false
}

// land lands the kept deliveries, as recording and revoking do.
func (l *ledger) land(revoke bool) {
	l.mu.Lock()
	kept := l.kept
	l.revoked = l.revoked || revoke
	if !revoke {
		l.kept = nil // otherwise a record that was under way lands them again
	}
	l.mu.Unlock()
	for _, d := range kept {
		d.Land()
	}
}

// However the flight of an event ends, and whichever ends come together, the
// number in flight is never negative nor above its bound, and 0 at the end.
func TestEveryEndLandsOnce(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) { endAtRandom(t, seed) })
	}
}

func endAtRandom(t *testing.T, seed uint64) {
	const events, size, concurrency = 600, 5, 4
	l := &ledger{}
	b := New(Config{Size: size, Linger: time.Millisecond, Concurrency: concurrency})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range uint64(concurrency) {
		rng := rand.New(rand.NewPCG(seed, i))
		running.Go(func() {
			for {
				batch, err := b.Next(ctx, nil, everything)
				if err != nil {
					return
				}
				if n := b.InFlight(); n < len(batch) || n > (size+1)*concurrency {
					t.Errorf("seed %d: %d in flight, want %d to %d", seed, n, len(batch), (size+1)*concurrency)
				}
				time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
				for _, d := range batch {
					end(b, d, rng)
				}
			}
		})
	}
	running.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(2 * time.Millisecond)
			l.land(false)
		}
	})
	revokeAt := rand.New(rand.NewPCG(seed, 100)).IntN(events)
	o := &outcomes{}
	for i := 0; i < events; i += 10 {
		ds := deliveries(o, i, 10)
		for _, d := range ds {
			d.OnDone(l.done)
		}
		b.Accept(ds)
		time.Sleep(time.Millisecond)
		if i <= revokeAt && revokeAt < i+10 {
			l.land(true)
		}
	}
	drainCtx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	if !b.Drain(drainCtx, o.term) {
		t.Errorf("seed %d: a drain of an hour left %d in flight", seed, b.InFlight())
	}
	stop()
	running.Wait()
	l.land(true)
	if n := b.InFlight(); n != 0 || b.Pending() != 0 || l.ended != events {
		t.Errorf("seed %d: %d in flight, %d pending and %d outcomes at the end, want 0, 0 and %d", seed, n, b.Pending(), l.ended, events)
	}
}

// end ends one flight in one of the ways that the reporter has.
func end(b *Batcher, d *event.Delivery, rng *rand.Rand) {
	switch d.Attempts++; rng.IntN(6) {
	case 0:
		d.Done(event.Outcome{Kind: event.Rejected})
	case 1:
		d.Done(event.Outcome{Kind: event.TooLarge})
	case 2: // held by the judge, then tried again
		d.Land()
		time.AfterFunc(5*time.Millisecond, func() { b.Return([]*event.Delivery{d}, 0) })
	case 3: // held by the judge, then told
		d.Land()
		time.AfterFunc(5*time.Millisecond, func() { d.Done(event.Outcome{Kind: event.Rejected}) })
	case 4: // failed, or aborted
		b.Return([]*event.Delivery{d}, time.Duration(rng.IntN(4))*time.Millisecond)
	default:
		d.Done(event.Outcome{Kind: event.Accepted})
	}
}

// A permit that takes a minute keeps only workers waiting: intake, counters,
// returned deliveries and a drain do not need it.
func TestPermitThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 2, Concurrency: 4})
		hang := false
		k := startTakers(t, b, 1, newPermit(func(n int, _ time.Time) (int, time.Duration) {
			if hang {
				time.Sleep(time.Minute)
			}
			return n, 0
		}))
		b.Accept(deliveries(o, 0, 4))
		k.want("0s: 0 1", "0s: 2 3")
		hang = true
		b.Accept(deliveries(o, 4, 2))
		synctest.Wait()
		b.Accept(deliveries(o, 6, 3))
		b.Raise(k.got[0][0], 0)
		b.Return(k.got[0][:1], 0)
		k.accepted(1, 3)
		if b.Pending() != 6 || b.Ready() != 6 || b.InFlight() != 1 || b.SetSize(1) != 1 {
			t.Errorf("%d pending, %d ready and %d in flight, want 6, 6 and 1", b.Pending(), b.Ready(), b.InFlight())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b.Drain(ctx, o.term) {
			t.Error("the drain says that nothing is in flight")
		}
		if took := time.Since(k.start); took != time.Second || o.released() != 6 {
			t.Errorf("after %v %d deliveries are released, want 6 after 1s", took, o.released())
		}
		k.accepted(3, 4)
		if !b.Drain(t.Context(), o.term) || time.Since(k.start) != time.Second {
			t.Errorf("the second drain took until %v", time.Since(k.start))
		}
		time.Sleep(2 * time.Minute)
		k.want("0s: 0 1", "0s: 2 3", "1m0s: ") // the permit came too late
	})
}
