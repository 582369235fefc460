package reporter

import (
	"net/http"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/reporter/talent"
)

// summary counts the results of a batch's events.
type summary struct {
	taken     int // events of which the API needs no other attempt
	throttled int
	recalled  int
	worst     *talent.Error // of the failures that another attempt may not have
}

func (w *worker) summarize() (t summary) {
	for _, res := range w.results {
		switch err := res.Err; {
		case err == nil || err.Permanent():
			t.taken++
		case err.Reason == talent.Recalled:
			t.recalled++
		default:
			if err.Status == http.StatusUnauthorized {
				w.rejectedToken()
			}
			if err.Reason == talent.Throttled {
				t.throttled++
			}
			t.worst = worse(t.worst, err)
		}
	}
	return t
}

// concludeParts counts the answers to a batch's events and tells the gate. When
// a part was throttled, or no event was taken and some failed temporarily, that
// concerns the destination.
func (w *worker) concludeParts(batch []*event.Delivery) {
	w.countParts()
	t := w.summarize()
	exhausted := w.r.limiter.answered(t.taken, t.throttled, time.Now())
	delay := w.waitOwn
	switch {
	case t.taken == 0 && t.worst != nil && w.onlyLost(t.worst):
		w.r.gate.withdraw(w.pass)
	case t.worst != nil && (t.taken == 0 || t.worst.Reason == talent.Throttled):
		delay = w.failParts(t, exhausted)
	case t.recalled > 0 && t.taken == 0:
		w.r.gate.withdraw(w.pass)
	default:
		w.r.gate.succeed(w.pass, time.Now())
	}
	w.conclude(batch, delay)
}

// failParts tells the gate of a failure of the destination. It returns how long the
// events wait.
func (w *worker) failParts(t summary, exhausted bool) func(*event.Delivery, *talent.Error) time.Duration {
	var wait time.Duration
	if t.worst.Reason == talent.Throttled && !exhausted {
		w.r.gate.succeed(w.pass, time.Now()) // the quota is for those events alone
	} else {
		wait = w.fail(t.worst, t.taken > 0)
	}
	return func(d *event.Delivery, err *talent.Error) time.Duration {
		switch {
		case err.Reason == talent.Throttled:
			return max(wait, w.waitQuota(d, err))
		case t.taken > 0:
			return w.waitOwn(d, err)
		}
		return max(wait, err.RetryAfter)
	}
}

// waitOwn returns how long an event waits whose failure does not concern others. The
// first retry after a lost connection is immediate.
func (w *worker) waitOwn(d *event.Delivery, err *talent.Error) time.Duration {
	switch {
	case err.RetryAfter > 0:
		return err.RetryAfter
	case err.Lost && d.Attempts == 1:
		return 0
	}
	return w.r.cfg.wait(int(d.Attempts))
}

func worse(a, b *talent.Error) *talent.Error {
	switch {
	case a == nil:
		return b
	case (a.Reason == talent.Throttled) != (b.Reason == talent.Throttled):
		if a.Reason == talent.Throttled {
			return a
		}
		return b
	case b.RetryAfter > a.RetryAfter:
		return b
	}
	return a
}

// conclude tells the outcomes in w.results, and returns the other events to the
// source: those that failed temporarily after a delay.
func (w *worker) conclude(batch []*event.Delivery, delay func(*event.Delivery, *talent.Error) time.Duration) {
	accepted := false
	w.rejected = w.rejected[:0]
	for i, d := range batch {
		w.countUnknown(w.results[i].Err, 1)
		switch err := w.results[i].Err; {
		case err == nil:
			accepted = true
		case err.Permanent():
			w.rejected = append(w.rejected, rejection{d, outcomeOf(err)})
		}
	}
	w.r.judge.answered(accepted, w.rejected, w.summons)
	clear(w.rejected)
	for i, d := range batch {
		switch err := w.results[i].Err; {
		case err == nil:
			d.Done(event.Outcome{Kind: event.Accepted})
		case err.Permanent(): // the judge has it
		case err.Reason == talent.Recalled:
			w.putBack(d, 0)
		default:
			w.r.metrics.retries[err.Reason].Inc()
			w.putBack(d, delay(d, err))
		}
	}
	w.putBackAll()
}

// outcomeOf returns the outcome of a permanently rejected event, if it is at fault.
func outcomeOf(err *talent.Error) event.Outcome {
	kind := event.Rejected
	if err.Reason == talent.TooLarge {
		kind = event.TooLarge
	}
	return event.Outcome{Kind: kind, HTTPStatus: err.Status, Detail: err.Err.Error()}
}

// putBack returns an event to the source together with those of the same delay:
// events returned together are sent together.
func (w *worker) putBack(d *event.Delivery, delay time.Duration) {
	if delay != w.retryAfter {
		w.putBackAll()
	}
	w.retries, w.retryAfter = append(w.retries, d), delay
}

func (w *worker) putBackAll() {
	w.r.source.Return(w.retries, w.retryAfter)
	clear(w.retries)
	w.retries = w.retries[:0]
}

// countParts counts equal answers together: most are.
func (w *worker) countParts() {
	run, status := 0, 0
	for _, res := range w.results {
		if res.Err != nil && res.Err.Reason == talent.Recalled {
			continue
		}
		if of := res.Status; of != status {
			w.r.metrics.answers(status, run)
			run, status = 0, of
		}
		run++
	}
	w.r.metrics.answers(status, run)
}
