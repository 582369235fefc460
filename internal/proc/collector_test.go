package proc

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercentOf(t *testing.T) {
	for _, test := range []struct {
		limit         int64
		live, scanned uint64
		want          int
	}{
		{0, 0, 0, 400}, // until the first collection
		{0, 8 << 20, 4 << 20, 200},
		{0, 16 << 20, 8 << 20, 100},
		{0, 32 << 20, 8 << 20, 50},
		{0, 128 << 20, 8 << 20, 50},
		{0, 640 << 20, 8 << 20, 10}, // 64 MiB, of which the collector has less work than before
		{0, 640 << 20, 320 << 20, 25},
		{0, 1 << 30, 1 << 30, 50},
		{0, 1 << 40, 8 << 20, 1},
		{64 << 20, 8 << 20, 4 << 20, 100}, // an eighth of the limit is 8 MiB
		{1 << 30, 8 << 20, 4 << 20, 200},
	} {
		if got := newCollector(test.limit).percentOf(test.live, test.scanned); got != test.want {
			t.Errorf("a live heap of %d MiB, of which %d are scanned, below a limit of %d MiB: %d percent, want %d",
				test.live>>20, test.scanned>>20, test.limit>>20, got, test.want)
		}
	}
}

// TestCollectorAdapts checks that the pace follows a heap that grows and shrinks.
func TestCollectorAdapts(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	percents, stop := make(chan int, 1), make(chan struct{})
	c := newCollector(0)
	c.adapted = func(percent int) bool {
		select {
		case percents <- percent:
			return true
		case <-stop:
			return false
		}
	}
	c.start()
	defer close(stop)
	next := func() int {
		runtime.GC()
		return <-percents
	}
	large := make([]byte, growing/2)
	for next() != growth {
	}
	runtime.KeepAlive(large)
	for next() == growth {
	}
}
