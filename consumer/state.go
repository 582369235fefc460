package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// restore reads what was reported from this partition within the window.
//
// It reads to the end as it was after the partition became ours: what the owner
// before wrote is all before that. Reading "until nothing comes" would miss
// what is merely late. Positions are compared, not counts, since compaction
// leaves holes.
func (o *owner) restore(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		o.moves()
		err := o.readState(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if _, ok := errors.AsType[*stateError](err); ok {
			return err
		}
		o.log.Warn("could not read the state topic; trying again, and taking no records until it is read",
			"topic", o.cfg.StateTopic, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// renewal is how often a partition's owner notes that it is still there, so that
// the note is among what the next one reads.
func renewal(window time.Duration) time.Duration { return max(10*time.Minute, window/8) }

// renew repeats the note of this session until ctx ends.
func (o *owner) renew(ctx context.Context) {
	tick := time.NewTicker(renewal(o.cfg.Rules.Window))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if o.restored.Load() {
				_ = o.note(ctx, session{poison: o.poison}) // it fails only when ctx ends
				o.renewPause(ctx)
			}
		}
	}
}

// stateError is a record of the state topic that can't be understood.
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

// restoreBytes is how much of the state is read at once. The partitions read theirs
// at the same time.
const restoreBytes = 512 << 10

func (o *owner) readState(ctx context.Context) error {
	topic, id := o.cfg.StateTopic, o.partition.id
	_, end, err := o.kafka.Offsets(ctx, topic, id)
	if err != nil {
		return err
	}
	position, err := o.kafka.OffsetAt(ctx, topic, id, time.Now().Add(-o.cfg.Rules.Window-2*renewal(o.cfg.Rules.Window)))
	if err != nil {
		return err
	}
	began, from := time.Now(), position
	foreign := foreignRecords{}
	progress := o.metrics.restoring.WithLabelValues(partitionLabel(id))
	var batch *kafkalog.Batch
	for position < end {
		o.moves()
		o.remaining.Store(end - position)
		progress.Set(float64(end - position))
		batch, err = o.kafka.Fetch(ctx, kafkalog.FetchRequest{
			Topic: topic, Partition: id, Offset: position, MaxBytes: restoreBytes, MaxWait: fetchWait, Reuse: batch,
		})
		if errors.Is(err, kafka.OffsetOutOfRange) {
			// The broker has deleted the oldest records meanwhile.
			if position, _, err = o.kafka.Offsets(ctx, topic, id); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if err := o.remember(batch, foreign); err != nil {
			return err
		}
		position = batch.NextOffset
	}
	if err := foreign.first(); err != nil {
		return err
	}
	o.remaining.Store(0)
	progress.Set(0)
	if end > from {
		o.log.Info("state read", "records", end-from, "ids", o.partition.known(), "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// foreignRecords are those of kinds that this version does not know, by their key, as
// long as nothing deletes them. A newer version wrote them, and whoever goes back from
// it deletes them first; the broker may show them for as long as it has not compacted.
type foreignRecords map[string]*stateError

// maxForeign bounds how many are kept in the hope that they are deleted further on.
const maxForeign = 1000

// first is the first of those that stand.
func (f foreignRecords) first() error {
	if len(f) == 0 {
		return nil
	}
	return slices.MinFunc(slices.Collect(maps.Values(f)), func(a, b *stateError) int { return cmp.Compare(a.offset, b.offset) })
}

// remember takes state records into the index.
func (o *owner) remember(batch *kafkalog.Batch, foreign foreignRecords) error {
	p := o.partition
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range batch.Records {
		r := &batch.Records[i]
		switch {
		case len(r.Key) == 0:
			continue
		case r.Value == nil:
			if r.Key[0] == statePause {
				o.pausedSince.Store(0)
			}
			delete(foreign, string(r.Key))
			continue
		}
		var err error
		switch r.Key[0] {
		case stateReported:
			var k key
			var e entry
			if k, e, err = parseEntry(r.Key, r.Value, r.Time); err == nil {
				p.index.put(k, e)
			}
		case stateSession:
			var s session
			if s, err = parseSession(r.Value); err == nil {
				o.previous = &s
			}
		case statePause:
			var since time.Time
			if since, err = parsePause(r.Value); err == nil {
				o.pausedSince.Store(since.UnixMilli())
			}
		default:
			unknown := fmt.Errorf("a record of kind %q, which this version does not know: was it written by a newer one?", r.Key[0])
			foreign[string(r.Key)] = &stateError{o.cfg.StateTopic, p.id, r.Offset, unknown}
			if len(foreign) > maxForeign {
				return foreign.first()
			}
		}
		if err != nil {
			return &stateError{o.cfg.StateTopic, p.id, r.Offset, err}
		}
	}
	return nil
}

// maxStateRecords is how many reported events one write holds at the most.
const maxStateRecords = 4000

// writeState writes down what was reported, until ctx ends. One write is under
// way at a time; what is reported meanwhile goes with the next, so the writes
// are as large as the load makes them.
func (o *owner) writeState(ctx context.Context) {
	var marks []mark
	var records stateRecords
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.partition.markSignal:
		}
		marks = o.partition.takeMarks(marks)
		for chunk := range slices.Chunk(marks, maxStateRecords) {
			o.writeMarks(ctx, chunk, records.of(chunk))
		}
		clear(marks) // they keep their items
	}
}

// stateRecords makes the records of marks, in memory that it uses again.
type stateRecords struct {
	records []kafkalog.Record
	bytes   []byte
}

func (s *stateRecords) of(marks []mark) []kafkalog.Record {
	s.records, s.bytes = s.records[:0], slices.Grow(s.bytes[:0], len(marks)*maxStateBytes)
	for i := range marks {
		m := &marks[i]
		begin := len(s.bytes)
		s.bytes = appendStateKey(s.bytes, m.item.key)
		middle := len(s.bytes)
		s.bytes = appendEntry(s.bytes, m.entry)
		s.records = append(s.records, kafkalog.Record{Key: s.bytes[begin:middle:middle], Value: s.bytes[middle:len(s.bytes):len(s.bytes)], Time: m.entry.reported})
	}
	return s.records
}

func (o *owner) writeMarks(ctx context.Context, marks []mark, records []kafkalog.Record) {
	began := time.Now()
	if err := o.write(ctx, topicState, o.cfg.StateTopic, o.partition.id, records); err == nil {
		o.metrics.stateSeconds.Observe(time.Since(began).Seconds())
		o.partition.marked(marks)
	}
	// Written or given up: either way they are not in flight here any more.
	o.sink.Settle(len(marks))
}

// write appends records and tries until the broker has them or ctx ends. There
// is nothing else to do when it can't be: nothing may be forgotten, so
// everything waits, and says so.
func (o *owner) write(ctx context.Context, kind, topic string, partition int32, records []kafkalog.Record) error {
	failing := &o.noState
	if kind == topicDeadLetter {
		failing = &o.noLetters
	}
	for attempt := 0; ; attempt++ {
		o.moves()
		_, err := o.kafka.Append(ctx, topic, partition, records)
		if err == nil {
			if attempt > 0 {
				failing.Store(false)
				o.log.Info("the topic can be written again", "topic", topic)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failing.Store(true)
		o.metrics.writeFailures.WithLabelValues(kind).Inc()
		if attempt == 0 || attempt%20 == 0 {
			o.log.Error("could not write; events wait until it can be done", "topic", topic, "records", len(records), "error", err)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}
