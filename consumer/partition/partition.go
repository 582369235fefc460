// Package partition is the state machine at the core of the consumer. It
// decides what happens to each record of one partition of the source topic.
//
// Records, outcomes and ticks go in. [Effects], accepted events and dead
// letters come out. The package has no goroutines, clocks or connections, and
// neither logs nor counts: its caller passes times in and acts on what comes
// out. A caller that has no consumer group drives it in the same way.
//
// A record passes through these steps:
//
//  1. [Partition.Admit] decides about each of its events: duplicate, conflict,
//     suspicious, child of an unknown parent, or ready to be sent.
//  2. [Partition.Outcome] takes the outcome of each event that was sent.
//  3. [Partition.TakeAccepted] and [Partition.TakeDeadLetters] return what is
//     to be written to a topic; [Partition.Recorded] and
//     [Partition.DeadLettered] confirm that it is durable.
//  4. When all its events are done, the record is finished, and
//     [Partition.Watermark] may move.
package partition

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/oneline"
)

// Rules are the rules by which a partition decides.
type Rules struct {
	// Window is how long an event ID is remembered.
	Window time.Duration
	// ParentsRequired turns events whose parent was not reported into dead
	// letters; otherwise they are sent when the wait is over.
	ParentsRequired bool
	// ParentsWait is how long an event waits for its parent.
	ParentsWait time.Duration
	// Suspicious defines which events the API is likely to discard.
	Suspicious Suspicious
	// ByValue ranks events by type, and raises parents to the rank of the
	// children that wait for them; otherwise all ranks are equal.
	ByValue bool
	// Forward decides nothing about events: each counts as accepted at once, so that
	// the caller can write it to another topic.
	Forward bool
	// Settle ends the wait of a child only when every event that was published before
	// the end of its time has been admitted, see [Partition.Settle].
	Settle bool
}

// Config configures a [Partition].
type Config struct {
	// ID is the partition's number in the source topic.
	ID int32
	// Rules are the rules by which the partition decides.
	Rules Rules
	// Start is the offset of the first record; -1 if it is not known yet, see
	// [Partition.StartAt].
	Start int64
	// Index holds the event IDs that are known to be reported, such as that of
	// [Revoked]. The partition owns it from then on. Nil is an empty index.
	Index *Index
}

// Partition decides about the records of one partition from its assignment to
// its revocation. It is safe for concurrent use. Its mutex protects
// computation only: no method blocks, performs I/O or calls back.
type Partition struct {
	id int32

	mu      sync.Mutex
	rules   Rules
	tracker tracker
	index   *Index
	// claims holds the event in process of each ID: the one that was sent or
	// waits for its parent. Later copies wait for its outcome.
	claims  map[string]*item
	parents parents
	now     time.Time // of the last tick
	settled time.Time // see Settle

	// effects collects what the current call causes, see take.
	effects     Effects
	raised      []Raise
	hasRaised   atomic.Bool // avoids the lock when raised is empty
	accepted    []Accepted
	deadLetters []DeadLetter

	// inFlight counts the events that were sent and the dead letters, as long as
	// they are not durable in a topic. unwritten counts those of them that only
	// wait for a topic.
	inFlight  int
	unwritten int
	// revoked makes every later call return without an effect.
	revoked bool
}

// New returns a partition that has no records yet.
func New(cfg Config) *Partition {
	if cfg.Index == nil {
		cfg.Index = NewIndex(cfg.Rules.Window)
	}
	return &Partition{
		id:      cfg.ID,
		rules:   cfg.Rules,
		tracker: newTracker(cfg.Start),
		index:   cfg.Index,
		claims:  map[string]*item{},
		parents: newParents(),
	}
}

// SetRules changes the rules, except for the window. A changed wait for parents also
// applies to the events that wait, counted from their arrival. Events that were sent, or
// wait to be sent, keep their rank.
func (p *Partition) SetRules(rules Rules) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rules.Window = p.rules.Window
	p.parents.extend(rules.ParentsWait - p.rules.ParentsWait)
	p.rules = rules
}

// ID returns the partition's number in the source topic.
func (p *Partition) ID() int32 { return p.id }

// StartAt sets the offset of the next record. Outcomes of records that were
// admitted before no longer move the watermark.
func (p *Partition) StartAt(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker = newTracker(offset)
}

// SkipTo passes over offsets that the broker has no records for.
func (p *Partition) SkipTo(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.extend(offset)
}

// Reported reports whether the partition has reported one of some events within the
// window.
func (p *Partition) Reported(ids []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(ids, func(id string) bool {
		_, ok := p.index.get(KeyOf(id), p.now)
		return ok
	})
}

// Remember adds events that were reported before, as the state topic says.
func (p *Partition) Remember(known []Known) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index.putAll(known)
}

// Admit takes fetched records in the order of their offsets. after is the
// offset that follows them, and any gap behind them.
func (p *Partition) Admit(records []*Record, after int64, now time.Time) Effects {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return Effects{}
	}
	for _, r := range records {
		r.ticket = p.tracker.add(r.Offset+1, r.Timestamp())
		p.admit(r, now)
	}
	p.tracker.extend(after)
	return p.take()
}

func (p *Partition) admit(r *Record, now time.Time) {
	r.open++ // keeps the record open until all its events are decided
	if r.fault == nil {
		for it := range r.items() {
			r.open++
			it.Partition, it.Timestamp, it.Origin = p.id, r.Timestamp(), it
			if p.rules.Forward {
				p.forward(it)
			} else {
				p.decide(it, now)
			}
		}
	}
	p.close(r)
}

// forward accepts an event, which becomes done when the caller has recorded it.
func (p *Partition) forward(it *item) {
	p.inFlight++
	p.unwritten++
	p.accepted = append(p.accepted, Accepted{item: it})
	p.effects.Accepted++
}

// decide determines how to proceed with a valid event.
func (p *Partition) decide(it *item, now time.Time) {
	if known, ok := p.index.get(it.key, now); ok {
		p.compare(it, known)
		return
	}
	if first, ok := p.claims[it.ID]; ok {
		p.park(it)
		if first.copies == nil {
			first.copies = new([]*item)
		}
		*first.copies = append(*first.copies, it)
		return
	}
	if fault := p.checkCreateTime(it, now); fault != nil {
		p.reject(it, fault, 0)
		return
	}
	p.claims[it.ID] = it
	p.parents.adopt(it)
	if p.rules.ByValue {
		it.rank = it.children.rank(it.Type.Rank())
	}
	p.followParent(it, now)
}

// compare ends an event whose ID was reported before: as a duplicate, or as a
// conflict if its content differs.
func (p *Partition) compare(it *item, known Entry) {
	if known.sameContent(it.content) {
		p.done(it, Duplicate)
		return
	}
	p.reject(it, &event.Fault{
		Reason: event.ReasonIDConflict,
		Detail: "eventId was reported before with different content: an ID identifies one event",
	}, 0)
}

// followParent sends an event whose parent was reported; otherwise the event
// waits for it.
func (p *Partition) followParent(it *item, now time.Time) {
	if it.ParentID == "" {
		p.checkRequestID(it, time.Time{}, now)
		p.send(it)
		return
	}
	inProcess := p.claims[it.ParentID]
	if inProcess == nil {
		if parent, ok := p.index.get(KeyOf(it.ParentID), now); ok {
			p.follow(it, parent, now)
			return
		}
	}
	p.park(it)
	p.parents.wait(it, inProcess, p.rules.ParentsWait, now)
	p.raiseAncestors(it)
}

// follow sends an event whose parent was reported.
func (p *Partition) follow(it *item, parent Entry, now time.Time) {
	if p.rules.ParentsRequired {
		if fault := it.CheckParent(parent.Type, parent.Created); fault != nil {
			p.fail(it, fault, 0, now)
			return
		}
	}
	p.checkRequestID(it, parent.Created, now)
	p.send(it)
}

func (p *Partition) send(it *item) {
	it.sent = true
	if r := it.record; r.parked && !r.resumed {
		r.resumed = true
		p.effects.Resumed++
	}
	p.inFlight++
	it.Rank = it.rank
	p.effects.Ready = append(p.effects.Ready, &it.Delivery)
}

// park reports that an event may wait for long, see [Effects.Parked].
func (p *Partition) park(it *item) {
	if r := it.record; !r.parked {
		r.parked = true
		p.effects.Parked = append(p.effects.Parked, r)
	}
}

// Tick advances the partition's waiting time, and ends the wait of children
// whose parents did not arrive in time.
//
// Waiting time is not the time of day. While records can't be read (reading is
// false), a parent may be unread in the topic behind its child. Counting that
// time would turn an outage into dead letters.
func (p *Partition) Tick(now time.Time, reading bool) Effects {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return Effects{}
	}
	if !p.now.IsZero() && reading {
		p.parents.waited += now.Sub(p.now)
	}
	p.now = now
	p.index.expire(now)
	for it := range p.parents.due(p.mayEnd) {
		p.endWait(it, now)
	}
	return p.take()
}

// Settle notes that every event that was published before t has been admitted.
// Without [Rules].Settle that has no effect.
func (p *Partition) Settle(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = t
}

// mayEnd reports whether a wait may end whose time is over at end: a parent that was
// published until then has been admitted.
func (p *Partition) mayEnd(end time.Time) bool { return !p.rules.Settle || !end.After(p.settled) }

func (p *Partition) endWait(it *item, now time.Time) {
	if !p.rules.ParentsRequired {
		p.send(it)
		return
	}
	p.fail(it, &event.Fault{
		Reason: event.ReasonParentNotFound,
		Detail: fmt.Sprintf("the parent %q was not reported within %v of this event's arrival, nor within the %v before: it is missing, or its key differs",
			oneline.Shorten(it.ParentID, 100), p.rules.ParentsWait, p.rules.Window),
	}, 0, now)
}

// take returns the effects of the current call.
func (p *Partition) take() Effects {
	e := p.effects
	p.effects = Effects{}
	return e
}
