package consumer

import (
	"context"
	"slices"
	"time"
)

const (
	// aheadPatience is how long a fetch waits while enough records are read ahead.
	aheadPatience = time.Second
	// With many partitions it is aheadPatienceEach for each of them, up to longPatience:
	// a turn takes longer to come, and if none waited for it, all would be read ahead.
	aheadPatienceEach, longPatience = 10 * time.Millisecond, 10 * time.Second
)

// patience returns how long a fetch waits for its turn at most.
func (b *budget) patience() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(max(aheadPatience, time.Duration(b.shares)*aheadPatienceEach), longPatience)
}

// turn is a fetch that waits until less is read ahead.
type turn struct {
	account *account
	come    chan struct{} // closed when it may fetch
}

// turn waits while enough records are read ahead, but no longer than patience:
// records that are sent slowly may fill the budget, which gives the sink a choice.
// Partitions take turns in the order in which they come, and only those wake that may
// fetch: of a thousand that wait, one or two do. The turn ends with came.
func (a *account) turn(ctx context.Context, patience time.Duration) {
	b := a.budget
	b.mu.Lock()
	if !b.enough() && len(b.line) == 0 {
		a.expect(a.last)
		b.mu.Unlock()
		return
	}
	mine := &turn{a, make(chan struct{})}
	b.line = append(b.line, mine)
	b.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-mine.come:
		return
	case <-ctx.Done():
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.line, mine); i >= 0 {
		b.line = slices.Delete(b.line, i, i+1)
		a.expect(a.last)
	}
}

// nextTurns wakes the fetches whose turn it is. The caller holds mu.
func (b *budget) nextTurns() {
	for len(b.line) > 0 && !b.enough() {
		first := b.line[0]
		b.line[0], b.line = nil, b.line[1:]
		first.account.expect(first.account.last)
		close(first.come)
	}
}

// expect accounts the records of a fetch that are not in process yet: as many as are
// likely, and then as many as came. The caller holds mu.
func (a *account) expect(records int64) {
	if a.closed {
		records = 0
	}
	a.budget.expected += records - a.expected
	a.expected = records
}

// came ends a turn that brought so many records, which are taken or dropped next. more
// reports whether others follow them. If none follow, the next fetch may take long, and
// the other partitions must not wait for its records.
func (a *account) came(records int, more bool) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	a.expect(int64(records))
	a.last = 0
	if more {
		a.last = int64(records)
	}
	b.nextTurns()
}

// enough reports whether enough records are read ahead. Records that wait for a parent
// soon follow those in flight, so with many of them half as many are enough.
func (b *budget) enough() bool {
	moving, waiting := b.moving+b.expected, b.records-b.moving
	return moving >= b.ahead || (moving >= b.ahead/2 && waiting >= b.ahead)
}
