package consumer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
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
		err := o.readState(ctx)
		if err == nil || ctx.Err() != nil {
			o.unrestored.Store(false)
			o.causes.clear(TroubleRestore)
			o.joinUnproven()
			return ctx.Err()
		}
		if _, ok := errors.AsType[*stateError](err); ok {
			return err
		}
		o.unrestored.Store(true)
		o.causes.note(TroubleRestore, err)
		o.log.Debug("could not read the state topic; trying again before any record is processed",
			"topic", o.c.cfg.StateTopic, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// renewal returns how often a partition's owner repeats its session and pause
// records, so that the next owner finds them within the window that it reads.
func renewal(window time.Duration) time.Duration { return max(10*time.Minute, window/8) }

// renew repeats the session and pause records until ctx ends.
func (o *owner) renew(ctx context.Context) {
	tick := time.NewTicker(renewal(o.c.cfg.Rules.Window))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if o.restored.Load() {
				_ = o.writeSession(ctx, session{poison: o.poison}) // it fails only when ctx ends
				o.renewPause(ctx)
			}
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
	began := time.Now()
	unknown := unknownRecords{}
	progress := o.c.metrics.restoring.WithLabelValues(o.c.metrics.label(id))
	state := kafkalog.Span{
		Log: o.c.kafka, Room: o.account.room, End: end,
		Request: o.c.budget.request(kafkalog.FetchRequest{Topic: topic, Partition: id, Offset: from, MaxWait: fetchWait}, o.account),
	}
	state.Request.MaxRecords = 0 // none of them stays
	for {
		o.beat()
		o.remaining.Store(state.Remaining())
		progress.Set(float64(state.Remaining()))
		batch, err := state.Next(ctx)
		if err != nil {
			return err
		}
		if batch == nil {
			break
		}
		err = o.remember(batch, unknown)
		batch.Release()
		if err != nil {
			return err
		}
		state.Request.Reuse = batch
	}
	if err := unknown.first(); err != nil {
		return err
	}
	o.stateEnd.Store(end)
	if end > from {
		o.log.Info("state read", "records", end-from, "ids", o.partition.Stats().Known, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
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

// remember applies state records.
func (o *owner) remember(batch *kafkalog.Batch, unknown unknownRecords) error {
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
		err := o.rememberRecord(r)
		if errors.Is(err, errUnknownKind) {
			unknown[string(r.Key)] = &stateError{o.c.cfg.StateTopic, o.partition.ID(), r.Offset, err}
			if len(unknown) > maxUnknown {
				return unknown.first()
			}
			continue
		}
		if err != nil {
			return &stateError{o.c.cfg.StateTopic, o.partition.ID(), r.Offset, err}
		}
	}
	return nil
}

var errUnknownKind = errors.New("which this version does not know: was it written by a newer one?")

func (o *owner) rememberRecord(r *record) error {
	if bytes.Equal(r.Key, firstSessionKey) != o.c.forwards() {
		return nil // it is the other half's
	}
	if f, ok := parseFinished(r.Headers); ok {
		o.finished = f
	}
	switch r.Key[0] {
	case stateReported:
		k, e, err := parseEntry(r.Key, r.Value, r.Time)
		if err == nil {
			o.partition.Remember([]partition.Known{{Key: k, Entry: e}})
		}
		return err
	case stateSession:
		s, err := parseSession(r.Value)
		if err == nil {
			s.unproven = parseUnproven(r.Headers)
			o.previous = &s
		}
		return err
	case statePause:
		since, err := parsePause(r.Value)
		if err == nil {
			o.pausedSince.Store(since.UnixMilli())
		}
		return err
	}
	return fmt.Errorf("a record of kind %q, %w", r.Key[0], errUnknownKind)
}

// maxStateRecords bounds the reported events in one write.
const maxStateRecords = 4000

// recordAccepted writes the state records of accepted events until ctx ends. One
// write is under way at a time; events that are accepted meanwhile go with the
// next, so the size of writes follows the load.
func (o *owner) recordAccepted(ctx context.Context) {
	var accepted []partition.Accepted
	var records stateRecords
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.accepted:
		}
		accepted = o.partition.TakeAccepted(accepted)
		for chunk := range slices.Chunk(accepted, maxStateRecords) {
			o.recordChunk(ctx, chunk, o.withFinished(records.of(chunk)))
		}
		clear(accepted) // they keep their records in memory
	}
}

// stateRecords encodes accepted events in memory that it reuses.
type stateRecords struct {
	records []kafkalog.Record
	bytes   []byte
}

func (s *stateRecords) of(accepted []partition.Accepted) []kafkalog.Record {
	s.records, s.bytes = s.records[:0], slices.Grow(s.bytes[:0], len(accepted)*maxStateBytes)
	for i := range accepted {
		a := &accepted[i]
		begin := len(s.bytes)
		s.bytes = appendStateKey(s.bytes, a.Key())
		middle := len(s.bytes)
		s.bytes = appendEntry(s.bytes, a.Entry())
		s.records = append(s.records, kafkalog.Record{
			Key: s.bytes[begin:middle:middle], Value: s.bytes[middle:len(s.bytes):len(s.bytes)], Time: a.Entry().Reported,
		})
	}
	return s.records
}

func (o *owner) recordChunk(ctx context.Context, accepted []partition.Accepted, records []kafkalog.Record) {
	began := time.Now()
	// The records, and the request that contains them.
	cost := int64(len(records) * 2 * (recordCost + maxStateBytes))
	o.account.add(cost, 0, 0)
	defer o.account.add(-cost, 0, 0)
	if err := o.write(ctx, records); err == nil {
		o.c.metrics.stateSeconds.Observe(time.Since(began).Seconds())
		effects, ours := o.partition.Recorded(accepted)
		if ours {
			for i := range accepted {
				o.c.metrics.reported[accepted[i].Entry().Type].Inc()
				if o.c.cfg.Reported != nil {
					o.c.cfg.Reported(accepted[i].Delivery().Event)
				}
			}
		}
		o.act(effects)
		o.written.set()
	} else {
		o.partition.NotRecorded(accepted)
	}
	for i := range accepted { // durable or given up, they are no longer in flight here
		accepted[i].Delivery().Land()
	}
}

// write appends records to the state topic. They are not compressed: most of them are
// hashes, which do not get smaller.
func (o *owner) write(ctx context.Context, records []kafkalog.Record) error {
	return o.append(ctx, topicState, kafkalog.WriteRequest{Topic: o.c.cfg.StateTopic, Partition: o.partition.ID(), Records: records})
}

// append writes records to a topic of the kind, and tries again until the broker has
// them. It fails only when ctx ends: nothing may be dropped, so everything waits
// meanwhile, and the status says so.
func (o *owner) append(ctx context.Context, kind string, request kafkalog.WriteRequest) error {
	for attempt := 0; ; attempt++ {
		o.beat()
		err := o.c.kafka.Write(ctx, request)
		if failed, ok := errors.AsType[*kafkalog.WriteError](err); ok {
			request.Records = failed.Unwritten(request.Records)
		}
		if err == nil {
			o.noteWritten(kind, attempt)
			return nil
		}
		if err := o.writeFailed(ctx, kind, attempt, len(request.Records), err); err != nil {
			return err
		}
	}
}

// topicOf returns the name of a topic, whether its last write failed, and the trouble
// of which that is a sign.
func (o *owner) topicOf(kind string) (topic string, failing *atomic.Bool, trouble Trouble) {
	switch kind {
	case topicDeadLetter:
		return o.c.cfg.DeadLetterTopic, &o.deadLetterFailing, TroubleDeadLetters
	case topicByRequest:
		return o.c.cfg.ByRequest, &o.byRequestFailing, TroubleByRequest
	}
	return o.c.cfg.StateTopic, &o.stateFailing, TroubleState
}

// noteWritten notes the success of a write after so many failed attempts.
func (o *owner) noteWritten(kind string, attempts int) {
	if attempts > 0 {
		topic, failing, trouble := o.topicOf(kind)
		failing.Store(false)
		o.causes.clear(trouble)
		o.log.Debug("the topic can be written again", "topic", topic)
	}
}

// writeFailed notes that records could not be written, and waits until the write is to
// be tried again. It fails when ctx ends.
func (o *owner) writeFailed(ctx context.Context, kind string, attempt, records int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	topic, failing, trouble := o.topicOf(kind)
	failing.Store(true)
	o.causes.note(trouble, err)
	o.c.metrics.writeFailures.WithLabelValues(kind).Inc()
	o.log.Debug("could not write; events wait until it is possible", "topic", topic, "records", records, "error", err)
	return pause(ctx, attempt)
}
