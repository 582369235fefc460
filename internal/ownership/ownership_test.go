package ownership_test

import (
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/ownership"
)

func TestLeaseEndsByItself(t *testing.T) {
	now := time.Now()
	o := &ownership.Ownership{}
	if o.Leased(now) {
		t.Error("there is a lease before the group was joined")
	}
	o.Extend(now.Add(time.Second))
	if !o.Leased(now) || o.Leased(now.Add(time.Second)) {
		t.Errorf("a lease now: %t, and at its end: %t; want the first alone", o.Leased(now), o.Leased(now.Add(time.Second)))
	}
	o.End()
	if o.Leased(now) {
		t.Error("there is a lease after its end")
	}
}

func TestShare(t *testing.T) {
	o := &ownership.Ownership{}
	if got := o.Share(); got != 1 {
		t.Errorf("an unknown share is %v, want 1", got)
	}
	for _, test := range []struct {
		owned, all int
		want       float64
	}{{3, 12, 0.25}, {12, 12, 1}, {0, 4, 0.25}, {0, 0, 1}, {5, 4, 1}} {
		o.SetShare(test.owned, test.all)
		if got := o.Share(); got != test.want {
			t.Errorf("%d of %d partitions are a share of %v, want %v", test.owned, test.all, got, test.want)
		}
	}
}

func TestNilOwnsAll(t *testing.T) {
	var o *ownership.Ownership
	if !o.Leased(time.Now()) || o.Share() != 1 {
		t.Error("a nil Ownership does not own all partitions")
	}
}

func TestUnproven(t *testing.T) {
	u := (&ownership.Ownership{}).Unproven()
	notified := 0
	u.Join(1, 1, func() { notified++ })
	u.Join(2, 0, func() { notified++ })
	if u.Total() != 1 || u.Take(1) {
		t.Errorf("a total of %d after the assignment, changed: %t; want 1, false", u.Total(), u.Take(1))
	}
	u.Add(2)
	if u.Total() != 2 || u.Of(2) != 1 || notified != 1 || u.Take(1) || !u.Take(2) || u.Take(2) {
		t.Errorf("a total of %d, of partition 2 %d, %d notifications; want 2, 1, 1, and one change of partition 2", u.Total(), u.Of(2), notified)
	}
	u.Leave(1)
	if u.Total() != 1 {
		t.Errorf("a total of %d after partition 1 was revoked, want 1", u.Total())
	}
	u.Reset()
	u.Reset()
	if u.Total() != 0 || u.Of(2) != 0 || notified != 2 || !u.Take(2) {
		t.Errorf("a total of %d after an acceptance, of partition 2 %d, %d notifications; want 0, 0, 2", u.Total(), u.Of(2), notified)
	}
}
