package kafkalog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/segmentio/kafka-go/compress"
)

// Message formats 0 (until Kafka 0.10) and 1 (until 0.11) are still in segments that
// were written before an upgrade, or with log.message.format.version. They have no
// batches, headers or transactions. Compressed messages are the value of another
// message, the wrapper, whose offset is that of the last of them. In format 1 they
// have offsets relative to each other, in format 0 absolute ones (KIP-31, KIP-32).

// Positions in a message of an old format.
const (
	legacyCRCAt        = 12
	legacyAttributesAt = 17
	legacyKeyAt        = 18 // in format 0; format 1 has a timestamp before the key
	legacyTimeSize     = 8
	legacyLeast        = legacyKeyAt + 8
	legacyFrame        = 12 // offset and size
	// legacyAhead is how many messages memory is taken for: a wrapper does not
	// contain their number.
	legacyAhead = 100
)

// readLegacy reads the header of a message of an old format.
func (h *batchHeader) readLegacy(data []byte) error {
	be := binary.BigEndian
	if want, got := be.Uint32(data[legacyCRCAt:]), crc32.ChecksumIEEE(data[batchMagicAt:]); want != got {
		return fmt.Errorf("its checksum is %08x and should be %08x", got, want)
	}
	if h.base < 0 || h.base == math.MaxInt64 {
		return fmt.Errorf("its offset is %d", h.base)
	}
	h.last, h.count, h.attributes = h.base, 1, uint16(data[legacyAttributesAt])
	h.attributes &= compressionMask | logAppendTimeBit
	h.firstTime, h.body = -1, data[legacyKeyAt:]
	if h.format == 1 {
		if len(data) < legacyLeast+legacyTimeSize {
			return errShort
		}
		h.firstTime, h.body = int64(be.Uint64(h.body)), h.body[legacyTimeSize:]
	}
	h.maxTime = h.firstTime
	return nil
}

// readMessage reads a message, or the messages in a wrapper.
func (d *decoder) readMessage(h batchHeader, following int) error {
	f := &messageFormat{d: d, h: h, previous: -1}
	codec := h.compression()
	if codec == compress.None {
		d.shared = true
		return d.withRoom(func() error {
			key, value, err := keyAndValue(h.body)
			if err != nil {
				return err
			}
			d.next = h.last + 1
			return d.push(Record{Offset: h.last, Time: h.time(0), Key: key, Value: value}, 1+following/h.size)
		})
	}
	_, packed, err := keyAndValue(h.body)
	if err != nil {
		return err
	}
	plain, ok, err := d.whole(packed, codec, 0, 0)
	switch {
	case err != nil:
		return err
	case ok:
		return f.readAll(plain)
	case len(d.batch.Records) > 0:
		return errCut
	}
	// The offsets are known only when the last message is.
	if err := f.findBase(packed, codec); err != nil {
		return err
	}
	return d.inPieces(f, packed, codec)
}

func keyAndValue(b []byte) (key, value []byte, err error) {
	r := reader{b: b}
	key, value = r.nullable32(), r.nullable32()
	switch {
	case r.bad:
		return nil, nil, errShort
	case len(r.b) > 0:
		return nil, nil, fmt.Errorf("%d bytes follow its value", len(r.b))
	}
	return key, value, nil
}

// messageFormat reads the messages in a wrapper.
type messageFormat struct {
	d *decoder
	h batchHeader // of the wrapper
	// shift is the difference between a message's offset and the one it has in the
	// wrapper.
	shift    int64
	previous int64
}

// setShift finds shift from the offset that the last message has in the wrapper.
func (f *messageFormat) setShift(last int64) error {
	if f.h.format == 0 {
		return nil
	}
	if f.shift = f.h.last - last; f.shift < 0 {
		return fmt.Errorf("its last message has offset %d in it, and it has %d", last, f.h.last)
	}
	return nil
}

func (f *messageFormat) readAll(plain []byte) error {
	last := int64(-1)
	for r := (reader{b: plain}); len(r.b) > 0; {
		last = r.int64()
		if r.skip(int64(r.int32())); r.bad {
			return errShort
		}
	}
	if err := f.setShift(last); err != nil {
		return err
	}
	for r := (reader{b: plain}); len(r.b) > 0; {
		offset, err := f.offset(r.int64())
		b := r.bytes(int64(r.int32()))
		switch {
		case r.bad:
			return errShort
		case err != nil:
			return err
		case offset < f.d.from:
			continue
		}
		if err := f.d.add(f, b, offset); err != nil {
			return err
		}
	}
	return nil
}

func (f *messageFormat) restart() { f.previous = -1 }

// findBase reads all messages' offsets, without keeping the messages.
func (f *messageFormat) findBase(src []byte, codec compress.Compression) error {
	read := func(from *bufio.Reader) error {
		for last := int64(-1); ; {
			offset, size, err := readFrame(from)
			if errors.Is(err, io.EOF) {
				return f.setShift(last)
			}
			if err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, from, size); err != nil {
				return early(err)
			}
			last = offset
		}
	}
	err := f.d.stream(src, codec, false, read)
	if errors.Is(err, errFarBack) {
		err = f.d.stream(src, codec, true, read)
	}
	return err
}

func readFrame(from *bufio.Reader) (offset, size int64, err error) {
	var b [legacyFrame]byte
	if _, err := io.ReadFull(from, b[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, 0, io.EOF
		}
		return 0, 0, early(err)
	}
	size = int64(int32(binary.BigEndian.Uint32(b[8:])))
	if size < 0 {
		return 0, 0, errShort
	}
	return int64(binary.BigEndian.Uint64(b[:])), size, nil
}

func (f *messageFormat) frame(from *bufio.Reader) (offset, size int64, err error) {
	if offset, size, err = readFrame(from); err != nil {
		return 0, 0, err
	}
	offset, err = f.offset(offset)
	return offset, size, err
}

// offset returns the offset of the message that has inner in the wrapper.
func (f *messageFormat) offset(inner int64) (int64, error) {
	offset := inner + f.shift
	if inner < 0 || inner <= f.previous || offset > f.h.last {
		return 0, fmt.Errorf("a message in it has offset %d", inner)
	}
	f.previous = inner
	return offset, nil
}

// record reads a message without its offset and size.
func (f *messageFormat) record(b []byte, offset int64) (rec Record, left int, err error) {
	r := reader{b: b}
	r.skip(4) // checksum: the wrapper's covers it
	if format := r.byte(); format != f.h.format && !r.bad {
		return rec, 0, fmt.Errorf("a message in it has format %d instead of %d", format, f.h.format)
	}
	if attributes := r.byte(); attributes&compressionMask != 0 {
		return rec, 0, errors.New("a message in it is compressed again")
	}
	var at time.Time
	if f.h.format == 1 {
		at = timeOf(r.int64())
	}
	if f.h.has(logAppendTimeBit) {
		at = f.h.time(0)
	}
	if r.bad {
		return rec, 0, errShort
	}
	key, value, err := keyAndValue(r.b)
	return Record{Offset: offset, Time: at, Key: key, Value: value}, legacyAhead, err
}
