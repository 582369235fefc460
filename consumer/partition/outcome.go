package partition

import (
	"time"

	"github.com/clientevents/clientevents/event"
)

// Outcome takes the outcome of a delivery. It reports false if the delivery is
// not in process here, because the partition was revoked or the outcome is
// known: then the call has no effect. An accepted event counts as reported from
// here on, but its record is finished only when its state record is durable.
func (p *Partition) Outcome(d *event.Delivery, o event.Outcome, now time.Time) (Effects, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	it, ok := d.Origin.(*item)
	if !ok || p.revoked || !it.sent {
		return Effects{}, false
	}
	switch o.Kind {
	case event.Accepted:
		p.accept(it, now)
	case event.Rejected:
		p.inFlight--
		p.fail(it, &event.Fault{Reason: event.ReasonRejected, Detail: o.Detail}, o.HTTPStatus, now)
	case event.TooLarge:
		p.inFlight--
		p.fail(it, &event.Fault{Reason: event.ReasonTooLarge, Detail: o.Detail}, o.HTTPStatus, now)
	case event.Released:
		// The record stays unfinished: the partition's next owner reads it again.
	}
	return p.take(), true
}

func (p *Partition) accept(it *item, now time.Time) {
	copies := p.endClaim(it)
	reported := Entry{Content: it.content, Created: it.Time, Type: it.Type, Reported: now}
	p.index.put(it.key, reported)
	p.accepted = append(p.accepted, Accepted{it, reported})
	p.unwritten++
	p.effects.Accepted++
	for _, second := range copies {
		p.compare(second, reported)
	}
	// As the index has it, so that a child is judged alike whenever it comes.
	reported.Created = reported.Created.Truncate(time.Millisecond)
	for child := range p.parents.release(it) {
		p.follow(child, reported, now)
	}
}

// endClaim frees an event's ID, and returns the copies that wait for the event's
// outcome.
func (p *Partition) endClaim(it *item) (copies []*item) {
	delete(p.claims, it.ID)
	if it.copies != nil {
		copies, it.copies = *it.copies, nil
	}
	it.sent = false
	return copies
}

// fail rejects a claimed event and decides about its copies again: a fault of
// one copy need not be a fault of another.
func (p *Partition) fail(it *item, fault *event.Fault, status int, now time.Time) {
	copies := p.endClaim(it)
	p.parents.leave(it)
	p.reject(it, fault, status)
	for i, second := range copies {
		copies[i] = nil // the rest of the list lives on
		p.decide(second, now)
		if next := p.claims[it.ID]; next != nil {
			// The others wait for this one. Deciding about each, or copying the
			// list, would take quadratic time when many copies fail.
			rest := copies[i+1:]
			next.copies = &rest
			return
		}
	}
}

// reject notes the fault of an event. Its record becomes a dead letter when its
// other events are done.
func (p *Partition) reject(it *item, fault *event.Fault, status int) {
	if r := it.record; r.fault == nil {
		r.fault, r.status = fault, int32(status)
	}
	p.close(it.record)
}

// done notes the final outcome of an event.
func (p *Partition) done(it *item, o Outcome) {
	it.record.outcome = max(it.record.outcome, o)
	p.close(it.record)
}

// close notes that one event of a record is done. The last one decides the
// record.
func (p *Partition) close(r *Record) {
	if r.open--; r.open != 0 {
		return
	}
	if r.fault == nil {
		p.finish(r, r.outcome)
		return
	}
	p.inFlight++
	p.unwritten++
	p.deadLetters = append(p.deadLetters, DeadLetter{Record: r, Fault: *r.fault, HTTPStatus: int(r.status)})
	p.effects.DeadLetters++
}

// finish notes the final outcome of a record.
func (p *Partition) finish(r *Record, o Outcome) {
	r.outcome = o
	p.tracker.done(r.ticket)
	p.effects.finished.push(r)
}

// TakeAccepted returns the accepted events whose state records are to be
// written. It reuses the memory of before, a slice that it returned earlier.
func (p *Partition) TakeAccepted(before []Accepted) []Accepted {
	p.mu.Lock()
	defer p.mu.Unlock()
	accepted := p.accepted
	p.accepted = before[:0]
	return accepted
}

// TakeDeadLetters returns the dead letters that are to be written.
func (p *Partition) TakeDeadLetters() []DeadLetter {
	p.mu.Lock()
	defer p.mu.Unlock()
	letters := p.deadLetters
	p.deadLetters = nil
	return letters
}

// Recorded confirms that the state records of accepted events are durable. It
// reports false if the partition was revoked.
func (p *Partition) Recorded(accepted []Accepted) (Effects, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return Effects{}, false
	}
	for i := range accepted {
		p.done(accepted[i].item, Reported)
	}
	p.written(len(accepted))
	return p.take(), true
}

// NotRecorded says that the state records of accepted events may never become
// durable, because writing was given up. The partition's index forgets the
// events, so that a later incarnation does not rely on them. Their records stay
// unfinished.
func (p *Partition) NotRecorded(accepted []Accepted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return
	}
	for i := range accepted {
		p.index.remove(accepted[i].item.key)
	}
}

// DeadLettered confirms that dead letters are durable.
func (p *Partition) DeadLettered(letters []DeadLetter) Effects {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return Effects{}
	}
	for _, l := range letters {
		p.finish(l.Record, DeadLettered)
	}
	p.written(len(letters))
	return p.take()
}

func (p *Partition) written(n int) {
	p.inFlight -= n
	p.unwritten -= n
}
