package partition

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// numbered is a key that the hash of no id is needed for.
func numbered(n uint64) Key {
	r := rand.NewPCG(n, 1)
	var k Key
	binary.LittleEndian.PutUint64(k[:8], r.Uint64())
	binary.LittleEndian.PutUint64(k[8:], r.Uint64())
	return k
}

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func viewed(reported time.Time) Entry {
	return Entry{Content: 1, Created: noon, Type: event.View, Reported: reported}
}

func TestKeyOf(t *testing.T) {
	// Written down, since a replica of another build has to find it.
	const want = "2cf24dba5fb0a30e26e83b2ac5b9e29e" // SHA-256 of "hello"
	if got := fmt.Sprintf("%x", KeyOf("hello")); got != want {
		t.Errorf("KeyOf(hello) = %s, want %s", got, want)
	}
}

func TestIndexWindow(t *testing.T) {
	for _, window := range []time.Duration{
		time.Millisecond, 100 * time.Millisecond, time.Second, 4096 * time.Millisecond,
		time.Hour + time.Nanosecond, 24 * time.Hour, 30 * 24 * time.Hour,
	} {
		t.Run(window.String(), func(t *testing.T) {
			slack := 2 * (window/stepsPerWindow + 2*time.Millisecond)
			for i := range uint64(200) {
				reported := noon.Add(time.Duration(i) * 17 * window / 1000)
				if i%2 == 1 { // a clock that was never set
					reported = time.UnixMilli(0).Add(-reported.Sub(noon))
				}
				x := NewIndex(window)
				x.put(numbered(i), viewed(reported))
				if _, ok := x.get(numbered(i), reported.Add(window)); !ok {
					t.Fatalf("reported at %v and not found after %v", reported, window)
				}
				x.expire(reported.Add(window))
				if _, ok := x.get(numbered(i), reported.Add(window)); !ok {
					t.Fatalf("reported at %v and expired before %v were over", reported, window)
				}
				late := reported.Add(window + slack)
				if e, ok := x.get(numbered(i), late); ok {
					t.Fatalf("reported at %v (kept as %v), still found at %v", reported, e.Reported, late)
				}
				x.expire(late)
				if x.Len() != 0 {
					t.Fatalf("%d entries after %v", x.Len(), late.Sub(reported))
				}
			}
		})
	}
}

func TestIndexAbsurdTimes(t *testing.T) {
	x := NewIndex(24 * time.Hour)
	x.put(numbered(1), viewed(time.UnixMilli(math.MinInt64)))
	x.put(numbered(2), viewed(time.UnixMilli(math.MaxInt64)))
	if _, ok := x.get(numbered(1), noon); ok {
		t.Error("what was reported in the beginning of time is still found")
	}
	if _, ok := x.get(numbered(2), noon); !ok {
		t.Error("what will be reported at the end of time is not found")
	}
	x.expire(noon)
	if x.Len() != 1 {
		t.Errorf("len = %d, want 1", x.Len())
	}
}

// A restore reads the clocks of several replicas, so reports come out of order.
func TestIndexOutOfOrder(t *testing.T) {
	const window = 24 * time.Hour
	for _, back := range []time.Duration{time.Minute, 5 * time.Hour, 7 * time.Hour, 20 * time.Hour, 100 * time.Hour} {
		t.Run(back.String(), func(t *testing.T) {
			x := NewIndex(window)
			x.put(numbered(0), viewed(noon.Add(-200*time.Hour)))
			x.put(numbered(1), viewed(noon))
			early := noon.Add(-back)
			x.put(numbered(2), viewed(early))
			if _, ok := x.get(numbered(2), early.Add(window)); !ok {
				t.Error("not found within the window")
			}
			if _, ok := x.get(numbered(2), early.Add(window+time.Minute)); ok {
				t.Error("found after the window")
			}
			x.expire(early.Add(window + time.Minute))
			if got := x.Len(); back > window/periodsPerWindow && got != 1 {
				t.Errorf("%d entries after the window, want only the later one", got)
			}
		})
	}
}

func TestIndexPutAgain(t *testing.T) {
	const window = 24 * time.Hour
	at := func(d time.Duration, content uint64) Entry {
		return Entry{Content: content, Created: noon, Type: event.View, Reported: noon.Add(d)}
	}
	for _, c := range []struct {
		name        string
		first, then Entry
		want        uint64
	}{
		{"the same report again", at(0, 1), at(0, 2), 2},
		{"a later one of the same period", at(0, 1), at(time.Hour, 2), 2},
		{"an earlier one of the same period", at(time.Hour, 1), at(0, 2), 1},
		{"a later one of a later period", at(0, 1), at(13*time.Hour, 2), 2},
		{"an earlier one of an earlier period", at(13*time.Hour, 1), at(0, 2), 1},
		{"a later one, out of the window", at(0, 1), at(25*time.Hour, 2), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := NewIndex(window)
			x.put(numbered(7), c.first)
			x.put(numbered(7), c.then)
			newest := maxTime(c.first.Reported, c.then.Reported)
			e, ok := x.get(numbered(7), newest.Add(window))
			if !ok || e.Content != c.want {
				t.Errorf("got content %d (%v), want %d", e.Content, ok, c.want)
			}
			within := time.Hour // of one period
			if d := c.then.Reported.Sub(c.first.Reported).Abs(); d <= within && x.Len() != 1 {
				t.Errorf("len = %d for one id", x.Len())
			}
			x.remove(numbered(7))
			if _, ok := x.get(numbered(7), newest); ok || x.Len() != 0 {
				t.Errorf("found after it was removed; len = %d", x.Len())
			}
		})
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func TestIndexKeeps(t *testing.T) {
	for _, c := range []struct {
		name      string
		put, want Entry
	}{
		{
			"an ordinary one",
			Entry{Content: 0x123456789abc, Created: noon.Add(789 * time.Millisecond), Type: event.NotInterested},
			Entry{Content: 0x123456789abc, Created: noon.Add(789 * time.Millisecond), Type: event.NotInterested},
		},
		{
			"48 bits of the content",
			Entry{Content: math.MaxUint64, Created: noon, Type: event.View},
			Entry{Content: 1<<48 - 1, Created: noon, Type: event.View},
		},
		{
			"milliseconds of the time",
			Entry{Created: noon.Add(1999999), Type: event.View},
			Entry{Created: noon.Add(time.Millisecond), Type: event.View},
		},
		{
			"nothing at all",
			Entry{Created: time.UnixMilli(0)},
			Entry{Created: time.UnixMilli(0).UTC()},
		},
		{
			"a type of the future",
			Entry{Created: noon, Type: 255},
			Entry{Created: noon, Type: 255},
		},
		{
			"before 1970",
			Entry{Created: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), Type: event.View},
			Entry{Created: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), Type: event.View},
		},
		{
			"too late for 48 bits",
			Entry{Created: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Type: event.View},
			Entry{Created: time.UnixMilli(1<<47 - 1).UTC(), Type: event.View},
		},
		{
			"too early for 48 bits",
			Entry{Created: time.UnixMilli(math.MinInt64), Type: event.View},
			Entry{Created: time.UnixMilli(-1 << 47).UTC(), Type: event.View},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := NewIndex(time.Hour)
			c.put.Reported = noon
			x.put(numbered(1), c.put)
			got, ok := x.get(numbered(1), noon)
			if !ok {
				t.Fatal("not found")
			}
			if late := noon.Sub(got.Reported); late < 0 || late > time.Hour/stepsPerWindow+time.Millisecond {
				t.Errorf("reported = %v, want %v or a step before", got.Reported, noon)
			}
			got.Reported = time.Time{}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if !got.sameContent(c.put.Content) || got.sameContent(c.put.Content^1<<47) {
				t.Error("sameContent does not compare 48 bits")
			}
		})
	}
}

// The index against a plain map.
func TestIndexModel(t *testing.T) {
	const step = 4 // milliseconds
	const window = stepsPerWindow * step * time.Millisecond
	const operations = 200_000
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			m := &indexModel{t: t, x: NewIndex(window), window: window, all: map[Key]Entry{}, now: noon}
			for i := range m.keys {
				m.keys[i] = numbered(uint64(i))
			}
			for range operations {
				m.operate(random)
			}
			m.now = m.now.Add(3 * window) // reports may lie ahead of now
			m.x.expire(m.now)
			if m.x.Len() != 0 || len(m.x.periods) != 0 {
				t.Errorf("%d entries, %d periods after all is over", m.x.Len(), len(m.x.periods))
			}
		})
	}
}

type indexModel struct {
	t      *testing.T
	x      *Index
	window time.Duration
	keys   [30_000]Key
	all    map[Key]Entry
	now    time.Time
}

func (m *indexModel) operate(random *rand.Rand) {
	k := m.keys[random.IntN(len(m.keys))]
	switch n := random.IntN(100_000); {
	case n < 50_000:
		m.get(k)
	case n < 97_000:
		m.put(k, random)
	case n < 98_000:
		m.x.remove(k)
		delete(m.all, k)
	case n < 99_996:
		m.now = m.now.Add(time.Duration(random.Int64N(int64(m.window / 1000))))
	default:
		m.expire()
	}
}

func (m *indexModel) put(k Key, random *rand.Rand) {
	reported := m.now
	if random.IntN(4) == 0 { // another replica's clock
		reported = reported.Add(time.Duration((random.Float64()*1.5 - 1) * float64(m.window)))
	}
	e := Entry{
		Content: random.Uint64() & contentMask,
		Created: time.UnixMilli(m.now.UnixMilli() - random.Int64N(1<<37)).UTC(),
		Type:    event.Type(random.IntN(17)),
		// As the index keeps it.
		Reported: time.UnixMilli(reported.UnixMilli() &^ 3).UTC(),
	}
	if random.IntN(8) == 0 { // a slot has no room for most of these
		e.Created = time.UnixMilli(random.Int64N(1 << 42)).UTC()
	}
	m.x.put(k, e)
	if old, ok := m.all[k]; !ok || !old.Reported.After(e.Reported) {
		m.all[k] = e
	}
}

func (m *indexModel) get(k Key) {
	got, found := m.x.get(k, m.now)
	want, known := m.all[k]
	age := m.now.Sub(want.Reported)
	switch {
	case !known && found:
		m.t.Fatalf("found a key that was never put: %+v", got)
	case known && age <= m.window && !found:
		m.t.Fatalf("not found %v after its report", age)
	case known && age > m.window+2*m.window/stepsPerWindow && found:
		m.t.Fatalf("found %v after its report", age)
	case found && got != want:
		m.t.Fatalf("got %+v, want %+v", got, want)
	}
}

func (m *indexModel) expire() {
	m.x.expire(m.now)
	within, almost := 0, 0
	for k, e := range m.all {
		age := m.now.Sub(e.Reported)
		if age <= m.window {
			within++
		}
		if age <= m.window+m.window/periodsPerWindow+2*m.window/stepsPerWindow {
			almost += len(m.x.periods) // each may have an earlier report
		}
		if age > 2*m.window {
			delete(m.all, k) // the index must have dropped it
		}
	}
	if n := m.x.Len(); n < within || n > almost {
		m.t.Fatalf("len = %d: want %d, the ids of the window, to %d, those of a period more", n, within, almost)
	}
}

// Keys whose hash is the same are found by comparing, however many they are.
func TestIndexCollidingHashes(t *testing.T) {
	x := NewIndex(time.Hour)
	colliding := func(n uint64) Key {
		var k Key
		binary.LittleEndian.PutUint64(k[:8], x.seed[0]) // makes the product zero
		binary.LittleEndian.PutUint64(k[8:], n)
		return k
	}
	const n = 3000 // more than a segment can hold
	for i := range uint64(n) {
		e := viewed(noon)
		e.Content = i
		x.put(colliding(i), e)
	}
	for i := range uint64(n) {
		if e, ok := x.get(colliding(i), noon); !ok || e.Content != i {
			t.Fatalf("key %d: got %+v, %v", i, e, ok)
		}
	}
	if _, ok := x.get(colliding(n), noon); ok {
		t.Error("found a key that was never put")
	}
	later := noon.Add(time.Hour)
	for i := range uint64(n) {
		if i%3 != 0 {
			x.put(colliding(i), viewed(later)) // moves it to another period
		}
	}
	for i := range uint64(n) {
		want, wantReported := uint64(1), later
		if i%3 == 0 {
			want, wantReported = i, noon
		}
		e, ok := x.get(colliding(i), later)
		if !ok || e.Content != want || wantReported.Sub(e.Reported) > time.Minute {
			t.Fatalf("key %d after some were moved: got %+v, %v", i, e, ok)
		}
	}
	for i := range uint64(n) {
		x.remove(colliding(i))
		if _, ok := x.get(colliding(i), later); ok {
			t.Fatalf("key %d was removed and is found", i)
		}
	}
	if x.Len() != 0 {
		t.Errorf("len = %d after all were removed", x.Len())
	}
}

// What one put may have to do is bounded, however many entries there are.
func TestIndexGrowsBySmallSteps(t *testing.T) {
	x := NewIndex(24 * time.Hour)
	const most = 2 * segmentMean * 8 / 5
	for i := range uint64(200_000) {
		segments := 0
		if len(x.periods) > 0 {
			segments = x.periods[0].table.segments
		}
		x.put(numbered(i), viewed(noon))
		if more := x.periods[0].table.segments - segments; more > 1 {
			t.Fatalf("put %d split %d segments", i, more)
		}
	}
	table := &x.periods[0].table
	count, cells := 0, 0
	for i := range table.segments {
		s := table.at(i)
		count += int(s.count)
		cells += len(s.cells)
		if s.count > most || len(s.cells) > 2*most {
			t.Errorf("segment %d has %d slots and %d cells, want %d at most and twice as many", i, s.count, len(s.cells), most)
		}
	}
	if count != 200_000 || cells != table.cells {
		t.Errorf("%d entries and %d cells; %d cells are counted", count, cells, table.cells)
	}
	for _, chunk := range table.slots.chunks {
		if len(chunk) > chunkBlocks*blockSlots {
			t.Errorf("a chunk has %d slots, want %d at most", len(chunk), chunkBlocks*blockSlots)
		}
	}
}

// What bytes() says is what the heap holds, and it is little. Of small indexes there
// are many, so that what the runtime itself puts into the heap meanwhile, some KiB for
// each thread that it starts, does not count.
func TestIndexMemory(t *testing.T) {
	if size := reflect.TypeFor[slot]().Size(); size != 29 {
		t.Errorf("a slot has %d bytes, want 29", size)
	}
	for _, size := range []int{1, 10, 100, 1000, 3000} {
		all := make([]*Index, 10_000/size)
		before := heapInUse()
		for i := range all {
			all[i] = NewIndex(24 * time.Hour)
			fill(t, all[i], 0, size)
		}
		checkHeld(t, all, heapInUse()-before)
	}
	x := NewIndex(24 * time.Hour)
	before, n := heapInUse(), 0
	for _, size := range []int{10_000, 33_000, 100_000, 150_000} {
		fill(t, x, n, size)
		n = size
		checkHeld(t, []*Index{x}, heapInUse()-before)
	}
	if each := float64(x.Bytes()) / float64(n); each > 40 {
		t.Errorf("%.1f bytes for each of %d ids, want 40 at most", each, n)
	}
	x.expire(noon.Add(72 * time.Hour))
	if x.Bytes() > emptyIndex || heapInUse()-before > emptyIndex+threads {
		t.Errorf("all expired: bytes() = %d, and the heap keeps %d", x.Bytes(), heapInUse()-before)
	}
	runtime.KeepAlive(x)
}

const (
	emptyIndex = 4 << 10  // what an index costs that is all but empty
	threads    = 64 << 10 // what the runtime may put into the heap
)

// fill puts the ids from one number to another into an index, spread over a window, as
// reports are.
func fill(t *testing.T, x *Index, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		x.put(numbered(uint64(n)), viewed(noon.Add(time.Duration(n*100_003%150_000)*24*time.Hour/150_000)))
		if x.Bytes() > emptyIndex+64*x.Len() {
			t.Fatalf("%d bytes for %d ids", x.Bytes(), x.Len())
		}
	}
}

func checkHeld(t *testing.T, all []*Index, held int64) {
	t.Helper()
	counted, ids := 0, 0
	for _, x := range all {
		counted += x.Bytes()
		ids += x.Len()
	}
	if held > int64(counted)*105/100+threads || held < int64(counted)*95/100-threads {
		t.Errorf("%d indexes with %d ids together: bytes() = %d, but the heap has grown by %d", len(all), ids, counted, held)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// filled is an index with n ids spread evenly over a window that ends at the
// time it returns.
func filled(n int) (*Index, time.Time) {
	const window = 24 * time.Hour
	x := NewIndex(window)
	for i := range n {
		x.put(numbered(uint64(i)), viewed(noon.Add(time.Duration(float64(window)/float64(n)*float64(i)))))
	}
	return x, noon.Add(window)
}

func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{1_000_000, 5_000_000} {
		keys := make([]Key, 1<<20)
		x, now := filled(n)
		each := float64(x.Bytes()) / float64(x.Len())
		b.Run(fmt.Sprintf("ids=%d/get=hit", n), func(b *testing.B) {
			for i := range keys {
				keys[i] = numbered(rand.Uint64N(uint64(n)))
			}
			b.ReportMetric(each, "bytes/id")
			for i := 0; b.Loop(); i++ {
				if _, ok := x.get(keys[i&(len(keys)-1)], now); !ok {
					b.Fatal("not found")
				}
			}
		})
		b.Run(fmt.Sprintf("ids=%d/get=miss", n), func(b *testing.B) {
			for i := range keys {
				keys[i] = numbered(uint64(n + i))
			}
			for i := 0; b.Loop(); i++ {
				if _, ok := x.get(keys[i&(len(keys)-1)], now); ok {
					b.Fatal("found")
				}
			}
		})
		x = nil
		runtime.GC()
		b.Run(fmt.Sprintf("ids=%d/put", n), func(b *testing.B) {
			const window = 24 * time.Hour
			all := make([]Key, n)
			for i := range all {
				all[i] = numbered(uint64(i))
			}
			puts, most := 0, 0.0
			for b.Loop() {
				x := NewIndex(window)
				for i := range all {
					x.put(all[i], viewed(noon.Add(time.Duration(float64(window)/float64(n)*float64(i)))))
					if i&1023 == 1023 {
						most = max(most, float64(x.Bytes())/float64(i+1))
					}
				}
				puts += n
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(puts), "ns/put")
			b.ReportMetric(most, "peak-bytes/id")
		})
	}
}
