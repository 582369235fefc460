package partition

import (
	"iter"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/linked"
)

// maxAncestors bounds how far up a journey is followed; events may be linked in
// a circle.
const maxAncestors = 32

// parents holds the events that wait for their parents.
type parents struct {
	// orphans are the waiting children whose parent is not in process, by its ID. Those
	// of a parent in process are at the parent: most parents are there before their
	// children, which then cost no entry here.
	orphans map[string]*family
	// waits are in the order in which they end, which is that of their begin, since all
	// last equally long.
	waits linked.List[wait]
	// waited is the partition's waiting time, see [Partition.Tick].
	waited  time.Duration
	waiting int // events
	// spare are waits that ended, linked as siblings, for others to use.
	spare  *wait
	spares int
}

// maxSpares bounds parents.spares: a partition that catches up has hundreds of thousands
// of events wait for a moment.
const maxSpares = 2000

// family is a list of events that wait for the same parent, in the order of
// their arrival.
type family struct {
	parent   *item // nil while it is not in process
	children linked.List[wait]
	// ranks counts the children by rank.
	ranks [event.Ranks]int32
}

// wait is an event that waits for its parent.
type wait struct {
	item   *item
	until  time.Duration // of parents.waited
	end    int64         // when it is over by the clock, in Unix nanoseconds
	family *family
	// siblings are its links in the family, and all those in parents.waits.
	siblings, all linked.Links[wait]
}

func siblings(w *wait) *linked.Links[wait] { return &w.siblings }
func all(w *wait) *linked.Links[wait]      { return &w.all }

func newParents() parents { return parents{orphans: map[string]*family{}} }

// wait adds an event that waits for its parent, from now on. parent is nil if it is not
// in process.
func (ps *parents) wait(it, parent *item, limit time.Duration, now time.Time) {
	w := ps.spare
	if w == nil {
		w = new(wait)
	} else {
		ps.spare, w.siblings.Next = w.siblings.Next, nil
		ps.spares--
	}
	w.item, w.until, w.end = it, ps.waited+limit, now.Add(limit).UnixNano()
	w.family = ps.family(it.ParentID, parent)
	w.family.add(w)
	it.wait = w
	ps.waits.Append(w, all)
	ps.waiting++
}

// family returns the family of a parent's children.
func (ps *parents) family(id string, parent *item) *family {
	switch {
	case parent == nil:
		f := ps.orphans[id]
		if f == nil {
			f = new(family)
			ps.orphans[id] = f
		}
		return f
	case parent.children == nil:
		parent.children = &family{parent: parent}
	}
	return parent.children
}

// adopt gives an event the children that wait for it already, as it begins to be in
// process. leave takes them back if it ends without being reported.
func (ps *parents) adopt(it *item) {
	if len(ps.orphans) == 0 {
		return
	}
	if f := ps.orphans[it.ID]; f != nil {
		delete(ps.orphans, it.ID)
		it.children, f.parent = f, it
	}
}

func (ps *parents) leave(it *item) {
	if f := it.children; f != nil {
		ps.orphans[it.ID] = f
		it.children, f.parent = nil, nil
	}
}

// extend lengthens all waits equally, which keeps their order; d may be negative.
func (ps *parents) extend(d time.Duration) {
	for w := ps.waits.First; w != nil; w = w.all.Next {
		w.until += d
		w.end += int64(d)
	}
}

// release ends the waits for a parent that was reported, and yields its
// children in the order of their arrival.
func (ps *parents) release(parent *item) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		f := parent.children
		if f == nil {
			return
		}
		parent.children = nil
		for w := f.children.First; w != nil; {
			it, next := w.item, w.siblings.Next
			ps.end(w)
			if !yield(it) {
				return
			}
			w = next
		}
	}
}

// due ends the waits whose time is over and that may end, and yields their items. A
// wait for a moving parent lasts on: the parent's outcome decides, however long the
// API takes.
func (ps *parents) due(mayEnd func(time.Time) bool) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for w := ps.waits.First; w != nil && w.until <= ps.waited && mayEnd(time.Unix(0, w.end)); {
			it, before := w.item, w.all.Prev
			if w.moving() {
				before = w
			} else {
				ps.giveUp(w)
				if !yield(it) {
					return
				}
			}
			// Other waits may have begun meanwhile, and none has ended.
			if w = ps.waits.First; before != nil {
				w = before.all.Next
			}
		}
	}
}

// giveUp ends a wait for a parent that was not reported.
func (ps *parents) giveUp(w *wait) {
	it, f := w.item, w.family
	if f.remove(w, it.rank); f.children.First == nil {
		if f.parent != nil {
			f.parent.children = nil
		} else {
			delete(ps.orphans, it.ParentID)
		}
	}
	ps.end(w)
}

// end removes a wait, which the next one may use again.
func (ps *parents) end(w *wait) {
	ps.waits.Remove(w, all)
	w.item.wait = nil
	ps.waiting--
	*w = wait{}
	if ps.spares < maxSpares {
		w.siblings.Next, ps.spare = ps.spare, w
		ps.spares++
	}
}

// rank returns the better of an event's own rank and that of the most valuable
// child that waits for it.
func (f *family) rank(own uint8) uint8 {
	if f != nil {
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
	f.children.Append(w, siblings)
}

func (f *family) remove(w *wait, rank uint8) {
	f.ranks[rank]--
	f.children.Remove(w, siblings)
}

// moving reports whether an event's parent was sent, or waits for one that was.
func (w *wait) moving() bool {
	for range maxAncestors {
		parent := w.family.parent
		switch {
		case parent == nil:
			return false
		case parent.sent:
			return true
		}
		w = parent.wait
	}
	return false
}

// raiseAncestors gives the events that an event waits for its rank, so that it
// need not wait as long as they would.
func (p *Partition) raiseAncestors(it *item) {
	rank := it.rank
	for range maxAncestors {
		it = it.wait.family.parent
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
