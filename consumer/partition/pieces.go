package partition

import (
	"iter"
	"math"
	"time"
)

// pieceEnough is the number of events with which a piece is complete. It has the rest of
// a segment beyond that.
const pieceEnough = 1000

// Place is where a walk over the events that a partition remembers has arrived. The zero
// Place is before the first.
type Place struct {
	begun   bool
	period  int64
	segment int // of the period's table, which has had its earlier ones
}

// Pieces returns the reported events of the window that follow a place, the earliest first,
// in pieces of some thousand. With each comes the place behind it. A piece is the caller's
// until the next, and the partition is not locked meanwhile. So events that are reported
// during the walk may be missing, and some may come twice. The walk ends early when the
// partition is revoked.
//
// Entry.Reported is rounded up, and not down: who remembers the event as reported then
// does so for the whole window.
func (p *Partition) Pieces(from Place) iter.Seq2[[]Known, Place] {
	return func(yield func([]Known, Place) bool) {
		w := walk{p: p, place: from, yield: yield}
		p.mu.Lock()
		for at := w.next(); at != nil; at = w.next() {
			if !w.period(at) {
				break
			}
		}
		if !p.revoked {
			w.give()
		}
		p.mu.Unlock() // not deferred: it is unlocked while the caller has a piece
	}
}

// walk is a walk over the index of a partition, whose lock it holds except in give.
type walk struct {
	p     *Partition
	place Place
	piece []Known
	yield func([]Known, Place) bool
}

// next returns the period at the place, or the next one that there is; nil at the end.
func (w *walk) next() *period {
	if w.p.revoked {
		return nil
	}
	for _, at := range w.p.index.periods {
		if w.place.begun && at.number < w.place.period {
			continue
		}
		if !w.place.begun || at.number > w.place.period {
			w.place = Place{begun: true, period: at.number}
		}
		if w.place.segment <= at.table.segments {
			return at
		}
	}
	return nil
}

// period adds the events of a period, from the place on. It reports false if the walk is over.
//
// While the lock is not held, a table may grow. Then it moves events only to segments
// behind all others, and so none is missed.
func (w *walk) period(at *period) bool {
	t := &at.table
	for ; w.place.segment < t.segments; w.place.segment++ {
		if !w.enough() {
			return false
		}
		s := t.at(w.place.segment)
		for i := range int(s.count) {
			slot := t.slot(s, i)
			f := slot.fact()
			w.add(at, slot.key, &f)
		}
	}
	for k, f := range t.others {
		if !w.enough() {
			return false
		}
		w.add(at, k, &f)
	}
	w.place.segment = math.MaxInt
	return true
}

// enough gives the piece to the caller if it is complete.
func (w *walk) enough() bool { return len(w.piece) < pieceEnough || w.give() }

// give gives the piece to the caller. It reports false if the walk is over.
func (w *walk) give() bool {
	if len(w.piece) == 0 {
		return true
	}
	w.p.mu.Unlock()
	more := w.yield(w.piece, w.place)
	w.p.mu.Lock()
	w.piece = w.piece[:0]
	return more && !w.p.revoked
}

func (w *walk) add(at *period, k Key, f *fact) {
	x, now := w.p.index, w.p.now
	step := at.number*x.span + f.step
	if x.over(step, now) {
		return
	}
	e := x.entry(at.number, f)
	if last := e.Reported.Add(time.Duration(x.step-1) * time.Millisecond); last.Before(now) {
		e.Reported = last
	} else if now.After(e.Reported) {
		e.Reported = now
	}
	w.piece = append(w.piece, Known{k, e})
}
