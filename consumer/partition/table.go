package partition

import (
	"math/bits"
	"slices"
	"unsafe"
)

// slot is one entry of a table: 32 bytes, no pointers.
type slot struct {
	key     Key
	when    uint64 // created in milliseconds <<16 | steps since the period's first
	content uint64 // content <<16 | distance <<9 | slotUsed | type
}

const (
	slotBytes = int(unsafe.Sizeof(slot{}))
	slotUsed  = 1 << 8

	// The distance of a slot from its own place is kept up to farAway, which
	// stands for all larger distances; those are computed.
	distanceShift = 9
	farAway       = 1<<7 - 1
)

func newSlot(k Key, e Entry, step int64) slot {
	created := min(max(e.Created.UnixMilli(), -1<<47), 1<<47-1)
	return slot{
		key:     k,
		when:    uint64(created)<<16 | uint64(step),
		content: e.Content&contentMask<<16 | slotUsed | uint64(e.Type),
	}
}

func (s *slot) empty() bool { return s.content == 0 }

func (s *slot) setDistance(d int) {
	s.content = s.content&^(farAway<<distanceShift) | uint64(min(d, farAway))<<distanceShift
}

func (s *slot) step() int64 { return int64(s.when & 0xffff) }

// table is a hash table of slots that grows by linear hashing. It consists of
// segments; whenever it has grown by segmentMean entries, the next segment in
// turn is split into two. So no insertion moves more than one segment's entries,
// the table is never much larger than its entries, and only the list of its
// segments, a thousandth of it, is ever copied whole.
type table struct {
	segments []segment
	count    int
	slots    int // of all segments
}

// segmentMean is the average number of entries in a segment: it has half of them
// after it was split from another, and twice as many when it is split itself.
const segmentMean = 512

// segment is a part of a table. It uses open addressing, with the slots in the
// order of the places where each would be without collisions ("Robin Hood"). A
// failing look-up then ends early even if the segment is nearly full.
type segment struct {
	slots []slot
	count int
}

func (t *table) bytes() int {
	return t.slots*slotBytes + cap(t.segments)*int(unsafe.Sizeof(segment{}))
}

// segment returns the segment of a hash. It uses as many of the hash's low bits
// as there are segments for, since not all are split equally far.
func (t *table) segment(h uint64) *segment {
	n := uint64(len(t.segments))
	all := uint64(1)<<bits.Len64(n) - 1 // the mask that has room for n
	i := h & all
	if i >= n {
		i &= all >> 1
	}
	return &t.segments[i]
}

func (t *table) find(k *Key, h uint64, seed *[2]uint64) *slot {
	if t.count == 0 {
		return nil
	}
	s := t.segment(h)
	if i := s.find(k, h, seed); i >= 0 {
		return &s.slots[i]
	}
	return nil
}

// insert adds an entry whose key is not in the table.
func (t *table) insert(new slot, h uint64, seed *[2]uint64) {
	if t.segments == nil {
		t.segments = make([]segment, 1)
	}
	s := t.segment(h)
	if before := len(s.slots); s.full() {
		s.resize(max(8, before+max(4, before/6)), seed)
		t.slots += len(s.slots) - before
	}
	s.insert(new, h, seed)
	t.count++
	if t.count > len(t.segments)*segmentMean {
		t.split(seed)
	}
}

// split moves half of the next segment in turn to a new one.
func (t *table) split(seed *[2]uint64) {
	n := len(t.segments)
	bit := 1 << (bits.Len(uint(n)) - 1) // the hash's bit that tells segment n from the one it is split from
	t.segments = append(t.segments, segment{})
	from, to := &t.segments[n-bit], &t.segments[n]
	old := from.slots
	moved := 0
	for i := range old {
		if !old[i].empty() && hash(&old[i].key, seed)&uint64(bit) != 0 {
			moved++
		}
	}
	to.slots = makeSlots(roomFor(moved))
	from.slots = makeSlots(roomFor(from.count - moved))
	from.count = 0
	for i := range old {
		if old[i].empty() {
			continue
		}
		h := hash(&old[i].key, seed)
		if h&uint64(bit) != 0 {
			to.insert(old[i], h, seed)
		} else {
			from.insert(old[i], h, seed)
		}
	}
	t.slots += len(from.slots) + len(to.slots) - len(old)
}

// remove deletes an entry that is in the table. It returns no memory; the end of
// the period does.
func (t *table) remove(k *Key, h uint64, seed *[2]uint64) {
	s := t.segment(h)
	s.remove(s.find(k, h, seed), seed)
	t.count--
}

// full reports whether the segment must grow before the next insertion.
func (s *segment) full() bool { return (s.count+1)*16 > len(s.slots)*15 }

// roomFor returns the number of slots for a new segment with count entries.
func roomFor(count int) int { return max(8, count*9/8) }

// makeSlots returns n slots, or a few more if the allocator rounds up.
func makeSlots(n int) []slot {
	slots := slices.Grow([]slot(nil), n)
	slots = slots[:cap(slots)]
	clear(slots)
	return slots
}

func (s *segment) resize(n int, seed *[2]uint64) {
	old := s.slots
	s.slots, s.count = makeSlots(n), 0
	for i := range old {
		if !old[i].empty() {
			s.insert(old[i], hash(&old[i].key, seed), seed)
		}
	}
}

// place returns the place of an entry without collisions: the high half of the
// hash, spread over n without a division. (The low half chose the segment.)
func place(h uint64, n int) int { return int(h >> 32 * uint64(n) >> 32) }

// distance returns how far the used slot at i is from its own place.
func (s *segment) distance(i int, seed *[2]uint64) int {
	if d := int(s.slots[i].content >> distanceShift & farAway); d < farAway {
		return d
	}
	d := i - place(hash(&s.slots[i].key, seed), len(s.slots))
	if d < 0 {
		d += len(s.slots)
	}
	return d
}

func (s *segment) next(i int) int {
	if i++; i == len(s.slots) {
		return 0
	}
	return i
}

// find returns the index of a key's slot, or -1.
func (s *segment) find(k *Key, h uint64, seed *[2]uint64) int {
	if len(s.slots) == 0 {
		return -1
	}
	// A full segment has empty slots, so this ends.
	for i, d := place(h, len(s.slots)), 0; ; i, d = s.next(i), d+1 {
		switch slot := &s.slots[i]; {
		case slot.empty():
			return -1
		case slot.key == *k:
			return i
		case s.distance(i, seed) < d:
			return -1 // the key would have displaced this one
		}
	}
}

// insert adds an entry; there is an empty slot.
func (s *segment) insert(new slot, h uint64, seed *[2]uint64) {
	s.count++
	i, d := place(h, len(s.slots)), 0
	for ; !s.slots[i].empty(); i, d = s.next(i), d+1 {
		// The entry that is farther from its place goes first.
		if have := s.distance(i, seed); have < d {
			new.setDistance(d)
			s.slots[i], new = new, s.slots[i]
			d = have
		}
	}
	new.setDistance(d)
	s.slots[i] = new
}

// remove empties the slot at i, and moves the following slots that are not at
// their own places one nearer.
func (s *segment) remove(i int, seed *[2]uint64) {
	s.count--
	for {
		next := s.next(i)
		if s.slots[next].empty() {
			break
		}
		d := s.distance(next, seed)
		if d == 0 {
			break
		}
		s.slots[i] = s.slots[next]
		s.slots[i].setDistance(d - 1)
		i = next
	}
	s.slots[i] = slot{}
}
