package consumer

import (
	"context"
	"sync"
	"sync/atomic"
)

// budget bounds what the records between fetch and outcome hold in memory, for
// each partition and for all of a replica. It does not block the taker, who has
// fetched already: fetching waits in room until there is some.
type budget struct {
	maxBytes, maxRecords int64

	mu      sync.Mutex
	bytes   int64
	records int64
	shares  int64 // how many partitions share it
	freed   chan struct{}
}

func newBudget(maxBytes, maxRecords int64) *budget {
	return &budget{maxBytes: maxBytes, maxRecords: maxRecords, shares: 1, freed: make(chan struct{})}
}

// share sets by how many partitions the budget is shared.
func (b *budget) share(partitions int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares = max(1, int64(partitions))
	b.wake()
}

// fetch is how much one fetch of one partition may bring: with all partitions
// fetching at once, half of the budget. That is how much the budget may be passed
// by, since a fetch is booked only when it has come.
func (b *budget) fetch() (bytes, records int) {
	const leastBytes, mostBytes = 64 << 10, 1 << 20
	const leastRecords, mostRecords = 100, 2000
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(min(mostBytes, max(leastBytes, b.maxBytes/2/b.shares))),
		int(min(mostRecords, max(leastRecords, b.maxRecords/2/b.shares)))
}

// account is one partition's part of the budget.
type account struct {
	budget         *budget
	bytes, records atomic.Int64
}

// take books records that share so many bytes of memory, as one chunk for each of
// them to release.
func (a *account) take(bytes int64, records int) *chunk {
	c := &chunk{account: a, bytes: bytes}
	c.refs.Store(int64(records))
	a.add(bytes+int64(records)*recordOverhead, int64(records))
	return c
}

func (a *account) add(bytes, records int64) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	allFull, ownFull := b.full(), a.full()
	a.bytes.Add(bytes)
	a.records.Add(records)
	b.bytes += bytes
	b.records += records
	// Only what ends the fullness is worth a wake-up. While a backlog is drained
	// the budget is nearly always full, and every outcome gives something back.
	if (allFull && !b.full()) || (ownFull && !a.full()) {
		b.wake()
	}
}

// room waits until the partition may fetch. A partition may use twice its even
// share, so that a busy one is not held up by idle ones.
func (a *account) room(ctx context.Context) error {
	for {
		full, freed := a.state()
		if !full {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-freed:
		}
	}
}

func (a *account) isFull() bool {
	full, _ := a.state()
	return full
}

// state says whether the partition has to wait, and what is closed when it is
// worth looking again.
func (a *account) state() (full bool, freed <-chan struct{}) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full() || a.full(), b.freed
}

func (b *budget) full() bool { return b.bytes >= b.maxBytes || b.records >= b.maxRecords }

func (a *account) full() bool {
	return a.bytes.Load() >= a.limit(a.budget.maxBytes) || a.records.Load() >= a.limit(a.budget.maxRecords)
}

func (a *account) limit(all int64) int64 { return min(all, 2*all/a.budget.shares) }

// close gives back all that the account still holds; nothing is released to it
// afterwards.
func (a *account) close() { a.add(-a.bytes.Load(), -a.records.Load()) }

// held is how many bytes are accounted.
func (b *budget) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// wake lets those that wait look again. The caller holds mu.
func (b *budget) wake() {
	close(b.freed)
	b.freed = make(chan struct{})
}

// chunk is the memory that the records of one fetch share. It is all there until
// the last of them is finished, and only then given back.
type chunk struct {
	account *account
	bytes   int64
	refs    atomic.Int64
	// parked says that the chunk is a single record's own.
	parked bool
}

// release gives back what is one record's own, and with the last one the rest.
func (c *chunk) release() {
	bytes := int64(recordOverhead)
	if c.refs.Add(-1) == 0 {
		bytes += c.bytes
	}
	c.account.add(-bytes, -1)
}
