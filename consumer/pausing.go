package consumer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// An operator can pause one partition or all partitions of this replica: no more
// records are fetched. The membership continues, and so does the processing of
// the records that were fetched before.
//
// The pause of a partition is written to the state topic, so that it belongs to
// the partition: a rebalance or a restart does not lift it, and the partition's
// next owner reads it before it fetches. The pause of all belongs to the replica:
// it applies to all partitions that are assigned to it until it is lifted or the
// process ends.

// Reasons not to pause or resume a partition.
var (
	ErrNotOwned    = errors.New("another replica has this partition, or it does not exist")
	ErrNotRestored = errors.New("the partition's state is still being read")
)

// PauseAll pauses or resumes fetching for all partitions of this replica, now
// and after a rebalance.
func (c *Consumer) PauseAll(paused bool) {
	for _, half := range c.halves() {
		half.pausedAll.Store(paused)
		for _, o := range half.owners() {
			o.pauseChanged.set()
		}
	}
}

// Standing reports whether this replica fetches no partition.
func (c *Consumer) Standing() bool {
	for _, half := range c.halves() {
		for _, o := range half.owners() {
			// A partition whose state is still read has not been fetched yet.
			if !o.idle.Load() && o.restored.Load() {
				return false
			}
		}
	}
	return true
}

// PausePartition pauses or resumes a partition for all its owners. It returns
// when that is durable; fetching ends a moment later, as the partition's status
// shows.
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

// Partition describes one partition of this replica. It reports false if the
// replica does not own it.
func (c *Consumer) Partition(id int32) (PartitionStatus, bool) {
	if o := c.ownerOf(id); o != nil {
		return o.status(), true
	}
	return PartitionStatus{}, false
}

func (c *Consumer) ownerOf(id int32) *owner {
	for _, o := range c.owners() {
		if o.partition.ID() == id {
			return o
		}
	}
	return nil
}

// setPaused writes the pause and then acts on it. A zero time lifts it.
func (o *owner) setPaused(ctx context.Context, since time.Time) error {
	o.pausing.Lock()
	defer o.pausing.Unlock()
	if before := o.pausedAt(); before.IsZero() == since.IsZero() {
		return nil
	}
	// The pause must not be written after the partition was revoked.
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(o.writing, cancel)()
	defer cancel()
	if err := o.writePause(ctx, since); err != nil {
		if o.writing.Err() != nil {
			return ErrNotOwned
		}
		return fmt.Errorf("could not write the state topic, so the next owner would not know: %w", err)
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

// pausedAt returns when the partition was paused; zero if it is not.
func (o *owner) pausedAt() time.Time {
	if ms := o.pausedSince.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// writePause writes the pause's record, or deletes it if since is zero.
func (o *owner) writePause(ctx context.Context, since time.Time) error {
	return o.write(ctx, []kafkalog.Record{
		{Key: pauseKey, Value: pauseValue(since), Time: time.Now()},
	})
}

// renewPause repeats the pause's record, so that the next owner finds it within
// the window that it reads.
func (o *owner) renewPause(ctx context.Context) {
	o.pausing.Lock()
	defer o.pausing.Unlock()
	if since := o.pausedAt(); !since.IsZero() {
		_ = o.writePause(ctx, since) // it fails only when ctx ends
	}
}

// mayFetch reports whether the partition is not paused.
func (o *owner) mayFetch() bool { return !o.c.pausedAll.Load() && o.pausedSince.Load() == 0 }

// waitWhilePaused waits while the partition is paused.
func (o *owner) waitWhilePaused() {
	if o.mayFetch() {
		return
	}
	o.log.Info("partition paused", "offset", o.position.Load())
	o.idle.Store(true)
	defer o.idle.Store(false)
	look := time.NewTicker(endInterval)
	defer look.Stop()
	for !o.mayFetch() {
		o.beat()
		select {
		case <-o.intake.Done():
			return
		case <-o.pauseChanged:
		case <-look.C:
			o.updateEnd()
		}
	}
	o.log.Info("partition resumed", "offset", o.position.Load())
}

var pauseKey = []byte{statePause}

// pauseValue returns the value of a pause's record; nil, which deletes it, if
// since is zero.
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
	return since, fmt.Errorf("a pause of %d bytes without a time", len(value))
}
