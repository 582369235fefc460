package consumer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// budget bounds what the records between fetch and outcome hold in memory, for
// each partition and for all of a replica. It does not block the taker, who has
// fetched already: fetching waits in room until there is some.
type budget struct {
	maxBytes, maxRecords int64
	// ahead is how many records are enough to read ahead of those that can be
	// sent at once.
	ahead  int64
	spares spares

	mu      sync.Mutex
	bytes   int64
	records int64
	// moving are those of the records that do not wait for another, and expected
	// those that are being fetched.
	moving, expected int64
	shares           int64 // how many partitions share it
	freed            chan struct{}
}

func newBudget(maxBytes, maxRecords, ahead int64) *budget {
	return &budget{maxBytes: maxBytes, maxRecords: maxRecords, ahead: ahead, shares: 1, freed: make(chan struct{})}
}

// share sets by how many partitions the budget is shared.
func (b *budget) share(partitions int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares = max(1, int64(partitions))
	b.wake()
}

// fetch is how much one fetch of one partition may bring: with all partitions
// fetching at once, half of the budget's bytes, and as many records as are to be
// read ahead. That is how much they may be passed by, since a fetch is booked only
// when it has come.
func (b *budget) fetch() (bytes, records int) {
	const leastBytes, mostBytes = 64 << 10, 1 << 20
	const leastRecords, mostRecords = 100, 2000
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(min(mostBytes, max(leastBytes, b.maxBytes/2/b.shares))),
		int(min(mostRecords, max(leastRecords, min(b.maxRecords/2, b.ahead)/b.shares)))
}

// account is one partition's part of the budget.
type account struct {
	budget                 *budget
	bytes, records, moving atomic.Int64
	// last is how many records the fetch before brought, and expected how many the
	// one that is under way is expected to. Both are the fetcher's.
	last, expected int64
}

// take books records that share so many bytes of memory, as one chunk for each of
// them to release. The batch that the memory is of, if any, is used again when the
// last of them is.
func (a *account) take(bytes int64, records int, of *kafkalog.Batch) *chunk {
	c := &chunk{account: a, bytes: bytes, batch: of}
	c.refs.Store(int64(records))
	a.add(bytes+int64(records)*recordOverhead, int64(records), int64(records))
	return c
}

// park books a record with bytes of its own that waits for another.
func (a *account) park(bytes int64) *chunk {
	c := &chunk{account: a, bytes: bytes, parked: true}
	c.refs.Store(1)
	a.add(bytes+recordOverhead, 1, 0)
	return c
}

func (a *account) add(bytes, records, moving int64) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	allFull, ownFull, enough := b.full(), a.full(), b.enough()
	a.bytes.Add(bytes)
	a.records.Add(records)
	a.moving.Add(moving)
	b.bytes += bytes
	b.records += records
	b.moving += moving
	// Only what ends the fullness is worth a wake-up. While a backlog is drained
	// the budget is nearly always full, and every outcome gives something back.
	if (allFull && !b.full()) || (ownFull && !a.full()) || (enough && !b.enough()) {
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

// turn waits until little enough is read ahead, but no longer than patience: what
// moves slowly may fill the budget, so that there is something to choose from. The
// turn lasts until came.
func (a *account) turn(ctx context.Context, patience time.Duration) {
	b := a.budget
	var over <-chan time.Time
	for {
		b.mu.Lock()
		if !b.enough() {
			a.expect()
			b.mu.Unlock()
			return
		}
		freed := b.freed
		b.mu.Unlock()
		if over == nil {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-freed:
			continue
		case <-ctx.Done():
		case <-over:
		}
		b.mu.Lock()
		a.expect()
		b.mu.Unlock()
		return
	}
}

// expect books what the next fetch is likely to bring. The caller holds mu.
func (a *account) expect() {
	a.expected = a.last
	a.budget.expected += a.expected
}

// came ends a turn, with so many records; more says that there are others behind
// them. Where there are none, the next fetch may wait for long, and what it brings
// is not to be waited for by others.
func (a *account) came(records int, more bool) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	enough := b.enough()
	b.expected -= a.expected
	a.last, a.expected = 0, 0
	if more {
		a.last = int64(records)
	}
	if enough && !b.enough() {
		b.wake()
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

func (b *budget) enough() bool { return b.moving+b.expected >= b.ahead }

func (a *account) full() bool {
	return a.bytes.Load() >= a.limit(a.budget.maxBytes) || a.records.Load() >= a.limit(a.budget.maxRecords)
}

func (a *account) limit(all int64) int64 { return min(all, 2*all/a.budget.shares) }

// close gives back all that the account still holds; nothing is released to it
// afterwards.
func (a *account) close() { a.add(-a.bytes.Load(), -a.records.Load(), -a.moving.Load()) }

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
	// batch is what the records lie in; nil where it is not used again.
	batch *kafkalog.Batch
	// parked says that the chunk is a single record's own, which waits.
	parked bool
}

// release gives back what is one record's own, and with the last one the rest:
// none of the records may be looked at any more.
func (c *chunk) release() {
	bytes, moving := int64(recordOverhead), int64(1)
	if c.parked {
		moving = 0
	}
	if c.refs.Add(-1) == 0 {
		bytes += c.bytes
		c.account.budget.spares.give(c.batch)
	}
	c.account.add(-bytes, -1, -moving)
}

// spares are batches whose records are finished: their memory serves the fetches
// that come.
type spares struct {
	mu      sync.Mutex
	batches []*kafkalog.Batch
}

// What spares keep at the most; more are the garbage collector's.
const (
	keptBatches    = 8
	keptBatchBytes = 2 << 20
)

func (s *spares) give(b *kafkalog.Batch) {
	if b == nil || b.Memory > keptBatchBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.batches) < keptBatches {
		s.batches = append(s.batches, b)
	}
}

// take returns a batch to fetch into; nil where there is none.
func (s *spares) take() *kafkalog.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.batches) - 1
	if last < 0 {
		return nil
	}
	b := s.batches[last]
	s.batches[last], s.batches = nil, s.batches[:last]
	return b
}
