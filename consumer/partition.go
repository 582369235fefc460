package consumer

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/event"
)

// item is one record on its way through the replica, from its fetch to its
// outcome.
type item struct {
	event.Delivery
	record  *record
	ticket  ticket
	chunk   *chunk // what the record's bytes keep in memory
	key     key
	content uint64
	// rank is the delivery's, as far as the partition knows.
	rank uint8
	// wait is the item's place among those that wait for a parent.
	wait *wait
	// claim is the item's own, if it makes one.
	claim claim
}

// wait is an item that waits for its parent, until it is sent or its patience
// ends. It lets go of the item then: a partition that drains a backlog has
// hundreds of thousands of items wait for a moment, and would otherwise keep
// each until its patience would have ended.
type wait struct {
	item *item
	// until is the partition's waiting time at which patience ends.
	until time.Duration
}

// claim is an event id that is being dealt with: at most one item for each id
// is on its way to the API.
type claim struct {
	item *item // nil when it is over
	// sent says that the item was handed on; before, it waits for its parent.
	sent bool
	// copies are later items of the same id, waiting for this one's outcome.
	copies []*item
}

// partition decides what becomes of the records of one partition, for as long
// as this replica owns it. It is a state machine without goroutines, clocks or
// connections of its own: records, outcomes and ticks go in; deliveries, state
// records and dead letters come out.
//
// Everything below mu is guarded by it. It is held for short sections only, and
// never while something is waited for.
type partition struct {
	id      int32
	rules   Rules
	metrics *metrics
	account *account

	mu      sync.Mutex
	tracker tracker
	index   *index
	claims  map[string]*claim
	// orphans are the items that wait for a parent, by the parent's id, and
	// again in the order in which their patience ends (the wait is the same for
	// all, so that is the order of their arrival).
	orphans  map[string][]*item
	patience []*wait
	// gone counts the waits in patience that let go of their item.
	gone int
	// waited is the partition's waiting time, see tick.
	waited time.Duration
	ticked time.Time

	// ready, raised, marks and letters are the ways out, each emptied by its taker.
	ready   []*event.Delivery
	raised  []raise
	raising atomic.Bool // there are some: it spares most outcomes the lock
	marks   []mark
	letters []letter
	// downstream counts the items that are at the API or on their way out, and
	// unwritten those of them that wait to be written to a topic.
	downstream int
	unwritten  int
	// revoked says that the partition was given away: from then on no outcome
	// changes anything.
	revoked bool

	markSignal   signal
	letterSignal signal
	written      signal // something was written
}

// raise is a delivery that was handed on and is now worth more, since something of
// more value waits for it.
type raise struct {
	delivery *event.Delivery
	rank     uint8
}

// mark is an accepted event whose state record is not written yet.
type mark struct {
	item  *item
	entry entry
}

// letter is a record that becomes a dead letter, with why.
type letter struct {
	item   *item
	fault  event.Fault
	status int // the API's, for rejected
}

func newPartition(id int32, rules Rules, m *metrics, a *account, start int64) *partition {
	return &partition{
		id:           id,
		rules:        rules,
		metrics:      m,
		account:      a,
		tracker:      newTracker(start),
		index:        newIndex(rules.Window),
		claims:       map[string]*claim{},
		orphans:      map[string][]*item{},
		markSignal:   newSignal(),
		letterSignal: newSignal(),
		written:      newSignal(),
	}
}

// startAt sets the offset from which the partition is read, before it is.
func (p *partition) startAt(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker = newTracker(offset)
}

// skipTo passes over offsets that the broker does not have any more.
func (p *partition) skipTo(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.extend(offset)
}

// admit takes what was fetched, in the order of the offsets, and returns the
// deliveries that can go at once. after is the offset that follows all of it.
func (p *partition) admit(items []*item, faults []*event.Fault, after int64, now time.Time) []*event.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, it := range items {
		it.ticket = p.tracker.add(it.record.Offset+1, it.Timestamp)
		switch fault := faults[i]; {
		case fault != nil:
			p.bury(it, *fault, 0)
		case it.Event == nil:
			p.finish(it, outcomeSkipped)
		default:
			p.decide(it, now)
		}
	}
	p.tracker.extend(after)
	return p.takeReady()
}

// decide finds what is to become of an event whose record is in order.
func (p *partition) decide(it *item, now time.Time) {
	if known, ok := p.index.get(it.key, now); ok {
		p.again(it, known)
		return
	}
	if c, ok := p.claims[it.ID]; ok {
		it.park()
		c.copies = append(c.copies, it)
		return
	}
	if fault := p.metrics.suspicious.createTime(it, now); fault != nil {
		p.bury(it, *fault, 0)
		return
	}
	c := &it.claim
	c.item = it
	p.claims[it.ID] = c
	p.rank(it)
	p.followParent(c, now)
}

// rank gives an event the rank of its type, or of the most valuable of those that
// wait for it already.
func (p *partition) rank(it *item) {
	if !p.rules.ByValue {
		return
	}
	it.rank = it.Type.Rank()
	for _, child := range p.orphans[it.ID] {
		it.rank = min(it.rank, child.rank)
	}
}

// pull gives the parents of an event its rank, so that it need not wait for as
// long as they would.
func (p *partition) pull(it *item) {
	rank := it.rank
	for range maxAncestors {
		c := p.claims[it.ParentID]
		if c == nil || c.item.rank <= rank {
			return
		}
		it = c.item
		it.rank = rank
		if c.sent {
			p.raised = append(p.raised, raise{&it.Delivery, rank})
			p.raising.Store(true)
			return
		}
	}
}

// again deals with an event whose id was reported before.
func (p *partition) again(it *item, known entry) {
	if known.sameContent(it.content) {
		p.finish(it, outcomeDuplicate)
		return
	}
	p.bury(it, event.Fault{
		Reason: event.ReasonIDConflict,
		Detail: "eventId was reported before with different content: an id names one event",
	}, 0)
}

// followParent sends an event on if its parent was reported, and otherwise lets
// it wait.
func (p *partition) followParent(c *claim, now time.Time) {
	it := c.item
	if it.ParentID == "" {
		p.metrics.suspicious.requestID(it, time.Time{}, now)
		p.send(c)
		return
	}
	parent, ok := p.index.get(keyOf(it.ParentID), now)
	if !ok {
		it.park()
		p.endWait(it)
		it.wait = &wait{it, p.waited + p.rules.ParentsWait}
		p.orphans[it.ParentID] = append(p.orphans[it.ParentID], it)
		p.patience = append(p.patience, it.wait)
		p.pull(it)
		return
	}
	if p.rules.ParentsRequired {
		if fault := it.CheckParent(parent.typ, parent.created); fault != nil {
			p.fail(c, *fault, 0, now)
			return
		}
	}
	p.metrics.suspicious.requestID(it, parent.created, now)
	p.send(c)
}

func (p *partition) send(c *claim) {
	c.sent = true
	p.endWait(c.item)
	p.downstream++
	c.item.Rank = c.item.rank
	p.ready = append(p.ready, &c.item.Delivery)
}

func (p *partition) endWait(it *item) {
	if it.wait != nil {
		it.wait.item, it.wait = nil, nil
		p.gone++
	}
}

func (p *partition) takeReady() []*event.Delivery {
	ready := p.ready
	p.ready = nil
	return ready
}

func (p *partition) takeRaised() []raise {
	if !p.raising.Swap(false) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	raised := p.raised
	p.raised = nil
	return raised
}

// accepted: the API has the event. It counts as reported from here on, though
// its offset waits for the state record. It returns the children that may go.
//
// It is false where the partition was given away meanwhile: then the event is
// not in flight here any more, and its next owner will report it again.
func (p *partition) accepted(d *event.Delivery, now time.Time) ([]*event.Delivery, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.sentClaim(d)
	if c == nil {
		return nil, false
	}
	it, copies := p.endClaim(c)
	reported := entry{content: it.content, created: it.Time, typ: it.Type, reported: now}
	p.index.put(it.key, reported)
	p.marks = append(p.marks, mark{it, reported})
	p.unwritten++
	p.markSignal.set()
	for _, second := range copies {
		p.again(second, reported)
	}
	p.release(d.ID, now)
	return p.takeReady(), true
}

// release lets the children of a reported event go.
func (p *partition) release(id string, now time.Time) {
	children := p.orphans[id]
	delete(p.orphans, id)
	for _, child := range children {
		if c := p.claims[child.ID]; c != nil && c.item == child {
			p.followParent(c, now)
		}
	}
}

// refused: the event becomes a dead letter for a fault that was found on its
// way to the API or by it.
func (p *partition) refused(d *event.Delivery, fault event.Fault, status int, now time.Time) []*event.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.sentClaim(d)
	if c == nil {
		return nil
	}
	p.downstream--
	p.fail(c, fault, status, now)
	return p.takeReady()
}

// sentClaim finds the claim of an outcome; nil where the partition was given
// away meanwhile, and the outcome is somebody else's to find out.
func (p *partition) sentClaim(d *event.Delivery) *claim {
	it, ok := d.Origin.(*item)
	if p.revoked || !ok || it.claim.item == nil {
		return nil
	}
	return &it.claim
}

// endClaim lets go of an id. It returns whose claim it was, and the copies that
// wait for what became of it.
func (p *partition) endClaim(c *claim) (it *item, copies []*item) {
	it, copies = c.item, c.copies
	delete(p.claims, it.ID)
	*c = claim{}
	return it, copies
}

// fail makes a claimed item a dead letter. Its copies are dealt with anew: what
// was wrong with the one need not be wrong with the other.
func (p *partition) fail(c *claim, fault event.Fault, status int, now time.Time) {
	it, copies := p.endClaim(c)
	p.endWait(it)
	p.bury(it, fault, status)
	for _, second := range copies {
		p.decide(second, now)
	}
}

func (p *partition) bury(it *item, fault event.Fault, status int) {
	it.traceFault(fault)
	p.downstream++
	p.unwritten++
	p.letters = append(p.letters, letter{it, fault, status})
	p.letterSignal.set()
}

// finish ends an item's way and counts it: its outcome is final.
func (p *partition) finish(it *item, outcome string) {
	p.end(it, outcome)
	p.metrics.records[outcome].Inc()
}

// end ends an item's way. Its record's memory may be used for others from here on.
func (p *partition) end(it *item, outcome string) {
	p.tracker.done(it.ticket)
	it.chunk.release()
	it.record = nil
	it.endSpan(outcome)
}

// marked: the state records of these events are durable, so that they may be
// committed.
func (p *partition) marked(marks []mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return
	}
	for i := range marks {
		it := marks[i].item
		p.metrics.reported[it.Type].Inc()
		p.end(it, outcomeReported)
	}
	p.metrics.records[outcomeReported].Add(float64(len(marks)))
	p.wrote(len(marks))
}

// buried: these dead letters are durable.
func (p *partition) buried(letters []letter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return
	}
	for _, l := range letters {
		p.metrics.deadLetters[l.fault.Reason].Inc()
		p.finish(l.item, outcomeDeadLetter)
	}
	p.wrote(len(letters))
}

func (p *partition) wrote(n int) {
	p.downstream -= n
	p.unwritten -= n
	p.written.set()
}

// writing says whether something is still to be written.
func (p *partition) writing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unwritten > 0
}

// known is how many ids are remembered.
func (p *partition) known() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index.len()
}

// takeMarks takes the marks that have come, and uses the memory of those that were
// taken before again.
func (p *partition) takeMarks(before []mark) []mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	marks := p.marks
	p.marks = before[:0]
	return marks
}

func (p *partition) takeLetters() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	letters := p.letters
	p.letters = nil
	return letters
}

// tick moves the partition's waiting time on, and ends the patience of the
// children for whose parents it is over.
//
// Waiting time is not the time of day. While records can't be read (reading
// says so), a parent may stand in the topic, unread, behind its child; counting
// that time would make dead letters of an outage.
func (p *partition) tick(now time.Time, reading bool) []*event.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ticked.IsZero() && reading {
		p.waited += now.Sub(p.ticked)
	}
	p.ticked = now
	p.index.expire(now)
	var unready []*wait
	for len(p.patience) > 0 && (p.patience[0].item == nil || p.patience[0].until <= p.waited) {
		first := p.patience[0]
		p.patience[0] = nil
		p.patience = p.patience[1:]
		switch it := first.item; {
		case it == nil: // it went on its way
			p.gone--
		case p.moving(it.ParentID):
			unready = append(unready, first)
		default:
			it.wait = nil
			p.endPatience(p.claims[it.ID], now)
		}
	}
	if len(unready) > 0 {
		p.patience = slices.Concat(unready, p.patience)
	}
	if p.gone > 1000 && p.gone > len(p.patience)/2 {
		p.patience = slices.Clip(slices.DeleteFunc(p.patience, func(w *wait) bool { return w.item == nil }))
		p.gone = 0
	}
	return p.takeReady()
}

// maxAncestors bounds how far up a journey is looked; events may be linked in a
// circle.
const maxAncestors = 32

// moving says whether an event, or the one that it waits for, is at the API:
// then its outcome decides, however long the API takes.
func (p *partition) moving(id string) bool {
	for range maxAncestors {
		c := p.claims[id]
		if c == nil {
			return false
		}
		if c.sent {
			return true
		}
		id = c.item.ParentID
	}
	return false
}

func (p *partition) endPatience(c *claim, now time.Time) {
	p.forgetOrphan(c.item)
	if !p.rules.ParentsRequired {
		p.send(c)
		return
	}
	p.fail(c, event.Fault{
		Reason: event.ReasonParentNotFound,
		Detail: "the event that parentEventId names was not reported within " + p.rules.ParentsWait.String() +
			" of this one's arrival, nor within the " + p.rules.Window.String() + " before",
	}, 0, now)
}

func (p *partition) forgetOrphan(it *item) {
	rest := slices.DeleteFunc(p.orphans[it.ParentID], func(o *item) bool { return o == it })
	if len(rest) == 0 {
		delete(p.orphans, it.ParentID)
		return
	}
	p.orphans[it.ParentID] = rest
}

// revoke ends the partition's life here and gives back what its records hold.
// It returns how many accepted events were not written down: they are not in
// flight here any more, and the next owner will report them again.
func (p *partition) revoke() (unwritten int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked = true
	unwritten = len(p.marks)
	p.endSpans()
	p.claims, p.orphans, p.patience, p.marks, p.letters = nil, nil, nil, nil, nil
	p.index = newIndex(p.rules.Window)
	p.account.close()
	return unwritten
}

// watermark is the offset that may be committed.
func (p *partition) watermark() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tracker.watermark()
}

// waiting counts the events that wait for a parent. The caller holds mu.
func (p *partition) waiting() int {
	n := 0
	for _, children := range p.orphans {
		n += len(children)
	}
	return n
}

// maxSpread is how many records a partition may be read ahead of its oldest
// unfinished one. What is finished in between costs little, but not nothing, and
// one record may be stuck for days.
const maxSpread = 200_000

// spread says whether the partition was read too far ahead.
func (p *partition) spread() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tracker.count >= maxSpread
}

// busy says whether the partition has items at the API or on their way out.
func (p *partition) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.downstream > 0
}
