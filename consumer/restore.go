package consumer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
)

// restore reads the events that were reported from this partition within the
// window, until it succeeds or ctx ends.
//
// It reads to the end as it was after the partition was assigned: everything
// that the previous owner wrote is before that. Reading until nothing arrives
// would miss late records. Positions are compared, not counts, since compaction
// leaves gaps.
func (o *owner) restore(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		o.beat()
		err := o.shared(ctx) // as of the last attempt: all of the state need not be read to know it
		if err == nil {
			err = o.readState(ctx)
		}
		if err == nil {
			err = o.shared(ctx)
		}
		if err == nil || ctx.Err() != nil {
			o.unrestored.Store(false)
			o.causes.clear(TroubleRestore)
			o.joinUnproven()
			return ctx.Err()
		}
		if _, ok := errors.AsType[*stateError](err); ok {
			return err
		}
		err = o.c.completeStateTopic(ctx, err)
		o.unrestored.Store(true)
		o.causes.note(TroubleRestore, err)
		o.log.Debug("could not read the state topic; trying again before any record is processed",
			"topic", o.c.cfg.StateTopic, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// stateError is an unknown or invalid record of the state topic.
type stateError struct {
	topic     string
	partition int32
	offset    int64
	err       error
}

func (e *stateError) Error() string {
	return fmt.Sprintf("state topic %s, partition %d, offset %d: %v", e.topic, e.partition, e.offset, e.err)
}

func (e *stateError) Unwrap() error { return e.err }

func (o *owner) readState(ctx context.Context) error {
	topic, id := o.c.cfg.StateTopic, o.partition.ID()
	_, end, err := o.c.kafka.Offsets(ctx, topic, id)
	if err != nil {
		return err
	}
	window := o.c.cfg.Rules.Window
	if o.c.forwards() {
		window = 0 // nothing but its session is read
	}
	from, err := o.c.kafka.OffsetAt(ctx, topic, id, time.Now().Add(-window-2*renewal(o.c.cfg.Rules.Window)))
	if err != nil {
		return err
	}
	if o.found.Offset < 0 {
		// How far the partition is finished may have been recorded before the window.
		if from, _, err = o.c.kafka.Offsets(ctx, topic, id); err != nil {
			return err
		}
	}
	if known := o.stateEnd.Load(); known <= end {
		from = max(from, known)
	}
	if err := o.readStateTo(ctx, min(from, end), end); err != nil {
		return err
	}
	o.stateEnd.Store(end)
	o.appended.reset(end)
	return nil
}

// readStateTo reads the records from one offset to another.
func (o *owner) readStateTo(ctx context.Context, from, end int64) error {
	progress := o.c.metrics.restoring.WithLabelValues(o.c.metrics.label(o.partition.ID()))
	left := func(n int64) {
		o.remaining.Store(n)
		progress.Set(float64(n))
	}
	if left(end - from); from == end {
		return nil
	}
	leave, err := o.restoreTurn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	began := time.Now()
	request := kafkalog.FetchRequest{Topic: o.c.cfg.StateTopic, Partition: o.partition.ID(), Offset: from, MaxWait: fetchWait}
	state := kafkalog.Span{
		Log: o.c.kafka, Room: o.account.room, End: end, Request: o.c.budget.request(request, o.account),
	}
	// None of the records stays, and they take more memory than in the answer. Together
	// it is what a fetch usually takes.
	state.Request.MaxRecords = 0
	state.Request.MaxBytes /= 2
	state.Request.MaxMemory += state.Request.MaxBytes
	unknown := unknownRecords{}
	var known []partition.Known
	err = o.account.readAhead(ctx, &state, func(batch *kafkalog.Batch) (err error) {
		o.beat()
		known, err = o.remember(batch, known[:0], unknown)
		left(max(0, end-batch.NextOffset))
		return err
	})
	if err == nil {
		err = unknown.first()
	}
	if err == nil {
		o.log.Info("state read", "records", end-from, "ids", o.partition.Stats().Known, "took", time.Since(began).Round(time.Millisecond))
	}
	return err
}

// restoreTurn waits until the owner may read its state. As many read at a time as there
// are processors for: with more, all partitions would start late, the first with the
// last. The owner has asked the partition's leader for offsets, so it will not hold the
// turn while there is none.
func (o *owner) restoreTurn(ctx context.Context) (leave func(), err error) {
	beat := time.NewTicker(stuckAfter / 4)
	defer beat.Stop()
	for {
		o.beat()
		select {
		case o.c.budget.restores <- struct{}{}:
			return func() { <-o.c.budget.restores }, nil
		case <-beat.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// readAhead calls do with the batches of a span, while it fetches the next one. They are
// reused.
func (a *account) readAhead(ctx context.Context, span *kafkalog.Span, do func(*kafkalog.Batch) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	fetched, spare := make(chan *kafkalog.Batch), make(chan *kafkalog.Batch, 2)
	var fetching sync.WaitGroup
	var failed error
	fetching.Go(func() {
		defer close(fetched)
		for {
			var batch *kafkalog.Batch
			if batch, failed = span.Next(ctx); batch == nil {
				return
			}
			a.settle()
			fetched <- batch
			select {
			case span.Request.Reuse = <-spare:
			default:
				span.Request.Reuse = nil
			}
		}
	})
	for batch := range fetched {
		if err == nil {
			if err = do(batch); err != nil {
				cancel() // and what is fetched is not for anyone
			}
		}
		a.add(-batch.Memory, 0, 0)
		spare <- batch
	}
	cancel()
	fetching.Wait()
	return cmp.Or(err, failed)
}

// unknownRecords are those of kinds that this version does not know, by key,
// unless they were deleted. A newer version wrote them. Going back to this
// version requires deleting them, but the broker shows them until it compacts
// the topic.
type unknownRecords map[string]*stateError

// maxUnknown bounds the records that are kept because they may be deleted
// further on.
const maxUnknown = 1000

// first returns the error of the first of them.
func (u unknownRecords) first() error {
	if len(u) == 0 {
		return nil
	}
	return slices.MinFunc(slices.Collect(maps.Values(u)), func(a, b *stateError) int { return cmp.Compare(a.offset, b.offset) })
}

// remember applies state records. It uses the memory of known.
func (o *owner) remember(batch *kafkalog.Batch, known []partition.Known, unknown unknownRecords) ([]partition.Known, error) {
	for i := range batch.Records {
		r := &batch.Records[i]
		switch {
		case len(r.Key) == 0:
			continue
		case r.Value == nil:
			if r.Key[0] == statePause {
				o.pausedSince.Store(0)
			}
			delete(unknown, string(r.Key))
			continue
		}
		var err error
		if known, err = o.rememberRecord(r, known); err == nil {
			continue
		}
		fault := &stateError{o.c.cfg.StateTopic, o.partition.ID(), r.Offset, err}
		if !errors.Is(err, errUnknownKind) {
			return known, fault
		}
		if unknown[string(r.Key)] = fault; len(unknown) > maxUnknown {
			return known, unknown.first()
		}
	}
	o.partition.Remember(known)
	return known, nil
}

var errUnknownKind = errors.New("which this version does not know: was it written by a newer one?")

// rememberRecord applies a record. It appends a reported event to known.
func (o *owner) rememberRecord(r *record, known []partition.Known) ([]partition.Known, error) {
	if bytes.Equal(r.Key, firstSessionKey) != o.c.forwards() {
		return known, nil // it is the other half's
	}
	if f, ok := parseFinished(r.Headers); ok {
		o.finished = f
	}
	switch r.Key[0] {
	case stateReported:
		k, e, err := parseEntry(r.Key, r.Value, r.Time)
		if err == nil {
			known = append(known, partition.Known{Key: k, Entry: e})
		}
		return known, err
	case stateSession:
		s, err := parseSession(r.Value)
		if err == nil {
			s.unproven, s.group, s.deadLettered = parseUnproven(r.Headers), sessionGroup(r.Headers), parseDeadLettered(r.Headers)
			o.previous = &s
		}
		return known, err
	case statePause:
		since, err := parsePause(r.Value)
		if err == nil {
			o.pausedSince.Store(since.UnixMilli())
		}
		return known, err
	}
	return known, fmt.Errorf("a record of kind %q, %w", r.Key[0], errUnknownKind)
}
