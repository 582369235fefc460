package batcher

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/event"
)

// ranked makes n deliveries of a rank and a partition.
func ranked(o *outcomes, first, n int, rank uint8, partition int32) []*event.Delivery {
	ds := deliveries(o, first, n)
	for _, d := range ds {
		d.Rank, d.Partition = rank, partition
	}
	return ds
}

// gate is a permit that can be opened.
type gate struct {
	*permit
	open bool
}

func newGate() *gate {
	g := &gate{}
	g.permit = newPermit(func(n int, _ time.Time) (int, time.Duration) {
		if g.open {
			return n, 0
		}
		return 0, 0
	})
	return g
}

func (g *gate) opens(b *Batcher) {
	b.asking.Lock()
	g.open = true
	b.asking.Unlock()
	g.wake <- struct{}{}
}

// What is more valuable goes first, but of ten events one is of the least value
// and two are of the second, as long as there are any.
func TestMoreValuableGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, g := &outcomes{}, newGate()
		b := New(Config{Size: 10, Concurrency: 100})
		k := startTakers(t, b, 1, g.permit)
		b.Accept(ranked(o, 1000, 50, 2, 0))
		b.Accept(ranked(o, 2000, 50, 1, 0))
		b.Accept(ranked(o, 3000, 50, 0, 0))
		g.opens(b)
		synctest.Wait()
		var got []uint8
		for _, batch := range k.got {
			for _, d := range batch {
				got = append(got, d.Rank)
			}
		}
		if len(got) != 150 {
			t.Fatalf("%d came, want all", len(got))
		}
		for i := 10; i <= 70; i++ {
			window := got[i-10 : i]
			if slices.Index(window, 2) < 0 || slices.Index(window[:5], 1) < 0 && slices.Index(window[5:], 1) < 0 {
				t.Errorf("events %d to %d are of ranks %v: want one of each among them", i-10, i, window)
			}
		}
		if n := count(got[:60], 0); n < 42 {
			t.Errorf("of the first 60 events %d are of the first rank, want seven in ten at least", n)
		}
		if n := count(got[len(got)-30:], 2); n != 30 {
			t.Errorf("of the last 30 events %d are of the least rank, want all", n)
		}
	})
}

func count(in []uint8, rank uint8) (n int) {
	for _, r := range in {
		if r == rank {
			n++
		}
	}
	return n
}

func TestRaise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, g := &outcomes{}, newGate()
		b := New(Config{Size: 1, Concurrency: 100})
		k := startTakers(t, b, 1, g.permit)
		ds := append(ranked(o, 0, 6, 2, 0), ranked(o, 6, 2, 1, 0)...)
		b.Raise(ds[4], 0) // before it comes
		b.Accept(ds)
		b.Raise(ds[0], 1) // the first of its lane
		b.Raise(ds[2], 0) // amid
		b.Raise(ds[2], 1) // never down again
		b.Raise(ds[5], 1) // the last
		b.Raise(ds[7], 0)
		if got := b.Pending(); got != len(ds) {
			t.Errorf("%d are pending, want %d", got, len(ds))
		}
		g.opens(b)
		k.want("0s: 4", "0s: 2", "0s: 7", "0s: 6", "0s: 0", "0s: 5", "0s: 1", "0s: 3")
		b.Raise(ds[1], 0) // in flight
		b.Return(ds[1:2], 0)
		k.want("0s: 4", "0s: 2", "0s: 7", "0s: 6", "0s: 0", "0s: 5", "0s: 1", "0s: 3", "0s: 1")
		if got := b.Pending(); got != 0 {
			t.Errorf("%d are pending, want none", got)
		}
	})
}

// A partition with a backlog, or one whose events fail and come back, leaves the
// others their turns.
func TestPartitionsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, g := &outcomes{}, newGate()
		b := New(Config{Size: 4, Concurrency: 1000})
		k := startTakers(t, b, 1, g.permit)
		failed := ranked(o, 0, 100, 0, 0)
		for _, d := range failed {
			d.Depart(b.flights)
		}
		b.Return(failed, 0)
		b.Accept(ranked(o, 1000, 100, 0, 1))
		b.Accept(ranked(o, 2000, 2, 0, 2))
		g.opens(b)
		synctest.Wait()
		if got := k.log[:3]; !slices.Equal(got, []string{"0s: 0 1000 2000 1", "0s: 1001 2001 2 1002", "0s: 3 1003 4 1004"}) {
			t.Errorf("the first batches are %q, want the partitions in turn", got)
		}
	})
}
