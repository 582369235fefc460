package consumer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/lifecycle"
)

// assignment is the partitions that this replica owns. It is the handler of the
// replica's membership in the group: partitions come and go one by one, and the
// others are not affected.
type assignment struct {
	c *Consumer
	// stopping ends when the program stops; fail ends it with an error that
	// waiting does not fix.
	stopping context.Context
	fail     context.CancelCauseFunc

	// commit is held during a commit: of two at the same time, the older could
	// arrive last.
	committing chan struct{}
	changed    signal // the number of partitions
	// uncommitted is why the last commit failed; nil if it did not.
	uncommitted atomic.Pointer[Cause]
	state       stateWatch

	// calls is held while partitions are assigned or revoked, by the member or
	// because the topic was recreated.
	calls sync.Mutex
	log   topicLog

	mu     sync.Mutex
	rules  Rules    // of the partitions
	owners []*owner // by partition
	kept   map[int32]kept
}

// kept is what remains of a partition that was revoked, in case it is assigned
// to this replica again soon.
type kept struct {
	index    *partition.Index
	state    int64 // the index has the records of the state topic before this offset
	previous session
	finished finished
	paused   int64
	at       time.Time
}

// keepFor is how long the state of a revoked partition is kept: for the time of a
// lost session or of a restart of another replica. It holds memory.
const keepFor = 2 * time.Minute

// retentionInterval is how often to ask for the source topic's retention.
const retentionInterval = 10 * time.Minute

func newAssignment(c *Consumer) *assignment {
	return &assignment{
		c: c, rules: c.cfg.Rules, committing: make(chan struct{}, 1), changed: newSignal(), state: stateWatch{writable: newSignal()}, kept: map[int32]kept{},
	}
}

// setRules changes the rules of all partitions.
func (a *assignment) setRules(rules Rules) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rules = rules
	for _, o := range a.owners {
		o.partition.SetRules(rules)
	}
}

// all returns the owners of the partitions at the moment.
func (a *assignment) all() []*owner {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.owners
}

// of returns the owners of some partitions.
func (a *assignment) of(partitions []int32) (owners []*owner) {
	for _, o := range a.all() {
		if slices.Contains(partitions, o.partition.ID()) {
			owners = append(owners, o)
		}
	}
	return owners
}

// set changes the owners. The slice of before stays as it is for those who have
// it.
func (a *assignment) set(owners []*owner) {
	slices.SortFunc(owners, func(a, b *owner) int { return cmp.Compare(a.partition.ID(), b.partition.ID()) })
	a.owners = owners
	a.c.budget.share(a, len(owners))
	a.c.metrics.assigned.Set(float64(len(owners)))
	a.changed.set()
}

// Assigned starts partitions.
func (a *assignment) Assigned(positions map[int32]group.Position) {
	a.calls.Lock()
	defer a.calls.Unlock()
	a.start(positions)
}

func (a *assignment) start(positions map[int32]group.Position) {
	var added []*owner
	a.mu.Lock()
	for id, position := range positions {
		added = append(added, newOwner(a.c, id, a.rules, position, a.kept[id]))
		delete(a.kept, id)
	}
	a.set(slices.Concat(a.owners, added))
	a.mu.Unlock()
	a.c.metrics.rebalances.Inc()
	for _, o := range added {
		o.running.Go(func() {
			if err := o.run(); err != nil {
				a.fail(err)
			}
		})
	}
}

// Revoked drains partitions and gives them up.
//
// The guarantee depends on the order. The intake stops. Events in flight are
// finished and committed while the coordinator still counts this replica as their
// owner. The partitions are revoked, so that late outcomes change nothing. Only
// then does the member join again, which assigns them to others.
func (a *assignment) Revoked(ctx context.Context, partitions []int32) {
	a.calls.Lock()
	defer a.calls.Unlock()
	a.revoke(ctx, partitions)
}

func (a *assignment) revoke(ctx context.Context, partitions []int32) {
	began := time.Now()
	a.c.metrics.rebalances.Inc()
	owners := a.of(partitions)
	for _, o := range owners {
		o.stopIntake()
	}
	stop := a.c.cfg.Stop
	if a.stopping.Err() == nil {
		stop = stop.Fresh()
	}
	stop.Begin()
	writing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		a.drain(ctx, writing, owners, stop)
	}()
	a.awaitDrain(drained, giveUp, stop)
	for _, o := range owners {
		o.close()
	}
	if ctx.Err() == nil {
		// After a failure, the next owner reads those records again and knows their IDs.
		_ = stop.Step(ctx, lifecycle.CommitOffsets, func(ctx context.Context) error {
			return a.commit(ctx, func() []*owner { return owners })
		})
	}
	a.release(owners)
	a.c.metrics.rebalance.Observe(time.Since(began).Seconds())
}

// Lost gives partitions up that may be another replica's. Nothing is sent any more,
// but the events that the API has accepted are still recorded: the next owner may
// be this replica.
func (a *assignment) Lost(partitions []int32) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a.Revoked(ctx, partitions)
}

// drain finishes the events in flight, then writes state records and dead letters
// until writing ends, and closes the sessions. ctx ends when the partitions are
// lost.
func (a *assignment) drain(ctx, writing context.Context, owners []*owner, stop *lifecycle.Budget) {
	terms := make([]*event.Term, len(owners))
	for i, o := range owners {
		// Records that are being admitted in this moment must be in the sink
		// before it drains, or would be sent after the partition is revoked.
		o.running.Wait()
		terms[i] = o.term
	}
	finished := false
	_ = stop.Step(writing, lifecycle.FinishRequests, func(ctx context.Context) error {
		finished = a.c.sink.Drain(ctx, terms)
		return nil
	})
	if !finished && a.stopping.Err() != nil { // otherwise requests hold events of other partitions, too
		_ = stop.Step(writing, lifecycle.AbortRequests, func(ctx context.Context) error {
			a.c.sink.Abort(ctx, terms)
			return nil
		})
	}
	for _, o := range owners {
		o.flush(writing)
		o.endRewriting(writing, ctx.Err() == nil)
	}
	if ctx.Err() != nil {
		return // another replica may own them
	}
	// A drain that used up its time is not a crash, and the next owner should not
	// look for one.
	_ = stop.Step(writing, lifecycle.CloseSessions, func(ctx context.Context) error {
		for _, o := range owners {
			o.closeSession(ctx)
		}
		return nil
	})
}

// release ends the owners of partitions.
func (a *assignment) release(owners []*owner) {
	a.mu.Lock()
	a.set(slices.DeleteFunc(slices.Clone(a.owners), func(o *owner) bool { return slices.Contains(owners, o) }))
	for _, o := range owners {
		if k := o.revoke(); k.index != nil {
			a.kept[o.partition.ID()] = k
		}
	}
	a.mu.Unlock()
	a.observe()
}

// Grown adds partitions to the state topic.
func (a *assignment) Grown(ctx context.Context, partitions int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := a.c.growStateTopic(ctx, partitions); err != nil {
		return fmt.Errorf("topic %s needs %d partitions, too: %w", a.c.cfg.StateTopic, partitions, err)
	}
	return nil
}

// awaitDrain waits until the drain has ended, and gives up its writes when their
// time is used up.
//
// That time does not begin while the coordinator is unreachable, unless the
// program stops: accepted events without a state record would be reported again,
// and there is nothing else to do before the brokers are back.
func (a *assignment) awaitDrain(drained <-chan struct{}, giveUp func(), stop *lifecycle.Budget) {
	inTime := true
	look := time.NewTicker(a.c.cfg.CommitInterval)
	defer look.Stop()
	deadline := time.NewTimer(stop.Left(lifecycle.WriteOutcomes))
	defer deadline.Stop()
	restart := func() {
		stop.Restart()
		deadline.Reset(stop.Left(lifecycle.WriteOutcomes))
	}
	stopping := a.stopping.Done()
	if a.stopping.Err() != nil {
		stopping = nil // the budget is the program's, and has begun
	}
	for {
		select {
		case <-drained:
			return
		case <-stopping:
			stopping = nil
			restart()
		case <-deadline.C:
			inTime = false
			stop.UsedUp(lifecycle.WriteOutcomes)
			giveUp()
		case <-look.C:
			if inTime && a.stopping.Err() == nil && a.c.member.Status().Err != nil {
				restart()
			}
		}
	}
}

// attend commits, and lets time pass for the partitions, until ctx ends.
func (a *assignment) attend(ctx context.Context) {
	var aside sync.WaitGroup
	aside.Go(func() {
		every(ctx, a.c.cfg.CommitInterval, func(time.Time) {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			_ = a.commit(ctx, a.all)
			cancel()
			a.followTopic()
		})
	})
	if a.c.from == nil {
		aside.Go(func() { a.watchRetention(ctx) })
	}
	aside.Go(func() { a.tellShare(ctx) })
	aside.Go(func() { a.watchStateTopic(ctx) })
	if a.c.forwards() {
		aside.Go(func() { a.c.followRekeyPartitions(ctx) })
	}
	if a.c.from != nil {
		aside.Go(func() { a.followFirst(ctx) })
	}
	aside.Go(func() {
		every(ctx, a.c.cfg.CommitInterval, func(now time.Time) {
			a.observe()
			a.checkProgress(now)
			a.forgetKept(now)
		})
	})
	every(ctx, min(200*time.Millisecond, max(10*time.Millisecond, a.c.cfg.Rules.ParentsWait/4)), func(now time.Time) {
		a.c.pulse.Store(now.UnixNano())
		for _, o := range a.all() {
			if o.intake.Err() == nil { // a draining partition reads no more parents
				o.tick(now)
			}
		}
	})
	aside.Wait()
}

// every calls f at an interval until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(now time.Time)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			f(now)
		}
	}
}

// tellShare publishes the share of partitions, which the rate limit follows,
// whenever it changes.
func (a *assignment) tellShare(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.changed:
		}
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		all, err := a.c.partitionCount(asking, a.c.cfg.Topic)
		cancel()
		if err != nil && ctx.Err() == nil {
			a.c.log.Warn("could not count the partitions; the share of the rate stays as it was", "topic", a.c.cfg.Topic, "error", err)
			continue
		}
		a.c.cfg.Ownership.SetShare(len(a.all()), all)
	}
}

// checkProgress ends the program if a partition's owner has made no progress for
// so long that it never will. The heartbeats continue, so the group would not
// notice.
func (a *assignment) checkProgress(now time.Time) {
	for _, o := range a.all() {
		if silent := now.Sub(o.lastProgress()); silent > 2*stuckAfter {
			a.fail(fmt.Errorf("partition %d is stuck inside the program for %s: please report this as a bug", o.partition.ID(), silent.Round(time.Second)))
		}
	}
}

// forgetKept releases the memory of states that were kept for long enough.
func (a *assignment) forgetKept(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.kept, func(_ int32, k kept) bool { return now.Sub(k.at) > keepFor })
}

// observe sets the gauges that describe the partitions.
func (a *assignment) observe() {
	known, waiting, paused, oldest := 0, 0, 0, time.Time{}
	all := a.status()
	for i := range all {
		s := &all[i]
		known += s.Known
		waiting += s.Waiting
		if s.Paused {
			paused++
		}
		if !s.Oldest.IsZero() && (oldest.IsZero() || s.Oldest.Before(oldest)) {
			oldest = s.Oldest
		}
		a.c.metrics.observe(s)
	}
	a.c.metrics.dedupe.Set(float64(known))
	a.c.metrics.paused.Set(float64(paused))
	a.c.metrics.waiting.Set(float64(waiting))
	a.c.metrics.setOldest(a, oldest)
}

// watchRetention asks at intervals for the source topic's retention.
func (a *assignment) watchRetention(ctx context.Context) {
	ask := func(time.Time) {
		if kept, err := a.c.sourceRetention(ctx); err == nil {
			a.c.metrics.retention.WithLabelValues().Set(kept)
		} else if ctx.Err() == nil {
			a.c.log.Debug("could not read the source topic's retention", "topic", a.c.cfg.Topic, "error", err)
		}
	}
	ask(time.Now())
	every(ctx, retentionInterval, ask)
}

func (a *assignment) status() []PartitionStatus {
	owners := a.all()
	all := make([]PartitionStatus, len(owners))
	for i, o := range owners {
		all[i] = o.status()
	}
	return all
}

// readiness reports whether the state of every assigned partition is read.
func (a *assignment) readiness() Readiness {
	var waiting []int32
	for _, o := range a.all() {
		if !o.restored.Load() {
			waiting = append(waiting, o.partition.ID())
		}
	}
	if len(waiting) > 0 {
		return Readiness{State: Restoring, Partitions: waiting}
	}
	return Readiness{State: Ready}
}

var _ group.Handler = (*assignment)(nil)
