package kafkalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
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

// What a record and a header take in memory beside their bytes, which are not
// copied.
const (
	recordCost = 104
	headerCost = 40
)

// decoder reads the records of one answer into a batch. The answer's memory is
// not copied.
type decoder struct {
	batch   *Batch
	from    int64
	aborted []abortedTxn // in the order in which they began
	open    []int64      // producers that are in an aborted transaction here
	unpack  *unpacker
	// room is what the answer may still take in memory, and most how many
	// records. They may be passed by one batch, which is bounded by itself.
	room, most int
	// shared says that records lie in the answer itself.
	shared bool
	// packed and unpacked count what was decompressed so far.
	packed, unpacked int
	// at is the offset of the batch that is being read.
	at int64
}

const panicked = "reading it failed"

// decode reads batches until it has read all, or has taken enough memory. After
// a fault, the batch holds what came before.
func (d *decoder) decode(data []byte) (err error) {
	d.at = d.from
	good := len(d.batch.Records)
	defer func() {
		// Everything below is checked against the bytes that are there. Should
		// a check be missing, it is still the data's fault and not a reason to
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
			break // the answer ends within a batch, as it may
		}
		if some && h.base < d.batch.NextOffset {
			return fmt.Errorf("it follows one that ends at %d", d.batch.NextOffset-1)
		}
		if some && d.isTooMuch(h) {
			d.batch.Cut = true
			break
		}
		data = data[h.size:]
		d.batch.Wire += h.size
		if h.last >= d.from {
			if err := d.read(h, len(data)); err != nil {
				return err
			}
			d.batch.NextOffset, some = h.last+1, true
			good = len(d.batch.Records)
		}
	}
	if had > 0 && !some {
		return fmt.Errorf("%d bytes came, and in them no whole batch of records at or after offset %d", had, d.from)
	}
	return nil
}

// isTooMuch says whether the next batch would pass what may be taken, as far as
// can be told before it is decompressed.
func (d *decoder) isTooMuch(h batchHeader) bool {
	need := h.count * recordCost
	if h.compression() != compress.None {
		need += d.ratio(len(h.body))
	}
	return need > d.room || len(d.batch.Records)+h.count > d.most
}

// wanted is how many bytes of batches like h may follow it.
func (d *decoder) wanted(h batchHeader) int {
	records := d.most - len(d.batch.Records) - h.count
	if records <= 0 || h.count == 0 {
		return 0
	}
	return int(min(math.MaxInt32, float64(h.size)*float64(records)/float64(h.count)))
}

// batchHeader is what stands before the records of a batch.
type batchHeader struct {
	base, last int64
	size       int // of all of it
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

// time is that of a record in milliseconds.
func (h *batchHeader) time(delta int64) time.Time {
	ms := h.firstTime + delta
	if h.has(logAppendTimeBit) {
		ms = h.maxTime
	}
	const none = -1
	if ms == none {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// nextBatch reads a header and checks the batch's checksum. It is not ok where
// data ends within the batch.
func (d *decoder) nextBatch(data []byte) (h batchHeader, ok bool, err error) {
	be := binary.BigEndian
	if len(data) <= batchMagicAt {
		return h, false, nil
	}
	h.base = int64(be.Uint64(data))
	d.at = h.base
	// The older formats have the number in the same place, for just this.
	if magic := data[batchMagicAt]; magic != batchMagic {
		return h, false, fmt.Errorf("its record format is %d: want %d, the only one that Kafka writes since 0.11 "+
			"unless the topic's message.format.version is lower", magic, batchMagic)
	}
	size := beforeLength + int64(int32(be.Uint32(data[batchLengthAt:])))
	if size < batchHeaderSize {
		return h, false, fmt.Errorf("it says that it has %d bytes, and its header has %d", size, batchHeaderSize)
	}
	if size > int64(len(data)) {
		return h, false, nil
	}
	h.size = int(size)
	data = data[:size:size]
	if want, got := be.Uint32(data[batchCRCAt:]), crc32.Checksum(data[batchAttributesAt:], castagnoli); want != got {
		return h, false, fmt.Errorf("its checksum is %08x and should be %08x", got, want)
	}
	h.attributes = be.Uint16(data[batchAttributesAt:])
	lastDelta := int32(be.Uint32(data[batchLastDeltaAt:]))
	h.firstTime = int64(be.Uint64(data[batchFirstTimeAt:]))
	h.maxTime = int64(be.Uint64(data[batchMaxTimeAt:]))
	h.producer = int64(be.Uint64(data[batchProducerAt:]))
	h.count = int(int32(be.Uint32(data[batchCountAt:])))
	h.body = data[batchHeaderSize:]
	if h.base < 0 || lastDelta < 0 || h.base > math.MaxInt64-1-int64(lastDelta) {
		return h, false, fmt.Errorf("its offsets are %d and %d after that", h.base, lastDelta)
	}
	h.last = h.base + int64(lastDelta)
	// Fewer records than offsets are what compaction leaves, down to none.
	if h.count < 0 || int64(h.count) > int64(lastDelta)+1 {
		return h, false, fmt.Errorf("it says that it has %d records in %d offsets", h.count, int64(lastDelta)+1)
	}
	return h, true, nil
}

// read decides whether a batch is for the reader, and reads its records. So
// does Kafka's own consumer (CompletedFetch in the Java client).
func (d *decoder) read(h batchHeader, following int) error {
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

func (d *decoder) readRecords(h batchHeader, following int) error {
	following = min(following, d.wanted(h))
	r, err := d.plain(h, following)
	if err != nil {
		return err
	}
	if err := d.makeRoom(h, len(r.b), following); err != nil {
		return err
	}
	previous := int64(-1)
	headers := d.unpack.limit / headerCost
	for i := range h.count {
		record := reader{b: r.nullable()}
		record.skip(1) // attributes: none are defined
		timeDelta, offsetDelta := record.varint(), record.varint()
		key, value, n := record.nullable(), record.nullable(), record.varint()
		if r.bad || record.bad {
			return recordError(h, i, errShort)
		}
		if offsetDelta <= previous || offsetDelta > h.last-h.base {
			return recordError(h, i, fmt.Errorf("its offset is %d", h.base+offsetDelta))
		}
		previous = offsetDelta
		rec := Record{Offset: h.base + offsetDelta, Time: h.time(timeDelta), Key: key, Value: value}
		if n != 0 {
			if n < 0 || n > int64(min(len(record.b), headers)) {
				return recordError(h, i, fmt.Errorf("it says that it has %d headers", n))
			}
			headers -= int(n)
			rec.Headers = d.readHeaders(&record, int(n), h.count-i+h.count*(following/h.size))
		}
		switch {
		case record.bad:
			return recordError(h, i, errShort)
		case len(record.b) > 0:
			return recordError(h, i, fmt.Errorf("%d bytes follow its last header", len(record.b)))
		}
		if rec.Offset >= d.from {
			d.batch.Records = append(d.batch.Records, rec)
		}
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%d bytes follow its last record", len(r.b))
	}
	return nil
}

func recordError(h batchHeader, i int, err error) error {
	return fmt.Errorf("record %d of %d: %w", i+1, h.count, err)
}

// plain reads a batch's records as they were before they were compressed.
func (d *decoder) plain(h batchHeader, following int) (reader, error) {
	codec := h.compression()
	if codec == compress.None {
		if !d.shared {
			d.shared = true
			d.batch.Memory += int64(cap(d.batch.body))
		}
		return reader{b: h.body}, nil
	}
	chunk, fresh := d.plainChunk(len(h.body), following)
	plain, err := d.unpack.unpack(chunk[len(chunk):], h.body, codec)
	if err != nil {
		return reader{}, err
	}
	if beginsAtEndOf(chunk, plain) {
		chunk = chunk[:len(chunk)+len(plain)]
	} else {
		chunk, fresh = plain, true
	}
	if fresh {
		d.batch.Memory += int64(cap(chunk))
	}
	d.batch.plain = chunk
	d.packed, d.unpacked = d.packed+len(h.body), d.unpacked+len(plain)
	d.room -= len(plain)
	return reader{b: slices.Clip(plain)}, nil
}

// ratio estimates what n compressed bytes become.
func (d *decoder) ratio(n int) int {
	if d.packed == 0 {
		return 4 * n
	}
	return n*d.unpacked/d.packed + n/4
}

// plainChunk returns memory whose spare part is likely to hold a batch, and
// where it has to be new (fresh), also the batches that follow.
func (d *decoder) plainChunk(packed, following int) (chunk []byte, fresh bool) {
	want := d.ratio(packed)
	if chunk = d.batch.plain; cap(chunk)-len(chunk) >= want {
		return chunk, false
	}
	more := 0
	if d.packed > 0 {
		more = min(d.ratio(following), max(0, d.room-want))
	}
	return make([]byte, 0, min(d.unpack.limit, want+more)), true
}

// beginsAtEndOf says whether b lies in the spare part of chunk.
func beginsAtEndOf(chunk, b []byte) bool {
	return cap(b) > 0 && cap(chunk) > len(chunk) && &b[:1][0] == &chunk[:len(chunk)+1][len(chunk)]
}

// makeRoom takes memory for a batch's records, and for those that follow if
// they are like these.
func (d *decoder) makeRoom(h batchHeader, plain, following int) error {
	const leastRecord = 7
	if h.count > plain/leastRecord {
		return fmt.Errorf("it says that it has %d records, in %d bytes", h.count, plain)
	}
	if h.count > d.unpack.limit/recordCost {
		return fmt.Errorf("it has %d records: %d are the most that is read from one batch", h.count, d.unpack.limit/recordCost)
	}
	d.room -= h.count * recordCost
	if free := cap(d.batch.Records) - len(d.batch.Records); free < h.count {
		more := h.count * (following / h.size)
		d.batch.Records = slices.Grow(d.batch.Records, h.count+max(0, min(more, d.room/recordCost)))
	}
	return nil
}

// readHeaders reads the n headers of a record; left is how many records may
// have as many.
func (d *decoder) readHeaders(r *reader, n, left int) []kafka.Header {
	const most = 4096
	all := d.batch.headers
	if cap(all)-len(all) < n {
		all = make([]kafka.Header, 0, max(n, min(n*left, most)))
		d.batch.Memory += int64(headerCost * cap(all))
	}
	begin := len(all)
	for range n {
		size := r.varint()
		name := r.bytes(size)
		all = append(all, kafka.Header{Key: d.name(name), Value: r.nullable()})
	}
	d.batch.headers = all
	d.room -= n * headerCost
	return all[begin:len(all):len(all)]
}

// name makes a string of a header's name, without allocating it anew each time.
func (d *decoder) name(b []byte) string {
	const most = 32
	for _, known := range d.batch.names {
		if known == string(b) {
			return known
		}
	}
	s := string(b)
	if len(d.batch.names) < most {
		d.batch.names = append(d.batch.names, s)
	}
	return s
}
