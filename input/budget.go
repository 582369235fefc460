package input

import (
	"errors"
	"fmt"
)

// Limits of the value that a mapping takes. A few bytes of a record may be a value of
// thousands of bytes, so a value is bounded by its size in memory.
const (
	// maxDecoded is the most bytes that a value may take, and minDecoded what it may take
	// in any process. Between them it is this share of the process's memory.
	maxDecoded, minDecoded, memoryShare = 64 << 20, 8 << 20, 8

	valueSize  = 48  // bytes of a value in a list, with what the growth of lists leaves
	objectSize = 400 // bytes of an object with up to 8 members
	// largeRecord and largeValue are the sizes from which records are decoded one at a
	// time, so that several need no more memory than one.
	largeRecord = 64 << 10
	largeValue  = 1 << 20
)

var errDecoded = errors.New("the value takes too much memory")

// mostDecoded returns how many bytes a value may take in a process with a limit of its
// memory; 0 for one without a limit.
func mostDecoded(memory int64) int {
	if memory <= 0 {
		return maxDecoded
	}
	return int(min(maxDecoded, max(minDecoded, memory/memoryShare)))
}

// budget is the memory that the value of one record may take. Decoders charge it before
// they allocate.
type budget struct {
	most, left int
	// turn waits until no other large value is decoded; nil for no wait.
	turn func()
	// large reports that turn was called.
	large bool
}

func newBudget(most int, turn func()) *budget { return &budget{most: most, left: most, turn: turn} }

// take takes size bytes of memory. It returns errDecoded if there is not so much left.
func (b *budget) take(size int) error {
	if b.left -= size; b.left < 0 {
		b.left = 0 // further calls fail, too
		return fmt.Errorf("%w: more than %d MiB", errDecoded, b.most>>20)
	}
	if b.left < b.most-largeValue {
		b.wait()
	}
	return nil
}

// wait waits for the turn of a large value, once.
func (b *budget) wait() {
	if !b.large && b.turn != nil {
		b.large = true
		b.turn()
	}
}
