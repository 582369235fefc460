package event_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/clientevents/clientevents/event"
)

// A delivery lands once, whichever of its ends comes first.
func TestDeliveryLandsOnce(t *testing.T) {
	f := event.NewFlights()
	d := &event.Delivery{}
	d.Land()
	if got := f.Count(); got != 0 {
		t.Errorf("%d in flight before the departure, want 0", got)
	}
	d.Depart(f)
	d.Depart(f)
	if got := f.Count(); got != 1 {
		t.Errorf("%d in flight after two departures of one delivery, want 1", got)
	}
	for range 2 {
		d.Land()
		if got := f.Count(); got != 0 {
			t.Errorf("%d in flight after the landing, want 0", got)
		}
	}
	other := event.NewFlights()
	d.Depart(f)
	d.Depart(other)
	if f.Count() != 0 || other.Count() != 1 {
		t.Errorf("%d and %d in flight after a departure elsewhere, want 0 and 1", f.Count(), other.Count())
	}
}

// The outcome is received before the delivery lands, so that a drain is not over
// before, and an accepted event stays in flight where its receiver keeps it.
func TestDoneLandsUnlessKept(t *testing.T) {
	for _, keep := range []bool{false, true} {
		f := event.NewFlights()
		d := &event.Delivery{}
		d.OnDone(func(got *event.Delivery, o event.Outcome) bool {
			if got != d || o.Kind != event.Rejected || o.HTTPStatus != 400 {
				t.Errorf("received %+v, want 400", o)
			}
			if f.Count() != 1 {
				t.Error("the delivery landed before its outcome was received")
			}
			return keep
		})
		d.Depart(f)
		d.Done(event.Outcome{Kind: event.Rejected, HTTPStatus: 400})
		if want := map[bool]int{true: 1}[keep]; f.Count() != want {
			t.Errorf("keep %t: %d in flight, want %d", keep, f.Count(), want)
		}
	}
}

func TestSecondOutcomePanics(t *testing.T) {
	d := &event.Delivery{}
	d.OnDone(func(*event.Delivery, event.Outcome) bool { return false })
	d.Done(event.Outcome{})
	defer func() {
		if recover() == nil {
			t.Error("a second outcome was accepted")
		}
	}()
	d.Done(event.Outcome{Kind: event.Released})
}

// No landing is missed by Await, and none below the awaited count signals twice.
func TestAwaitMissesNoLanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		f := event.NewFlights()
		ds := make([]event.Delivery, n)
		for i := range ds {
			ds[i].Depart(f)
		}
		var landing sync.WaitGroup
		for i := range 4 {
			landing.Go(func() {
				for j := i; j < n; j += 4 {
					ds[j].Land()
				}
			})
		}
		for want := n; want > 0; {
			want = max(0, want-1-rand.IntN(20))
			f.Await(want)
			<-f.Fell() // a missed landing blocks the bubble for ever
			if got := f.Count(); got > want {
				t.Fatalf("%d in flight at the signal, want at most %d", got, want)
			}
		}
		landing.Wait()
		select {
		case <-f.Fell():
			t.Error("a signal that was not asked for")
		default:
		}
		f.Await(0)
		<-f.Fell()
	})
}
