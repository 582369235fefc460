package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Account lends the memory that fetched records take. Its methods may be called from
// any goroutine.
type Account interface {
	// Reserve waits until n bytes may be used. It returns the context's error, or
	// an error that wraps ErrNeverFits if the account can never lend so much.
	Reserve(ctx context.Context, n int64) error
	// Release returns n reserved bytes.
	Release(n int64)
}

// ErrNoMemory means that a fetch was given up because it waited too long for memory, or
// for another fetch that reads a large batch.
var ErrNoMemory = errors.New("no memory was free in time")

// memoryTimeout bounds the wait for memory after the answer has arrived.
const memoryTimeout = 45 * time.Second

// ErrNeverFits means that a batch needs more memory than an Account can lend.
var ErrNeverFits = errors.New("more memory than may be used")

// defaultLimit bounds one reservation of a fetch that has no Account.
const defaultLimit = 128 << 20

// unlimited is the account of fetches that have none.
type unlimited struct{}

func (unlimited) Reserve(_ context.Context, n int64) error {
	if n > defaultLimit {
		return fmt.Errorf("%w: %d bytes, and %d are the limit", ErrNeverFits, n, defaultLimit)
	}
	return nil
}

func (unlimited) Release(int64) {}

// loan is the memory that one fetch has reserved, and the part of it that is in use.
type loan struct {
	account    Account
	held, used int64
}

func (l *loan) reserve(ctx context.Context, n int64) error {
	if n <= 0 {
		return nil
	}
	if err := l.account.Reserve(ctx, n); err != nil {
		return err
	}
	l.held += n
	return nil
}

func (l *loan) free() int64 { return l.held - l.used }

// take marks n reserved bytes as used and reports whether there were so many.
func (l *loan) take(n int64) bool {
	if n > l.free() {
		return false
	}
	l.used += n
	return true
}

func (l *loan) give(n int64) { l.used -= n }

// trim returns the unused part to the account.
func (l *loan) trim() {
	if free := l.free(); free > 0 {
		l.account.Release(free)
		l.held = l.used
	}
}

func (l *loan) end() {
	l.used = 0
	l.trim()
}

// turn is held by the one fetch of a process that reads a batch larger than its
// share of the memory.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// enlarge makes n bytes available beside those in use. A fetch that needs more than
// it has reserved waits for its turn, and first returns the part it does not use:
// otherwise many fetches could hold memory that each of the others waits for.
func (d *decoder) enlarge(n int64) error {
	if d.loan.free() >= n {
		return nil
	}
	if !d.hasTurn {
		select {
		case d.turn <- struct{}{}:
		default:
			d.loan.trim()
			select {
			case d.turn <- struct{}{}:
			case <-d.ctx.Done():
				return fmt.Errorf("%w: another large batch is being read: %w", ErrNoMemory, d.ctx.Err())
			}
		}
		d.hasTurn = true
	}
	return d.loan.reserve(d.ctx, n-d.loan.free())
}

func (d *decoder) endTurn() {
	if d.hasTurn {
		<-d.turn
		d.hasTurn = false
	}
}

// Release returns the memory of a batch to the account of its fetch. Its records
// must not be used after that. Further calls do nothing.
func (b *Batch) Release() {
	if b.account != nil {
		b.account.Release(b.Memory)
		b.account = nil
	}
}
