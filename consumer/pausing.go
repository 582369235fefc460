package consumer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// What an operator may ask for: that a partition, or all that this replica has,
// be fetched no more. The membership goes on, and so does what was fetched
// already.
//
// A partition's pause is noted in the state topic, so that it is the
// partition's: a rebalance or a restart does not undo it, and whoever owns the
// partition next reads of it before it fetches. The pause of all is the
// replica's: it holds for whatever partitions it is given, until it is lifted
// or the process ends, and not for those that go to other replicas.

// Reasons not to pause or resume a partition.
var (
	ErrNotOwned    = errors.New("another replica has this partition, or there is none of this number")
	ErrNotRestored = errors.New("the partition's state is still being read")
)

// lookEvery is how often a partition that is paused looks where its end is, so
// that its lag is told.
const lookEvery = 2 * time.Second

// PauseAll stops fetching, or goes on with it, for all partitions of this
// replica, now and after a rebalance.
func (c *Consumer) PauseAll(paused bool) {
	c.pausedAll.Store(paused)
	c.mu.Lock()
	g := c.current
	c.mu.Unlock()
	if g != nil {
		for _, o := range g.owners {
			o.pauseChanged.set()
		}
	}
}

// Standing says whether no partition of this replica is fetched.
func (c *Consumer) Standing() bool {
	c.mu.Lock()
	g := c.current
	c.mu.Unlock()
	if g == nil {
		return true
	}
	for _, o := range g.owners {
		// One that reads its state has not begun to fetch, and will not.
		if !o.standing.Load() && o.restored.Load() {
			return false
		}
	}
	return true
}

// PausePartition stops fetching a partition, or goes on with it, whoever owns
// it. It returns when that is noted durably; the partition stands still a moment
// later, which its status says.
func (c *Consumer) PausePartition(ctx context.Context, id int32, paused bool) error {
	o := c.ownerOf(id)
	switch {
	case o == nil:
		return ErrNotOwned
	case !o.restored.Load():
		return ErrNotRestored
	}
	var since time.Time
	if paused {
		since = time.Now()
	}
	return o.setPaused(ctx, since)
}

// Partition describes one partition of this replica; false where it has none of
// this number.
func (c *Consumer) Partition(id int32) (PartitionStatus, bool) {
	if o := c.ownerOf(id); o != nil {
		return o.status(), true
	}
	return PartitionStatus{}, false
}

func (c *Consumer) ownerOf(id int32) *owner {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		for _, o := range c.current.owners {
			if o.partition.id == id {
				return o
			}
		}
	}
	return nil
}

// setPaused notes the pause, and then acts by it. A zero time lifts it.
func (o *owner) setPaused(ctx context.Context, since time.Time) error {
	o.noting.Lock()
	defer o.noting.Unlock()
	if before := o.pausedAt(); before.IsZero() == since.IsZero() {
		return nil
	}
	// The note must not come after the partition was given away.
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(o.writing, cancel)()
	defer cancel()
	if err := o.notePause(ctx, since); err != nil {
		if o.writing.Err() != nil {
			return ErrNotOwned
		}
		return fmt.Errorf("the state topic can't be written, so the next owner would not know: %w", err)
	}
	o.pausedSince.Store(unixMilli(since))
	o.pauseChanged.set()
	return nil
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// pausedAt is when the partition was paused; zero where it is not.
func (o *owner) pausedAt() time.Time {
	if ms := o.pausedSince.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// notePause writes the pause down, or that there is none.
func (o *owner) notePause(ctx context.Context, since time.Time) error {
	return o.write(ctx, topicState, o.cfg.StateTopic, o.partition.id, []kafkalog.Record{
		{Key: pauseKey, Value: pauseValue(since), Time: time.Now()},
	})
}

// renewPause repeats the note, so that it is among what the next owner reads.
func (o *owner) renewPause(ctx context.Context) {
	o.noting.Lock()
	defer o.noting.Unlock()
	if since := o.pausedAt(); !since.IsZero() {
		_ = o.notePause(ctx, since) // it fails only when ctx ends
	}
}

// mayFetch says whether nobody wants the partition to stand still.
func (o *owner) mayFetch() bool { return !o.pausedAll.Load() && o.pausedSince.Load() == 0 }

// standStill waits while the partition is paused.
func (o *owner) standStill() {
	if o.mayFetch() {
		return
	}
	o.log.Info("the partition is paused: nothing more is fetched", "offset", o.position.Load())
	o.standing.Store(true)
	defer o.standing.Store(false)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !o.mayFetch() {
		o.moves()
		select {
		case <-o.intake.Done():
			return
		case <-o.pauseChanged:
		case <-look.C:
			if _, last, err := o.kafka.Offsets(o.intake, o.cfg.Topic, o.partition.id); err == nil {
				o.end.Store(last)
			}
		}
	}
	o.log.Info("the partition goes on", "offset", o.position.Load())
}

var pauseKey = []byte{statePause}

// pauseValue is a pause's record; nil, which deletes it, where since is zero.
func pauseValue(since time.Time) []byte {
	if since.IsZero() {
		return nil
	}
	return binary.AppendVarint([]byte{stateFormat}, since.UnixMilli())
}

func parsePause(value []byte) (since time.Time, err error) {
	if len(value) > 0 && value[0] != stateFormat {
		return since, unknownFormat(value[0])
	}
	if len(value) > 1 {
		if ms, n := binary.Varint(value[1:]); n == len(value)-1 && ms > 0 {
			return time.UnixMilli(ms), nil
		}
	}
	return since, fmt.Errorf("a pause of %d bytes, which has no time", len(value))
}
