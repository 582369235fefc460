package batcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/event"
)

// permit asks a function.
type permit struct {
	ask  func(n int, now time.Time) (int, time.Duration)
	wake chan struct{}
}

func newPermit(ask func(int, time.Time) (int, time.Duration)) *permit {
	return &permit{ask, make(chan struct{}, 1)}
}

func (p *permit) Ask(n int, now time.Time) (int, time.Duration) { return p.ask(n, now) }
func (p *permit) Wake() <-chan struct{}                         { return p.wake }

// everything allows all events.
var everything = &permit{ask: func(n int, _ time.Time) (int, time.Duration) { return n, 0 }}

// outcomes collects what Done was told, by event id.
type outcomes struct {
	mu   sync.Mutex
	kind map[string]event.OutcomeKind
	many []string // ids that were told more than once
	term *event.Term
}

func (o *outcomes) done(d *event.Delivery, out event.Outcome) (keep bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kind == nil {
		o.kind = map[string]event.OutcomeKind{}
	}
	if _, again := o.kind[d.ID]; again {
		o.many = append(o.many, d.ID)
	}
	o.kind[d.ID] = out.Kind
	return false
}

func (o *outcomes) released() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, k := range o.kind {
		if k == event.Released {
			n++
		}
	}
	return n
}

// deliveries makes n events with the ids first, first+1, ….
func deliveries(o *outcomes, first, n int) []*event.Delivery {
	if o.term == nil {
		o.term = event.NewTerm()
	}
	ds := make([]*event.Delivery, n)
	for i := range ds {
		ds[i] = &event.Delivery{
			Event:     &event.Event{ID: strconv.Itoa(first + i)},
			Term:      o.term,
			Timestamp: time.Unix(int64(first+i), 0),
		}
		ds[i].OnDone(o.done)
	}
	return ds
}

func ids(ds []*event.Delivery) string {
	var s []string
	for _, d := range ds {
		s = append(s, d.ID)
	}
	return strings.Join(s, " ")
}

// taker is a worker that notes the batches it takes and their times.
type taker struct {
	t      *testing.T
	b      *Batcher
	start  time.Time
	permit *permit

	mu  sync.Mutex
	log []string // "1s: 0 1 2"
	got [][]*event.Delivery
}

func startTakers(t *testing.T, b *Batcher, n int, p *permit) *taker {
	k := &taker{t: t, b: b, start: time.Now(), permit: p}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				batch, err := b.Next(ctx, nil, p)
				if err != nil {
					return
				}
				k.mu.Lock()
				k.got = append(k.got, batch)
				k.log = append(k.log, fmt.Sprintf("%v: %s", time.Since(k.start), ids(batch)))
				k.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return k
}

// accepted ends the deliveries from the one with the number from up to the one
// before to, in the order in which they were taken.
func (k *taker) accepted(from, to int) {
	synctest.Wait()
	k.mu.Lock()
	taken := slices.Concat(k.got...)
	k.mu.Unlock()
	for _, d := range taken[from:to] {
		d.Done(event.Outcome{Kind: event.Accepted})
	}
}

func (k *taker) want(lines ...string) {
	k.t.Helper()
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.log, lines) {
		k.t.Fatalf("batches are\n\t%s\nwant\n\t%s", strings.Join(k.log, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

func TestIdleReporterDoesNotWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 10, Linger: time.Second, Concurrency: 4})
		k := startTakers(t, b, 4, everything)
		b.Accept(deliveries(o, 0, 3))
		k.want("0s: 0 1 2")
	})
}

func TestBatchLingersWhileSomethingIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 3, Linger: time.Second, Concurrency: 4})
		k := startTakers(t, b, 1, everything)
		b.Accept(deliveries(o, 0, 1))
		k.want("0s: 0")
		b.Accept(deliveries(o, 1, 1))
		time.Sleep(400 * time.Millisecond)
		b.Accept(deliveries(o, 2, 1))
		time.Sleep(time.Minute)
		k.want("0s: 0", "1s: 1 2")                               // the oldest one's second was over
		b.Accept(deliveries(o, 3, 4))                            // a full one and a crumb
		k.want("0s: 0", "1s: 1 2", "1m0.4s: 3 4 5")              // which lingers
		k.accepted(0, 6)                                         // until nothing is in flight
		k.want("0s: 0", "1s: 1 2", "1m0.4s: 3 4 5", "1m0.4s: 6") //
	})
}

func TestLingerOfZeroSendsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 3, Concurrency: 4})
		k := startTakers(t, b, 1, everything)
		b.Accept(deliveries(o, 0, 1))
		k.want("0s: 0")
		b.Accept(deliveries(o, 1, 1))
		k.want("0s: 0", "0s: 1")
	})
}

// TestSetLinger: a new linger also applies to a batch that waits.
func TestSetLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 3, Linger: time.Hour, Concurrency: 4})
		k := startTakers(t, b, 1, everything)
		b.Accept(deliveries(o, 0, 1))
		k.want("0s: 0")
		b.Accept(deliveries(o, 1, 1))
		time.Sleep(time.Second)
		b.SetLinger(3 * time.Second)
		time.Sleep(time.Minute)
		k.want("0s: 0", "3s: 1")
	})
}

func TestBatchIsBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		ds := deliveries(o, 0, 5)
		one := ds[0].Size()
		ds[3].Notes = strings.Repeat("x", 10*one)
		b := New(Config{Size: 10, Bytes: 2*one + one/2, Linger: time.Second, Concurrency: 4})
		k := startTakers(t, b, 1, everything)
		b.Accept(ds)
		time.Sleep(time.Minute)
		// The large one goes alone, and the last one lingers.
		k.want("0s: 0 1", "0s: 2", "0s: 3", "1s: 4")
	})
}

// TestCredit: a kill repeats the events in flight, so their number is bounded: by those
// of all requests, and one more for each. A batch waits for room for all of it.
func TestCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 3, Concurrency: 2})
		k := startTakers(t, b, 1, everything)
		b.Accept(deliveries(o, 0, 12))
		k.want("0s: 0 1 2", "0s: 3 4 5")
		k.accepted(0, 1)
		k.want("0s: 0 1 2", "0s: 3 4 5", "0s: 6 7 8")
		if got := b.InFlight(); got != 8 {
			t.Errorf("%d in flight, want 8", got)
		}
		// Returned events are not in flight.
		b.Return(k.got[1], time.Hour)
		k.want("0s: 0 1 2", "0s: 3 4 5", "0s: 6 7 8", "0s: 9 10 11")
		if got := b.Pending(); got != 3 {
			t.Errorf("%d pending, want 3", got)
		}
	})
}

// TestRequestsDoNotWaitForRecords: with an event for each request, all workers send
// while as many events wait for their record.
func TestRequestsDoNotWaitForRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 1, Concurrency: 2})
		k := startTakers(t, b, 1, everything) // of two, the batches have no order
		b.Accept(deliveries(o, 0, 5))
		k.want("0s: 0", "0s: 1", "0s: 2", "0s: 3")
		k.accepted(0, 1)
		k.want("0s: 0", "0s: 1", "0s: 2", "0s: 3", "0s: 4")
	})
}

func TestReturnedGoFirstWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 2, Concurrency: 10})
		open := false
		k := startTakers(t, b, 1, newPermit(func(n int, _ time.Time) (int, time.Duration) {
			if !open {
				return 0, 0
			}
			return n, 0
		}))
		ds := deliveries(o, 0, 8)
		for _, d := range ds[:4] {
			d.Depart(b.flights) // as if it had been handed out
		}
		b.Return(ds[2:3], time.Second)
		b.Return(ds[1:2], time.Second) // as old as 2 on its way, but the older record
		b.Return(ds[3:4], 500*time.Millisecond)
		b.Return(ds[:1], 2*time.Second)
		b.Accept(ds[4:])
		time.Sleep(1500 * time.Millisecond)
		k.want()
		b.asking.Lock()
		open = true
		b.asking.Unlock()
		k.permit.wake <- struct{}{}
		k.want("1.5s: 3 1", "1.5s: 2 4", "1.5s: 5 6", "1.5s: 7")
		time.Sleep(time.Minute)
		k.want("1.5s: 3 1", "1.5s: 2 4", "1.5s: 5 6", "1.5s: 7", "2s: 0")
	})
}

func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 10, Concurrency: 10})
		var asked []string
		start := time.Now()
		k := startTakers(t, b, 5, newPermit(func(n int, now time.Time) (int, time.Duration) {
			asked = append(asked, fmt.Sprintf("%v: %d", now.Sub(start), n))
			switch len(asked) {
			case 1:
				return 0, time.Second // in a second
			case 2:
				return 3, 0 // a part
			case 3:
				return 0, 0 // until woken
			}
			return n, 0
		}))
		b.Accept(deliveries(o, 0, 8))
		time.Sleep(500 * time.Millisecond)
		b.Accept(deliveries(o, 8, 4)) // no reason to ask again
		time.Sleep(time.Minute)
		k.want("1s: 0 1 2")
		b.Accept(deliveries(o, 12, 1))
		time.Sleep(time.Minute)
		k.want("1s: 0 1 2")
		k.permit.wake <- struct{}{}
		k.want("1s: 0 1 2", "2m0.5s: 3 4 5 6 7 8 9 10 11 12")
		want := []string{"0s: 8", "1s: 10", "1s: 9", "2m0.5s: 10"}
		if !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
	})
}

func TestDrainSendsWhatCanGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 3, Linger: time.Hour, Concurrency: 2})
		k := startTakers(t, b, 4, everything)
		b.Accept(deliveries(o, 0, 5))
		k.want("0s: 0 1 2")
		b.Return(k.got[0][:1], time.Second)
		var drained atomic.Bool
		go func() {
			if !b.Drain(t.Context(), o.term) {
				t.Error("the drain says that something is left")
			}
			drained.Store(true)
		}()
		k.want("0s: 0 1 2", "0s: 3 4") // without lingering
		if drained.Load() {
			t.Error("drained while four are in flight")
		}
		if got := o.released(); got != 1 || o.kind["0"] != event.Released {
			t.Errorf("released %v, want the one that waits for another attempt", o.kind)
		}
		k.accepted(1, 4)
		b.Return(k.got[1][1:], 0) // failed again: no more attempts
		synctest.Wait()
		if !drained.Load() {
			t.Error("nothing is left, but the drain continues")
		}
		if got := o.released(); got != 2 {
			t.Errorf("released %v, want 0 and 4", o.kind)
		}

		o.term = event.NewTerm()
		b.Accept(deliveries(o, 10, 2))
		k.want("0s: 0 1 2", "0s: 3 4", "0s: 10 11")
		b.Accept(deliveries(o, 12, 2))
		time.Sleep(time.Minute) // it lingers again
		k.want("0s: 0 1 2", "0s: 3 4", "0s: 10 11")
	})
}

func TestDrainReleasesWhatIsNotAdmitted(t *testing.T) {
	none := &permit{ask: func(int, time.Time) (int, time.Duration) { return 0, time.Hour }}
	for _, asked := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked before %v", asked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &outcomes{}
				b := New(Config{Size: 3, Linger: time.Hour, Concurrency: 2})
				b.Accept(deliveries(o, 0, 5))
				if asked {
					startTakers(t, b, 2, none)
					synctest.Wait()
				}
				drained := make(chan bool, 1)
				go func() { drained <- b.Drain(t.Context(), o.term) }()
				synctest.Wait()
				if !asked {
					startTakers(t, b, 2, none)
				}
				if !<-drained {
					t.Error("the drain says that something is left")
				}
				if got := o.released(); got != 5 {
					t.Errorf("released %d, want 5", got)
				}
			})
		})
	}
}

// What was sent together and comes back goes together again.
func TestReturnedStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 5, Concurrency: 2})
		k := startTakers(t, b, 2, everything)
		b.Accept(deliveries(o, 0, 4))
		k.want("0s: 0 1 2 3")
		b.Return(k.got[0], 0)
		k.want("0s: 0 1 2 3", "0s: 0 1 2 3")
		b.Return(k.got[1], time.Second)
		time.Sleep(time.Minute)
		k.want("0s: 0 1 2 3", "0s: 0 1 2 3", "1s: 0 1 2 3")
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 3, Concurrency: 1})
		k := startTakers(t, b, 1, everything)
		b.Accept(deliveries(o, 0, 5))
		k.want("0s: 0 1 2") // and there they hang
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if b.Drain(ctx, o.term) {
			t.Error("the drain says that nothing is left")
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the drain took %v, want 10s", took)
		}
		if got := o.released(); got != 2 {
			t.Errorf("released %v, want 3 and 4", o.kind)
		}
		if b.InFlight() != 3 || b.Pending() != 0 {
			t.Errorf("%d in flight and %d pending, want 3 and 0", b.InFlight(), b.Pending())
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Size: 3, Concurrency: 1})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := b.Next(ctx, nil, everything)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Next says %v, want that its context was cancelled", err)
		}
		b.Accept(deliveries(&outcomes{}, 0, 1))
		if _, err := b.Next(ctx, nil, everything); !errors.Is(err, context.Canceled) {
			t.Errorf("Next says %v, want that its context was cancelled", err)
		}
		if b.Pending() != 1 {
			t.Error("a worker that ended took an event along")
		}
	})
}

// A wake-up that reaches a worker which is just ending must reach another one.
func TestWakeUpIsNotLostWithAWorker(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			b := New(Config{Size: 3, Concurrency: 1})
			k := startTakers(t, b, 1, everything)
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan []*event.Delivery)
			go func() {
				batch, _ := b.Next(ctx, nil, everything)
				ended <- batch
			}()
			synctest.Wait() // it sleeps on top of the other one
			cancel()
			b.Accept(deliveries(&outcomes{}, 0, 1))
			if batch := <-ended; len(batch) == 0 {
				k.want("0s: 0")
			}
		})
	}
}

// Only as many workers look as there are batches.
// TestChangeWhileThePermitIsAsked: the permit answers otherwise while a worker asks it, and
// another worker takes the signal. The stale answer does not send all workers to sleep.
func TestChangeWhileThePermitIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		stale := make(chan struct{})
		p := newPermit(func(n int, _ time.Time) (int, time.Duration) {
			switch asked.Add(1) {
			case 1:
				return 0, 0
			case 2:
				<-stale
				return 0, 0
			}
			return n, 0
		})
		b := New(Config{Size: 1, Concurrency: 2})
		b.Accept(deliveries(new(outcomes), 0, 1))
		taken := make(chan int, 2)
		for range 2 {
			go func() {
				batch, _ := b.Next(t.Context(), nil, p)
				taken <- len(batch)
			}()
		}
		synctest.Wait() // both sleep
		p.wake <- struct{}{}
		synctest.Wait() // one asks
		p.wake <- struct{}{}
		// The other one takes the signal and waits to ask, for a mutex, so that
		// synctest.Wait would not return.
		for signals := 0; signals < 2; runtime.Gosched() {
			b.mu.Lock()
			signals = b.changes
			b.mu.Unlock()
		}
		close(stale)
		synctest.Wait()
		select {
		case n := <-taken:
			if n != 1 {
				t.Errorf("a batch of %d: want 1", n)
			}
		default:
			t.Error("both workers sleep though the permit allows the event")
		}
	})
}

func TestNoThunderingHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outcomes{}
		b := New(Config{Size: 1, Concurrency: 100})
		var asked atomic.Int32
		startTakers(t, b, 100, newPermit(func(n int, _ time.Time) (int, time.Duration) {
			asked.Add(1)
			return n, 0
		}))
		synctest.Wait()
		b.Accept(deliveries(o, 0, 3))
		synctest.Wait()
		if got := asked.Load(); got != 3 {
			t.Errorf("admission was asked for %d times for three batches", got)
		}
	})
}

// As long as one is on its way, it will see to it that others come.
func TestOneIsWokenAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Size: 1, Concurrency: 3})
		k := startTakers(t, b, 3, everything)
		synctest.Wait()
		b.mu.Lock()
		for _, d := range deliveries(&outcomes{}, 0, 2) {
			b.pending.push(b.queued(d, b.now()))
			b.rouse(b.now())
		}
		asleep := len(b.asleep)
		b.mu.Unlock()
		if asleep != 2 {
			t.Errorf("%d are asleep, want two", asleep)
		}
		synctest.Wait()
		if got := len(k.log); got != 2 {
			t.Errorf("%d batches, want two", got)
		}
	})
}

// Every delivery ends once, whatever happens in between, and the bound of what
// is in flight holds throughout.
func TestNothingIsLostOrRepeated(t *testing.T) {
	const size, concurrency, events = 5, 4, 3000
	o := &outcomes{}
	b := New(Config{Size: size, Linger: time.Millisecond, Concurrency: concurrency})
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	some := newPermit(func(n int, _ time.Time) (int, time.Duration) {
		switch rand.IntN(4) {
		case 0:
			return 0, 50 * time.Microsecond
		case 1:
			return 1, 0
		}
		return n, 0
	})
	for range concurrency {
		workers.Go(func() {
			var batch []*event.Delivery
			for {
				var err error
				if batch, err = b.Next(ctx, batch[:0], some); err != nil {
					return
				}
				if n := b.InFlight(); n > size*concurrency {
					t.Errorf("%d in flight, more than %d", n, size*concurrency)
				}
				for _, d := range batch {
					if d.Attempts++; rand.IntN(3) == 0 {
						b.Return([]*event.Delivery{d}, time.Duration(rand.IntN(100))*time.Microsecond)
						continue
					}
					d.Done(event.Outcome{Kind: event.Accepted})
				}
			}
		})
	}
	for i := 0; i < events; i += 10 {
		b.Accept(deliveries(o, i, 10))
		if i%500 == 490 {
			if !b.Drain(t.Context(), o.term) {
				t.Error("a drain without end says that something is left")
			}
			o.term = event.NewTerm()
		}
	}
	b.Drain(t.Context(), o.term)
	stop()
	workers.Wait()
	if len(o.kind) != events || len(o.many) > 0 {
		t.Errorf("%d of %d events have an outcome, %d more than one", len(o.kind), events, len(o.many))
	}
	if b.Pending() != 0 || b.InFlight() != 0 {
		t.Errorf("%d pending and %d in flight, want none", b.Pending(), b.InFlight())
	}
}

func TestRingShrinks(t *testing.T) {
	var q queue
	for i := range 100_000 {
		q.push(queued{delivery: &event.Delivery{Attempts: int32(i)}})
	}
	for i := range 100_000 {
		if d, _, _ := q.pop(0); d.Attempts != int32(i) {
			t.Fatalf("number %d came out as number %d", d.Attempts, i)
		}
	}
	if got := len(q.ranks[0].lanes[0].fresh.slots); got > keptRing {
		t.Errorf("an empty queue keeps room for %d", got)
	}
}

// BenchmarkHandOff is one event from Accept to its outcome, alone or in batches, with
// as many workers as there are processors.
func BenchmarkHandOff(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch of %d", size), func(b *testing.B) {
			const bulk = 500
			q := New(Config{Size: size, Linger: 5 * time.Millisecond, Concurrency: 16})
			var bulks [6][]*event.Delivery // more than there is room for
			for i := range bulks {
				bulks[i] = deliveries(&outcomes{}, 0, bulk)
			}
			ctx, stop := context.WithCancel(b.Context())
			room := make(chan struct{}, 4)
			var taken atomic.Int64
			var workers sync.WaitGroup
			for range 16 {
				workers.Go(func() {
					var batch []*event.Delivery
					for {
						var err error
						if batch, err = q.Next(ctx, batch[:0], everything); err != nil {
							return
						}
						for _, d := range batch {
							d.Land()
						}
						after := taken.Add(int64(len(batch)))
						if after/bulk != (after-int64(len(batch)))/bulk {
							<-room
						}
					}
				})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				room <- struct{}{}
				q.Accept(bulks[i%len(bulks)])
			}
			stop()
			workers.Wait()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(taken.Load()), "ns/event")
		})
	}
}
