package consumer

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
)

// With rekeying, a parent may be in a partition of the source topic that nobody reads
// at the moment: its owner was killed, or waits for a schema registry. The wait of its
// child must not end before the parent had a chance to arrive.
//
// So the second half asks for the end of each partition of the source topic, and later
// for the offsets that the first halves of all replicas have committed. Once these have
// reached those ends, all events that were published before the first question are in
// the internal topic. When a partition of it is read to its end of that moment, every
// such event has been admitted: the partition is settled for the time of the question.

// settling is what the second half asks of the source topic.
type settling struct {
	asked time.Time
	ends  []int64 // by partition; nil before they are known
}

// target is a time for which a partition is settled once it is read to an offset.
type target struct {
	time   time.Time
	offset int64
}

// followFirst lets the partitions settle while children wait for their parents.
func (a *assignment) followFirst(ctx context.Context) {
	var s settling
	every(ctx, a.c.cfg.CommitInterval, func(now time.Time) {
		if !a.anyWaits() {
			s = settling{}
			return
		}
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := a.settle(asking, &s, now); err != nil && ctx.Err() == nil {
			a.c.log.Debug("could not ask how far the source topic is read; children wait on for their parents", "error", err)
		}
	})
}

func (a *assignment) anyWaits() bool {
	for _, o := range a.all() {
		if o.partition.Stats().Waiting > 0 {
			return true
		}
	}
	return false
}

// settle takes one step: it asks for the ends, or whether they are reached.
func (a *assignment) settle(ctx context.Context, s *settling, now time.Time) error {
	if s.ends != nil {
		reached, err := a.c.firstReached(ctx, s.ends)
		if err != nil || !reached {
			return err
		}
		for _, o := range a.all() {
			if o.toSettle.Load() != nil {
				continue // it is not read that far yet
			}
			_, end, err := a.c.kafka.Offsets(ctx, a.c.cfg.Topic, o.partition.ID())
			if err != nil {
				return err
			}
			o.toSettle.Store(&target{s.asked, end})
		}
	}
	ends, err := a.c.sourceEnds(ctx)
	if err == nil {
		*s = settling{now, ends}
	}
	return err
}

// sourceEnds returns the end of each partition of the source topic.
func (c *Consumer) sourceEnds(ctx context.Context) ([]int64, error) {
	n, err := c.partitionCount(ctx, c.from.topic)
	if err != nil {
		return nil, err
	}
	ends := make([]int64, n)
	for i := range ends {
		if _, ends[i], err = c.kafka.Offsets(ctx, c.from.topic, int32(i)); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

// firstReached reports whether the first halves of all replicas have committed these
// offsets of the source topic.
func (c *Consumer) firstReached(ctx context.Context, ends []int64) (bool, error) {
	answer, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: c.from.group, Topics: map[string][]int{c.from.topic: numbers(len(ends))},
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return false, err
	}
	reached := 0
	for _, p := range answer.Topics[c.from.topic] {
		if p.Error != nil {
			return false, p.Error
		}
		if p.CommittedOffset >= ends[p.Partition] {
			reached++
		}
	}
	return reached == len(ends), nil
}

// settled lets the partition settle if it is read far enough. If its memory is used up
// by waiting children, no more can be read, and only the end of their wait helps.
func (o *owner) settled() {
	t := o.toSettle.Load()
	if t == nil {
		return
	}
	stuck := o.blocked.Load() && o.partition.Stats().InFlight == 0
	if o.position.Load() >= t.offset || stuck {
		o.partition.Settle(t.time)
		o.toSettle.Store(nil)
	}
}
