package partition

import (
	"iter"
	"slices"
	"time"

	"github.com/clientevents/clientevents/event"
)

// maxAncestors bounds how far up a journey is followed; events may be linked in
// a circle.
const maxAncestors = 32

// parents holds the events that wait for their parents.
type parents struct {
	// families are the waiting children by the ID of their parent.
	families map[string]*family
	// queue holds the waits in the order in which they end, which is that of
	// their begin, since all last equally long. A wait that ended early stays in
	// it without its item, see compact.
	queue []*wait
	ended int // waits in queue that ended early
	// waited is the partition's waiting time, see [Partition.Tick].
	waited  time.Duration
	waiting int // events
}

// family is a list of events that wait for the same parent, in the order of
// their arrival.
type family struct {
	first, last *wait
	// ranks counts the children by rank.
	ranks [event.Ranks]int
}

// wait is an event that waits for its parent. It refers to its item only until
// it ends: a partition that catches up has hundreds of thousands of events wait
// for a moment, and would otherwise keep each in memory for the whole
// Rules.ParentsWait.
type wait struct {
	item       *item
	until      time.Duration // of parents.waited
	end        time.Time     // when it is over by the clock
	family     *family
	prev, next *wait
}

func newParents() parents { return parents{families: map[string]*family{}} }

// wait adds an event that waits for its parent, from now on.
func (ps *parents) wait(it *item, limit time.Duration, now time.Time) {
	f := ps.families[it.ParentID]
	if f == nil {
		f = new(family)
		ps.families[it.ParentID] = f
	}
	w := &wait{item: it, until: ps.waited + limit, end: now.Add(limit), family: f}
	it.wait = w
	f.add(w)
	ps.queue = append(ps.queue, w)
	ps.waiting++
}

// extend lengthens all waits equally, which keeps their order; d may be negative.
func (ps *parents) extend(d time.Duration) {
	for _, w := range ps.queue {
		w.until += d
		w.end = w.end.Add(d)
	}
}

// release ends the waits for a parent that was reported, and yields its
// children in the order of their arrival.
func (ps *parents) release(id string) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		f := ps.families[id]
		if f == nil {
			return
		}
		delete(ps.families, id)
		for w := f.first; w != nil; w = w.next {
			it := w.item
			w.item, it.wait = nil, nil
			ps.ended++
			ps.waiting--
			if !yield(it) {
				return
			}
		}
	}
}

// due ends the waits whose time is over and that may end, and yields their items. A
// wait for a moving parent lasts on: the parent's outcome decides, however long the
// API takes.
func (ps *parents) due(moving func(id string) bool, mayEnd func(time.Time) bool) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		seen, kept, more := 0, 0, true
		// The queue may grow while an item is yielded.
		for more && seen < len(ps.queue) {
			w := ps.queue[seen]
			if w.item != nil && (w.until > ps.waited || !mayEnd(w.end)) {
				break
			}
			seen++
			switch it := w.item; {
			case it == nil:
				ps.ended--
			case moving(it.ParentID):
				ps.queue[kept] = w
				kept++
			default:
				ps.leave(w)
				more = yield(it)
			}
		}
		gone := seen - kept
		copy(ps.queue[gone:seen], ps.queue[:kept])
		clear(ps.queue[:gone])
		ps.queue = ps.queue[gone:]
		ps.compact()
	}
}

// leave removes a wait from its family.
func (ps *parents) leave(w *wait) {
	it, f := w.item, w.family
	w.item, it.wait = nil, nil
	ps.waiting--
	if f.remove(w, it.rank); f.first == nil {
		delete(ps.families, it.ParentID)
	}
}

// compact removes the waits that ended early, when they are many.
func (ps *parents) compact() {
	if ps.ended > 1000 && ps.ended > len(ps.queue)/2 {
		ps.queue = slices.Clip(slices.DeleteFunc(ps.queue, func(w *wait) bool { return w.item == nil }))
		ps.ended = 0
	}
}

// rank returns the better of an event's own rank and that of the most valuable
// child that waits for it.
func (ps *parents) rank(id string, own uint8) uint8 {
	if f := ps.families[id]; f != nil {
		for rank := range own {
			if f.ranks[rank] > 0 {
				return rank
			}
		}
	}
	return own
}

// setRank changes an item's rank.
func (ps *parents) setRank(it *item, rank uint8) {
	if it.wait != nil {
		it.wait.family.ranks[it.rank]--
		it.wait.family.ranks[rank]++
	}
	it.rank = rank
}

func (f *family) add(w *wait) {
	f.ranks[w.item.rank]++
	if w.prev = f.last; w.prev == nil {
		f.first = w
	} else {
		w.prev.next = w
	}
	f.last = w
}

func (f *family) remove(w *wait, rank uint8) {
	f.ranks[rank]--
	if w.prev == nil {
		f.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		f.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// moving reports whether an event was sent, or waits for one that was.
func (p *Partition) moving(id string) bool {
	for range maxAncestors {
		it := p.claims[id]
		if it == nil {
			return false
		}
		if it.sent {
			return true
		}
		id = it.ParentID
	}
	return false
}

// raiseAncestors gives the events that an event waits for its rank, so that it
// need not wait as long as they would.
func (p *Partition) raiseAncestors(it *item) {
	rank := it.rank
	for range maxAncestors {
		it = p.claims[it.ParentID]
		if it == nil || it.rank <= rank {
			return
		}
		p.parents.setRank(it, rank)
		if it.sent {
			p.raised = append(p.raised, Raise{&it.Delivery, rank})
			p.hasRaised.Store(true)
			return
		}
	}
}

// TakeRaised returns the deliveries that were sent and have a better rank now.
func (p *Partition) TakeRaised() []Raise {
	if !p.hasRaised.Swap(false) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	raised := p.raised
	p.raised = nil
	return raised
}
