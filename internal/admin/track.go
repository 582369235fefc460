package admin

import (
	"context"
	"slices"
	"time"

	"github.com/clientevents/clientevents/internal/health"
)

// add tracks an action until it is complete. It replaces an earlier one with the same
// target.
func (a *actions) add(p pendingAction) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = slices.DeleteFunc(a.pending, func(other pendingAction) bool { return other.target == p.target })
	a.pending = append(a.pending, p)
}

// await waits until the action is complete, for at most [actionWait], and reports
// whether it is.
func (a *actions) await(ctx context.Context, p pendingAction) bool {
	ctx, cancel := context.WithTimeout(ctx, actionWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.done() {
			a.complete(time.Now())
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// complete moves the actions that are complete from the pending to the latest.
func (a *actions) complete(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = slices.DeleteFunc(a.pending, func(p pendingAction) bool {
		if !p.done() {
			return false
		}
		p.Time = now
		if len(a.latest) == keptActions {
			a.latest = slices.Delete(a.latest, 0, 1)
		}
		a.latest = append(a.latest, p.Action)
		a.log.Info("admin action done", "action", p.What, "by", p.By)
		return true
	})
}

// status describes the actions.
func (a *actions) status(now time.Time) AdminStatus {
	a.complete(now)
	_, err := a.token.get()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := AdminStatus{
		Actions: err == nil,
		Paused:  a.pipeline.Paused(),
		Drained: a.pipeline.Drained(),
		Rate:    a.rate.value, RateUntil: a.rate.until,
		LogLevelUntil: a.verbose.until,
		Latest:        slices.Clone(a.latest),
	}
	if err != nil {
		s.OffBecause = err.Error()
	}
	s.LogLevel = a.level.String()
	slices.Reverse(s.Latest)
	if s.Latest == nil {
		s.Latest = []Action{}
	}
	return s
}

// operator returns what operators did to the whole replica.
func (a *actions) operator() health.Operator {
	o := health.Operator{Drained: a.pipeline.Drained(), Paused: a.pipeline.Paused()}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, action := range slices.Backward(a.latest) {
		if o.Paused && action.What == "pause all" {
			o.Since, o.By = action.Time, action.By
			break
		}
	}
	return o
}

// stop stops the timers of the overrides.
func (a *actions) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rate.set(0, 0, nil, nil)
	a.verbose.set(0, 0, nil, nil)
}
