package kafkalog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

// The bits of a batch's attributes.
const (
	compressionMask  = 0x07
	logAppendTimeBit = 0x08
	transactionalBit = 0x10
	controlBit       = 0x20
)

// maxDecompressed bounds what a compressed batch may become: a few kilobytes
// can be made to hold gigabytes of zeros.
const maxDecompressed = 128 << 20

// decode reads the batches of records from data, passing over those before
// offset and, of the aborted transactions, all.
func (b *Batch) decode(data []byte, offset int64, abortedOnes []aborted) error {
	slices.SortFunc(abortedOnes, func(a, b aborted) int { return cmp.Compare(a.first, b.first) })
	open := map[int64]bool{} // producers whose transaction here was aborted
	had := len(data)
	for len(data) >= batchHeaderSize {
		size := 12 + int64(binary.BigEndian.Uint32(data[batchLengthAt:]))
		if size > int64(len(data)) {
			break // the answer ends within a batch, as it may
		}
		batch := data[:size:size]
		data = data[size:]
		if err := b.decodeBatch(batch, offset, &abortedOnes, open); err != nil {
			return fmt.Errorf("batch at offset %d: %w", int64(binary.BigEndian.Uint64(batch)), err)
		}
	}
	if had > 0 && b.NextOffset == offset {
		return fmt.Errorf("%w: %d bytes and no whole batch", ErrCorrupt, had)
	}
	return nil
}

func (b *Batch) decodeBatch(batch []byte, offset int64, abortedOnes *[]aborted, open map[int64]bool) error {
	if len(batch) < batchHeaderSize {
		return fmt.Errorf("%w: a batch of %d bytes", ErrCorrupt, len(batch))
	}
	if magic := batch[batchMagicAt]; magic != batchMagic {
		return fmt.Errorf("%w: record format %d: want %d (log.message.format.version 0.11 or newer)", ErrCorrupt, magic, batchMagic)
	}
	be := binary.BigEndian
	if want, got := be.Uint32(batch[batchCRCAt:]), crc32.Checksum(batch[batchAttributesAt:], castagnoli); want != got {
		return fmt.Errorf("%w: its checksum is %08x and should be %08x", ErrCorrupt, got, want)
	}
	base := int64(be.Uint64(batch))
	attributes := be.Uint16(batch[batchAttributesAt:])
	last := base + int64(int32(be.Uint32(batch[batchLastDeltaAt:])))
	producer := int64(be.Uint64(batch[batchProducerAt:]))
	if last+1 <= offset {
		return nil // the broker begins at a batch's start, not at the offset
	}
	b.NextOffset = last + 1
	for len(*abortedOnes) > 0 && (*abortedOnes)[0].first <= last {
		open[(*abortedOnes)[0].producer] = true
		*abortedOnes = (*abortedOnes)[1:]
	}
	if attributes&controlBit != 0 {
		// A marker ends the producer's transaction, whichever way.
		delete(open, producer)
		return nil
	}
	if attributes&transactionalBit != 0 && open[producer] {
		return nil
	}
	records, err := decompress(batch[batchHeaderSize:], compress.Compression(attributes&compressionMask))
	if err != nil {
		return err
	}
	times := batchTimes{
		first:  int64(be.Uint64(batch[batchFirstTimeAt:])),
		append: int64(be.Uint64(batch[batchMaxTimeAt:])),
		byLog:  attributes&logAppendTimeBit != 0,
	}
	return b.decodeRecords(records, int(int32(be.Uint32(batch[batchCountAt:]))), base, offset, times)
}

type batchTimes struct {
	first, append int64
	byLog         bool
}

func (t batchTimes) of(delta int64) time.Time {
	if t.byLog {
		return time.UnixMilli(t.append)
	}
	return time.UnixMilli(t.first + delta)
}

func decompress(data []byte, c compress.Compression) ([]byte, error) {
	if c == compress.None {
		return data, nil
	}
	codec := c.Codec()
	if codec == nil {
		return nil, fmt.Errorf("%w: unknown compression %d", ErrCorrupt, c)
	}
	from := codec.NewReader(bytes.NewReader(data))
	defer from.Close()
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(from, maxDecompressed+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, codec.Name(), err)
	case n > maxDecompressed:
		return nil, fmt.Errorf("%w: %s: more than %d bytes when decompressed", ErrCorrupt, codec.Name(), maxDecompressed)
	}
	return out.Bytes(), nil
}

func (b *Batch) decodeRecords(data []byte, count int, base, offset int64, times batchTimes) error {
	const leastRecord = 7
	if count < 0 || count > len(data)/leastRecord {
		return fmt.Errorf("%w: %d records in %d bytes", ErrCorrupt, count, len(data))
	}
	b.Records = slices.Grow(b.Records, count)
	r := &reader{b: data}
	for range count {
		record := &reader{b: r.nullable()}
		record.skip(1) // attributes: none are defined
		delta := record.varint()
		at := base + record.varint()
		rec := Record{Offset: at, Time: times.of(delta), Key: record.nullable(), Value: record.nullable()}
		headers := record.varint()
		if headers < 0 || headers > int64(len(record.b)) {
			record.err = errShort
		}
		if headers > 0 && record.err == nil {
			rec.Headers = make([]kafka.Header, 0, headers)
			for range headers {
				rec.Headers = append(rec.Headers, kafka.Header{Key: string(record.nullable()), Value: record.nullable()})
			}
		}
		if r.err != nil || record.err != nil {
			return fmt.Errorf("%w: record at offset %d: %w", ErrCorrupt, at, errShort)
		}
		if at >= offset {
			b.Records = append(b.Records, rec)
		}
	}
	return nil
}
