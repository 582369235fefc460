package consumer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
)

// renewal returns how often a partition's owner repeats its session and pause
// records, so that the next owner finds them within the window that it reads.
func renewal(window time.Duration) time.Duration { return max(10*time.Minute, window/8) }

// renew repeats the session and pause records until ctx ends, and the session when there
// are dead letters for it.
func (o *owner) renew(ctx context.Context) {
	tick, look := time.NewTicker(renewal(o.c.cfg.Rules.Window)), time.NewTicker(deadLetteredInterval)
	defer tick.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if o.restored.Load() && o.intake.Err() == nil && o.deadLettered.unrecorded(o.partition.Watermark()) {
				_ = o.writeSession(ctx, session{poison: o.poison})
			}
			continue
		case <-tick.C:
		case <-o.renewNow:
		}
		if o.restored.Load() {
			_ = o.writeSession(ctx, session{poison: o.poison}) // it fails only when ctx ends
			o.renewPause(ctx)
		}
	}
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
		s.add(accepted[i].Key(), accepted[i].Entry())
	}
	return s.records
}

// ofKnown does the same with events that were reported before.
func (s *stateRecords) ofKnown(known []partition.Known) []kafkalog.Record {
	s.records, s.bytes = s.records[:0], slices.Grow(s.bytes[:0], len(known)*maxStateBytes)
	for i := range known {
		s.add(known[i].Key, &known[i].Entry)
	}
	return s.records
}

func (s *stateRecords) add(k partition.Key, e *partition.Entry) {
	begin := len(s.bytes)
	s.bytes = appendStateKey(s.bytes, k)
	middle := len(s.bytes)
	s.bytes = appendEntry(s.bytes, e)
	s.records = append(s.records, kafkalog.Record{
		Key: s.bytes[begin:middle:middle], Value: s.bytes[middle:len(s.bytes):len(s.bytes)], Time: e.Reported,
	})
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
	return o.append(ctx, topicState, o.stateRequest(records))
}

func (o *owner) stateRequest(records []kafkalog.Record) kafkalog.WriteRequest {
	return kafkalog.WriteRequest{Topic: o.c.cfg.StateTopic, Partition: o.partition.ID(), Records: records, Appended: o.appended.add}
}

// append writes records to a topic of the kind, and tries again until the broker has
// them. It fails only when ctx ends: nothing may be dropped, so everything waits
// meanwhile, and the status says so. It fails, too, if a partition of the internal topic
// no longer exists.
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
		if failed := o.writeFailed(ctx, kind, attempt, len(request.Records), err); failed != nil {
			return failed
		}
		if kind == topicByRequest && isLacking(err) {
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
		if kind == topicState {
			o.c.assignment.state.writable.set()
		}
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
	if kind == topicState {
		err = o.c.completeStateTopic(ctx, err)
	}
	failing.Store(true)
	o.causes.note(trouble, err)
	o.c.metrics.writeFailures.WithLabelValues(kind).Inc()
	o.log.Debug("could not write; events wait until it is possible", "topic", topic, "records", records, "error", err)
	return pause(ctx, attempt)
}
