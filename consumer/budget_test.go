package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// woken says whether whoever waits since freed was had looks again.
func woken(freed <-chan struct{}) bool {
	select {
	case <-freed:
		return true
	default:
		return false
	}
}

func TestBudgetWakesOnlyForRoom(t *testing.T) {
	b := newBudget(1<<30, 10, 10)
	b.share(2)
	first, second := &account{budget: b}, &account{budget: b}
	one, other := first.take(100, 8, nil), second.take(100, 4, nil)
	full, freed := first.state()
	if !full {
		t.Fatal("12 records of 10 leave room")
	}
	one.release()
	other.release()
	if woken(freed) {
		t.Error("what is given back of a budget that stays full wakes those that wait")
	}
	one.release()
	if !woken(freed) {
		t.Error("the budget has room, and nobody is told")
	}
}

func TestBudgetWakesForItsShare(t *testing.T) {
	b := newBudget(1<<30, 10, 10)
	b.share(4) // a partition may have twice its share of 2.5, which is 5
	a := &account{budget: b}
	chunk := a.take(100, 6, nil)
	full, freed := a.state()
	if !full {
		t.Fatal("6 records of 5 leave room")
	}
	chunk.release()
	if woken(freed) {
		t.Error("what is given back of a share that stays full wakes those that wait")
	}
	chunk.release()
	if !woken(freed) {
		t.Error("the share has room, and nobody is told")
	}
}

// Many goroutines give back at once; whoever waits for room must find it.
func TestBudgetForgetsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1<<30, 64, 64)
		for range 200 {
			a := &account{budget: b}
			chunk := a.take(100, 64, nil)
			found := make(chan error, 1)
			go func() { found <- a.room(t.Context()) }()
			synctest.Wait()
			for range 64 {
				go chunk.release()
			}
			synctest.Wait()
			select {
			case err := <-found:
				if err != nil {
					t.Fatal(err)
				}
			default:
				t.Fatal("the budget is empty, and the one that waits for room sleeps on")
			}
		}
	})
}

// What is read ahead is enough: who fetches waits until some of it is finished, or
// for its patience; and what others are expected to bring counts.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1<<30, 1000, 10)
		one, other := &account{budget: b}, &account{budget: b}
		waits := func(what string, a *account, want time.Duration) {
			t.Helper()
			began := time.Now()
			a.turn(t.Context(), time.Second)
			if waited := time.Since(began); waited != want {
				t.Errorf("%s: waited %v, want %v", what, waited, want)
			}
		}
		waits("with nothing in process", one, 0)
		one.came(6, true)
		chunk := one.take(100, 6, nil)
		waits("with 6 of 10 in process", one, 0)
		one.came(6, false)
		waits("at the end of what there is", one, 0)
		waits("with 6 in process, and nothing expected of who is at the end", other, 0)
		other.came(0, true)
		one.came(6, true)
		waits("with more behind the 6", one, 0)
		waits("with 6 in process, and 6 expected", other, time.Second)
		other.came(0, true)
		one.came(0, true)
		waits("when they did not come", other, 0)
		other.came(0, true)
		more := other.take(100, 4, nil)
		waits("with 10 in process", one, time.Second)
		one.came(0, true)
		time.AfterFunc(time.Millisecond, more.release)
		waits("until one is finished", one, time.Millisecond)
		one.came(0, true)
		parked := one.park(100)
		waits("with 9 in process and one that waits for another", one, 0)
		one.came(0, true)
		parked.release()
		chunk.release()
		one.close()
		other.close()
		if b.moving != 0 || b.records != 0 || b.bytes != 0 || b.expected != 0 {
			t.Errorf("%d records of which %d move, %d bytes and %d expected are left", b.records, b.moving, b.bytes, b.expected)
		}
	})
}

func TestNextAsk(t *testing.T) {
	batch := func(wire, records int, cut bool) *kafkalog.Batch {
		return &kafkalog.Batch{Wire: wire, Records: make([]kafkalog.Record, records), Cut: cut}
	}
	for _, c := range []struct {
		what       string
		ask, wants int
		got        *kafkalog.Batch
		want       int
	}{
		{"nothing came", 100_000, 500, batch(0, 0, false), 100_000},
		{"more than was wanted came", 100_000, 500, batch(70_000, 400, true), 70_000},
		{"records are larger than thought", 100_000, 500, batch(90_000, 300, false), 150_000},
		{"records are much larger", 100_000, 500, batch(90_000, 10, false), 200_000},
		{"records are smaller", 100_000, 500, batch(60_000, 400, false), 75_000},
		{"records are tiny", 100_000, 500, batch(60_000, 6_000, false), 50_000},
		{"few came", 20_000, 500, batch(10, 1, false), firstAsk / 8},
	} {
		if got := nextAsk(c.ask, c.wants, c.got); got != c.want {
			t.Errorf("%s: asks for %d, want %d", c.what, got, c.want)
		}
	}
}
