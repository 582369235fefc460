package kafkalog

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Positions in a record batch of format 2, the only one since Kafka 0.11
// (kafka.apache.org/documentation/#recordbatch).
const (
	batchLengthAt     = 8
	batchEpochAt      = 12
	batchMagicAt      = 16
	batchCRCAt        = 17
	batchAttributesAt = 21
	batchLastDeltaAt  = 23
	batchFirstTimeAt  = 27
	batchMaxTimeAt    = 35
	batchProducerAt   = 43
	batchCountAt      = 57
	batchHeaderSize   = 61
	batchMagic        = 2
	// beforeLength is the number of bytes that a batch's length does not count.
	beforeLength = 12
)

// BatchSize adds up the encoded size of an uncompressed batch, record by record, as
// the encoder makes it. The zero value is an empty batch. Records must have a Time:
// the size of another depends on when it is encoded.
type BatchSize struct {
	bytes, records int
	base           int64
}

// Bytes returns the size of the batch.
func (s *BatchSize) Bytes() int { return s.bytes }

// With returns the size that the batch would have with one more record.
func (s *BatchSize) With(r *Record) int { return s.with(r, r.Time.UnixMilli()) }

// Add adds a record and returns the size with it.
func (s *BatchSize) Add(r *Record) int { return s.add(r, r.Time.UnixMilli()) }

func (s *BatchSize) with(r *Record, ms int64) int {
	if s.records == 0 {
		return batchHeaderSize + framedSize(r, 0, 0)
	}
	return s.bytes + framedSize(r, ms-s.base, int64(s.records))
}

func (s *BatchSize) add(r *Record, ms int64) int {
	s.bytes = s.with(r, ms)
	if s.records == 0 {
		s.base = ms
	}
	s.records++
	return s.bytes
}

// framedSize is a record's size with the length before it.
func framedSize(r *Record, timeDelta, offsetDelta int64) int {
	n := recordSize(r, timeDelta, offsetDelta)
	return varintSize(int64(n)) + n
}

// batchSize is the number of bytes that appendBatch writes.
func batchSize(records []Record, now time.Time) int {
	var s BatchSize
	for i := range records {
		s.add(&records[i], millis(&records[i], now))
	}
	return s.bytes
}

// sealBatch sets a batch's length and checksum.
func sealBatch(b []byte) []byte {
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-beforeLength))
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli))
	return b
}

// appendBatch writes records as one batch, uncompressed.
func appendBatch(b []byte, records []Record, now time.Time) []byte {
	at := len(b)
	b = append(b, make([]byte, batchHeaderSize)...)
	base := millis(&records[0], now)
	last := base
	for i := range records {
		t := millis(&records[i], now)
		last = max(last, t)
		b = appendRecord(b, &records[i], t-base, int64(i))
	}
	h := b[at:]
	be := binary.BigEndian
	be.PutUint32(h[batchEpochAt:], math.MaxUint32) // leader epoch: none
	h[batchMagicAt] = batchMagic
	be.PutUint32(h[batchLastDeltaAt:], uint32(len(records)-1))
	be.PutUint64(h[batchFirstTimeAt:], uint64(base))
	be.PutUint64(h[batchMaxTimeAt:], uint64(last))
	be.PutUint64(h[batchProducerAt:], math.MaxUint64) // no producer id,
	be.PutUint16(h[batchProducerAt+8:], math.MaxUint16)
	be.PutUint32(h[batchProducerAt+10:], math.MaxUint32) // epoch and sequence
	be.PutUint32(h[batchCountAt:], uint32(len(records)))
	sealBatch(h)
	return b
}

func millis(r *Record, now time.Time) int64 {
	if r.Time.IsZero() {
		return now.UnixMilli()
	}
	return r.Time.UnixMilli()
}

// recordSize is the length that stands before a record.
func recordSize(r *Record, timeDelta, offsetDelta int64) int {
	const attributes = 1
	size := attributes + varintSize(timeDelta) + varintSize(offsetDelta) +
		nullableSize(r.Key) + nullableSize(r.Value) + varintSize(int64(r.headerCount()))
	if r.Encoded != nil {
		size += len(r.Encoded.Bytes)
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		size += varintSize(int64(len(h.Key))) + len(h.Key) + nullableSize(h.Value)
	}
	return size
}

func (r *Record) headerCount() int {
	if r.Encoded == nil {
		return len(r.Headers)
	}
	return r.Encoded.Count + len(r.Headers)
}

func appendRecord(b []byte, r *Record, timeDelta, offsetDelta int64) []byte {
	b = binary.AppendVarint(b, int64(recordSize(r, timeDelta, offsetDelta)))
	b = append(b, 0) // attributes
	b = binary.AppendVarint(b, timeDelta)
	b = binary.AppendVarint(b, offsetDelta)
	b = appendNullable(b, r.Key)
	b = appendNullable(b, r.Value)
	b = binary.AppendVarint(b, int64(r.headerCount()))
	if r.Encoded != nil {
		b = append(b, r.Encoded.Bytes...)
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendNullable(b, h.Value)
	}
	return b
}

// varintSize is how many bytes a zigzag varint takes.
func varintSize(v int64) int {
	return (bits.Len64(uint64(v<<1^v>>63)|1) + 6) / 7
}

func nullableSize(value []byte) int {
	if value == nil {
		return 1
	}
	return varintSize(int64(len(value))) + len(value)
}

func appendNullable(b, value []byte) []byte {
	if value == nil {
		return binary.AppendVarint(b, -1)
	}
	b = binary.AppendVarint(b, int64(len(value)))
	return append(b, value...)
}
