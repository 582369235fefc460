package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// generation is this replica's time as the owner of some partitions, between
// two rebalances. Whatever it does ends with it: its partitions are revoked
// before the group is joined again.
type generation struct {
	*Consumer
	gen    *kafka.Generation
	owners []*owner
	// committed holds the offsets that the broker has, by partition.
	committed map[int32]int64
	// unheard says that the last commit was answered by nobody.
	unheard bool
	// commits tells whether the partitions are still ours, when the commit that
	// is under way has ended.
	commits    chan bool
	committing bool
	over       atomic.Bool // the partitions were given back
}

// growthInterval is how often the leader looks for partitions that were added.
const growthInterval = 15 * time.Second

// retentionInterval is how often to ask for the source topic's retention.
const retentionInterval = 10 * time.Minute

func newGeneration(c *Consumer, gen *kafka.Generation) *generation {
	assigned := gen.Assignments[c.cfg.Topic]
	slices.SortFunc(assigned, func(a, b kafka.PartitionAssignment) int { return a.ID - b.ID })
	g := &generation{Consumer: c, gen: gen, committed: map[int32]int64{}, commits: make(chan bool, 1)}
	c.budget.share(len(assigned))
	for _, a := range assigned {
		g.owners = append(g.owners, newOwner(c, int32(a.ID), a.Offset))
	}
	return g
}

// run owns the partitions until the group rebalances (genCtx), the program
// stops (ctx), or an error that no waiting mends.
//
// The order at the end is what keeps the promise: intake stops, what is on its
// way is finished and committed while the broker still counts us a member, the
// partitions are revoked so that nothing late can change anything, and only
// then does the library join again, which gives them to others.
func (g *generation) run(ctx, genCtx context.Context, balancers *balancers) error {
	if genCtx.Err() != nil {
		return nil // it ended before it began: the partitions may be another's by now
	}
	g.begin()
	var owners sync.WaitGroup
	failed := make(chan error, len(g.owners))
	for _, o := range g.owners {
		owners.Go(func() {
			if err := o.run(); err != nil {
				failed <- err
			}
		})
	}
	watching, unwatch := context.WithCancel(context.WithoutCancel(genCtx))
	var aside sync.WaitGroup
	aside.Go(func() { g.watchRetention(watching) })
	err := g.attend(ctx, genCtx, failed, balancers)
	unwatch()
	aside.Wait()
	g.end(ctx, &owners)
	return err
}

func (g *generation) begin() {
	all := make([]int32, len(g.owners))
	for i, o := range g.owners {
		all[i] = o.partition.id
	}
	g.lease.extend(time.Now().Add(g.cfg.SessionTimeout))
	g.metrics.rebalances.Inc()
	if ended := g.endedAt.Load(); ended != 0 {
		g.metrics.rebalance.Observe(time.Since(time.Unix(0, ended)).Seconds())
	}
	g.metrics.assigned.Set(float64(len(all)))
	g.log.Info("partitions assigned", "generation", g.gen.ID, "partitions", all)
	g.tellShare()
	g.sink.Resume()
}

// tellShare lets the rate limit follow the share of the partitions.
func (g *generation) tellShare() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	all, err := g.partitionCount(ctx, g.cfg.Topic)
	if err != nil {
		g.log.Warn("could not count the partitions; the share of the rate stays as it was", "topic", g.cfg.Topic, "error", err)
		return
	}
	g.cfg.OnShare(len(g.owners), all)
}

// attend commits, ticks and watches until the generation has to end.
func (g *generation) attend(ctx, genCtx context.Context, failed <-chan error, balancers *balancers) error {
	commit := time.NewTicker(g.cfg.CommitInterval)
	defer commit.Stop()
	tick := time.NewTicker(min(200*time.Millisecond, max(10*time.Millisecond, g.cfg.Rules.ParentsWait/4)))
	defer tick.Stop()
	growth := time.NewTicker(growthInterval)
	defer growth.Stop()
	dealt, leader := balancers.take()
	for {
		select {
		case <-ctx.Done():
			g.draining.Store(true)
			return nil
		case <-genCtx.Done():
			g.log.Info("the consumer group rebalances", "generation", g.gen.ID)
			return nil
		case err := <-failed:
			return err
		case <-commit.C:
			g.startCommit()
		case ours := <-g.commits:
			g.committing = false
			if !ours {
				return nil
			}
			now := time.Now()
			g.observe()
			if o := g.stuck(now); o != nil {
				g.log.Error("a partition stands still inside the program, so all are given back: please report this as a bug",
					"partition", o.partition.id, "for", now.Sub(o.moved()))
				return nil
			}
		case now := <-tick.C:
			g.pulse.Store(now.UnixNano())
			for _, o := range g.owners {
				o.hand(o.partition.tick(now, o.reading()))
			}
		case <-growth.C:
			if leader && g.grown(ctx, dealt) {
				return nil
			}
		}
	}
}

// stuck finds a partition whose owner has not moved for so long that it never
// will: the library goes on with heartbeats for it, so nobody else would notice.
func (g *generation) stuck(now time.Time) *owner {
	for _, o := range g.owners {
		if now.Sub(o.moved()) > 2*stuckAfter {
			return o
		}
	}
	return nil
}

// grown says whether the topic has more partitions than were dealt out, and
// gives the state topic as many.
func (g *generation) grown(ctx context.Context, dealt int) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, err := g.partitionCount(ctx, g.cfg.Topic)
	if err != nil || now <= dealt {
		return false
	}
	if err := g.growStateTopic(ctx, now); err != nil {
		g.log.Error("partitions were added to the source topic, but not to the state topic; they wait until that is done",
			"topic", g.cfg.StateTopic, "want", now, "error", err)
		return false
	}
	g.log.Info("partitions were added to the source topic", "before", dealt, "now", now)
	return true
}

// end finishes what is in flight and gives the partitions back.
func (g *generation) end(ctx context.Context, owners *sync.WaitGroup) {
	began := time.Now()
	for _, o := range g.owners {
		o.stopIntake()
	}
	// What is being taken in this moment must be in the sink before it drains,
	// or it would be sent after the partition is given away.
	owners.Wait()
	writing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		g.drain(writing)
	}()
	inTime := g.awaitDrain(ctx, drained, giveUp)
	for _, o := range g.owners {
		o.close()
	}
	g.lastCommit(inTime)
	g.over.Store(true)
	g.lease.end()
	for _, o := range g.owners {
		o.release()
	}
	g.metrics.assigned.Set(0)
	g.metrics.dedupe.Set(0)
	g.metrics.paused.Set(0)
	g.metrics.waiting.Set(0)
	g.metrics.oldest.Set(0)
	g.endedAt.Store(began.UnixNano())
	g.log.Info("partitions given back", "generation", g.gen.ID)
}

// drain finishes what is in flight, and then writes what is to be written for as
// long as writing lasts.
func (g *generation) drain(writing context.Context) {
	ctx, stop := context.WithTimeout(writing, g.cfg.DrainTimeout)
	defer stop()
	g.sink.Drain(ctx)
	for _, o := range g.owners {
		o.flush(writing)
	}
	// When the API took all the time there was, that is no crash, and the next
	// owner should not look for one.
	leaving, cancel := outlast(writing, leaveTime)
	defer cancel()
	for _, o := range g.owners {
		o.takeLeave(leaving)
	}
}

// leaveTime is for taking leave after a drain that used up its own.
const leaveTime = 500 * time.Millisecond

// outlast returns a context that ends a while after ctx does.
func outlast(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(while)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-late.Done():
		}
	})
	return late, func() {
		stop()
		cancel()
	}
}

// awaitDrain waits until all is drained. It says whether that was in time, and
// not because it gave up.
//
// That time does not begin while the coordinator can't be reached, unless the
// program stops: what was accepted and is not written down would be reported
// again, and there is nothing else to do before the brokers are back.
func (g *generation) awaitDrain(ctx context.Context, drained <-chan struct{}, giveUp func()) (inTime bool) {
	inTime = true
	// Heartbeats stop when a generation ends, but a commit counts as one: going
	// on with it keeps the broker from giving up on us while we finish.
	heartbeat := time.NewTicker(g.cfg.CommitInterval)
	defer heartbeat.Stop()
	deadline := time.NewTimer(g.cfg.DrainTimeout)
	defer deadline.Stop()
	stopping := ctx.Done()
	for {
		select {
		case <-drained:
			return inTime
		case <-stopping:
			stopping = nil
			deadline.Reset(g.cfg.DrainTimeout)
		case <-deadline.C:
			inTime = false
			giveUp()
		case now := <-heartbeat.C:
			g.pulse.Store(now.UnixNano())
			g.startCommit()
		case <-g.commits:
			g.committing = false
			if g.unheard && inTime && ctx.Err() == nil {
				deadline.Reset(g.cfg.DrainTimeout)
			}
		}
	}
}

// startCommit commits, and tells commits when it is done. The library's commit
// can't be interrupted, and a broker that fell silent holds it up for as long as
// its timeout: that must keep nobody from stopping.
func (g *generation) startCommit() {
	if g.committing {
		return
	}
	g.committing = true
	go func() { g.commits <- g.commit() }()
}

// lastCommit commits what the drain has finished. Where the drain was given up,
// it is not waited for long.
func (g *generation) lastCommit(inTime bool) {
	limit := 500 * time.Millisecond
	if inTime {
		limit = 5 * time.Second
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for range 2 { // the one that is under way began before the drain ended
		last := !g.committing
		g.startCommit()
		select {
		case <-g.commits:
			g.committing = false
		case <-timer.C:
			return
		}
		if last {
			return
		}
	}
}

// commit stores the watermarks; false means that the partitions are not ours
// any more. It commits even where nothing has moved: the answer is the sign
// that the coordinator counts us as a member, which is what the lease is.
func (g *generation) commit() bool {
	offsets := map[int]int64{}
	for _, o := range g.owners {
		if w := o.partition.watermark(); w >= 0 {
			offsets[int(o.partition.id)] = w
		}
	}
	if len(offsets) == 0 {
		return true
	}
	g.unheard = false
	asked := time.Now()
	err := g.gen.CommitOffsets(map[string]map[int]int64{g.cfg.Topic: offsets})
	if err != nil && !refused(err) {
		// The generation's own connection may be gone while the member is not.
		// This way is fenced by the broker just the same.
		err = g.commitAnew(offsets)
	}
	switch {
	case err == nil:
		g.lease.extend(asked.Add(g.cfg.SessionTimeout))
		if g.over.Load() {
			g.lease.end() // nobody waited for this answer
		}
		for p, offset := range offsets {
			g.committed[int32(p)] = offset
		}
		for _, o := range g.owners {
			o.committed.Store(g.committed[o.partition.id])
		}
		return true
	case refused(err):
		g.log.Warn("the broker does not count this replica as the owner any more", "generation", g.gen.ID, "error", err)
		g.metrics.commitFailures.Inc()
		g.lease.end()
		return false
	default:
		g.unheard = away(err)
		g.log.Warn("could not commit; trying again", "error", err)
		g.metrics.commitFailures.Inc()
		return true
	}
}

// commitAnew commits over a connection of its own, as the same member.
func (g *generation) commitAnew(offsets map[int]int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	commits := make([]kafka.OffsetCommit, 0, len(offsets))
	for p, offset := range offsets {
		commits = append(commits, kafka.OffsetCommit{Partition: p, Offset: offset})
	}
	answer, err := g.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID:      g.gen.GroupID,
		GenerationID: int(g.gen.ID),
		MemberID:     g.gen.MemberID,
		Topics:       map[string][]kafka.OffsetCommit{g.cfg.Topic: commits},
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the group's coordinator gave no answer in time: %w", context.DeadlineExceeded)
	}
	if err != nil {
		return withoutCall(err)
	}
	for _, partitions := range answer.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return p.Error
			}
		}
	}
	return nil
}

// refused says whether a commit failed because the group has moved on.
func refused(err error) bool {
	return errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) ||
		errors.Is(err, kafka.FencedInstanceID)
}

// away says whether a request failed because the coordinator can't be reached, or
// is only starting.
func away(err error) bool {
	answer, ok := errors.AsType[kafka.Error](err)
	return !ok || answer == kafka.GroupLoadInProgress || answer == kafka.GroupCoordinatorNotAvailable || answer == kafka.NotCoordinatorForGroup
}

// observe sets the gauges that describe the partitions.
func (g *generation) observe() {
	known, waiting, paused, oldest := 0, 0, 0, time.Time{}
	all := g.status()
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
		g.metrics.observe(s)
	}
	g.metrics.dedupe.Set(float64(known))
	g.metrics.paused.Set(float64(paused))
	g.metrics.waiting.Set(float64(waiting))
	g.metrics.oldest.Set(timestamp(oldest))
}

// watchRetention asks now and then how long the source topic keeps records.
func (g *generation) watchRetention(ctx context.Context) {
	again := time.NewTicker(retentionInterval)
	defer again.Stop()
	for {
		if kept, err := g.sourceRetention(ctx); err == nil {
			g.metrics.retention.WithLabelValues().Set(kept)
		} else if ctx.Err() == nil {
			g.log.Debug("could not ask how long the source topic keeps records", "topic", g.cfg.Topic, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func (g *generation) status() []PartitionStatus {
	all := make([]PartitionStatus, len(g.owners))
	for i, o := range g.owners {
		all[i] = o.status()
	}
	return all
}

func (g *generation) ready() (bool, string) {
	var waiting []string
	for _, o := range g.owners {
		if !o.restored.Load() {
			waiting = append(waiting, partitionLabel(o.partition.id))
		}
	}
	if len(waiting) > 0 {
		return false, "reading the state of partitions " + strings.Join(waiting, ", ")
	}
	return true, ""
}
