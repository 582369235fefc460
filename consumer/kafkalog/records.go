package kafkalog

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go/compress"
)

// readRecords reads the records of a batch of format 2.
func (d *decoder) readRecords(h batchHeader, following int) error {
	following = min(following, d.wanted(h))
	left := h.count * (1 + following/h.size)
	format := &recordFormat{d: d, h: h, left: left, previous: -1}
	codec := h.compression()
	if codec == compress.None {
		d.shared = true
		return format.readAll(h.body)
	}
	plain, ok, err := d.whole(h.body, codec, h.count, following)
	switch {
	case err != nil:
		return err
	case ok:
		return format.readAll(plain)
	case len(d.batch.Records) > 0:
		return errCut
	}
	return d.inPieces(format, h.body, codec)
}

// recordFormat reads the records of one batch of format 2.
type recordFormat struct {
	d        *decoder
	h        batchHeader
	i        int // the record that is read
	left     int // how many records are expected, with those of the batches that follow
	previous int64
}

func (f *recordFormat) fault(err error) error {
	return fmt.Errorf("record %d of %d: %w", f.i+1, f.h.count, err)
}

func (f *recordFormat) restart() { f.i, f.previous = 0, -1 }

func (f *recordFormat) readAll(plain []byte) error {
	const leastRecord = 7
	if f.h.count > len(plain)/leastRecord {
		return fmt.Errorf("its header claims %d records, in %d bytes", f.h.count, len(plain))
	}
	r := reader{b: plain}
	for ; f.i < f.h.count; f.i++ {
		b := r.nullable()
		if r.bad {
			return f.fault(errShort)
		}
		offset, err := f.offset(b)
		if err != nil {
			return err
		}
		if offset < f.d.from {
			continue
		}
		if err := f.d.add(f, b, offset); err != nil {
			return err
		}
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%d bytes follow its last record", len(r.b))
	}
	return nil
}

// offset reads a record's offset from its first bytes and verifies it.
func (f *recordFormat) offset(b []byte) (int64, error) {
	r := reader{b: b}
	r.skip(1)  // attributes: none are defined
	r.varint() // time
	delta := r.varint()
	if r.bad {
		return 0, f.fault(errShort)
	}
	if delta <= f.previous || delta > f.h.last-f.h.base {
		return 0, f.fault(fmt.Errorf("its offset is %d", f.h.base+delta))
	}
	f.previous = delta
	return f.h.base + delta, nil
}

// headOfRecord is enough of a record for offset.
const headOfRecord = 1 + 2*binary.MaxVarintLen64

func (f *recordFormat) frame(from *bufio.Reader) (offset, size int64, err error) {
	if f.i == f.h.count {
		if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
			return 0, 0, errors.New("bytes follow its last record")
		}
		return 0, 0, io.EOF
	}
	if size, err = binary.ReadVarint(from); err != nil {
		return 0, 0, f.fault(early(err))
	}
	head, err := from.Peek(int(max(0, min(size, headOfRecord))))
	if err != nil {
		return 0, 0, f.fault(early(err))
	}
	offset, err = f.offset(head)
	f.i++
	return offset, size, err
}

// early names the error of data that ends where it should not.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShort
	}
	return err
}

// record reads the bytes of a record.
func (f *recordFormat) record(b []byte, offset int64) (rec Record, left int, err error) {
	left = max(1, f.left-f.i)
	r := reader{b: b}
	r.skip(1) // attributes
	timeDelta := r.varint()
	r.varint() // offset
	rec = Record{Offset: offset, Time: f.h.time(timeDelta), Key: r.nullable(), Value: r.nullable()}
	n := r.varint()
	if r.bad {
		return rec, left, f.fault(errShort)
	}
	switch {
	case n < 0 || n > int64(len(r.b)):
		return rec, left, f.fault(fmt.Errorf("it claims %d headers", n))
	case n > MaxHeaders:
		rec.Encoded = r.encodedHeaders(int(n))
	case n > 0:
		if rec.Headers, err = f.d.readHeaders(&r, int(n), left); err != nil {
			return rec, left, err
		}
	}
	switch {
	case r.bad:
		return rec, left, f.fault(errShort)
	case len(r.b) > 0:
		return rec, left, f.fault(fmt.Errorf("%d bytes follow its last header", len(r.b)))
	}
	return rec, left, nil
}

// encodedHeaders takes n headers as they are, and verifies that they are whole.
func (r *reader) encodedHeaders(n int) *EncodedHeaders {
	all := r.b
	for range n {
		r.bytes(r.varint())
		r.nullable()
	}
	return &EncodedHeaders{Count: n, Bytes: all[:len(all)-len(r.b)]}
}

// format reads the records of a batch, which have different forms in the formats.
type format interface {
	// frame reads up to the bytes of a record, and returns its offset and their
	// number. It returns io.EOF after the last record.
	frame(from *bufio.Reader) (offset, size int64, err error)
	// record reads the bytes of a record. left is how many are expected, with this one.
	record(b []byte, offset int64) (rec Record, left int, err error)
	// restart makes frame begin again.
	restart()
}

// add reads a record from memory and appends it to the batch.
func (d *decoder) add(f format, b []byte, offset int64) error {
	if len(b) > d.maxRecord {
		return d.tooLarge(f, b, offset, int64(len(b)))
	}
	err := d.addOnce(f, b, offset)
	if !errors.Is(err, errNoRoom) {
		return err
	}
	return d.withRoom(func() error { return d.addOnce(f, b, offset) })
}

func (d *decoder) addOnce(f format, b []byte, offset int64) error {
	rec, left, err := f.record(b, offset)
	if err != nil {
		if _, ok := errors.AsType[*TooLargeError](err); ok && len(d.batch.Records) > 0 {
			return errCut // the records before it are returned first
		}
		return err
	}
	if err := d.push(rec, left); err != nil {
		return err
	}
	d.next = offset + 1
	return nil
}

// inPieces reads a batch that is too large to be decompressed whole: as many of its
// records as there is memory for. The next fetch passes over them.
func (d *decoder) inPieces(f format, src []byte, codec compress.Compression) error {
	err := d.stream(src, codec, false, func(from *bufio.Reader) error { return d.pieces(f, from) })
	if !errors.Is(err, errFarBack) {
		return err
	}
	if len(d.batch.Records) > 0 {
		return errCut
	}
	f.restart()
	return d.stream(src, codec, true, func(from *bufio.Reader) error { return d.pieces(f, from) })
}

// stream decompresses src piece by piece for read.
func (d *decoder) stream(src []byte, codec compress.Compression, whole bool, read func(*bufio.Reader) error) error {
	beside := streamMemory(src, codec, whole)
	if err := d.enlarge(beside + d.share); err != nil {
		return err
	}
	d.loan.take(beside)
	defer d.loan.give(beside)
	stream, end, err := openStream(src, codec, whole)
	defer end()
	if err != nil {
		return err
	}
	return read(bufio.NewReader(stream))
}

func (d *decoder) pieces(f format, from *bufio.Reader) error {
	for {
		offset, size, err := f.frame(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.piece(f, from, offset, size); err != nil {
			return err
		}
	}
}

// piece reads one record of a stream.
func (d *decoder) piece(f format, from *bufio.Reader, offset, size int64) error {
	if offset < d.from {
		if n, err := io.CopyN(io.Discard, from, size); err != nil {
			return fmt.Errorf("at offset %d, %d of %d bytes: %w", offset, n, size, early(err))
		}
		return nil
	}
	if size > int64(d.maxRecord) {
		head, _ := from.Peek(int(min(size, int64(from.Size()))))
		return d.tooLarge(f, head, offset, size)
	}
	var b []byte
	err := d.withRoom(func() (err error) {
		b, err = d.segment(int(size))
		return err
	})
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(from, b); err != nil {
		return fmt.Errorf("at offset %d: %w", offset, early(err))
	}
	return d.add(f, b, offset)
}

// tooLarge describes a record above maxRecord, as far as its first bytes tell.
func (d *decoder) tooLarge(f format, head []byte, offset, size int64) error {
	if len(d.batch.Records) > 0 {
		return errCut
	}
	fault := &TooLargeError{Offset: offset, Next: offset + 1, Size: size, Limit: int64(d.maxRecord)}
	if r, ok := f.(*recordFormat); ok {
		fault.Time, fault.Key = r.head(head)
	}
	return fault
}

// head reads a record's time and, if it is within b, its key.
func (f *recordFormat) head(b []byte) (at time.Time, key []byte) {
	r := reader{b: b}
	r.skip(1)
	at = f.h.time(r.varint())
	r.varint() // offset
	key = bytes.Clone(r.nullable())
	return at, key
}
