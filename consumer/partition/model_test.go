package partition

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// model is a slow and obvious partition. It keeps plain lists, searches them
// from their beginning, and forgets nothing.
type model struct {
	rules    Rules
	start    int64
	records  []*modelRecord
	reported []modelReported
	waiting  []*modelEvent // in the order in which their waits end
	copies   []*modelEvent // in the order in which they are decided again
	accepted []*modelEvent // to be recorded
	letters  []*modelRecord
	waited   time.Duration

	// What the current operation has caused.
	ready, finished, raised []string
}

type modelRecord struct {
	offset int64
	time   time.Time
	events []*modelEvent
	left   int
	best   Outcome
	fault  event.Reason
	over   bool
}

type modelEvent struct {
	*event.Event
	record *modelRecord
	state  string // "waiting", "sent" or anything else
	until  time.Duration
	rank   uint8
}

type modelReported struct {
	*event.Event
	recorded bool
}

func (e *modelEvent) String() string { return fmt.Sprintf("%d/%s", e.record.offset, e.ID) }

func (m *model) find(id string) *event.Event {
	for _, r := range m.reported {
		if r.ID == id {
			return r.Event
		}
	}
	return nil
}

// claimed returns the event that was sent or waits under an ID.
func (m *model) claimed(id string) *modelEvent {
	for _, r := range m.records {
		for _, e := range r.events {
			if e.ID == id && (e.state == "waiting" || e.state == "sent") {
				return e
			}
		}
	}
	return nil
}

func (m *model) admit(r *modelRecord) {
	m.records = append(m.records, r)
	r.left = len(r.events) + 1
	for _, e := range r.events {
		m.decide(e)
	}
	m.ended(r)
}

func (m *model) decide(e *modelEvent) {
	switch known := m.find(e.ID); {
	case known != nil:
		m.compare(e, known)
	case m.claimed(e.ID) != nil:
		e.state = "copy"
		m.copies = append(m.copies, e)
	default:
		if m.rules.ByValue {
			e.rank = e.Type.Rank()
			for _, child := range m.waiting {
				if child.ParentID == e.ID {
					e.rank = min(e.rank, child.rank)
				}
			}
		}
		m.follow(e)
	}
}

func (m *model) compare(e *modelEvent, known *event.Event) {
	if e.Content() == known.Content() {
		m.done(e, Duplicate)
	} else {
		m.reject(e, event.ReasonIDConflict)
	}
}

func (m *model) follow(e *modelEvent) {
	if e.ParentID == "" {
		m.send(e)
		return
	}
	parent := m.find(e.ParentID)
	switch {
	case parent == nil:
		e.state, e.until = "waiting", m.waited+m.rules.ParentsWait
		m.waiting = append(m.waiting, e)
		m.raise(e)
	case m.rules.ParentsRequired && e.CheckParent(parent.Type, parent.Time) != nil:
		m.fail(e, event.ReasonParentMismatch)
	default:
		m.send(e)
	}
}

func (m *model) raise(e *modelEvent) {
	for range maxAncestors {
		parent := m.claimed(e.ParentID)
		if parent == nil || parent.rank <= e.rank {
			return
		}
		parent.rank = e.rank
		if parent.state == "sent" {
			m.raised = append(m.raised, fmt.Sprintf("%v to %d", parent, parent.rank))
			return
		}
		e = parent
	}
}

func (m *model) send(e *modelEvent) {
	e.state = "sent"
	m.ready = append(m.ready, fmt.Sprintf("%v at %d", e, e.rank))
}

func (m *model) accept(e *modelEvent) {
	e.state = "accepted"
	m.reported = append(m.reported, modelReported{Event: e.Event})
	m.accepted = append(m.accepted, e)
	for _, second := range m.takeCopies(e.ID) {
		m.compare(second, e.Event)
	}
	for _, child := range m.takeWaiting(func(w *modelEvent) bool { return w.ParentID == e.ID }) {
		m.follow(child)
	}
}

func (m *model) takeCopies(id string) (taken []*modelEvent) {
	m.copies = slices.DeleteFunc(m.copies, func(e *modelEvent) bool {
		if e.ID == id {
			taken = append(taken, e)
		}
		return e.ID == id
	})
	return taken
}

func (m *model) takeWaiting(which func(*modelEvent) bool) (taken []*modelEvent) {
	m.waiting = slices.DeleteFunc(m.waiting, func(e *modelEvent) bool {
		if which(e) {
			taken = append(taken, e)
			return true
		}
		return false
	})
	return taken
}

func (m *model) fail(e *modelEvent, reason event.Reason) {
	m.reject(e, reason)
	for _, second := range m.takeCopies(e.ID) {
		m.decide(second)
	}
}

func (m *model) reject(e *modelEvent, reason event.Reason) {
	e.state = "rejected"
	if e.record.fault == "" {
		e.record.fault = reason
	}
	m.ended(e.record)
}

func (m *model) done(e *modelEvent, o Outcome) {
	e.state = "done"
	e.record.best = max(e.record.best, o)
	m.ended(e.record)
}

func (m *model) ended(r *modelRecord) {
	if r.left--; r.left > 0 {
		return
	}
	if r.fault != "" {
		m.letters = append(m.letters, r)
		return
	}
	m.finish(r, r.best)
}

func (m *model) finish(r *modelRecord, o Outcome) {
	r.over = true
	m.finished = append(m.finished, fmt.Sprintf("%d %v", r.offset, o))
}

func (m *model) moving(e *modelEvent) bool {
	for range maxAncestors {
		if e = m.claimed(e.ParentID); e == nil {
			return false
		}
		if e.state == "sent" {
			return true
		}
	}
	return false
}

func (m *model) tick(step time.Duration, reading bool) {
	if reading {
		m.waited += step
	}
	for _, e := range slices.Clone(m.waiting) {
		if e.until > m.waited || m.moving(e) {
			continue
		}
		m.takeWaiting(func(w *modelEvent) bool { return w == e })
		if m.rules.ParentsRequired {
			m.fail(e, event.ReasonParentNotFound)
		} else {
			m.send(e)
		}
	}
}

func (m *model) recorded() {
	for _, e := range m.accepted {
		for i := range m.reported {
			if m.reported[i].ID == e.ID {
				m.reported[i].recorded = true
			}
		}
		m.done(e, Reported)
	}
	m.accepted = nil
}

func (m *model) deadLettered() {
	for _, r := range m.letters {
		m.finish(r, DeadLettered)
	}
	m.letters = nil
}

func (m *model) stats() Stats {
	s := Stats{Known: len(m.reported), Waiting: len(m.waiting), Watermark: m.start, Unwritten: len(m.accepted) + len(m.letters)}
	s.InFlight = s.Unwritten
	for _, r := range m.records {
		if !r.over {
			s.Unfinished++
		}
		if s.Unfinished == 0 {
			s.Watermark = r.offset + 1
		} else {
			s.Spread++
		}
		if s.Unfinished == 1 && s.Oldest.IsZero() {
			s.Oldest = r.time
		}
		for _, e := range r.events {
			if e.state == "sent" {
				s.InFlight++
			}
		}
	}
	return s
}

// pair is a partition and its model, to which the same happens.
type pair struct {
	t        *testing.T
	random   *rand.Rand
	rules    Rules
	now      time.Time
	topic    [][]*event.Event // the source topic, by offset
	p        *Partition
	m        *model
	inFlight map[string]*event.Delivery
}

// TestModel compares the partition with a model that is slow and obvious, over
// random records with copies, parents, conflicts and several events, random
// outcomes, writes and ticks, revocations and expiry.
func TestModel(t *testing.T) {
	for seed := range uint64(100) {
		rules := Rules{Window: 1000 * time.Hour, ParentsWait: 20 * time.Second, ParentsRequired: seed%2 == 0, ByValue: seed%4 < 2}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := &pair{t: t, random: rand.New(rand.NewPCG(seed, 5)), rules: rules, now: noon}
			c.restart(nil, nil)
			for range 400 {
				c.operate()
			}
			c.finishAll()
		})
	}
}

func (c *pair) restart(index *Index, reported []modelReported) {
	start := int64(0)
	if c.m != nil {
		start = c.m.stats().Watermark
	}
	c.p = New(Config{Rules: c.rules, Start: start, Index: index})
	c.p.Tick(c.now, true)
	c.m = &model{rules: c.rules, start: start, reported: reported}
	c.inFlight = map[string]*event.Delivery{}
}

func (c *pair) operate() {
	switch n := c.random.IntN(100); {
	case n < 30:
		c.admit(1 + c.random.IntN(3))
	case n < 65:
		c.outcome()
	case n < 75:
		c.record()
	case n < 80:
		c.deadLetter()
	case n < 98:
		c.tick(time.Duration(c.random.IntN(10_000))*time.Millisecond, c.random.IntN(4) > 0)
	case n < 99:
		c.revoke()
	default: // everything known expires
		c.m.reported = nil
		c.tick(3*c.rules.Window, false)
	}
}

var modelTypes = []event.Type{event.Impression, event.View, event.ApplicationStart, event.ApplicationFinish}

func (c *pair) randomEvents() (events []*event.Event) {
	for range []int{0, 1, 1, 1, 1, 1, 2, 3}[c.random.IntN(8)] {
		e := &event.Event{ID: fmt.Sprint("e", c.random.IntN(15)), Time: noon}
		n := c.random.IntN(len(modelTypes))
		if e.Type = modelTypes[n]; c.random.IntN(8) == 0 {
			e.Jobs = []string{"other"}
		}
		if n > 0 && c.random.IntN(6) > 0 {
			e.ParentID = fmt.Sprint("e", c.random.IntN(15))
		}
		events = append(events, e)
	}
	return events
}

// admit admits the next records of the topic, which grows if necessary.
func (c *pair) admit(n int) {
	next := c.m.start
	if len(c.m.records) > 0 {
		next = c.m.records[len(c.m.records)-1].offset + 1
	}
	var records []*Record
	for range n {
		if next == int64(len(c.topic)) {
			c.topic = append(c.topic, c.randomEvents())
		}
		r := &Record{Offset: next}
		r.SetTimestamp(c.now)
		mr := &modelRecord{offset: next, time: c.now}
		for _, e := range c.topic[next] {
			r.Add(e)
			mr.events = append(mr.events, &modelEvent{Event: e, record: mr})
		}
		records = append(records, r)
		c.m.admit(mr)
		next++
	}
	c.compare(c.p.Admit(records, next, c.now))
}

// outcome tells the outcome of a random event in flight.
func (c *pair) outcome() {
	if len(c.inFlight) == 0 {
		return
	}
	name := slices.Sorted(maps.Keys(c.inFlight))[c.random.IntN(len(c.inFlight))]
	d := c.inFlight[name]
	delete(c.inFlight, name)
	e := c.m.claimed(d.ID)
	kind := event.Accepted
	switch c.random.IntN(5) {
	case 0:
		kind = event.Rejected
		c.m.fail(e, event.ReasonRejected)
	case 1:
		kind = event.TooLarge
		c.m.fail(e, event.ReasonTooLarge)
	default:
		c.m.accept(e)
	}
	effects, ours := c.p.Outcome(d, event.Outcome{Kind: kind}, c.now)
	if !ours {
		c.t.Fatalf("the outcome of %s is not taken", name)
	}
	c.compare(effects)
}

func (c *pair) record() {
	c.m.recorded()
	effects, _ := c.p.Recorded(c.p.TakeAccepted(nil))
	c.compare(effects)
}

func (c *pair) deadLetter() {
	letters := c.p.TakeDeadLetters()
	var got, want []string
	for _, l := range letters {
		got = append(got, fmt.Sprint(l.Record.Offset, l.Fault.Reason))
	}
	for _, r := range c.m.letters {
		want = append(want, fmt.Sprint(r.offset, r.fault))
	}
	c.same("dead letters", got, want)
	c.m.deadLettered()
	c.compare(c.p.DeadLettered(letters))
}

func (c *pair) tick(step time.Duration, reading bool) {
	c.now = c.now.Add(step)
	c.m.tick(step, reading)
	c.compare(c.p.Tick(c.now, reading))
}

// revoke ends the partition and continues with a new one at its watermark, which
// knows the reported events whose state records are durable.
func (c *pair) revoke() {
	old := c.inFlight
	if c.random.IntN(2) == 0 { // a write is given up
		c.p.NotRecorded(c.p.TakeAccepted(nil))
	}
	revoked := c.p.Revoke()
	if c.p.Stats().Watermark != c.m.stats().Watermark {
		c.t.Fatal("the watermark moved with the revocation")
	}
	for _, d := range old {
		if effects, ours := c.p.Outcome(d, event.Outcome{}, c.now); ours || len(effects.Ready) > 0 {
			c.t.Fatal("an outcome after the revocation is taken")
		}
	}
	unfinished := map[int64]bool{}
	for _, r := range revoked.Unfinished {
		unfinished[r.Offset] = true
	}
	for _, r := range c.m.records {
		// A record whose last events are being recorded is in the writer's hands.
		taken := !slices.ContainsFunc(r.events, func(e *modelEvent) bool { return !slices.Contains([]string{"accepted", "done", "rejected"}, e.state) })
		if r.over == unfinished[r.offset] && (r.over || !taken) {
			c.t.Fatalf("record %d: finished %t, listed as unfinished %t", r.offset, r.over, unfinished[r.offset])
		}
	}
	c.restart(revoked.Index, slices.DeleteFunc(c.m.reported, func(r modelReported) bool { return !r.recorded }))
	c.compare(Effects{})
}

// finishAll gives every record its outcome.
func (c *pair) finishAll() {
	for len(c.m.records) < len(c.topic)-int(c.m.start) {
		c.admit(1)
	}
	for range 10_000 {
		if c.p.Watermark() == int64(len(c.topic)) {
			return
		}
		c.outcome()
		c.record()
		c.deadLetter()
		c.tick(time.Second, true)
	}
	c.t.Errorf("the watermark is %d of %d", c.p.Watermark(), len(c.topic))
}

// compare compares the effects of one operation, and the numbers after it.
func (c *pair) compare(effects Effects) {
	c.t.Helper()
	var ready, finished, raised []string
	for _, d := range effects.Ready {
		name := fmt.Sprintf("%d/%s", d.Origin.(*item).record.Offset, d.ID)
		c.inFlight[name] = d
		ready = append(ready, fmt.Sprintf("%s at %d", name, d.Rank))
	}
	for r := range effects.Finished() {
		finished = append(finished, fmt.Sprintf("%d %v", r.Offset, r.Outcome()))
	}
	for _, r := range c.p.TakeRaised() {
		raised = append(raised, fmt.Sprintf("%d/%s to %d", r.Delivery.Origin.(*item).record.Offset, r.Delivery.ID, r.Rank))
	}
	c.same("ready", ready, c.m.ready)
	c.same("finished", finished, c.m.finished)
	c.same("raised", raised, c.m.raised)
	c.m.ready, c.m.finished, c.m.raised = nil, nil, nil
	got, want := c.p.Stats(), c.m.stats()
	if !got.Oldest.Equal(want.Oldest) {
		c.t.Fatalf("the oldest is of %v, want %v", got.Oldest, want.Oldest)
	}
	got.Oldest, want.Oldest = time.Time{}, time.Time{}
	if got != want {
		c.t.Fatalf("stats %+v\nwant  %+v", got, want)
	}
}

func (c *pair) same(what string, got, want []string) {
	c.t.Helper()
	if !slices.Equal(got, want) {
		c.t.Fatalf("%s: %s\nwant: %s", what, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}
