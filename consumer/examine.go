package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
)

const (
	// examineSpan is how many records may have been in process when the owner
	// before was killed.
	examineSpan = 20_000
	// examineGroup is how many records are examined under one note. Each note is
	// a write, and every kill costs as many as it takes.
	examineGroup = 256
)

// examine looks for a record that kills. It runs when the owner before did not
// take its leave, and goes over the records that it may have had in process:
// a note of which records come next is written down, then those are decoded and
// encoded as they would be to report them. If that ends the process as well, the
// next owner finds the note, goes over those few one by one, and the one after
// it knows the record, which becomes a dead letter without being touched again.
//
// It costs a write for each group, so an ordinary kill costs a fraction of a
// second. (A panic is caught where it happens and needs none of this; what is
// meant here is what can't be caught, such as running out of memory.)
func (o *owner) examine(ctx context.Context, position int64) error {
	previous := o.previous
	if previous == nil || previous.clean {
		return o.note(ctx, session{})
	}
	for _, offset := range previous.poison {
		if offset >= position {
			o.poison = append(o.poison, offset)
		}
	}
	from, to, group := position, position+examineSpan, examineGroup
	switch suspects := previous.to - previous.from; {
	case suspects == 1 && previous.from >= position:
		o.log.Error("a record ended the process each time it was read: it becomes a dead letter", "offset", previous.from)
		o.poison = append(o.poison, previous.from)
	case suspects > 1 && previous.from >= position:
		from, to, group = previous.from, previous.to, 1
	}
	o.log.Info("the partition's last owner did not take its leave; looking for a record that may have ended it", "from", from)
	if err := o.examineRange(ctx, from, to, group); err != nil {
		return err
	}
	return o.note(ctx, session{poison: o.poison})
}

func (o *owner) examineRange(ctx context.Context, from, to int64, group int) error {
	_, end, err := o.offsets(ctx)
	if err != nil {
		return err
	}
	to = min(to, end)
	for attempt := 0; from < to; {
		o.moves()
		most, records := o.budget.fetch()
		batch, err := o.kafka.Fetch(ctx, kafkalog.FetchRequest{
			Topic: o.cfg.Topic, Partition: o.partition.id, Offset: from,
			MaxBytes: most, MaxMemory: most, MaxRecords: records, MaxWait: fetchWait, ReadCommitted: true,
		})
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// Whatever is wrong with the partition, the fetch loop deals with it.
			if attempt++; attempt > 3 {
				return nil
			}
			if err := pause(ctx, attempt); err != nil {
				return err
			}
			continue
		}
		if err := o.examineBatch(ctx, batch, to, group); err != nil {
			return err
		}
		from = max(batch.NextOffset, from+1)
	}
	return nil
}

func (o *owner) examineBatch(ctx context.Context, batch *kafkalog.Batch, to int64, group int) error {
	for records := range slices.Chunk(batch.Records, group) {
		first, last := records[0].Offset, records[len(records)-1].Offset
		if first >= to {
			return nil
		}
		if err := o.note(ctx, session{from: first, to: last + 1, poison: o.poison}); err != nil {
			return err
		}
		for i := range records {
			if !slices.Contains(o.poison, records[i].Offset) {
				o.rehearse(&records[i])
			}
		}
	}
	return nil
}

// rehearse does with a record what reporting it would do.
func (o *owner) rehearse(r *record) {
	if o.beforeDecode != nil {
		o.beforeDecode(r)
	}
	if it, fault := decode(r, o.cfg.Rules.Version, o.partition.id, nil); fault == nil && it.Event != nil {
		it.AppendRequest(nil, o.cfg.Rules.Version)
	}
}

// note writes down how this owner fares.
func (o *owner) note(ctx context.Context, s session) error {
	return o.write(ctx, topicState, o.cfg.StateTopic, o.partition.id, []kafkalog.Record{
		{Key: sessionKey, Value: s.value(), Time: time.Now()},
	})
}

func poisonFault() *event.Fault {
	return &event.Fault{
		Reason: event.ReasonPoison,
		Detail: "the process ended each time it read this record, so it was set aside unread",
	}
}
