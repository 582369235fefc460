package consumer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/consumer/partition"
)

// A state topic that is recreated has no IDs, and one whose settings let it forget too soon
// may lack some. The owners of the partitions know them, and write them again: the next
// owner would report those events once more.
//
// That happens beside the ordinary writes, so that events do not wait for it, and in pieces
// of some thousand IDs, two partitions at a time, so that it takes little memory. To write a
// record twice does no harm, so nothing is noted about how far it is: an owner whose topic
// is lost again begins again, and what a killed owner did not write is lost as it was before.
// It writes what the next owner finds besides IDs, too: the session and the pause.

// rewriting is what an owner knows about writing its partition's state again.
type rewriting struct {
	wake signal
	// lost counts how often the topic has lost state, and done is for how many of those
	// it was written again.
	lost, done atomic.Int64
	cause      atomic.Pointer[Cause] // why it failed; nil if it did not

	stop    context.CancelFunc
	running sync.WaitGroup
}

// Rewriting describes that partitions write the IDs again that the state topic has lost.
type Rewriting struct {
	// Partitions are those that have not written all.
	Partitions []int32
	// Cause is why one of them can't at the moment; nil if none fails.
	Cause *Cause
}

// pending reports whether there is state that was lost and is not written again.
func (r *rewriting) pending() bool { return r.done.Load() < r.lost.Load() }

// loseState makes the owner write its partition's state again.
func (o *owner) loseState() {
	o.rewriting.lost.Add(1)
	o.rewriting.wake.set()
}

// startRewriting starts the goroutine that writes state again when it is lost.
func (o *owner) startRewriting() {
	var ctx context.Context
	ctx, o.rewriting.stop = context.WithCancel(o.writing)
	o.rewriting.running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-o.rewriting.wake:
			}
			if o.restored.Load() { // otherwise consume wakes it again
				o.rewriteState(ctx)
			}
		}
	})
}

// endRewriting ends that goroutine. If the partition is still this owner's and no write
// fails, it first waits until what was lost is written again, or ctx ends: the next owner
// can't do it.
func (o *owner) endRewriting(ctx context.Context, ours bool) {
	for ours && o.restored.Load() && o.rewriting.pending() && o.rewriting.cause.Load() == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-o.written:
		}
	}
	o.rewriting.stop()
	o.rewriting.running.Wait()
}

// rewriteState writes all that the partition's next owner needs, until it succeeds or ctx
// ends.
func (o *owner) rewriteState(ctx context.Context) {
	began, lost := time.Now(), o.rewriting.lost.Load()
	defer o.written.set()
	if o.writeSession(ctx, session{poison: o.poison}) != nil {
		return // ctx has ended
	}
	o.renewPause(ctx)
	var place partition.Place
	written := 0
	for attempt := 0; ; attempt++ {
		n, err := o.rewriteFrom(ctx, &place)
		written += n
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			break
		}
		if n > 0 {
			attempt = 0
		}
		o.rewriteFailed(o.c.completeStateTopic(ctx, err))
		if pause(ctx, attempt) != nil {
			return
		}
	}
	o.rewriting.cause.Store(nil)
	o.rewriting.done.Store(lost)
	o.log.Info("the state that the topic had lost is written again", "topic", o.c.cfg.StateTopic, "ids", written, "took", time.Since(began).Round(time.Millisecond))
}

func (o *owner) rewriteFailed(err error) {
	var before Cause
	if last := o.rewriting.cause.Load(); last != nil {
		before = *last
	}
	o.rewriting.cause.Store(new(before.after(err)))
	o.written.set() // a drain does not wait for it
	o.c.metrics.writeFailures.WithLabelValues(topicState).Inc()
	o.log.Debug("could not write reported IDs again; trying again", "topic", o.c.cfg.StateTopic, "error", err)
}

var errNotLeased = errors.New("the brokers do not confirm that the partition is this replica's")

// rewriteFrom writes the IDs from a place on, which it moves. It returns how many it has
// written.
func (o *owner) rewriteFrom(ctx context.Context, place *partition.Place) (written int, err error) {
	select {
	case o.c.budget.rewrites <- struct{}{}:
		defer func() { <-o.c.budget.rewrites }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	var encoded stateRecords
	for known, next := range o.partition.Pieces(*place) {
		if !o.c.Leased(time.Now()) {
			return written, errNotLeased
		}
		cost := int64(len(known) * 2 * (recordCost + maxStateBytes)) // and the request
		o.account.add(cost, 0, 0)
		err := o.c.kafka.Write(ctx, o.stateRequest(encoded.ofKnown(known)))
		o.account.add(-cost, 0, 0)
		if err != nil {
			return written, err
		}
		written += len(known)
		*place = next
	}
	return written, nil
}

// rewriting returns the partitions that write IDs again; nil if none does.
func (a *assignment) rewriting() *Rewriting {
	var r Rewriting
	for _, o := range a.all() {
		if !o.rewriting.pending() {
			continue
		}
		r.Partitions = append(r.Partitions, o.partition.ID())
		if cause := o.rewriting.cause.Load(); cause != nil && (r.Cause == nil || cause.Since.Before(r.Cause.Since)) {
			r.Cause = cause
		}
	}
	if r.Partitions == nil {
		return nil
	}
	return &r
}
