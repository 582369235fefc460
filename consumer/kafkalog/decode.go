package kafkalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/compress"
)

// The bits of a batch's attributes.
const (
	compressionMask  = 0x07
	logAppendTimeBit = 0x08
	transactionalBit = 0x10
	controlBit       = 0x20
)

// decoder reads the records of one answer into a batch. Uncompressed records are not
// copied.
type decoder struct {
	ctx     context.Context // of waiting for memory
	batch   *Batch
	from    int64
	aborted []abortedTxn // in the order in which they began
	open    []int64      // producers that are in an aborted transaction here
	unpack  *unpacker
	loan    *loan
	turn    turn
	hasTurn bool
	// share is the memory of a piece of a large batch, most is the number of records
	// after which no further batch is read, and maxRecord bounds one record's bytes.
	share           int64
	most, maxRecord int
	// shared is true if records lie in the answer itself.
	shared bool
	// packed and unpacked count the bytes that were decompressed so far.
	packed, unpacked int
	// at is the offset of the batch that is being read. next is the offset after the
	// last record of it that was read.
	at, next int64
	// need is how much more memory errNoRoom asks for.
	need int64
}

const panicked = "reading it failed"

var (
	// errCut ends an answer before its end: the memory is used up.
	errCut = errors.New("the rest is for the next fetch")
	// errNoRoom means that decoder.need more bytes are needed.
	errNoRoom = errors.New("more memory is needed")
)

// decode reads batches until it has read all, or has used its memory. After a fault,
// the batch holds the records before it.
func (d *decoder) decode(data []byte) (err error) {
	d.at = d.from
	good := len(d.batch.Records)
	defer func() {
		d.endTurn()
		// Everything below is checked against the bytes that are there. Should
		// a check be missing, it is still the data's fault and no reason to
		// end the process.
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", panicked, p)
		}
		if err != nil {
			d.batch.Records = d.batch.Records[:good]
		}
	}()
	had, some := len(data), false
	for {
		h, ok, err := d.nextBatch(data)
		if err != nil {
			return err
		}
		if !ok {
			break // the answer may end within a batch
		}
		if some && h.base < d.batch.NextOffset {
			return fmt.Errorf("it follows one that ends at %d", d.batch.NextOffset-1)
		}
		if some && d.isTooMuch(h) {
			d.batch.Cut = true
			break
		}
		data = data[h.size:]
		if h.last >= d.from {
			if done, err := d.readBatch(h, len(data)); done || err != nil {
				return err
			}
			some, good = true, len(d.batch.Records)
		}
		d.batch.Wire += h.size
		if d.hasTurn { // others wait for it
			d.batch.Cut = len(data) > 0
			break
		}
	}
	if had > 0 && !some {
		return fmt.Errorf("%d bytes contain no whole batch of records at or after offset %d", had, d.from)
	}
	return nil
}

// readBatch reads a batch, or as much of it as there is memory for, after which the
// answer is done.
func (d *decoder) readBatch(h batchHeader, following int) (done bool, err error) {
	d.next = 0
	err = d.read(h, following)
	switch {
	case err == nil:
		d.batch.NextOffset = h.last + 1
		return false, nil
	case !errors.Is(err, errCut):
		return false, err
	}
	d.batch.Cut = true
	d.batch.NextOffset = max(d.batch.NextOffset, d.next)
	d.batch.Wire += h.size // of which the rest will be fetched again
	return true, nil
}

// isTooMuch reports whether the next batch would need more memory than there is, as
// far as can be told before it is decompressed.
func (d *decoder) isTooMuch(h batchHeader) bool {
	need := h.count * recordCost
	if h.compression() != compress.None {
		need += d.ratio(len(h.body))
	}
	return int64(need) > d.loan.free() || len(d.batch.Records)+h.count > d.most
}

// wanted is how many bytes of batches like h may follow it.
func (d *decoder) wanted(h batchHeader) int {
	records := d.most - len(d.batch.Records) - h.count
	if records <= 0 || h.count == 0 {
		return 0
	}
	return int(min(math.MaxInt32, float64(h.size)*float64(records)/float64(h.count)))
}

// batchHeader is the part of a batch before its records, or of a message of an old
// format before its key.
type batchHeader struct {
	format     byte
	base, last int64
	size       int // of the whole batch
	attributes uint16
	firstTime  int64
	maxTime    int64
	producer   int64
	count      int
	body       []byte
}

func (h *batchHeader) has(bit uint16) bool { return h.attributes&bit != 0 }

func (h *batchHeader) compression() compress.Compression {
	return compress.Compression(h.attributes & compressionMask)
}

// time returns a record's time.
func (h *batchHeader) time(delta int64) time.Time {
	ms := h.firstTime + delta
	if h.has(logAppendTimeBit) {
		ms = h.maxTime
	}
	return timeOf(ms)
}

func timeOf(ms int64) time.Time {
	const none = -1
	if ms == none {
		return time.Time{}
	}
	return time.UnixMilli(min(max(ms, earliest), latest))
}

// A producer may write any time, and JSON and RFC 3339 have only the years 0 to 9999,
// in whatever zone: others are taken for the nearest of these, in milliseconds.
var (
	earliest = time.Date(0, time.January, 2, 0, 0, 0, 0, time.UTC).UnixMilli()
	latest   = time.Date(9999, time.December, 30, 0, 0, 0, 0, time.UTC).UnixMilli()
)

// nextBatch reads a header and verifies the batch's checksum. It is not ok where
// less than a batch is left.
func (d *decoder) nextBatch(data []byte) (h batchHeader, ok bool, err error) {
	if len(data) <= batchMagicAt {
		return h, false, nil
	}
	be := binary.BigEndian
	h.base = int64(be.Uint64(data))
	d.at = h.base
	size := int64(int32(be.Uint32(data[batchLengthAt:]))) + beforeLength
	least := int64(batchHeaderSize)
	switch h.format = data[batchMagicAt]; h.format {
	case batchMagic:
	case 0, 1:
		least = legacyLeast
	default:
		return h, false, fmt.Errorf("its record format is %d, which is not known", h.format)
	}
	if size < least {
		return h, false, fmt.Errorf("its header claims %d bytes", size)
	}
	if size > int64(len(data)) {
		return h, false, nil
	}
	h.size = int(size)
	data = data[:size:size]
	if h.format < batchMagic {
		err = h.readLegacy(data)
	} else {
		err = h.read(data)
	}
	return h, err == nil, err
}

// read reads the header of a batch of format 2.
func (h *batchHeader) read(data []byte) error {
	be := binary.BigEndian
	if want, got := be.Uint32(data[batchCRCAt:]), crc32.Checksum(data[batchAttributesAt:], castagnoli); want != got {
		return fmt.Errorf("its checksum is %08x and should be %08x", got, want)
	}
	h.attributes = be.Uint16(data[batchAttributesAt:])
	lastDelta := int32(be.Uint32(data[batchLastDeltaAt:]))
	h.firstTime = int64(be.Uint64(data[batchFirstTimeAt:]))
	h.maxTime = int64(be.Uint64(data[batchMaxTimeAt:]))
	h.producer = int64(be.Uint64(data[batchProducerAt:]))
	h.count = int(int32(be.Uint32(data[batchCountAt:])))
	h.body = data[batchHeaderSize:]
	if h.base < 0 || lastDelta < 0 || h.base > math.MaxInt64-1-int64(lastDelta) {
		return fmt.Errorf("its offsets are %d and %d after that", h.base, lastDelta)
	}
	h.last = h.base + int64(lastDelta)
	// Fewer records than offsets are the result of compaction, down to none.
	if h.count < 0 || int64(h.count) > int64(lastDelta)+1 {
		return fmt.Errorf("its header claims %d records in %d offsets", h.count, int64(lastDelta)+1)
	}
	return nil
}

// read decides whether a batch is for the reader, and reads its records, like Kafka's
// own consumer (CompletedFetch in the Java client).
func (d *decoder) read(h batchHeader, following int) error {
	if h.format < batchMagic {
		return d.readMessage(h, following)
	}
	for len(d.aborted) > 0 && d.aborted[0].first <= h.last {
		d.open = append(d.open, d.aborted[0].producer)
		d.aborted = d.aborted[1:]
	}
	if h.has(controlBit) {
		return d.readControl(h)
	}
	if h.has(transactionalBit) && slices.Contains(d.open, h.producer) {
		return nil
	}
	return d.readRecords(h, following)
}

// readControl reads a marker, which ends a transaction.
func (d *decoder) readControl(h batchHeader) error {
	if h.count == 0 {
		return nil // compacted away
	}
	r := reader{b: h.body}
	r.varint() // size
	r.skip(1)  // attributes
	r.varint() // time
	r.varint() // offset
	key := reader{b: r.nullable()}
	key.skip(2) // version
	kind := key.int16()
	if r.bad || key.bad {
		return fmt.Errorf("its control record: %w", errShort)
	}
	const abort = 0
	if kind == abort {
		d.open = slices.DeleteFunc(d.open, func(producer int64) bool { return producer == h.producer })
	}
	return nil
}

var errShort = errors.New("it ends too early")
