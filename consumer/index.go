package consumer

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/clientevents/clientevents/event"
)

// key stands for an event id: the first half of its SHA-256. Every replica, now
// and later, computes the same, and nobody can make two ids collide.
type key [16]byte

func keyOf(id string) key {
	sum := sha256.Sum256([]byte(id))
	return key(sum[:16])
}

// entry is what is remembered of a reported event.
type entry struct {
	// content is event.Event.Content, of which the index keeps contentBits.
	content uint64
	// created is the event's own time, kept to the millisecond.
	created time.Time
	typ     event.Type
	// reported is when the API accepted it, kept to a 4,096th of the window.
	reported time.Time
}

const contentBits = 48

// maxCreated is the last millisecond that 48 bits hold, in the year 6429.
const maxCreated = 1<<47 - 1

const contentMask = 1<<contentBits - 1

func (e entry) sameContent(content uint64) bool { return e.content&contentMask == content&contentMask }

// index remembers exactly which event ids of a partition were reported within
// the window. It is not safe for concurrent use.
//
// Memory is what it costs to keep the promise, so entries are packed into 32
// bytes without pointers, in tables that are filled in the order of time and
// dropped whole: nothing is ever deleted from a table, and nothing is moved but
// when one segment of a table grows.
type index struct {
	window      time.Duration
	step        time.Duration // the coarse unit of reported
	span        time.Duration // what one generation covers
	generations []*generationTable
}

// generationsPerWindow is how many tables a window is spread over. More would
// give memory back sooner, and make each look-up that finds nothing dearer.
const generationsPerWindow = 4

// stepsPerWindow is how finely the window's end is kept.
const stepsPerWindow = 4096

func newIndex(window time.Duration) *index {
	return &index{
		window: window,
		step:   max(time.Millisecond, window/stepsPerWindow),
		span:   max(time.Millisecond, window/generationsPerWindow),
	}
}

// put remembers a reported event.
func (x *index) put(k key, e entry) {
	g := x.generationFor(e.reported)
	g.newest = maxTime(g.newest, e.reported)
	steps := uint64(max(0, e.reported.Sub(g.base)) / x.step)
	g.table.put(k, slot{
		when:    uint64(min(e.created.UnixMilli(), maxCreated))<<16 | min(steps, 1<<16-1),
		content: e.content&contentMask<<16 | uint64(e.typ),
	})
}

// generationFor finds the table for a time, newest first; times that come a
// little out of order (a restore) go to the table that covers them.
func (x *index) generationFor(t time.Time) *generationTable {
	for i := len(x.generations) - 1; i >= 0; i-- {
		if g := x.generations[i]; !t.Before(g.base) {
			if t.Sub(g.base) < x.span {
				return g
			}
			break
		}
	}
	if len(x.generations) > 0 {
		if last := x.generations[len(x.generations)-1]; t.Before(last.base) {
			// Older than the newest table, and no table covers it: the newest
			// keeps it, which is longer than asked.
			return last
		}
	}
	g := &generationTable{base: t}
	x.generations = append(x.generations, g)
	return g
}

// get finds what was reported within the window before now.
func (x *index) get(k key, now time.Time) (entry, bool) {
	for i := len(x.generations) - 1; i >= 0; i-- {
		g := x.generations[i]
		s := g.table.get(k)
		if s == nil {
			continue
		}
		e := entry{
			content:  s.content >> 16,
			created:  time.UnixMilli(int64(s.when) >> 16).UTC(),
			typ:      event.Type(s.content & 0xff),
			reported: g.base.Add(time.Duration(s.when&0xffff) * x.step),
		}
		// One step longer, since reported was rounded down.
		if now.Sub(e.reported) <= x.window+x.step {
			return e, true
		}
		return entry{}, false
	}
	return entry{}, false
}

// expire drops the tables of which nothing is within the window any more.
func (x *index) expire(now time.Time) {
	for len(x.generations) > 0 && now.Sub(x.generations[0].newest) > x.window+x.step {
		x.generations[0] = nil
		x.generations = x.generations[1:]
	}
}

// len counts the entries, those included that are out of the window but not
// yet dropped.
func (x *index) len() int {
	n := 0
	for _, g := range x.generations {
		n += g.table.len()
	}
	return n
}

// bytes is the memory that the tables hold.
func (x *index) bytes() int {
	n := 0
	for _, g := range x.generations {
		n += g.table.bytes()
	}
	return n
}

type generationTable struct {
	base, newest time.Time
	table        table
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// slot is one entry of a table: 32 bytes, no pointers.
type slot struct {
	key     key
	when    uint64 // created in milliseconds <<16 | steps from the generation's base
	content uint64 // content <<16 | type, which is never 0 in a used slot
}

// table is a hash table of slots. It is split by the key's first bits into
// segments, which grow each by itself, so that no insertion has to wait until
// millions of entries have moved.
type table struct {
	segments []segment // nil while small
	count    int
}

type segment struct {
	slots []slot
	count int
}

const (
	segmentBits = 8
	// A segment grows by half when it is seven eighths full: between growths it
	// is full to 58 % at the least, so an entry takes 37 to 55 bytes.
	firstSegmentSlots = 8
)

func (t *table) len() int { return t.count }

func (t *table) bytes() int {
	n := 0
	for i := range t.segments {
		n += len(t.segments[i].slots) * 32
	}
	return n
}

// The keys are parts of a cryptographic hash, so their own bits are the hash.
func segmentOf(k *key) int { return int(k[0]) }

func placeOf(k *key, n int) int {
	// The high half of the product spreads the bits over n without a division.
	return int(uint64(uint32(binary.LittleEndian.Uint32(k[4:]))) * uint64(n) >> 32)
}

func (t *table) get(k key) *slot {
	if t.segments == nil {
		return nil
	}
	return t.segments[segmentOf(&k)].find(&k)
}

func (s *segment) find(k *key) *slot {
	if len(s.slots) == 0 {
		return nil
	}
	for i := placeOf(k, len(s.slots)); ; {
		slot := &s.slots[i]
		if slot.content == 0 {
			return nil
		}
		if slot.key == *k {
			return slot
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}

func (t *table) put(k key, s slot) {
	if t.segments == nil {
		t.segments = make([]segment, 1<<segmentBits)
	}
	seg := &t.segments[segmentOf(&k)]
	s.key = k
	if known := seg.find(&k); known != nil {
		*known = s
		return
	}
	if (seg.count+1)*8 > len(seg.slots)*7 {
		seg.grow()
	}
	seg.insert(s)
	seg.count++
	t.count++
}

func (s *segment) grow() {
	old := s.slots
	s.slots = make([]slot, max(firstSegmentSlots, len(old)*3/2))
	for i := range old {
		if old[i].content != 0 {
			s.insert(old[i])
		}
	}
}

func (s *segment) insert(new slot) {
	i := placeOf(&new.key, len(s.slots))
	for s.slots[i].content != 0 {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	s.slots[i] = new
}
