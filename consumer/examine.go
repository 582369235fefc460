package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
)

const (
	// examineSpan is the number of records that may have been in process when the
	// previous owner was killed.
	examineSpan = 20_000
	// examineGroup is the number of records that are examined under one session
	// record. Each session record is a write, and each kill costs as many writes
	// as there are groups.
	examineGroup = 256
	// examineRetries is how often to retry a failed fetch. The fetch loop handles
	// lasting faults.
	examineRetries = 3
)

// examine looks for a record that kills the process. It runs if the previous
// owner did not close its session, and goes over the records that may have been
// in process: it writes which records come next, then fetches them, decodes them
// and encodes them as if to report them. If that ends the process as well, the next
// owner finds the session record and goes over those few records one by one. The
// owner after that knows the record, which becomes a dead letter without being
// touched again.
//
// If the fetch itself ends the process, no record can be named. The partition then
// waits before it tries again, so that the other partitions make progress.
//
// It costs one write for each group, so an ordinary kill costs a fraction of a
// second. (Panics are caught where they happen and need none of this. It is for
// what can't be caught, such as running out of memory.)
func (o *owner) examine(ctx context.Context, position int64) error {
	previous := o.previous
	if previous == nil || previous.state == sessionClosed {
		return o.writeSession(ctx, session{})
	}
	for _, offset := range previous.poison {
		if offset >= position {
			o.poison = append(o.poison, offset)
		}
	}
	from, to, group := position, position+examineSpan, examineGroup
	switch suspects := previous.to - previous.from; {
	case suspects == fetching && previous.from >= position:
		o.log.Error("reading the records at an offset ended the process; the partition waits before it tries again (docs/runbook.md)",
			"offset", previous.from, "wait", fetchKillWait)
		if err := o.rest(ctx, fetchKillWait); err != nil {
			return err
		}
		from, to, group = previous.from, previous.from+examineGroup, 1
	case suspects == 1 && previous.from >= position:
		o.log.Error("a record ended the process each time it was read: it becomes a dead letter", "offset", previous.from)
		o.poison = append(o.poison, previous.from)
	case suspects > 1 && previous.from >= position:
		from, to, group = previous.from, previous.to, 1
	}
	o.log.Info("the previous owner did not shut down cleanly; checking for a record that crashed it", "from", from)
	if err := o.examineRange(ctx, from, to, group); err != nil {
		return err
	}
	return o.writeSession(ctx, session{poison: o.poison})
}

func (o *owner) examineRange(ctx context.Context, from, to int64, group int) error {
	_, end, err := o.offsets(ctx)
	if err != nil {
		return err
	}
	records := kafkalog.Span{
		Log: o.c.kafka, Room: o.account.room, End: min(to, end),
		Request: o.c.budget.request(o.sourceRequest(from), o.account),
	}
	for failures := 0; ; {
		o.beat()
		before := records.Request.Offset
		if records.Remaining() > 0 {
			if err := o.noteFetch(ctx, before, group); err != nil {
				return err
			}
		}
		batch, err := records.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if failures++; failures > examineRetries {
				return nil
			}
			if err := pause(ctx, failures); err != nil {
				return err
			}
			continue
		case batch == nil:
			return nil
		case records.Request.Offset == before: // the rest belongs to an open transaction
			if failures++; failures > examineRetries {
				return nil
			}
		}
		err = o.examineBatch(ctx, batch, to, group)
		batch.Release()
		if err != nil {
			return err
		}
	}
}

// fetching is to less from in the session record of an owner that was fetching the
// records at from, of which one is known to end the process.
const fetching = -1

// fetchKillWait is how long a partition waits after a fetch has ended the process
// twice.
const fetchKillWait = 5 * time.Minute

// noteFetch writes that the records at an offset are being fetched.
func (o *owner) noteFetch(ctx context.Context, from int64, group int) error {
	s := session{from: from, to: from + int64(group), poison: o.poison}
	if group == 1 {
		s.to = from + fetching
	}
	return o.writeSession(ctx, s)
}

func (o *owner) examineBatch(ctx context.Context, batch *kafkalog.Batch, to int64, group int) error {
	for records := range slices.Chunk(batch.Records, group) {
		first, last := records[0].Offset, records[len(records)-1].Offset
		if first >= to {
			return nil
		}
		if err := o.writeSession(ctx, session{from: first, to: last + 1, poison: o.poison}); err != nil {
			return err
		}
		for i := range records {
			if slices.Contains(o.poison, records[i].Offset) || o.deadLettered.has(records[i].Offset) || records[i].Encoded != nil {
				continue
			}
			if err := o.tryRecord(ctx, &records[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// tryRecord does with a record what reporting it would do. It fails only when
// ctx ends.
func (o *owner) tryRecord(ctx context.Context, r *record) error {
	try := func() error {
		events, fault, err := o.decode(ctx, r)
		if err == nil && fault == nil {
			for _, e := range events {
				e.AppendRequest(nil, o.c.cfg.Version)
			}
		}
		return err
	}
	if err := try(); err != nil {
		return o.retryDecoding(ctx, r.Offset, err, try)
	}
	return nil
}

// writeSession writes the owner's session record. The first time, it fails if another
// group has a session before it. Once one is closed, none is written.
func (o *owner) writeSession(ctx context.Context, s session) error {
	select {
	case o.sessions <- struct{}{}:
		defer func() { <-o.sessions }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if o.closed {
		return nil
	}
	claimed := o.claimed.Load()
	if !claimed && o.c.beforeClaim != nil {
		o.c.beforeClaim()
	}
	_, s.group = o.c.configured()
	s.unproven = o.c.cfg.Ownership.Unproven().Of(o.partition.ID())
	done := o.finishedNow()
	s.deadLettered = o.deadLettered.take(done.offset)
	err := o.write(ctx, []kafkalog.Record{
		{Key: o.sessionKey(), Value: s.value(), Headers: append(s.headers(), done.headers()...), Time: time.Now()},
	})
	o.closed = err == nil && s.state == sessionClosed
	if err == nil && !claimed {
		err = o.claim(ctx)
	}
	return err
}

// sessionKey returns the key of the owner's session.
func (o *owner) sessionKey() []byte {
	if o.c.forwards() {
		return firstSessionKey
	}
	return sessionKey
}

func poisonFault() *event.Fault {
	return &event.Fault{
		Reason: event.ReasonPoison,
		Detail: "the process ended each time it read this record, so it was set aside unread",
	}
}
