package batcher

import (
	"context"
	"time"
)

// sleeper is where a worker without a batch waits.
type sleeper struct{ up chan struct{} }

// lieDown counts a worker among the sleepers. The caller holds mu, and has seen
// under it that there is no batch, so that no Accept in between is missed.
func (b *Batcher) lieDown() *sleeper {
	me := &sleeper{}
	if last := len(b.spare) - 1; last >= 0 {
		me, b.spare = b.spare[last], b.spare[:last]
	} else {
		me.up = make(chan struct{}, 1)
	}
	b.asleep = append(b.asleep, me)
	return me
}

// sleep returns when the worker has to look for a batch, or with ctx's error.
func (b *Batcher) sleep(ctx context.Context, me *sleeper, wake <-chan struct{}) (err error) {
	changed := false // the permit's answer
	select {
	case <-me.up:
	case <-b.flights.Fell():
	case <-wake:
		changed = true
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if changed {
		b.refused = false
		b.changes++
	}
	if roused := b.getUp(me); roused && err != nil {
		b.rouse(b.now()) // another worker has to look instead
	}
	return err
}

// getUp removes a worker from the sleepers. It reports whether rouse woke it.
func (b *Batcher) getUp(me *sleeper) (roused bool) {
	roused = true
	for i, s := range b.asleep {
		if s == me {
			b.asleep = append(b.asleep[:i], b.asleep[i+1:]...)
			roused = false
			break
		}
	}
	if roused {
		b.woken = false
		select {
		case <-me.up: // another signal came first
		default:
		}
	}
	b.spare = append(b.spare, me)
	return roused
}

// rouse wakes a worker when there is a batch for it. A worker that took a batch
// rouses the next, so that as many are awake as there are batches, and never all
// of them for one. The caller holds mu.
func (b *Batcher) rouse(now time.Duration) {
	if len(b.asleep) == 0 || b.woken {
		return
	}
	b.ripen(now)
	n, at := b.ready(now)
	if n > 0 && b.isRefused(now) && len(b.draining) == 0 {
		n, at = 0, b.refusedUntil
	}
	if n == 0 {
		b.ring(now, at)
		return
	}
	last := len(b.asleep) - 1
	s := b.asleep[last]
	b.asleep = b.asleep[:last]
	b.woken = true
	s.up <- struct{}{}
}

// ring has a worker look again at the given time, unless it is 0. The caller
// holds mu.
func (b *Batcher) ring(now, at time.Duration) {
	if at == 0 || (b.ringAt > now && b.ringAt <= at) {
		return
	}
	b.ringAt = at
	if b.alarm == nil {
		b.alarm = time.AfterFunc(at-now, b.onAlarm)
		return
	}
	b.alarm.Reset(at - now)
}

func (b *Batcher) onAlarm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ringAt = 0
	b.rouse(b.now())
}
