package partition

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// fact is what a table remembers of a key.
type fact struct {
	content uint64 // ContentBits of it
	created int64  // Unix milliseconds, relative to the table's base
	step    int64  // of the report, since the period's first
	kind    byte   // event.Type
}

// slot is an entry of a table: a key and its fact in 29 bytes, no pointers.
type slot struct {
	key  Key
	when [8]byte // low 16 bits of the content, step, created - createdFrom
	rest [4]byte // high 32 bits of the content
	kind byte
}

const (
	slotBytes = int(unsafe.Sizeof(slot{}))

	stepBits    = 10
	createdBits = 64 - 16 - stepBits
	// createdFrom is the earliest create time, relative to the table's base, that a slot
	// has room for: eight years before it. The latest is eight months after it.
	createdFrom = -8 * 365 * 24 * 3600 * 1000
)

// fits reports whether a slot has room for the fact.
func (f *fact) fits() bool { return uint64(f.created-createdFrom) < 1<<createdBits }

// set packs a fact that fits.
func (s *slot) set(f *fact) {
	binary.LittleEndian.PutUint64(s.when[:], uint64(f.created-createdFrom)<<(16+stepBits)|uint64(f.step)<<16|f.content&0xffff)
	binary.LittleEndian.PutUint32(s.rest[:], uint32(f.content>>16))
	s.kind = f.kind
}

func (s *slot) fact() fact {
	when := binary.LittleEndian.Uint64(s.when[:])
	return fact{
		content: uint64(binary.LittleEndian.Uint32(s.rest[:]))<<16 | when&0xffff,
		created: int64(when>>(16+stepBits)) + createdFrom,
		step:    int64(when >> 16 & (1<<stepBits - 1)),
		kind:    s.kind,
	}
}

// table is a hash table that grows by linear hashing. It consists of segments; whenever
// it has grown by segmentMean entries, the next segment in turn is split into two. So no
// insertion moves more than one segment's entries.
//
// The slots of a segment are dense, in blocks that the table takes from its arena and
// never copies. So the table is hardly larger than its entries, and its growth leaves
// hardly any garbage.
type table struct {
	pages    [][]segment // of pageSegments each, except for the last
	segments int
	slots    arena
	count    int
	cells    int // of all segments
	// others holds entries that do not fit: of an absurd create time, or of a segment
	// that is full since many hashes are the same.
	others map[Key]fact
}

const (
	// segmentMean is the average number of entries in a segment: it has half of them
	// after it was split from another, and twice as many when it is split itself.
	segmentMean  = 512
	pageSegments = 256
	// segmentMost is how many entries a cell can tell apart.
	segmentMost = 1<<positionBits - 1
	// scanned is the number of entries up to which a segment has no cells.
	scanned = 8
)

// segment is a part of a table. Its cells, a hash table with open addressing, say where
// among its slots the entry with a hash is.
type segment struct {
	cells  []cell
	count  int32 // slots in use
	held   int32 // blocks
	blocks [(segmentMost + blockSlots - 1) / blockSlots]uint32
}

// cell is the position of an entry, and a few bits of its hash by which most other
// entries are passed over without a look. 0 is an empty cell.
type cell uint16

const positionBits = 11

func newCell(h uint64, position int) cell {
	return cell(h>>36)<<positionBits | cell(position+1)
}

func (c cell) position() int { return int(c&(1<<positionBits-1)) - 1 }

// hasTag reports whether the cell is of an entry whose hash has these bits.
func (c cell) hasTag(h uint64) bool { return (c^cell(h>>36)<<positionBits)>>positionBits == 0 }

// place returns the place of an entry without collisions: the high half of the
// hash, spread over n without a division. (The low half chose the segment.)
func place(h uint64, n int) int { return int(h >> 32 * uint64(n) >> 32) }

func (s *segment) next(i int) int {
	if i++; i == len(s.cells) {
		return 0
	}
	return i
}

func (t *table) bytes() int {
	n := t.slots.bytes() + t.cells*int(unsafe.Sizeof(cell(0))) + cap(t.pages)*int(unsafe.Sizeof([]segment{}))
	for _, page := range t.pages {
		n += cap(page) * int(unsafe.Sizeof(segment{}))
	}
	const other = 2 * (len(Key{}) + int(unsafe.Sizeof(fact{}))) // about half of a map is in use
	return n + len(t.others)*other
}

// segment returns the segment of a hash. It uses as many of the hash's low bits
// as there are segments for, since not all are split equally far.
func (t *table) segment(h uint64) *segment {
	n := uint64(t.segments)
	all := uint64(1)<<bits.Len64(n) - 1 // the mask that has room for n
	i := h & all
	if i >= n {
		i &= all >> 1
	}
	return t.at(int(i))
}

func (t *table) at(i int) *segment { return &t.pages[i/pageSegments][i%pageSegments] }

func (t *table) slot(s *segment, position int) *slot {
	return t.slots.slot(s.blocks[position/blockSlots], position%blockSlots)
}

// touch reads what a put of the hash is going to read, so that the processor fetches it
// for several puts at the same time.
func (t *table) touch(h uint64) int {
	if t.segments == 0 {
		return 0
	}
	s := t.segment(h)
	if len(s.cells) == 0 {
		return int(s.count)
	}
	return int(s.cells[place(h, len(s.cells))])
}

// get returns what is known of a key.
func (t *table) get(k *Key, h uint64) (fact, bool) {
	if s := t.find(k, h); s != nil {
		return s.fact(), true
	}
	if len(t.others) == 0 {
		return fact{}, false
	}
	f, ok := t.others[*k]
	return f, ok
}

// find returns a key's slot, or nil.
func (t *table) find(k *Key, h uint64) *slot {
	if t.segments == 0 {
		return nil
	}
	s := t.segment(h)
	if i := t.findPosition(s, k, h); i >= 0 {
		return t.slot(s, i)
	}
	return nil
}

func (t *table) findPosition(s *segment, k *Key, h uint64) int {
	if len(s.cells) == 0 {
		for i := range int(s.count) {
			if t.slot(s, i).key == *k {
				return i
			}
		}
		return -1
	}
	// Some cells are empty, so this ends.
	for i := place(h, len(s.cells)); s.cells[i] != 0; i = s.next(i) {
		if c := s.cells[i]; c.hasTag(h) && t.slot(s, c.position()).key == *k {
			return c.position()
		}
	}
	return -1
}

// put remembers a key's fact, unless one with a later step is known.
func (t *table) put(k *Key, h uint64, f *fact, seed *[2]uint64) {
	if s := t.find(k, h); s != nil {
		known := s.fact()
		if known.step > f.step {
			return
		}
		if f.fits() {
			s.set(f)
			return
		}
		t.remove(k, h, seed)
	} else if len(t.others) > 0 {
		if known, ok := t.others[*k]; ok {
			if known.step <= f.step {
				t.others[*k] = *f
			}
			return
		}
	}
	t.count++
	if !f.fits() || !t.insert(k, h, f, seed) {
		if t.others == nil {
			t.others = map[Key]fact{}
		}
		t.others[*k] = *f
	}
	if t.count-len(t.others) > t.segments*segmentMean {
		t.split(seed)
	}
}

// insert adds an entry whose key is not in the table. It reports false if the segment is
// full.
func (t *table) insert(k *Key, h uint64, f *fact, seed *[2]uint64) bool {
	if t.segments == 0 {
		t.addSegment()
	}
	s := t.segment(h)
	if s.count == segmentMost {
		return false
	}
	new := t.append(s, h, seed)
	new.key = *k
	new.set(f)
	return true
}

func (t *table) addSegment() *segment {
	if t.segments%pageSegments == 0 {
		t.pages = append(t.pages, nil)
	}
	page := &t.pages[len(t.pages)-1]
	*page = append(*page, segment{})
	t.segments++
	return &(*page)[len(*page)-1]
}

// append adds a slot to a segment, with its cell. The caller sets it.
func (t *table) append(s *segment, h uint64, seed *[2]uint64) *slot {
	if s.count == s.held*blockSlots {
		s.blocks[s.held] = t.slots.take()
		s.held++
	}
	if s.count >= scanned && int(s.count+1)*8 > len(s.cells)*7 {
		t.growCells(s, seed)
	}
	position := int(s.count)
	s.count++
	s.point(h, position)
	return t.slots.room(s.blocks[position/blockSlots], position%blockSlots)
}

// point adds a cell for the entry with a hash.
func (s *segment) point(h uint64, position int) {
	if len(s.cells) == 0 {
		return
	}
	i := place(h, len(s.cells))
	for s.cells[i] != 0 {
		i = s.next(i)
	}
	s.cells[i] = newCell(h, position)
}

// growCells gives a segment more cells.
func (t *table) growCells(s *segment, seed *[2]uint64) {
	t.makeCells(s, int(s.count)+1)
	for i := range int(s.count) {
		s.point(hash(&t.slot(s, i).key, seed), i)
	}
}

// makeCells gives a segment empty cells, twice as many as entries.
func (t *table) makeCells(s *segment, entries int) {
	t.cells -= len(s.cells)
	s.cells = slices.Grow([]cell(nil), entries*2) // or a few more if the allocator rounds up
	s.cells = s.cells[:cap(s.cells)]
	clear(s.cells)
	t.cells += len(s.cells)
}

// split moves half of the next segment in turn to a new one.
func (t *table) split(seed *[2]uint64) {
	n := t.segments
	bit := 1 << (bits.Len(uint(n)) - 1) // the hash's bit that tells segment n from the one it is split from
	to := t.addSegment()
	from := t.at(n - bit)
	count := int(from.count)
	from.count = 0
	t.makeCells(from, max(count/2, segmentMean/2))
	t.makeCells(to, max(count/2, segmentMean/2))
	for i := range count {
		old := t.slot(from, i)
		h := hash(&old.key, seed)
		if h&uint64(bit) != 0 {
			*t.append(to, h, seed) = *old
			continue
		}
		*t.append(from, h, seed) = *old // not behind i
	}
	for used := (from.count + blockSlots - 1) / blockSlots; from.held > used; {
		from.held--
		t.slots.give(from.blocks[from.held])
	}
}

// remove deletes an entry, if the key is known. It returns no memory; the end of the
// period does.
func (t *table) remove(k *Key, h uint64, seed *[2]uint64) {
	if _, ok := t.others[*k]; ok {
		delete(t.others, *k)
		t.count--
		return
	}
	if t.segments == 0 {
		return
	}
	s := t.segment(h)
	position := t.findPosition(s, k, h)
	if position < 0 {
		return
	}
	t.count--
	t.unpoint(s, h, position, seed)
	s.count--
	if end := int(s.count); position < end {
		last := t.slot(s, end)
		moved := hash(&last.key, seed)
		t.unpoint(s, moved, end, seed)
		s.point(moved, position)
		*t.slot(s, position) = *last
	}
}

// unpoint removes the cell of the entry with a hash at a position. It moves those of the
// following cells nearer that are not at their own places.
func (t *table) unpoint(s *segment, h uint64, position int, seed *[2]uint64) {
	if len(s.cells) == 0 {
		return
	}
	i := place(h, len(s.cells))
	for s.cells[i].position() != position {
		i = s.next(i)
	}
	for j := s.next(i); s.cells[j] != 0; j = s.next(j) {
		own := place(hash(&t.slot(s, s.cells[j].position()).key, seed), len(s.cells))
		if n := len(s.cells); (j-own+n)%n >= (j-i+n)%n {
			s.cells[i] = s.cells[j]
			i = j
		}
	}
	s.cells[i] = 0
}
