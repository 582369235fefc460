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
	// beforeLength is what a batch's length does not count.
	beforeLength = 12
)

// batchSize is how many bytes appendBatch writes.
func batchSize(records []Record, now time.Time) int {
	base := millis(&records[0], now)
	size := batchHeaderSize
	for i := range records {
		n := recordSize(&records[i], millis(&records[i], now)-base, int64(i))
		size += varintSize(int64(n)) + n
	}
	return size
}

// appendBatch writes records as one batch, uncompressed: state records are
// mostly hashes, which do not get smaller.
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
	be.PutUint32(h[batchLengthAt:], uint32(len(h)-beforeLength))
	be.PutUint32(h[batchEpochAt:], math.MaxUint32) // leader epoch: none
	h[batchMagicAt] = batchMagic
	be.PutUint32(h[batchLastDeltaAt:], uint32(len(records)-1))
	be.PutUint64(h[batchFirstTimeAt:], uint64(base))
	be.PutUint64(h[batchMaxTimeAt:], uint64(last))
	be.PutUint64(h[batchProducerAt:], math.MaxUint64) // no producer id,
	be.PutUint16(h[batchProducerAt+8:], math.MaxUint16)
	be.PutUint32(h[batchProducerAt+10:], math.MaxUint32) // epoch and sequence
	be.PutUint32(h[batchCountAt:], uint32(len(records)))
	be.PutUint32(h[batchCRCAt:], crc32.Checksum(h[batchAttributesAt:], castagnoli))
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
		nullableSize(r.Key) + nullableSize(r.Value) + varintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		size += varintSize(int64(len(h.Key))) + len(h.Key) + nullableSize(h.Value)
	}
	return size
}

func appendRecord(b []byte, r *Record, timeDelta, offsetDelta int64) []byte {
	b = binary.AppendVarint(b, int64(recordSize(r, timeDelta, offsetDelta)))
	b = append(b, 0) // attributes
	b = binary.AppendVarint(b, timeDelta)
	b = binary.AppendVarint(b, offsetDelta)
	b = appendNullable(b, r.Key)
	b = appendNullable(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
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
