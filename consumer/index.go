package consumer

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"
	"unsafe"

	"github.com/clientevents/clientevents/event"
)

// key stands for an event id: the first half of its SHA-256. Every replica, now
// and later, computes the same, and nobody can make two ids collide.
type key [16]byte

func keyOf(id string) key {
	var room [128]byte // longer ids cost an allocation
	sum := sha256.Sum256(append(room[:0], id...))
	return key(sum[:16])
}

// entry is what is remembered of a reported event.
type entry struct {
	// content is event.Event.Content, of which the index keeps contentBits.
	content uint64
	// created is the event's own time, kept to the millisecond (and to 48 bits
	// of them, which end in the year 6429).
	created time.Time
	typ     event.Type
	// reported is when the API accepted it, kept to a 4,096th of the window,
	// rounded down.
	reported time.Time
}

const (
	contentBits = 48
	contentMask = 1<<contentBits - 1
)

// sameContent says whether the entry is of an event with this content.
func (e entry) sameContent(content uint64) bool { return e.content&contentMask == content&contentMask }

// index remembers exactly which event ids of a partition were reported within
// the window. It is not safe for concurrent use.
//
// Memory is what it costs to keep the promise, so entries are packed into 32
// bytes without pointers, which the garbage collector does not scan. Each is in
// the table of the time at which it was reported, its generation, and
// generations are dropped whole. That keeps up to a quarter of a window more
// than is asked for, and makes expiry cost nothing.
type index struct {
	window      int64              // milliseconds
	step        int64              // the coarse unit of reported, in milliseconds
	span        int64              // how many steps one generation covers
	generations []*generationTable // in the order of time, without those that are empty
	// seed makes the places of keys unpredictable, so that no producer can
	// choose ids that crowd in one place.
	seed [2]uint64
}

// generationTable holds what was reported in one span of time.
type generationTable struct {
	number int64 // the span's first step is number*span
	newest int64 // the last step at which something was reported
	table  table
}

const (
	// generationsPerWindow is how many tables a window is spread over. More
	// would give memory back sooner, and make a look-up that finds nothing dearer.
	generationsPerWindow = 4
	// stepsPerWindow is how finely the window's end is kept.
	stepsPerWindow = 4096
	// endOfTime is the last millisecond at which the index takes something to
	// be reported. It keeps a record's absurd timestamp from overflowing.
	endOfTime = 1 << 60
)

func newIndex(window time.Duration) *index {
	millis := max(1, ceilDiv(int64(window), int64(time.Millisecond)))
	step := ceilDiv(millis, stepsPerWindow)
	return &index{
		window: millis,
		step:   step,
		span:   ceilDiv(millis, step*generationsPerWindow),
		seed:   [2]uint64{rand.Uint64(), rand.Uint64()},
	}
}

// put remembers a reported event. Where the id is known already, the later
// report stays; of two in the same step, the one that was put last.
func (x *index) put(k key, e entry) {
	h := x.hash(&k)
	step := floorDiv(min(max(e.reported.UnixMilli(), -endOfTime), endOfTime), x.step)
	number := floorDiv(step, x.span)
	s := newSlot(k, e, step-number*x.span)
	for _, g := range x.generations {
		known := g.table.find(&k, h, &x.seed)
		if known == nil {
			continue
		}
		switch {
		case g.number > number || g.number == number && known.step() > s.step():
			return
		case g.number == number:
			known.when, known.content = s.when, s.content|known.content&(farAway<<distanceShift)
			g.newest = max(g.newest, step)
			return
		}
		g.table.remove(&k, h, &x.seed)
		break
	}
	g := x.generation(number)
	g.newest = max(g.newest, step)
	g.table.insert(s, h, &x.seed)
}

// generation finds the table of a span of time, or makes it.
func (x *index) generation(number int64) *generationTable {
	i := len(x.generations)
	for i > 0 && x.generations[i-1].number > number {
		i--
	}
	if i > 0 && x.generations[i-1].number == number {
		return x.generations[i-1]
	}
	g := &generationTable{number: number, newest: number * x.span}
	x.generations = slices.Insert(x.generations, i, g)
	return g
}

// get finds what was reported within the window before now: for the window at
// the least, and for two steps longer at the most.
func (x *index) get(k key, now time.Time) (entry, bool) {
	h := x.hash(&k)
	for _, g := range slices.Backward(x.generations) {

		s := g.table.find(&k, h, &x.seed)
		if s == nil {
			continue
		}
		step := g.number*x.span + s.step()
		if x.over(step, now) {
			return entry{}, false
		}
		return entry{
			content:  s.content >> 16,
			created:  time.UnixMilli(int64(s.when) >> 16).UTC(),
			typ:      event.Type(s.content),
			reported: time.UnixMilli(step * x.step).UTC(),
		}, true
	}
	return entry{}, false
}

// over says whether what was reported in a step is out of the window. It counts
// from the step's end, since reported was rounded down to its beginning.
func (x *index) over(step int64, now time.Time) bool {
	return now.UnixMilli()-(step+1)*x.step > x.window
}

// expire drops the generations of which nothing is within the window any more.
func (x *index) expire(now time.Time) {
	gone := 0
	for gone < len(x.generations) && x.over(x.generations[gone].newest, now) {
		gone++
	}
	x.generations = slices.Delete(x.generations, 0, gone)
}

// len counts the ids, those included that are out of the window but not yet
// dropped.
func (x *index) len() int {
	n := 0
	for _, g := range x.generations {
		n += g.table.count
	}
	return n
}

// bytes is the memory that the index holds.
func (x *index) bytes() int {
	n := int(unsafe.Sizeof(*x)) + cap(x.generations)*int(unsafe.Sizeof(&generationTable{}))
	for _, g := range x.generations {
		n += int(unsafe.Sizeof(*g)) + g.table.bytes()
	}
	return n
}

// hash spreads a key over the tables: the high half of a product that can't be
// foreseen without the seed, mixed with its low half.
func (x *index) hash(k *key) uint64 { return hash(k, &x.seed) }

func hash(k *key, seed *[2]uint64) uint64 {
	high, low := bits.Mul64(
		binary.LittleEndian.Uint64(k[:8])^seed[0],
		binary.LittleEndian.Uint64(k[8:])^seed[1])
	return high ^ low
}

// slot is one entry of a table: 32 bytes, no pointers.
type slot struct {
	key     key
	when    uint64 // created in milliseconds <<16 | steps since the generation's first
	content uint64 // content <<16 | distance <<9 | slotUsed | type
}

const (
	slotBytes = int(unsafe.Sizeof(slot{}))
	slotUsed  = 1 << 8

	// The distance of a slot from its own place is kept up to farAway, which
	// stands for all that is farther and is then computed.
	distanceShift = 9
	farAway       = 1<<7 - 1
)

func newSlot(k key, e entry, step int64) slot {
	created := min(max(e.created.UnixMilli(), -1<<47), 1<<47-1)
	return slot{
		key:     k,
		when:    uint64(created)<<16 | uint64(step),
		content: e.content&contentMask<<16 | slotUsed | uint64(e.typ),
	}
}

func (s *slot) empty() bool { return s.content == 0 }

func (s *slot) setDistance(d int) {
	s.content = s.content&^(farAway<<distanceShift) | uint64(min(d, farAway))<<distanceShift
}

func (s *slot) step() int64 { return int64(s.when & 0xffff) }

// table is a hash table of slots that grows by linear hashing: it is split into
// segments, and whenever it has grown by segmentMean entries, the next segment
// in turn is split into two. So no insertion has to move more than a segment's
// entries, a table is as large as it has to be at any time, and only the list
// of its segments is ever copied whole, which is a thousandth of it.
type table struct {
	segments []segment
	count    int
	slots    int // of all segments
}

// segmentMean is how many entries a segment has on average: it has half of them
// when it was split from another, and twice as many when it is split itself.
const segmentMean = 512

// segment is a part of a table: open addressing, in the order of the places
// where the slots would be if each could have its own ("Robin Hood"), which lets
// a look-up that finds nothing end early even where it is nearly full.
type segment struct {
	slots []slot
	count int
}

func (t *table) bytes() int {
	return t.slots*slotBytes + cap(t.segments)*int(unsafe.Sizeof(segment{}))
}

// segment finds a hash's segment by its low bits: as many of them as there are
// segments for, since only some are split as far as others.
func (t *table) segment(h uint64) *segment {
	n := uint64(len(t.segments))
	all := uint64(1)<<bits.Len64(n) - 1 // the mask that has room for n
	i := h & all
	if i >= n {
		i &= all >> 1
	}
	return &t.segments[i]
}

func (t *table) find(k *key, h uint64, seed *[2]uint64) *slot {
	if t.count == 0 {
		return nil
	}
	s := t.segment(h)
	if i := s.find(k, h, seed); i >= 0 {
		return &s.slots[i]
	}
	return nil
}

// insert adds an entry whose key the table does not have.
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

// split gives half of the next segment in turn to a new one.
func (t *table) split(seed *[2]uint64) {
	n := len(t.segments)
	bit := 1 << (bits.Len(uint(n)) - 1) // the hash's bit that n has more than its other half
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

// remove deletes an entry that the table has. It gives no memory back: that is
// for the generation's end.
func (t *table) remove(k *key, h uint64, seed *[2]uint64) {
	s := t.segment(h)
	s.remove(s.find(k, h, seed), seed)
	t.count--
}

// full says that the segment has to grow before it takes another entry.
func (s *segment) full() bool { return (s.count+1)*16 > len(s.slots)*15 }

// roomFor is how many slots a segment with count entries is made with.
func roomFor(count int) int { return max(8, count*9/8) }

// makeSlots makes n slots, or a few more where the allocator gives them anyway.
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

// place is where an entry would be if it could have its own place: the high
// half of the hash spread over n without a division. (The low half chose the
// segment.)
func place(h uint64, n int) int { return int(h >> 32 * uint64(n) >> 32) }

// distance is how far the used slot at i is from its own place.
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
func (s *segment) find(k *key, h uint64, seed *[2]uint64) int {
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
		// Who is farther from home goes first.
		if have := s.distance(i, seed); have < d {
			new.setDistance(d)
			s.slots[i], new = new, s.slots[i]
			d = have
		}
	}
	new.setDistance(d)
	s.slots[i] = new
}

// remove empties the slot at i, and moves those behind it that are not at their
// own places one nearer.
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

func ceilDiv(a, b int64) int64 { return -floorDiv(-a, b) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
