package kafkalog

import (
	"context"
	"errors"
	"slices"

	"github.com/segmentio/kafka-go"
)

// Span reads a partition's records from Request.Offset to End, which is excluded.
type Span struct {
	Log     *Client
	Request FetchRequest
	End     int64
	// Room waits until there is memory for a fetch; nil does not wait.
	Room func(context.Context) error
}

// Remaining returns the number of offsets that are not read yet.
func (s *Span) Remaining() int64 { return max(0, s.End-s.Request.Offset) }

// Next fetches the next batch. It returns nil at the end. It passes over offsets
// that the broker has deleted meanwhile. After another error, Next may be called
// again. The caller releases the batch.
func (s *Span) Next(ctx context.Context) (*Batch, error) {
	for s.Remaining() > 0 {
		if s.Room != nil {
			if err := s.Room(ctx); err != nil {
				return nil, err
			}
		}
		batch, err := s.Log.Fetch(ctx, s.Request)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			first, _, offsetsErr := s.Log.Offsets(ctx, s.Request.Topic, s.Request.Partition)
			if offsetsErr == nil && first > s.Request.Offset {
				s.Request.Offset = first
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		s.Request.Offset = max(batch.NextOffset, s.Request.Offset)
		return batch, nil
	}
	return nil, nil
}

// Each calls do with the records of each batch, and with the offset behind them. It
// ends early where a fetch makes no progress: a producer's transaction is open there.
// The records keep their memory.
func (s *Span) Each(ctx context.Context, do func(records []Record, next int64) error) error {
	for {
		before := s.Remaining()
		batch, err := s.Next(ctx)
		if batch == nil || err != nil {
			return err
		}
		records := batch.Records
		if i := slices.IndexFunc(records, func(r Record) bool { return r.Offset >= s.End }); i >= 0 {
			records = records[:i]
		}
		if err := do(records, min(s.Request.Offset, s.End)); err != nil {
			return err
		}
		if s.Remaining() == before {
			return nil
		}
	}
}
