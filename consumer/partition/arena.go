package partition

import (
	"slices"
	"unsafe"
)

// arena is the memory of a table's slots. It consists of chunks, which are not moved or
// copied (except for the first few slots), and hands out blocks of them.
type arena struct {
	chunks [][]slot // of at most chunkBlocks blocks
	used   int      // blocks of the last chunk that were taken
	blocks int      // of all chunks
	free   []uint32 // blocks that were given back
}

const (
	blockSlots  = 32
	chunkBlocks = 512 // nearly half a MiB
	// firstSlots is the size of a table that has few entries, as those of most
	// partitions where there are many.
	firstSlots = 4
)

func (a *arena) bytes() int {
	n := cap(a.chunks)*int(unsafe.Sizeof([]slot{})) + cap(a.free)*4
	for _, chunk := range a.chunks {
		n += cap(chunk) * slotBytes
	}
	return n
}

// slot returns a slot of a block.
func (a *arena) slot(block uint32, i int) *slot {
	return &a.chunks[block/chunkBlocks][block%chunkBlocks*blockSlots+uint32(i)]
}

// take returns a block. A new chunk is a sixteenth of what there is, so that little is
// left over.
func (a *arena) take() uint32 {
	if n := len(a.free); n > 0 {
		block := a.free[n-1]
		a.free = a.free[:n-1]
		return block
	}
	if len(a.chunks) == 0 {
		a.chunks = append(a.chunks, nil) // room makes it
		a.used, a.blocks = 1, 1
		return 0
	}
	if last := len(a.chunks) - 1; last == 0 || a.used*blockSlots == len(a.chunks[last]) {
		chunk := makeSlots(min(max(a.blocks/16, 1), chunkBlocks) * blockSlots)
		blocks := min(len(chunk)/blockSlots, chunkBlocks)
		a.chunks = append(a.chunks, chunk[:blocks*blockSlots])
		a.used = 0
		a.blocks += blocks
	}
	a.used++
	return uint32((len(a.chunks)-1)*chunkBlocks + a.used - 1)
}

func (a *arena) give(block uint32) { a.free = append(a.free, block) }

// room returns a slot that is set for the first time. The first block grows with its
// slots.
func (a *arena) room(block uint32, i int) *slot {
	if first := len(a.chunks[0]); block == 0 && i >= first {
		grown := makeSlots(max(firstSlots, first*2))
		copy(grown, a.chunks[0])
		a.chunks[0] = grown[:min(len(grown), blockSlots)]
	}
	return a.slot(block, i)
}

// makeSlots returns n slots, or a few more if the allocator rounds up.
func makeSlots(n int) []slot {
	slots := slices.Grow([]slot(nil), n)
	return slots[:cap(slots)]
}
