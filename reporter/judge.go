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
type judge struct {
	log    *slog.Logger
	source Source

	suspicious atomic.Bool // there is something held, or a row of refusals

	mu     sync.Mutex
	held   []held
	row    int
	paused bool
	probes int
	next   time.Time // of the next probe
	trying bool      // a probe is under way
	timer  *time.Timer
	closed bool
}

// held is a refusal that was not told yet.
type held struct {
	delivery *event.Delivery
	outcome  event.Outcome
}

// admit says how many of n may go as far as the judge is concerned.
func (j *judge) admit(n int, now time.Time) (int, time.Duration) {
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

// admitted notes that what admit allowed is being sent.
func (j *judge) admitted(time.Time) {
	if !j.suspicious.Load() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.paused {
		j.trying = true
	}
}

// inconclusive: a probe came back neither accepted nor refused.
func (j *judge) inconclusive() {
	if !j.suspicious.Load() {
		return
	}
	j.mu.Lock()
	j.trying = false
	j.mu.Unlock()
}

// accepted: the destination takes events, so what it refused is at fault
// itself.
func (j *judge) accepted() {
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

// refused takes an event that was refused for good, until it is known why.
func (j *judge) refused(d *event.Delivery, o event.Outcome) {
	j.mu.Lock()
	j.suspicious.Store(true)
	j.row++
	j.held = append(j.held, held{d, o})
	began := false
	if j.row >= refusalsInARow && !j.paused {
		j.paused, j.probes, began = true, 0, true
	}
	if j.paused {
		j.trying = false
		j.probes++
		wait := waitAfter(j.probes)
		j.next = time.Now().Add(wait)
		j.arm(wait, j.probe)
	} else {
		j.arm(quiet, j.believe)
	}
	row := j.row
	j.mu.Unlock()
	if began {
		j.log.Error("reporting pauses: the API refused every one of the last events for good, so the fault is not theirs. "+
			"Is the parent right, the API switched on, the version served? One event at a time is tried until one is accepted",
			"in_a_row", row, "status", o.HTTPStatus, "error", o.Detail)
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

// probe lets one event go: a fresh one where there is one, otherwise the one
// that was held for longest.
func (j *judge) probe() {
	j.mu.Lock()
	var again *event.Delivery
	if j.paused && !j.trying && j.source.Pending() == 0 && len(j.held) > 0 {
		again = j.held[0].delivery
		j.held = j.held[1:]
	}
	j.mu.Unlock()
	if again != nil {
		j.source.Accept([]*event.Delivery{again})
		return
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

// giveUp ends the holding: partitions are given back. Refusals of a destination
// that works are told; others are released, since whose fault they were is for
// the next owner to find out.
func (j *judge) giveUp() {
	j.mu.Lock()
	was := j.paused
	row := j.row
	told := j.reset()
	if was {
		// The destination has not got better by our going.
		j.row, j.paused = row, true
		j.suspicious.Store(true)
	}
	j.mu.Unlock()
	if was {
		for i := range told {
			told[i].outcome = event.Outcome{Kind: event.Released}
		}
	}
	tell(told)
}

func (j *judge) isPaused() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.paused
}

func (j *judge) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.timer != nil {
		j.timer.Stop()
	}
}

func tell(all []held) {
	for _, h := range all {
		h.delivery.Done(h.delivery, h.outcome)
	}
}
