package talent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errGivenUp = errors.New("given up")

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, abort := context.WithCancelCause(t.Context())
		var d deadline
		first := d.begin(parent, time.Second)
		time.Sleep(999 * time.Millisecond)
		d.end()
		time.Sleep(time.Hour)
		if err := first.Err(); err != nil {
			t.Fatalf("the deadline of a finished attempt passed: %v", err)
		}
		if second := d.begin(parent, time.Second); second != first {
			t.Error("the context is not used again")
		}
		time.Sleep(999 * time.Millisecond)
		if err := first.Err(); err != nil {
			t.Errorf("an attempt has less time than the first: %v", err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !errors.Is(context.Cause(first), errTimedOut) {
			t.Errorf("after its time the cause is %v", context.Cause(first))
		}
		d.end()
		third := d.begin(parent, time.Second)
		if third.Err() != nil {
			t.Error("an attempt after one that took too long begins ended")
		}
		abort(errGivenUp)
		if !errors.Is(context.Cause(third), errGivenUp) {
			t.Errorf("the parent's end is %v", context.Cause(third))
		}
		d.end()
		fourth := d.begin(t.Context(), time.Second)
		if fourth.Err() != nil {
			t.Error("an attempt after the parent's end, with another parent, begins ended")
		}
		d.drop()
		if fourth.Err() == nil {
			t.Error("a waiter on a dropped context still waits")
		}
		d.drop()
	})
}

func TestDeadlineCostsNothing(t *testing.T) {
	var d deadline
	defer d.drop()
	d.begin(t.Context(), time.Hour)
	if got := testing.AllocsPerRun(100, func() { d.end(); d.begin(t.Context(), time.Hour) }); got > 0 {
		t.Errorf("an attempt's deadline takes %v allocations, want none", got)
	}
}
