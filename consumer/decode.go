package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
)

// Input is a record of the source topic as a [Decoder] receives it. Its memory
// is valid only during the call.
type Input struct {
	Topic      string
	Partition  int32
	Offset     int64
	Timestamp  time.Time
	Key, Value []byte
	Headers    []kafka.Header
}

// Decoder turns records into events. It is safe for concurrent use. A call has
// one of three results:
//
//   - events: those appended to dst, in order; none if the record is to be
//     skipped. The record is done when all of them are.
//   - a fault: the record is invalid and becomes a dead letter.
//   - an error: the record can't be decoded now, for example because a schema
//     registry is unreachable. It is decoded again later, and nothing behind it
//     in its partition is processed before. It never becomes a dead letter.
//
// Records without a value are skipped and do not reach the decoder. A panic
// makes the record a dead letter.
type Decoder interface {
	Decode(ctx context.Context, in *Input, dst []*event.Event) ([]*event.Event, *event.Fault, error)
}

// JSON returns the decoder of records whose value is one event in JSON.
func JSON(v event.Version) Decoder { return jsonDecoder{v} }

type jsonDecoder struct{ version event.Version }

func (d jsonDecoder) Decode(_ context.Context, in *Input, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	e, fault := event.Decode(in.Value, d.version)
	if fault != nil {
		return nil, fault, nil
	}
	return append(dst, e), nil, nil
}

// safely turns a panic over a record into a fault: one record must not end the
// process, nor be read again for ever.
func safely(decode func() ([]*event.Event, *event.Fault, error)) (events []*event.Event, fault *event.Fault, err error) {
	defer func() {
		if p := recover(); p != nil {
			events, err = nil, nil
			fault = &event.Fault{
				Reason: event.ReasonPoison,
				Detail: fmt.Sprintf("decoding the record failed inside the program (%T): please report this record as a bug", p),
			}
		}
	}()
	return decode()
}

// decode decodes a record once. The events share memory with those of the call
// before.
func (o *owner) decode(ctx context.Context, r *record) (events []*event.Event, fault *event.Fault, err error) {
	if o.c.beforeDecode != nil {
		o.c.beforeDecode(r)
	}
	if len(r.Value) == 0 {
		return nil, nil, nil
	}
	o.input = Input{
		Topic: o.c.cfg.Topic, Partition: o.partition.ID(), Offset: r.Offset, Timestamp: r.Time,
		Key: r.Key, Value: r.Value, Headers: r.Headers,
	}
	events, fault, err = safely(func() ([]*event.Event, *event.Fault, error) {
		return o.c.cfg.Decoder.Decode(ctx, &o.input, o.events[:0])
	})
	o.input = Input{} // it would keep the memory of its fetch
	if events != nil {
		o.events = events
	}
	return events, fault, err
}

// retryDecoding calls decode, which failed with err, until it succeeds. It
// fails only when ctx ends.
func (o *owner) retryDecoding(ctx context.Context, offset int64, err error, decode func() error) error {
	o.undecoded.Store(true)
	defer o.causes.clear(TroubleDecode)
	defer o.undecoded.Store(false)
	for attempt := 0; err != nil; attempt++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		o.causes.note(TroubleDecode, err)
		o.log.Debug("could not decode a record; the partition waits for it", "offset", offset, "error", err)
		o.beat()
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		err = decode()
	}
	o.log.Debug("decoded the record", "offset", offset)
	return nil
}
