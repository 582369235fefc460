package partition

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

// Key identifies an event ID: the first half of its SHA-256. Every replica
// computes the same, and two IDs can't be made to collide.
type Key [16]byte

// KeyOf returns the key of an event ID.
func KeyOf(id string) Key {
	var room [128]byte // longer IDs cost an allocation
	sum := sha256.Sum256(append(room[:0], id...))
	return Key(sum[:16])
}

// Entry is what an index remembers of a reported event.
type Entry struct {
	// Content is event.Event.Content, of which the index keeps ContentBits.
	Content uint64
	// Created is the event's create time, kept to the millisecond (and to 48
	// bits of them, which end in the year 6429).
	Created time.Time
	Type    event.Type
	// Reported is when the API accepted the event, kept to a 4,096th of the
	// window, rounded down.
	Reported time.Time
}

// ContentBits is the number of low bits of an event's content that are compared
// and kept.
const ContentBits = 48

const contentMask = 1<<ContentBits - 1

// sameContent reports whether the entry's event has this content.
func (e Entry) sameContent(content uint64) bool { return e.Content&contentMask == content&contentMask }

// Index remembers exactly which event IDs of a partition were reported within
// the window. It is not safe for concurrent use.
//
// Its memory is the cost of the guarantee. Entries are therefore packed into 29
// bytes without pointers, which the garbage collector does not scan. Each is in
// the table of the period in which it was reported, and periods are dropped
// whole. That keeps up to a quarter of a window more than required, and makes
// expiry cost nothing.
type Index struct {
	window  int64     // milliseconds
	step    int64     // the unit of Entry.Reported, in milliseconds
	span    int64     // steps in one period
	periods []*period // in the order of time, without empty ones
	// seed makes the places of keys unpredictable, so that a producer can't
	// choose IDs that crowd in one place.
	seed [2]uint64
	// touched keeps the compiler from leaving out what only fetches memory.
	touched int
}

// period holds what was reported in one span of time.
type period struct {
	number int64 // the period's first step is number*span
	newest int64 // the last step at which an event was reported
	table  table
}

const (
	// periodsPerWindow is the number of tables for one window. More tables
	// return memory sooner, and make a failing look-up more expensive.
	periodsPerWindow = 4
	// stepsPerWindow is the precision of the window's end.
	stepsPerWindow = 4096
	// endOfTime is the last millisecond that the index accepts as a time of
	// report. It keeps an absurd timestamp from overflowing.
	endOfTime = 1 << 60
)

// NewIndex returns an empty index that remembers IDs for a window.
func NewIndex(window time.Duration) *Index {
	millis := max(1, ceilDiv(int64(window), int64(time.Millisecond)))
	step := ceilDiv(millis, stepsPerWindow)
	return &Index{
		window: millis,
		step:   step,
		span:   ceilDiv(millis, step*periodsPerWindow),
		seed:   [2]uint64{rand.Uint64(), rand.Uint64()},
	}
}

// Known is a reported event: the key of its ID, and what is remembered of it.
type Known struct {
	Key   Key
	Entry Entry
}

// put remembers a reported event. If the ID is known already, the later report
// counts; of two in the same step, the one that was put last. An entry of another
// period stays, and get finds the later one first.
func (x *Index) put(k Key, e Entry) { x.putHashed(&k, x.hash(&k), &e) }

func (x *Index) putHashed(k *Key, h uint64, e *Entry) {
	step := floorDiv(min(max(e.Reported.UnixMilli(), -endOfTime), endOfTime), x.step)
	number := floorDiv(step, x.span)
	p := x.period(number)
	p.newest = max(p.newest, step)
	f := fact{
		content: e.Content & contentMask,
		created: min(max(e.Created.UnixMilli(), -1<<47), 1<<47-1) - x.begin(number),
		step:    step - number*x.span,
		kind:    byte(e.Type),
	}
	p.table.put(k, h, &f, &x.seed)
}

// begin returns when a period begins, in Unix milliseconds.
func (x *Index) begin(number int64) int64 { return number * x.span * x.step }

// putAll is put for many. Most of its time is that of memory far from the processor,
// which fetches from several places at the same time if they are known in advance.
func (x *Index) putAll(known []Known) {
	const ahead = 32
	var hashes [ahead]uint64
	for part := range slices.Chunk(known, ahead) {
		for i := range part {
			hashes[i] = x.hash(&part[i].Key)
		}
		if n := len(x.periods); n > 0 { // most are of the last period
			last := &x.periods[n-1].table
			for _, h := range hashes[:len(part)] {
				x.touched += last.touch(h)
			}
		}
		for i := range part {
			x.putHashed(&part[i].Key, hashes[i], &part[i].Entry)
		}
	}
}

// period returns the table of a span of time, which it adds if necessary.
func (x *Index) period(number int64) *period {
	i := len(x.periods)
	for i > 0 && x.periods[i-1].number > number {
		i--
	}
	if i > 0 && x.periods[i-1].number == number {
		return x.periods[i-1]
	}
	p := &period{number: number, newest: number * x.span}
	x.periods = slices.Insert(x.periods, i, p)
	return p
}

// get returns what was reported within the window before now: within at least
// the window, and at most two steps more.
func (x *Index) get(k Key, now time.Time) (Entry, bool) {
	h := x.hash(&k)
	for _, p := range slices.Backward(x.periods) {
		f, ok := p.table.get(&k, h)
		if !ok {
			continue
		}
		step := p.number*x.span + f.step
		if x.over(step, now) {
			return Entry{}, false
		}
		return x.entry(p.number, &f), true
	}
	return Entry{}, false
}

// entry returns what a fact of a period says.
func (x *Index) entry(number int64, f *fact) Entry {
	return Entry{
		Content:  f.content,
		Created:  time.UnixMilli(x.begin(number) + f.created).UTC(),
		Type:     event.Type(f.kind),
		Reported: time.UnixMilli((number*x.span + f.step) * x.step).UTC(),
	}
}

// remove forgets an ID, if it is known.
func (x *Index) remove(k Key) {
	h := x.hash(&k)
	for _, p := range x.periods {
		p.table.remove(&k, h, &x.seed)
	}
}

// over reports whether a step is out of the window. It counts from the step's
// end, since Entry.Reported was rounded down to its beginning.
func (x *Index) over(step int64, now time.Time) bool {
	return now.UnixMilli()-(step+1)*x.step > x.window
}

// expire drops the periods that are entirely out of the window.
func (x *Index) expire(now time.Time) {
	gone := 0
	for gone < len(x.periods) && x.over(x.periods[gone].newest, now) {
		gone++
	}
	x.periods = slices.Delete(x.periods, 0, gone)
}

// Len counts the IDs, including those that are out of the window but not
// dropped yet.
func (x *Index) Len() int {
	n := 0
	for _, p := range x.periods {
		n += p.table.count
	}
	return n
}

// Bytes returns the memory that the index holds.
func (x *Index) Bytes() int {
	n := int(unsafe.Sizeof(*x)) + cap(x.periods)*int(unsafe.Sizeof(&period{}))
	for _, p := range x.periods {
		n += int(unsafe.Sizeof(*p)) + p.table.bytes()
	}
	return n
}

// hash spreads a key over the tables: the high half of a product that is
// unpredictable without the seed, mixed with its low half.
func (x *Index) hash(k *Key) uint64 { return hash(k, &x.seed) }

func hash(k *Key, seed *[2]uint64) uint64 {
	high, low := bits.Mul64(
		binary.LittleEndian.Uint64(k[:8])^seed[0],
		binary.LittleEndian.Uint64(k[8:])^seed[1])
	return high ^ low
}

func ceilDiv(a, b int64) int64 { return -floorDiv(-a, b) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
