package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// While replicas run, others may recreate the state topic, or change its settings so that
// it forgets IDs too soon.

// StateTopicStatus describes what is wrong with the state topic of a running replica.
type StateTopicStatus struct {
	// Unfit is why the topic does not keep each ID for the window; nil if it does. Its
	// error is an [UnfitTopicError].
	Unfit *Cause
	// Rewriting is set while partitions write IDs again that the topic has lost.
	Rewriting *Rewriting
	// Sharing is set while another group uses the topic.
	Sharing *Sharing
}

// StateTopic returns what is wrong with the state topic.
func (c *Consumer) StateTopic() StateTopicStatus {
	a := c.assignment
	return StateTopicStatus{Unfit: a.state.unfit.Load(), Rewriting: a.rewriting(), Sharing: a.sharing()}
}

// stateWatch is what an assignment knows of the state topic.
type stateWatch struct {
	log topicLog
	// writable is set when the topic can be written again, and so may be another log.
	writable signal
	// unfit is why the topic forgets IDs too soon; nil if it does not.
	unfit atomic.Pointer[Cause]
}

// stateTopicInterval is how often to look at the state topic.
const stateTopicInterval = 15 * time.Second

// watchStateTopic looks at the state topic until ctx ends.
func (a *assignment) watchStateTopic(ctx context.Context) {
	tick := time.NewTicker(stateTopicInterval)
	defer tick.Stop()
	for {
		a.lookAtState(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-a.state.writable:
		}
	}
}

func (a *assignment) lookAtState(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	a.lookAtStateLog(ctx)
	if !a.c.forwards() { // the second half does it
		a.lookAtRetention(ctx)
		a.lookForRivals(ctx)
	}
}

// lookAtStateLog makes the owners of partitions write their state again if the state topic was
// recreated. States that were kept may be followed by other records than their offsets say.
func (a *assignment) lookAtStateLog(ctx context.Context) {
	topics, err := a.c.kafka.Topics(ctx, a.c.cfg.StateTopic)
	if err != nil || topics[0].Err != nil {
		return
	}
	before, now := a.state.log.id(), topics[0].ID
	if !a.state.log.see(now) || before.IsZero() || now.IsZero() || before == now {
		return
	}
	if !a.c.forwards() { // the second half logs it
		a.c.log.Error("the state topic was deleted and recreated; the IDs that were reported are written to it again",
			"topic", a.c.cfg.StateTopic, "id", now.String(), "id_before", before.String())
	}
	a.mu.Lock()
	clear(a.kept)
	a.mu.Unlock()
	for _, o := range a.all() {
		o.stateEnd.Store(0) // it was an offset of the other log
		o.appended.reset(0)
		o.loseState()
	}
}

// lookAtRetention notes whether the state topic keeps each ID for the window. Events are
// reported all the same: the replica knows the IDs, and to wait would help none of them.
func (a *assignment) lookAtRetention(ctx context.Context) {
	c := a.c
	config, err := c.topicConfig(ctx, c.cfg.StateTopic, stateSettings...)
	if err == nil {
		err = checkStateRetention(c.cfg.StateTopic, config, c.cfg.Rules.Window)
	}
	unfit, ok := errors.AsType[*UnfitTopicError](err)
	switch {
	case ok:
		var before Cause
		if last := a.state.unfit.Load(); last != nil {
			before = *last
		}
		a.state.unfit.Store(new(before.after(unfit)))
	case err == nil:
		if a.state.unfit.Swap(nil) != nil { // it may have deleted some meanwhile
			for _, o := range a.all() {
				o.loseState()
			}
		}
	case ctx.Err() == nil: // what was known last holds
		c.log.Debug("could not read the state topic's settings", "topic", c.cfg.StateTopic, "error", err)
	}
}
