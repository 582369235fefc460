package consumer

import (
	"testing"
	"testing/synctest"
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
	b := newBudget(1<<30, 10)
	b.share(2)
	first, second := &account{budget: b}, &account{budget: b}
	one, other := first.take(100, 8), second.take(100, 4)
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
	b := newBudget(1<<30, 10)
	b.share(4) // a partition may have twice its share of 2.5, which is 5
	a := &account{budget: b}
	chunk := a.take(100, 6)
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
		b := newBudget(1<<30, 64)
		for range 200 {
			a := &account{budget: b}
			chunk := a.take(100, 64)
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
