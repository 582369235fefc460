package consumer

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// limits bound the memory of a consumer's records.
type limits struct {
	// bytes and records are what the partitions share for records in process.
	bytes, records int64
	// large is the memory beyond bytes for one batch, or one record, that is larger
	// than a fetch's usual share.
	large int64
	// ahead is the number of moving records that is enough to keep the sink busy.
	ahead int64
}

// maxRecord returns the size of the largest record that is read. Its dead letter
// takes three times as much while it is written: encoded, compressed and as part of
// a request.
func (l limits) maxRecord() int64 { return min(maxRecordBytes, l.large/4) }

// maxRecordBytes is the size of the largest record that is read where there is
// enough memory.
const maxRecordBytes = 32 << 20

// most returns the most that records may take in all. Each partition may have a
// fetch in progress when the others use up the limit, and partitions whose records
// all wait may fetch beyond it.
func (l limits) most() int64 { return l.bytes*5/2 + l.large }

// budget accounts the memory of records between fetch and outcome, for each partition
// and for the whole replica. A fetch starts only where there is room for its usual
// size. A fetch that turns out to be larger waits until the account has the memory.
type budget struct {
	limits
	spares spares
	// letters is held while a large dead letter is written.
	letters chan struct{}
	// restores is held by the partitions that read their state.
	restores chan struct{}
	// rewrites is held by the partitions that write their state again.
	rewrites chan struct{}

	mu      sync.Mutex
	bytes   int64
	records int64
	// moving counts the records that do not wait for another any more, and expected those
	// that are being fetched, or were and are not in process yet.
	moving, expected int64
	shares           int64 // partitions that share it
	sharing          map[*assignment]int
	line             []*turn // fetches that wait until less is read ahead, the first first
	inLine           int     // reservations that wait
	freed            chan struct{}
}

func newBudget(l limits) *budget {
	return &budget{
		limits: l, spares: spares{most: l.bytes / 4}, letters: make(chan struct{}, 1),
		restores: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		rewrites: make(chan struct{}, 2),
		shares:   1, sharing: map[*assignment]int{}, freed: make(chan struct{}),
	}
}

// share sets the number of partitions of an assignment. The partitions of all
// assignments share the budget.
func (b *budget) share(a *assignment, partitions int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sharing[a] = partitions
	b.shares = 0
	for _, n := range b.sharing {
		b.shares += int64(n)
	}
	b.shares = max(1, b.shares)
	b.wake()
}

// fetch returns the limits for one fetch of one partition: if all partitions
// fetch at once, half of the budget's bytes, and as many records as are to be read
// ahead.
func (b *budget) fetch() (bytes, records int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.fetchBytes()), b.fetchRecords()
}

func (b *budget) fetchBytes() int64 {
	const least, most = 64 << 10, 1 << 20
	return min(most, max(least, b.limits.bytes/2/b.shares))
}

func (b *budget) fetchRecords() int {
	const least, most = 100, 2000
	return int(min(most, max(least, min(b.limits.records/2, b.ahead)/b.shares)))
}

// request adds the budget's limits to a fetch.
func (b *budget) request(req kafkalog.FetchRequest, a *account) kafkalog.FetchRequest {
	bytes, records := b.fetch()
	req.MaxBytes, req.MaxMemory, req.MaxRecords = bytes, bytes, records
	req.MaxRecord, req.MaxPiece = int(b.maxRecord()), int(b.large/4)
	req.Account = a
	return req
}

// account is the part of one partition in the budget.
type account struct {
	budget                 *budget
	bytes, records, moving atomic.Int64
	// last is the number of records of the last fetch, and expected that of the fetch
	// in progress, until its records are in process. The fetching goroutine uses them, or
	// does so in nextTurns.
	last, expected int64
	loan           int64       // of the fetch in progress; guarded by budget.mu
	starved        atomic.Bool // the last fetch was given up while it waited for memory
	closed         bool        // guarded by budget.mu
}

// Reserve implements [kafkalog.Account] for the fetch in progress.
func (a *account) Reserve(ctx context.Context, n int64) error {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if most := b.large + 2*b.fetchBytes(); a.loan+n > most {
		return &memoryError{need: a.loan + n, most: most}
	}
	for !a.closed && b.bytes+n > b.most() {
		b.inLine++
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
		}
		b.mu.Lock()
		b.inLine--
		if ctx.Err() != nil {
			a.starved.Store(true)
			return fmt.Errorf("%w: %w", kafkalog.ErrNoMemory, ctx.Err())
		}
	}
	if !a.closed {
		a.loan += n
		a.addLocked(n, 0, 0)
	}
	return nil
}

// Release implements [kafkalog.Account].
func (a *account) Release(n int64) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !a.closed {
		a.loan -= n
		a.addLocked(-n, 0, 0)
	}
}

// settle ends the fetch in progress: its records keep their memory.
func (a *account) settle() {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.loan = 0
}

// memoryError is a batch that needs more memory than it may use.
type memoryError struct{ need, most int64 }

func (e *memoryError) Error() string {
	return fmt.Sprintf("reading it takes %d bytes of memory, and at most %d may be used: "+
		"give the process more memory (container limit or GOMEMLIMIT), of which an eighth is for this", e.need, e.most)
}

// Is makes it a [kafkalog.ErrNeverFits].
func (e *memoryError) Is(target error) bool { return target == kafkalog.ErrNeverFits }

// take accounts records that share a batch, whose memory is accounted already. Each of
// them releases the chunk once. The batch is reused when all have.
func (a *account) take(batch *kafkalog.Batch) *chunk {
	n := int64(len(batch.Records))
	c := &chunk{account: a, bytes: batch.Memory, batch: batch}
	c.refs.Store(n)
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.loan = 0
	a.expect(0) // they are in process from here on
	if !a.closed {
		a.addLocked(n*recordOverhead, n, n)
	}
	return c
}

// park makes c the chunk of a record with bytes of its own that waits for another, which
// is less to give back.
func (c *chunk) park(a *account, bytes int64, f *freed) {
	c.account, c.bytes, c.parked = a, bytes, true
	c.refs.Store(1)
	f.bytes -= bytes + recordOverhead
	f.records--
}

func (a *account) add(bytes, records, moving int64) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.closed {
		return
	}
	a.addLocked(bytes, records, moving)
}

// addLocked is add for a caller that holds mu.
func (a *account) addLocked(bytes, records, moving int64) {
	b := a.budget
	before, all := a.waits(), [...]bool{b.full(), b.overfull()}
	a.bytes.Add(bytes)
	a.records.Add(records)
	a.moving.Add(moving)
	b.bytes += bytes
	b.records += records
	b.moving += moving
	// Only the end of the fullness is worth waking the waiters. During a backlog
	// the budget is nearly always full, and every outcome returns a little.
	b.nextTurns()
	if (before && !a.waits()) || (b.inLine > 0 && bytes < 0) ||
		(all[0] && !b.full()) || (all[1] && !b.overfull()) {
		b.wake()
	}
}

// room waits until the partition may fetch. A partition may use twice its even
// share, so that idle partitions do not slow down a busy one.
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

// state reports whether the partition must wait. freed is closed when the
// partition should check again.
func (a *account) state() (full bool, freed <-chan struct{}) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	return a.waits(), b.freed
}

// waits reports whether the partition must wait before it fetches. It may fetch if it
// holds nothing, since records of other partitions may be stuck for long. It may use
// more than its part if all its records wait for a parent, which may come next.
func (a *account) waits() bool {
	b := a.budget
	switch {
	case a.bytes.Load() == 0:
		return false
	case a.moving.Load() == 0:
		return b.overfull()
	}
	return b.full() || a.full()
}

// full reports whether no usual fetch fits.
func (b *budget) full() bool { return b.reach(b.limits.bytes, b.limits.records) }

// overfull reports whether not even a partition fetches whose records all wait.
func (b *budget) overfull() bool { return b.reach(b.limits.bytes*3/2, b.limits.records*3/2) }

func (b *budget) reach(bytes, records int64) bool {
	fetch := 2 * b.fetchBytes()
	return b.bytes+fetch > max(bytes, fetch) || b.records >= records
}

// full reports whether the partition has used its part.
func (a *account) full() bool {
	return a.bytes.Load() >= a.limit(a.budget.limits.bytes) || a.records.Load() >= a.limit(a.budget.limits.records)
}

func (a *account) limit(all int64) int64 { return min(all, 2*all/a.budget.shares) }

// close returns everything that the account still holds. Later additions and
// releases have no effect.
func (a *account) close() {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	a.expect(0)
	a.addLocked(-a.bytes.Load(), -a.records.Load(), -a.moving.Load())
	a.closed = true
}

// held returns the number of accounted bytes, with those that are kept for later
// fetches.
func (b *budget) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes + b.spares.held()
}

// wake makes all waiters check again. The caller holds mu.
func (b *budget) wake() {
	close(b.freed)
	b.freed = make(chan struct{})
}

// chunk is the memory that the records of one fetch share. It is returned when
// the last of them is finished.
type chunk struct {
	account *account
	bytes   int64
	refs    atomic.Int64
	// batch holds the records; nil if it is not reused.
	batch *kafkalog.Batch
	// parked means that the chunk belongs to a single record, which waits.
	parked bool
}

// freed is what records give back to the account; less than nothing where they take more.
type freed struct{ bytes, records, moving int64 }

// giveBack returns what records have freed.
func (a *account) giveBack(f freed) {
	if f != (freed{}) {
		a.add(-f.bytes, -f.records, -f.moving)
	}
}

// release gives up one record, and with the last record the shared memory. None of the
// records may be used after that. The caller gives back what is freed.
func (c *chunk) release(f *freed) {
	f.bytes += recordOverhead
	f.records++
	if !c.parked {
		f.moving++
	}
	if c.refs.Add(-1) == 0 {
		f.bytes += c.bytes
		c.account.budget.spares.give(c.batch)
	}
}
