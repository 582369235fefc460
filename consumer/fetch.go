package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/backoff"
)

const (
	// fetchWait is how long the broker may hold a fetch that finds nothing. It
	// answers at once when a record arrives.
	fetchWait = 2 * time.Second
	// firstAsk is the number of bytes to ask for before the size of records is
	// known.
	firstAsk = 128 << 10
	// maxSpread is the number of records that a partition may be read ahead of
	// its oldest unfinished one. Those that are finished cost little, but not
	// nothing, and one record may be stuck for days.
	maxSpread = 200_000
)

// offsets returns the partition's first and last offset. It tries again until
// it succeeds or ctx ends.
func (o *owner) offsets(ctx context.Context) (first, last int64, err error) {
	for attempt := 0; ; attempt++ {
		first, last, err = o.c.kafka.Offsets(ctx, o.c.cfg.Topic, o.partition.ID())
		if err == nil || ctx.Err() != nil {
			o.failing.Store(false)
			o.causes.clear(TroubleFetch)
			return first, last, err
		}
		o.failing.Store(true)
		o.causes.note(TroubleFetch, err)
		o.log.Debug("could not find the partition's offsets; trying again", "error", err)
		if err := pause(ctx, attempt); err != nil {
			return 0, 0, err
		}
	}
}

// fetch admits records from position on until the intake is stopped.
func (o *owner) fetch(position int64) error {
	failures, ask := 0, firstAsk
	for o.intake.Err() == nil {
		o.beat()
		o.waitWhilePaused()
		if err := o.room(); err != nil {
			return nil
		}
		if !o.mayFetch() {
			continue
		}
		req := o.c.budget.request(o.sourceRequest(position), o.account)
		ask = min(ask, req.MaxBytes)
		req.MaxBytes = ask
		batch, err := o.fetchOnce(req)
		if o.intake.Err() != nil {
			return nil
		}
		if err != nil {
			if position, err = o.recover(position, err, failures); err != nil {
				return err
			}
			failures++
			continue
		}
		failures, ask = 0, nextAsk(ask, req.MaxRecords, batch)
		o.failing.Store(false)
		o.causes.clear(TroubleFetch)
		if !o.mayFetch() {
			batch.Release()
			o.account.came(0, false)
			continue // paused meanwhile: the records are fetched again
		}
		if batch.HighWatermark > 0 || batch.Throttled == 0 { // otherwise the answer is not about the partition
			o.end.Store(batch.HighWatermark)
		}
		o.watchTransactions(batch, position)
		position = batch.NextOffset
		if err := o.admit(batch); err != nil { // from here on the batch belongs to its records
			return nil
		}
		o.position.Store(position)
	}
	return nil
}

// sourceRequest describes a fetch from the source topic. It names the topic's ID, since the
// position is of that log alone.
func (o *owner) sourceRequest(position int64) kafkalog.FetchRequest {
	return kafkalog.FetchRequest{
		Topic: o.c.cfg.Topic, TopicID: *o.source.Load(), Partition: o.partition.ID(), Offset: position, MaxWait: fetchWait, ReadCommitted: true,
	}
}

// fetchOnce fetches when it is the partition's turn. While there is much to
// fetch, it reuses the memory of finished batches; the little that arrives
// otherwise should not hold so much.
func (o *owner) fetchOnce(req kafkalog.FetchRequest) (*kafkalog.Batch, error) {
	o.account.turn(o.intake, o.c.budget.patience())
	if o.fetchedMuch {
		req.Reuse = o.c.budget.spares.take()
	}
	batch, err := o.c.kafka.Fetch(o.intake, req)
	if err != nil {
		o.account.came(0, false)
		return nil, err
	}
	o.fetchedMuch = batch.Cut || batch.Wire >= req.MaxBytes/2
	o.account.came(len(batch.Records), batch.NextOffset < batch.LastStableOffset)
	return batch, nil
}

// nextAsk returns the number of bytes to ask for after a batch that came for
// ask, when so many records are wanted. Bytes beyond those records are wasted:
// they are fetched again, and hold memory until then. The size of compressed
// records is known only when they are here.
func nextAsk(ask, records int, batch *kafkalog.Batch) int {
	n := len(batch.Records)
	switch {
	case n == 0:
		return ask
	case batch.Cut:
		return batch.Wire
	}
	return min(2*ask, max(ask/2, firstAsk/8, batch.Wire*records/n))
}

// room waits until the budget allows the partition to fetch. Meanwhile it asks
// now and then for the partition's end, since no fetch tells it.
func (o *owner) room() error {
	if !o.account.isFull() && !o.spread() {
		return nil
	}
	o.blocked.Store(true)
	defer o.blocked.Store(false)
	for o.spread() && o.mayFetch() {
		o.beat()
		if err := pause(o.intake, 2); err != nil {
			return err
		}
	}
	for o.mayFetch() {
		o.beat()
		ctx, cancel := context.WithTimeout(o.intake, endInterval)
		err := o.account.room(ctx)
		cancel()
		if err == nil || o.intake.Err() != nil {
			return err
		}
		o.updateEnd()
	}
	return nil
}

// spread reports whether the partition was read too far ahead.
func (o *owner) spread() bool { return o.partition.Stats().Spread >= maxSpread }

// endInterval is how often to ask for a partition's end while nothing is
// fetched, to keep its lag current.
const endInterval = 2 * time.Second

// updateEnd asks for the partition's end.
func (o *owner) updateEnd() {
	ctx, cancel := context.WithTimeout(o.intake, 5*time.Second)
	defer cancel()
	if _, last, err := o.c.kafka.Offsets(ctx, o.c.cfg.Topic, o.partition.ID()); err == nil {
		o.end.Store(last)
	}
}

// reading reports whether records are read as fast as they are processed. They
// are not while the broker is unreachable, the partition is paused, a record
// can't be decoded, or the budget is used up by events in flight. (If it is used
// up although none is in flight, all events wait for parents that can't be read
// for lack of budget. Only the end of their wait helps.)
func (o *owner) reading() bool {
	return o.restored.Load() && !o.failing.Load() && !o.undecoded.Load() && o.mayFetch() &&
		(!o.blocked.Load() || o.partition.Stats().InFlight == 0)
}

// recover handles a failed fetch and returns the position to resume at.
func (o *owner) recover(position int64, cause error, failures int) (int64, error) {
	if !isLacking(cause) && (errors.Is(cause, kafka.UnknownTopicOrPartition) || errors.Is(cause, kafka.UnknownTopicID)) {
		cause = fmt.Errorf("%w (%w)", missingTopicError{o.c.cfg.Topic}, cause)
	}
	o.failing.Store(true)
	o.causes.note(TroubleFetch, cause)
	o.c.metrics.fetchFailures.Inc()
	if errors.Is(cause, kafka.OffsetOutOfRange) {
		if next, err := o.outOfRange(position); err == nil {
			return next, nil
		}
	}
	if o.account.starved.Swap(false) || errors.Is(cause, kafkalog.ErrNoMemory) {
		o.failing.Store(false) // the brokers are not at fault
		o.causes.clear(TroubleFetch)
		o.log.Info("a fetch was given up while it waited for memory; trying again", "error", cause)
		return position, pause(o.intake, 0)
	}
	large, isLarge := errors.AsType[*kafkalog.TooLargeError](cause)
	switch {
	case isLarge || errors.Is(cause, kafkalog.ErrNeverFits):
		at, bytes, next := position, int64(0), position+1
		if isLarge {
			at, bytes, next = large.Offset, large.Size, large.Next
		}
		o.log.Error("a record is above a limit; the partition stops here, since passing over it would lose events. "+
			"Give the process more memory, or set the group's offset behind the record (docs/runbook.md)",
			"offset", at, "bytes", bytes, "next", next, "error", cause)
		o.updateEnd()
		return position, o.rest(o.intake, largeBackoff.After(failures+1))
	case errors.Is(cause, kafkalog.ErrCorrupt) && failures == 0:
		o.log.Error("a record is corrupt; the partition stops here, since passing over it would lose events",
			"offset", position, "error", cause)
	default:
		o.log.Debug("could not fetch; trying again", "error", cause)
	}
	o.updateEnd()
	return position, pause(o.intake, failures)
}

// rest waits while the partition shows trouble.
func (o *owner) rest(ctx context.Context, wait time.Duration) error {
	o.failing.Store(true)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	beat := time.NewTicker(stuckAfter / 4)
	defer beat.Stop()
	for {
		o.beat()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
		case <-timer.C:
			return nil
		}
	}
}

// largeBackoff is for what only an operator can fix: a record or a dead letter above a
// limit.
var largeBackoff = backoff.Policy{First: time.Second, Max: 5 * time.Minute}

// outOfRange resumes at the first offset that the broker still has, and logs
// the loss: records were deleted before they were read.
func (o *owner) outOfRange(position int64) (int64, error) {
	first, last, err := o.c.kafka.Offsets(o.intake, o.c.cfg.Topic, o.partition.ID())
	if err != nil {
		return 0, err
	}
	switch {
	case position < first:
		o.noteLoss(position, first)
		o.partition.SkipTo(first)
		return first, nil
	case position > last:
		// The topic was recreated, or a broker lost its tail: the present records
		// were not read.
		o.log.Error("the partition ends before the committed offset: was the topic recreated? Resuming at its beginning",
			"committed", position, "end", last, "beginning", first)
		o.partition.StartAt(first)
		o.deadLettered.set(nil)
		return first, nil
	}
	return position, nil
}
