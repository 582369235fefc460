package reporter

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/event"
)

// refusalsInARow is how many events refused for good, with none accepted among
// them, are taken for a fault of the destination and not of the events.
const refusalsInARow = 20

// quiet is how long the judge waits for another answer before it believes a
// refusal: an acceptance proves that the destination is in order, but there may
// be nothing more to send.
const quiet = time.Second

// judge holds refusals back until it is known whose fault they are.
//
// A wrong parent or a switched-off API makes it refuse everything, and events
// that are in order must not become dead letters for that. So a refusal is told
// only after an acceptance, or when no other answer came for a while; and after
// too many in a row nothing is told: reporting pauses, and one event at a time
// is tried until one is accepted.
//
// What is held is no longer in flight: it was not accepted, so a kill repeats
// nothing by it.
type judge struct {
	log    *slog.Logger
	source Source
	wait   func(failures int) time.Duration

	// suspicious: there is something held, or a row of refusals. It spares
	// everybody the lock while all is well.
	suspicious atomic.Bool

	mu     sync.Mutex
	held   []held
	row    int
	paused bool
	trials int       // that were refused since it paused
	next   time.Time // of the next trial
	trying bool      // a trial is under way
	timer  *time.Timer
	closed bool
}

// held is a refusal that was not told yet.
type held struct {
	delivery *event.Delivery
	outcome  event.Outcome
}

// check says how many of n events may go as far as the judge is concerned; if
// none, when to ask again, 0 for when poked.
func (j *judge) check(n int, now time.Time) (int, time.Duration) {
	if !j.suspicious.Load() {
		return n, 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !j.paused:
		return n, 0
	case j.trying:
		return 0, 0
	case now.Before(j.next):
		return 0, j.next.Sub(now)
	}
	return 1, 0
}

// enter is called for what check let pass. It returns whether that is a trial,
// which has to be ended.
func (j *judge) enter() (trial bool) {
	if !j.suspicious.Load() {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.paused || j.trying {
		return false
	}
	j.trying = true
	return true
}

// end ends a trial, whatever came of it.
func (j *judge) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.paused && j.trying {
		j.trying = false
		j.schedule()
	}
}

// schedule sets the time of the next trial. The caller holds mu.
func (j *judge) schedule() {
	wait := j.wait(j.trials + 1)
	j.next = time.Now().Add(wait)
	j.arm(wait, j.letOneGo)
}

// answered takes in the answers to the events of one request: whether any was
// accepted, and those that were refused for good. In a batch the order says
// nothing, since its parts may be dealt with in any order.
func (j *judge) answered(accepted bool, refused []held, trial bool) {
	if accepted {
		j.acquit()
		tell(refused)
		return
	}
	if len(refused) > 0 {
		j.hold(refused, trial)
	}
}

// acquit: the destination takes events, so what it refused is at fault itself.
func (j *judge) acquit() {
	if !j.suspicious.Load() {
		return
	}
	j.mu.Lock()
	was := j.paused
	told := j.reset()
	j.mu.Unlock()
	if was {
		j.log.Info("an event was accepted: reporting goes on, and what was refused becomes dead letters", "refused", len(told))
	}
	tell(told)
	if was {
		j.source.Poke()
	}
}

func (j *judge) hold(refused []held, trial bool) {
	j.mu.Lock()
	j.suspicious.Store(true)
	j.row += len(refused)
	j.held = append(j.held, refused...)
	began := j.row >= refusalsInARow && !j.paused
	switch {
	case began:
		j.paused, j.trials, j.trying = true, 0, false
		j.schedule()
	case trial && j.paused:
		j.trials++
	case !j.paused:
		j.arm(quiet, j.believe)
	}
	row := j.row
	j.mu.Unlock()
	if began {
		last := refused[len(refused)-1].outcome
		j.log.Error("reporting pauses: the API refused every one of the last events for good, so the fault is not theirs. "+
			"Is the parent right, the API switched on, the version served? One event at a time is tried until one is accepted",
			"in_a_row", row, "status", last.HTTPStatus, "error", last.Detail)
	}
}

// arm sets the one timer. The caller holds mu.
func (j *judge) arm(wait time.Duration, do func()) {
	if j.timer != nil {
		j.timer.Stop()
	}
	if !j.closed {
		j.timer = time.AfterFunc(wait, do)
	}
}

// believe tells the refusals when nothing has contradicted them for a while.
// The row goes on: a trickle of events that are all refused is a row, too.
func (j *judge) believe() {
	j.mu.Lock()
	if j.paused {
		j.mu.Unlock()
		return
	}
	told := j.held
	j.held = nil
	j.mu.Unlock()
	tell(told)
}

// letOneGo begins a trial: with a fresh event where there is one, otherwise
// with the one that was held for longest. It comes again as long as no trial is
// under way, since the event may be taken back before it went.
func (j *judge) letOneGo() {
	ready := j.source.Ready()
	var again *event.Delivery
	j.mu.Lock()
	if !j.paused || j.trying {
		j.mu.Unlock()
		return
	}
	if ready == 0 && len(j.held) > 0 {
		again = j.held[0].delivery
		j.held = j.held[1:]
	}
	j.arm(j.wait(j.trials+1), j.letOneGo)
	j.mu.Unlock()
	if again != nil {
		j.source.Accept([]*event.Delivery{again})
	}
	j.source.Poke()
}

// reset forgets the row and returns what was held. The caller holds mu.
func (j *judge) reset() []held {
	told := j.held
	j.held, j.row, j.paused, j.trying = nil, 0, false, false
	j.suspicious.Store(false)
	if j.timer != nil {
		j.timer.Stop()
	}
	return told
}

// giveUp releases what is held, since whose fault it was is for the next owner
// to find out. A pause goes on: the destination has not got better by that.
func (j *judge) giveUp() {
	j.mu.Lock()
	released := j.held
	j.held = nil
	j.mu.Unlock()
	for i := range released {
		released[i].outcome = event.Outcome{Kind: event.Released}
	}
	tell(released)
}

// close releases what is held and ends the timer.
func (j *judge) close() {
	j.mu.Lock()
	j.closed = true
	if j.timer != nil {
		j.timer.Stop()
	}
	j.mu.Unlock()
	j.giveUp()
}

func (j *judge) status() (paused bool, held int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.paused, len(j.held)
}

func tell(all []held) {
	for _, h := range all {
		h.delivery.Done(h.delivery, h.outcome)
	}
}
