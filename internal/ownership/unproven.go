package ownership

import (
	"sync"
	"sync/atomic"
)

// Unproven counts, by partition, the events that became dead letters since the last
// acceptance without evidence that they and not the destination are at fault. The
// reporter counts; the consumer keeps the counts with the partitions, so that they
// survive restarts and rebalances. It is safe for concurrent use.
type Unproven struct {
	total atomic.Int64

	mu     sync.Mutex
	counts map[int32]*count
}

type count struct {
	n       int
	changed bool   // since Take
	notify  func() // nil where the partition is not assigned
}

// of returns a partition's count. The caller holds mu.
func (u *Unproven) of(partition int32) *count {
	if u.counts == nil {
		u.counts = map[int32]*count{}
	}
	if u.counts[partition] == nil {
		u.counts[partition] = &count{}
	}
	return u.counts[partition]
}

// Join begins with the count that a partition was assigned with. notify is called
// when it changes; it must not block.
func (u *Unproven) Join(partition int32, n int, notify func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.of(partition)
	u.total.Add(int64(n - c.n))
	*c = count{n: n, notify: notify}
}

// Leave forgets the count of a partition that was revoked, and returns it.
func (u *Unproven) Leave(partition int32) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.of(partition).n
	u.total.Add(-int64(n))
	delete(u.counts, partition)
	return n
}

// Add counts one more event of a partition.
func (u *Unproven) Add(partition int32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.of(partition)
	u.total.Add(1)
	c.set(c.n + 1)
}

// Reset sets all counts to 0: an event was accepted.
func (u *Unproven) Reset() {
	if u.total.Load() == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.counts {
		if c.n > 0 {
			c.set(0)
		}
	}
	u.total.Store(0)
}

func (c *count) set(n int) {
	c.n, c.changed = n, true
	if c.notify != nil {
		c.notify()
	}
}

// Of returns the count of a partition.
func (u *Unproven) Of(partition int32) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of(partition).n
}

// Take reports whether the count of a partition changed since the last Take.
func (u *Unproven) Take(partition int32) (changed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.of(partition)
	changed, c.changed = c.changed, false
	return changed
}

// Total returns the count of all partitions.
func (u *Unproven) Total() int { return int(u.total.Load()) }
