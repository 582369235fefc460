package consumer

import (
	"sync"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// spares are batches whose records are finished. Later fetches reuse their
// memory.
type spares struct {
	most int64 // bytes in all

	mu      sync.Mutex
	bytes   int64
	batches []*kafkalog.Batch
}

// Limits for spares; the garbage collector takes the others.
const (
	keptBatches    = 4
	keptBatchBytes = 2 << 20
)

// held returns the number of bytes in spares.
func (s *spares) held() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *spares) give(b *kafkalog.Batch) {
	if b == nil || b.Memory > keptBatchBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.batches) < keptBatches && s.bytes+b.Memory <= s.most {
		s.batches = append(s.batches, b)
		s.bytes += b.Memory
	}
}

// take returns a batch to fetch into; nil if there is none.
func (s *spares) take() *kafkalog.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.batches) - 1
	if last < 0 {
		return nil
	}
	b := s.batches[last]
	s.batches[last], s.batches = nil, s.batches[:last]
	s.bytes -= b.Memory
	return b
}
