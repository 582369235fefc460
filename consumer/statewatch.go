package consumer

import (
	"context"
	"errors"
	"time"
)

// While replicas run, others may recreate the state topic, or change its settings so that
// it forgets IDs too soon.

// StateTopicStatus describes what is wrong with the state topic of a running replica.
type StateTopicStatus struct {
	// Unfit is why the topic does not keep each ID for the window; nil if it does. Its
	// error is an [UnfitTopicError].
	Unfit *Cause
}

// StateTopic returns what is wrong with the state topic.
func (c *Consumer) StateTopic() StateTopicStatus {
	return StateTopicStatus{Unfit: c.assignment.unfit.Load()}
}

// stateTopicInterval is how often to look at the state topic.
const stateTopicInterval = 15 * time.Second

// stateWatch looks at the state topic from time to time.
type stateWatch struct {
	a   *assignment
	log topicLog
}

// watchStateTopic looks at the state topic until ctx ends.
func (a *assignment) watchStateTopic(ctx context.Context) {
	w := stateWatch{a: a}
	look := func(time.Time) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		w.lookAtLog(ctx)
		if !a.c.forwards() { // the second half does it
			w.lookAtRetention(ctx)
		}
	}
	look(time.Now())
	every(ctx, stateTopicInterval, look)
}

// lookAtLog logs it if the state topic is recreated while partitions are read. Their
// owners know the IDs, but the next owners will not. States that were kept may be followed
// by other records than their offsets say.
func (w *stateWatch) lookAtLog(ctx context.Context) {
	a := w.a
	topics, err := a.c.kafka.Topics(ctx, a.c.cfg.StateTopic)
	if err != nil || topics[0].Err != nil {
		return
	}
	before := w.log.current
	if !w.log.see(topics[0].ID) || before.IsZero() || before == w.log.current {
		return
	}
	a.mu.Lock()
	clear(a.kept)
	a.mu.Unlock()
	if !a.c.forwards() { // the second half logs it
		a.c.log.Error("the state topic was deleted and recreated: an event that was reported before is reported again if it is published again and its partition has moved or its replica was restarted",
			"topic", a.c.cfg.StateTopic, "id", w.log.current.String(), "id_before", before.String())
	}
}

// lookAtRetention notes whether the state topic keeps each ID for the window. Events are
// reported all the same: the replica knows the IDs, and to wait would help none of them.
func (w *stateWatch) lookAtRetention(ctx context.Context) {
	c := w.a.c
	config, err := c.topicConfig(ctx, c.cfg.StateTopic, stateSettings...)
	if err == nil {
		err = checkStateRetention(c.cfg.StateTopic, config, c.cfg.Rules.Window)
	}
	unfit, ok := errors.AsType[*UnfitTopicError](err)
	switch {
	case ok:
		var before Cause
		if last := w.a.unfit.Load(); last != nil {
			before = *last
		}
		w.a.unfit.Store(new(before.after(unfit)))
	case err == nil:
		w.a.unfit.Store(nil)
	case ctx.Err() == nil: // what was known last holds
		c.log.Debug("could not read the state topic's settings", "topic", c.cfg.StateTopic, "error", err)
	}
}
