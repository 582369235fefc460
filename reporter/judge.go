package reporter

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/ownership"
)

const (
	// rejectionsInARow is the number of consecutive held events at which reporting
	// pauses.
	rejectionsInARow = 20
	// probeHeld is how often a held event is sent again while reporting is not
	// paused: with nothing else to send, only that shows that the destination works.
	probeHeld = time.Minute
	// idleBoard is how long after the latest rejection of another event maxUnproven
	// held events are sent for the last time. It is a little less than the ten
	// minutes after which they are dead letters.
	idleBoard = 10*time.Minute - 10*time.Second
	// maxUnproven is the number of dead letters without evidence, since the last
	// acceptance.
	maxUnproven = 2
)

// judge decides for each permanent rejection whether the event or the destination
// is at fault. A wrong parent, a disabled API or a proxy makes the destination
// reject every event, and valid events must not become dead letters for that.
//
// The evidence against an event is the acceptance of another one: in the same
// request, or in a request that was sent after the rejection arrived. Without
// evidence the event is held. Evidence makes the judge send held events again,
// since the destination may have recovered only now; those that are rejected again
// are at fault. After too many held events in a row, reporting pauses, and one
// event at a time is tried until one is accepted.
//
// On an idle board there is no evidence. One or two held events become dead letters
// all the same; [ownership.Unproven] counts them until the next acceptance, across
// restarts and rebalances.
//
// Held events are not in flight: the API did not accept them, so a kill repeats
// none of them.
type judge struct {
	log      *slog.Logger
	source   Source
	wake     wake
	wait     func(failures int) time.Duration
	unproven *ownership.Unproven

	// arrived is the number of the latest rejection. A request remembers it when it
	// is sent: an acceptance is evidence for rejections up to that number.
	arrived atomic.Uint64
	// suspicious: a rejection has no evidence yet. It spares workers the lock while
	// all is well.
	suspicious atomic.Bool

	mu       sync.Mutex
	state    judgeState
	held     []rejection
	proven   uint64    // there is evidence for rejections up to this number
	latest   time.Time // when an event was last rejected for the first time
	idle     bool      // held events were sent for the last time
	pausedAt uint64    // the latest rejection when the pause began
	trials   int       // that were rejected since the pause began
	next     time.Time // of the next trial
	timer    *time.Timer
	armed    bool
	closed   bool
}

type judgeState uint8

const (
	judgeTrusts judgeState = iota // the destination
	judgePaused                   // until the time of the next trial
	judgeTries                    // one event is being tried
)

// rejection is an event that the API rejected permanently, and the outcome that it
// has if it is at fault.
type rejection struct {
	delivery *event.Delivery
	outcome  event.Outcome
}

// summons belongs to a request: what the judge knew when it was sent.
type summons struct {
	trial   bool
	arrived uint64 // the latest rejection
}

// check returns how many of n events may be sent as far as the judge is concerned;
// if none, when to ask again, 0 for after a wake.
func (j *judge) check(n int, now time.Time) (int, time.Duration) {
	if !j.suspicious.Load() {
		return n, 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.state == judgeTrusts:
		return n, 0
	case j.state == judgeTries:
		return 0, 0
	case now.Before(j.next):
		return 0, j.next.Sub(now)
	}
	return 1, 0
}

// enter is called for a request that check let pass, before it is sent. A trial has
// to be ended.
func (j *judge) enter() summons {
	s := summons{arrived: j.arrived.Load()}
	if !j.suspicious.Load() {
		return s
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == judgePaused {
		j.state = judgeTries
		s.trial = true
	}
	return s
}

// end ends a trial, whatever its result.
func (j *judge) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == judgeTries {
		j.state = judgePaused
		j.schedule()
	}
}

// schedule sets the time of the next trial. The caller holds mu.
func (j *judge) schedule() {
	wait := j.wait(j.trials + 1)
	j.next = time.Now().Add(wait)
	j.arm(wait)
}

// answered receives the answers to the events of one request: whether any event was
// accepted, and the permanent rejections. In a batch the order carries no
// information, since its parts may be processed in any order.
func (j *judge) answered(accepted bool, rejected []rejection, s summons) {
	if accepted {
		j.acquit(s.arrived)
		tell(rejected)
		return
	}
	if len(rejected) > 0 {
		j.hear(rejected, s.trial)
		j.release() // of terms that are over
	}
}

// acquit: the destination accepted an event of a request that was sent after
// rejection number arrived. Events that were rejected until then are sent again.
func (j *judge) acquit(arrived uint64) {
	if !j.suspicious.Load() {
		return
	}
	again, resumed := j.believe(arrived)
	if resumed {
		j.log.Info("reporting resumed: the API accepted an event; sending the held events again", "held", len(again))
		j.wake.up()
	}
	if len(again) > 0 {
		j.source.Return(again, 0)
	}
}

// believe takes out the held events for which there is evidence. It reports whether
// a pause ends.
func (j *judge) believe(arrived uint64) (again []*event.Delivery, resumed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.proven = max(j.proven, arrived)
	j.idle = false
	j.unproven.Reset()
	kept := j.held[:0]
	for _, r := range j.held {
		if r.delivery.Rejection <= j.proven {
			again = append(again, r.delivery)
		} else {
			kept = append(kept, r)
		}
	}
	clear(j.held[len(kept):])
	j.held = kept
	// A request that was sent before the pause began does not end it.
	if resumed = j.state != judgeTrusts && arrived >= j.pausedAt; resumed {
		j.state = judgeTrusts
		j.armProbe()
	}
	if j.state == judgeTrusts && j.proven >= j.arrived.Load() {
		j.suspicious.Store(false)
	}
	return again, resumed
}

// hear judges rejections of a request of which no event was accepted.
func (j *judge) hear(rejected []rejection, trial bool) {
	v := j.sentence(rejected, trial)
	last := rejected[len(rejected)-1].outcome
	if v.paused {
		j.log.Error("reporting paused: the API permanently rejected each of the last events, so the fault is probably not theirs. "+
			"Check the parent, whether the API is enabled, the version, and proxies. One event at a time is tried until one is accepted",
			"in_a_row", v.row, "status", last.HTTPStatus, "error", last.Detail)
	}
	if v.unproven > 0 {
		j.log.Warn("dead letter without evidence: the API rejected each event, and there was nothing else to send for ten minutes",
			"events", v.unproven, "status", last.HTTPStatus, "error", last.Detail)
	}
	tell(v.guilty)
}

// verdict is the judgment about the rejections of one request.
type verdict struct {
	guilty   []rejection
	unproven int  // guilty without evidence
	paused   bool // the pause begins
	row      int  // rejected events since the last acceptance
}

// sentence holds the rejections without evidence.
func (j *judge) sentence(rejected []rejection, trial bool) (v verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.suspicious.Store(true) // before arrived: see acquit
	number := j.arrived.Add(1)
	without := 0
	for _, r := range rejected {
		j.number(r.delivery, number)
		if !j.evidence(r) {
			without++
		}
	}
	idle := j.idle && j.row()+without <= maxUnproven
	for _, r := range rejected {
		switch d := r.delivery; {
		case j.evidence(r):
			v.guilty = append(v.guilty, r)
		case idle:
			j.unproven.Add(d.Partition)
			v.unproven++
			v.guilty = append(v.guilty, r)
		default:
			j.held = append(j.held, r)
			d.Land() // under the lock: a trial may send it again at once
		}
	}
	v.row = j.row()
	v.paused = v.row >= rejectionsInARow && j.state == judgeTrusts
	switch {
	case v.paused:
		j.state, j.trials, j.pausedAt = judgePaused, 0, number
		j.schedule()
	case trial && j.state != judgeTrusts:
		j.trials++
	case j.state == judgeTrusts && !j.armed:
		j.armProbe()
	}
	return v
}

// suspect receives the events of a batch that was rejected as a whole. They are sent
// again in smaller batches: what is accepted of these is evidence.
func (j *judge) suspect(batch []*event.Delivery) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.suspicious.Store(true)
	number := j.arrived.Add(1)
	for _, d := range batch {
		j.number(d, number)
	}
}

// number notes the first rejection of an event. The caller holds mu.
func (j *judge) number(d *event.Delivery, number uint64) {
	if d.Rejection == 0 {
		d.Rejection = number
		j.latest, j.idle = time.Now(), false
	}
}

// evidence reports whether an event was accepted since this one, which has its
// number, was first rejected. The caller holds mu.
func (j *judge) evidence(r rejection) bool {
	return r.delivery.Rejection <= j.proven
}

// row returns the number of rejected events since the last acceptance. The caller
// holds mu.
func (j *judge) row() int { return len(j.held) + j.unproven.Total() }

// armProbe sets the time at which a held event is sent again while reporting is not
// paused. The caller holds mu.
func (j *judge) armProbe() {
	if len(j.held) == 0 {
		return
	}
	wait := probeHeld
	if until := time.Until(j.latest.Add(idleBoard)); until > 0 {
		wait = min(wait, until)
	}
	j.arm(wait)
}

// arm sets the one timer. The caller holds mu.
func (j *judge) arm(wait time.Duration) {
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.armed = !j.closed; j.armed {
		j.timer = time.AfterFunc(wait, j.try)
	}
}

// try sends held events again, or begins a trial. It runs again as long as events
// are held or reporting is paused, since an event may be revoked before it is sent.
func (j *judge) try() {
	ready, pending := j.source.Ready(), j.source.Pending()
	if again := j.nextTry(ready > 0, pending > 0); len(again) > 0 {
		j.source.Return(again, 0)
	}
	j.wake.up()
}

// nextTry takes out the held events to send again. A trial uses another event where
// one is ready. On an idle board all held events are sent for the last time.
func (j *judge) nextTry(ready, pending bool) (again []*event.Delivery) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.armed = false
	if j.state == judgeTries {
		return nil
	}
	n := min(1, len(j.held))
	switch {
	case j.state == judgePaused && ready:
		n = 0
	case j.state == judgeTrusts && !pending && j.row() <= maxUnproven && time.Since(j.latest) >= idleBoard:
		j.idle = true
		n = len(j.held)
	}
	for _, r := range j.held[:n] {
		again = append(again, r.delivery)
	}
	rest := copy(j.held, j.held[n:])
	clear(j.held[rest:])
	j.held = j.held[:rest]
	if j.state == judgePaused {
		j.arm(j.wait(j.trials + 1))
	} else {
		j.armProbe()
	}
	return again
}

// release releases the held events of terms that are over, since the next owner has
// to find out whose fault it was. A pause continues: the destination has not
// recovered by that.
func (j *judge) release() { j.releaseThose(func(d *event.Delivery) bool { return d.Term.Over() }) }

func (j *judge) releaseThose(over func(*event.Delivery) bool) {
	var released []rejection
	j.mu.Lock()
	j.held = slices.DeleteFunc(j.held, func(r rejection) bool {
		if !over(r.delivery) {
			return false
		}
		r.outcome = event.Outcome{Kind: event.Released}
		released = append(released, r)
		return true
	})
	j.mu.Unlock()
	tell(released)
}

// close releases all held events and ends the timer.
func (j *judge) close() {
	j.mu.Lock()
	j.closed = true
	if j.timer != nil {
		j.timer.Stop()
	}
	j.mu.Unlock()
	j.releaseThose(func(*event.Delivery) bool { return true })
}

func (j *judge) status() (paused bool, held int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state != judgeTrusts, len(j.held)
}

func tell(all []rejection) {
	for _, r := range all {
		r.delivery.Done(r.outcome)
	}
}
