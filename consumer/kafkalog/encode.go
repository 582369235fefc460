package kafkalog

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Positions in a record batch of format 2, the only one since Kafka 0.11
// (kafka.apache.org/documentation/#recordbatch).
const (
	batchLengthAt     = 8
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
)

// sizePrefix is the length that stands before a record set in a request; the
// library expects it of us.
const sizePrefix = 4

// encodeRecordSet writes records as one batch, uncompressed, with its length.
func encodeRecordSet(records []Record) []byte {
	size := sizePrefix + batchHeaderSize
	for i := range records {
		size += 48 + len(records[i].Key) + len(records[i].Value)
		for _, h := range records[i].Headers {
			size += 8 + len(h.Key) + len(h.Value)
		}
	}
	set := make([]byte, sizePrefix+batchHeaderSize, size)
	set = appendRecords(set, records)
	binary.BigEndian.PutUint32(set, uint32(len(set)-sizePrefix))
	fillHeader(set[sizePrefix:], records)
	return set
}

func appendRecords(b []byte, records []Record) []byte {
	var room []byte
	for i := range records {
		delta := records[i].Time.UnixMilli() - records[0].Time.UnixMilli()
		room = appendRecord(room[:0], &records[i], delta, int64(i))
		b = binary.AppendVarint(b, int64(len(room)))
		b = append(b, room...)
	}
	return b
}

// fillHeader writes the header of the batch b, whose records are in place.
func fillHeader(b []byte, records []Record) {
	base, last := int64(0), int64(0)
	if len(records) > 0 {
		base = records[0].Time.UnixMilli()
	}
	for i := range records {
		last = max(last, records[i].Time.UnixMilli())
	}
	be := binary.BigEndian
	be.PutUint32(b[batchLengthAt:], uint32(len(b)-12))
	be.PutUint32(b[12:], 0xFFFFFFFF) // leader epoch: none
	b[batchMagicAt] = batchMagic
	be.PutUint16(b[batchAttributesAt:], 0)
	be.PutUint32(b[batchLastDeltaAt:], uint32(len(records)-1))
	be.PutUint64(b[batchFirstTimeAt:], uint64(base))
	be.PutUint64(b[batchMaxTimeAt:], uint64(last))
	be.PutUint64(b[batchProducerAt:], 0xFFFFFFFFFFFFFFFF) // producer id: none
	be.PutUint16(b[batchProducerAt+8:], 0xFFFF)
	be.PutUint32(b[batchProducerAt+10:], 0xFFFFFFFF)
	be.PutUint32(b[batchCountAt:], uint32(len(records)))
	be.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli))
}

func appendRecord(b []byte, r *Record, timeDelta, offsetDelta int64) []byte {
	b = append(b, 0) // attributes
	b = binary.AppendVarint(b, timeDelta)
	b = binary.AppendVarint(b, offsetDelta)
	b = appendNullable(b, r.Key)
	b = appendNullable(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for _, h := range r.Headers {
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendNullable(b, h.Value)
	}
	return b
}

func appendNullable(b, value []byte) []byte {
	if value == nil {
		return binary.AppendVarint(b, -1)
	}
	b = binary.AppendVarint(b, int64(len(value)))
	return append(b, value...)
}
