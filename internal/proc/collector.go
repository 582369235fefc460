package proc

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// growth is the garbage, in percent of the live heap, after which the collector
	// runs. A pipeline's garbage is short-lived and memory is its main cost:
	// half of Go's default costs little CPU and holds a quarter less.
	growth = 50
	// growing is the live heap in bytes up to which the garbage may grow with it. Beyond
	// that it grows only with the part of the heap that the collector scans: the index of
	// known IDs, by far the most of a large heap, has no pointers and costs it nothing.
	growing = 128 << 20
	// headroom is the minimum of garbage in bytes between two collections. Go has no
	// such minimum: a live heap of 10 MB would be collected for 5 MB of garbage, some
	// hundred times a minute, for a tenth of the CPU of single POSTs. Twice as much saves
	// 2 to 5 % more, for 17 MB of memory.
	headroom = 16 << 20
	// firstHeap is the live heap in bytes by which Go paces the first collection.
	firstHeap = 4 << 20
)

// collector adapts the pace of the garbage collector to the live heap.
type collector struct {
	headroom uint64
	percent  int
	// adapted is called after each collection and reports whether to continue; nil
	// continues. Only tests set it.
	adapted func(percent int) bool
}

// paceCollector sets the pace of the garbage collector for the life of the process.
// limit bounds the process's memory in bytes; 0 is no limit.
func paceCollector(limit int64) { newCollector(limit).start() }

// newCollector returns a collector whose floor takes an eighth of the limit at most.
func newCollector(limit int64) *collector {
	c := &collector{headroom: headroom}
	if limit > 0 {
		c.headroom = min(c.headroom, uint64(limit)/8)
	}
	return c
}

func (c *collector) start() {
	c.adapt(firstHeap, firstHeap)
	c.afterCollection()
}

// afterCollection adapts the pace when the next collection is over: it frees the
// marker, since nothing refers to it. A timer would be late for a heap that grows fast.
func (c *collector) afterCollection() {
	type marker struct{ _ *collector }
	runtime.AddCleanup(new(marker), func(c *collector) {
		heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
		metrics.Read(heap)
		c.adapt(heap[0].Value.Uint64(), heap[1].Value.Uint64())
		if c.adapted == nil || c.adapted(c.percent) {
			c.afterCollection()
		}
	}, c)
}

// adapt sets the pace for a live heap of so many bytes, of which so many are scanned. A
// change stops all goroutines briefly, so small changes are skipped.
func (c *collector) adapt(live, scanned uint64) {
	want := c.percentOf(live, scanned)
	if d := want - c.percent; d >= -c.percent/10 && d <= c.percent/10 {
		return
	}
	c.percent = want
	debug.SetGCPercent(want)
}

func (c *collector) percentOf(live, scanned uint64) int {
	garbage := max(growth*min(live, max(growing, scanned))/100, c.headroom)
	return max(1, int(100*garbage/max(live, firstHeap)))
}
