package partition

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

func TestTracker(t *testing.T) {
	at := func(n int64) time.Time { return time.UnixMilli(1_000_000 + n) }
	offsetAt := func(t time.Time) int64 { return t.UnixMilli() - 1_000_000 }
	type want struct {
		watermark  int64
		unfinished int
		oldest     int64 // -1: none
	}
	// Each step is done to one tracker, in order.
	type step struct {
		name string
		do   func(*tracker, *[]ticket)
		want want
	}
	add := func(offset, after int64) func(*tracker, *[]ticket) {
		return func(t *tracker, all *[]ticket) { *all = append(*all, t.add(after, at(offset))) }
	}
	done := func(n int) func(*tracker, *[]ticket) {
		return func(t *tracker, all *[]ticket) { t.done((*all)[n]) }
	}
	extend := func(after int64) func(*tracker, *[]ticket) {
		return func(t *tracker, _ *[]ticket) { t.extend(after) }
	}
	for _, c := range []struct {
		name  string
		start int64
		steps []step
	}{
		{"out of order", 10, []step{
			{"nothing yet", func(*tracker, *[]ticket) {}, want{10, 0, -1}},
			{"add 10", add(10, 11), want{10, 1, 10}},
			{"add 11", add(11, 12), want{10, 2, 10}},
			{"add 12", add(12, 13), want{10, 3, 10}},
			{"the second first", done(1), want{10, 2, 10}},
			{"the first", done(0), want{12, 1, 12}},
			{"the first again", done(0), want{12, 1, 12}},
			{"the second again", done(1), want{12, 1, 12}},
			{"the third", done(2), want{13, 0, -1}},
			{"the third again", done(2), want{13, 0, -1}},
		}},
		{"gaps", 0, []step{
			{"a record after a gap", add(5, 9), want{0, 1, 5}},
			{"a control record behind it", extend(10), want{0, 1, 5}},
			{"which does not go back", extend(7), want{0, 1, 5}},
			{"done", done(0), want{10, 0, -1}},
			{"nothing but a gap", extend(20), want{20, 0, -1}},
			{"which does not go back either", extend(15), want{20, 0, -1}},
			{"another record", add(30, 31), want{20, 1, 30}},
			{"done", done(1), want{31, 0, -1}},
		}},
		{"a gap behind a finished record", 0, []step{
			{"add 0", add(0, 1), want{0, 1, 0}},
			{"add 1", add(1, 2), want{0, 2, 0}},
			{"the last is done", done(1), want{0, 1, 0}},
			{"and the gap behind it", extend(8), want{0, 1, 0}},
			{"the first", done(0), want{8, 0, -1}},
		}},
		{"not begun", -1, []step{
			{"no offset yet", func(*tracker, *[]ticket) {}, want{-1, 0, -1}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTracker(c.start)
			var tickets []ticket
			for _, s := range c.steps {
				s.do(&tr, &tickets)
				got := want{tr.watermark(), tr.unfinished(), -1}
				if timestamp := tr.oldest(); !timestamp.IsZero() {
					got.oldest = offsetAt(timestamp)
				}
				if got != s.want {
					t.Fatalf("%s: watermark, unfinished, oldest = %v, want %v", s.name, got, s.want)
				}
			}
		})
	}
}

func TestTrackerDoneOnce(t *testing.T) {
	tr := newTracker(0)
	first, second := tr.add(1, noon), tr.add(2, noon)
	for _, c := range []struct {
		name string
		t    ticket
		want bool
	}{
		{"a record", second, true},
		{"the same", second, false},
		{"the one before", first, true},
		{"the same, behind the watermark", first, false},
		{"one that was never added", second + 1, false},
	} {
		if got := tr.done(c.t); got != c.want {
			t.Errorf("%s: done = %v, want %v", c.name, got, c.want)
		}
	}
}

// A partition that starts again (its topic was recreated) gets a new tracker
// while records of before are still in flight. Their outcomes must not finish
// records of after: those would be committed without being reported.
func TestTrackerTicketsOfAnother(t *testing.T) {
	before := newTracker(0)
	var tickets []ticket
	for i := range int64(100) {
		tickets = append(tickets, before.add(i+1, noon))
	}
	after := newTracker(0)
	for i := range int64(100) {
		after.add(i+1, noon)
	}
	for _, ticket := range tickets {
		if after.done(ticket) {
			t.Fatal("an outcome of before finished a record of after")
		}
	}
	if after.watermark() != 0 || after.unfinished() != 100 {
		t.Errorf("watermark = %d, unfinished = %d, want 0 and 100", after.watermark(), after.unfinished())
	}
}

func TestTrackerGivesMemoryBack(t *testing.T) {
	const burst = 100_000
	for _, c := range []struct {
		name  string
		order func(i int) int
	}{
		{"in order", func(i int) int { return i }},
		{"the oldest last", func(i int) int { return (i + 1) % burst }},
		{"backwards", func(i int) int { return burst - 1 - i }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTracker(0)
			tickets := make([]ticket, burst)
			for i := range tickets {
				tickets[i] = tr.add(int64(i+1), noon)
			}
			if got := tr.bytes(); got > 20*burst {
				t.Errorf("%d bytes for %d records, want 20 each at most", got, burst)
			}
			for i := range tickets {
				tr.done(tickets[c.order(i)])
			}
			if tr.watermark() != burst {
				t.Fatalf("watermark = %d, want %d", tr.watermark(), burst)
			}
			if got := tr.bytes(); got > 64<<10 {
				t.Errorf("%d bytes are kept when all is done, want 64 KiB at most", got)
			}
		})
	}
}

// The tracker against a plain list, with outcomes in many orders.
func TestTrackerModel(t *testing.T) {
	const operations = 100_000
	for _, c := range []struct {
		name  string
		ahead int // how many records may be unfinished
	}{{"one at a time", 1}, {"a few", 7}, {"some", 200}, {"many", 3000}} {
		t.Run(c.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(c.ahead), 3))
			m := newTrackerModel(t, random.Int64N(1000))
			for range operations / (1 + c.ahead/20) {
				m.operate(random, c.ahead)
			}
			for len(m.open) > 0 {
				m.finish(random.IntN(len(m.open)))
			}
			m.compare()
			if m.tracker.watermark() != m.next {
				t.Errorf("all is done: watermark = %d, want %d", m.tracker.watermark(), m.next)
			}
		})
	}
}

// trackerModel keeps every span since the first that is unfinished.
type trackerModel struct {
	t       *testing.T
	tracker tracker
	next    int64 // the offset behind all that was added
	mark    int64
	spans   []*modelSpan
	byName  map[ticket]*modelSpan
	open    []ticket
	ended   []ticket
}

type modelSpan struct {
	offset, after int64
	done          bool
}

func newTrackerModel(t *testing.T, start int64) *trackerModel {
	return &trackerModel{t: t, tracker: newTracker(start), next: start, mark: start, byName: map[ticket]*modelSpan{}}
}

func (m *trackerModel) operate(random *rand.Rand, ahead int) {
	switch n := random.IntN(100); {
	case n < 45:
		// In bursts, so that the ring grows and shrinks.
		for range random.IntN(ahead) + 1 {
			if len(m.open) < ahead {
				m.add(random)
			}
		}
	case n < 50:
		m.next += random.Int64N(5)
		m.tracker.extend(m.next)
		if len(m.spans) > 0 {
			m.spans[len(m.spans)-1].after = m.next
		} else {
			m.mark = m.next
		}
	case n < 55 && len(m.ended) > 0:
		if m.tracker.done(m.ended[random.IntN(len(m.ended))]) {
			m.t.Fatal("a record was done twice")
		}
	case n < 60:
		for range random.IntN(ahead) + 1 { // all of one answer
			if len(m.open) > 0 {
				m.finish(0)
			}
		}
	case len(m.open) > 0:
		m.finish(random.IntN(len(m.open)))
	}
	m.compare()
}

func (m *trackerModel) add(random *rand.Rand) {
	offset := m.next + max(0, random.Int64N(8)-4)
	m.next = offset + 1 + max(0, random.Int64N(8)-6)
	k := m.tracker.add(m.next, time.UnixMilli(offset))
	if m.byName[k] != nil {
		m.t.Fatalf("ticket %d was given before", k)
	}
	m.byName[k] = &modelSpan{offset: offset, after: m.next}
	m.spans = append(m.spans, m.byName[k])
	m.open = append(m.open, k)
}

func (m *trackerModel) finish(i int) {
	k := m.open[i]
	m.open = append(m.open[:i], m.open[i+1:]...)
	if m.ended = append(m.ended, k); len(m.ended) > 100 {
		m.ended = m.ended[1:]
	}
	if !m.tracker.done(k) {
		m.t.Fatal("a record could not be done")
	}
	m.byName[k].done = true
	for len(m.spans) > 0 && m.spans[0].done {
		m.mark = m.spans[0].after
		m.spans = m.spans[1:]
	}
}

func (m *trackerModel) compare() {
	timestamp := m.tracker.oldest()
	ok := !timestamp.IsZero()
	got := fmt.Sprintln(m.tracker.watermark(), m.tracker.unfinished(), ok)
	want := fmt.Sprintln(m.mark, len(m.open), len(m.spans) > 0)
	if got != want {
		m.t.Fatalf("watermark, unfinished, any = %s want %s", got, want)
	}
	if ok && timestamp.UnixMilli() != m.spans[0].offset {
		m.t.Fatalf("the oldest is of %v, want that of offset %d", timestamp, m.spans[0].offset)
	}
}

func BenchmarkTracker(b *testing.B) {
	for _, ahead := range []int{64, 20_000} {
		b.Run(fmt.Sprintf("unfinished=%d", ahead), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 4))
			tr := newTracker(0)
			open := make([]ticket, ahead)
			offset := int64(0)
			for i := range open {
				open[i] = tr.add(offset+1, noon)
				offset++
			}
			for b.Loop() {
				i := random.IntN(ahead)
				tr.done(open[i])
				open[i] = tr.add(offset+1, noon)
				offset++
			}
			b.ReportMetric(float64(tr.bytes()), "bytes")
		})
	}
}

// bytes returns the memory that the tracker holds.
func (t *tracker) bytes() int {
	chunks := len(t.chunks)
	if t.spare != nil {
		chunks++
	}
	return chunks*int(unsafe.Sizeof(chunkOfSpans{})) + cap(t.chunks)*int(unsafe.Sizeof(t.spare))
}
