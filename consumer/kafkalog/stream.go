package kafkalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// Bounds of the memory of the decompressors in stream form.
const (
	gzipMemory = 64 << 10
	// snappyWhole is the largest snappy block that is decompressed whole. Of a
	// larger one only a window is kept.
	snappyWhole  = 4 << 20
	snappyWindow = 4 << 20
	// zstdBeside is for zstd's blocks and tables beside its window.
	zstdBeside = 1 << 20
	zstdUsual  = 8 << 20 // the window where the frame's header is unusual
)

// streamMemory returns how much memory openStream takes for src. If whole, snappy
// blocks are not decompressed in pieces.
func streamMemory(src []byte, codec compress.Compression, whole bool) int64 {
	switch codec {
	case compress.Snappy:
		largest := 0
		_ = snappyBlocks(src, func(block []byte) error {
			size, _ := snappySize(block)
			largest = max(largest, size)
			return nil
		})
		if largest > snappyWhole && !whole {
			return 2 * snappyWindow
		}
		return int64(largest)
	case compress.Lz4:
		f := lz4Blocks{r: reader{b: src}}
		_ = f.begin()
		return int64(f.largest + lz4Window)
	case compress.Zstd:
		return zstdWindow(src) + zstdBeside
	}
	return gzipMemory
}

func zstdWindow(src []byte) int64 {
	var h zstd.Header
	switch err := h.Decode(src); {
	case err != nil || h.Skippable:
		return zstdUsual
	case h.SingleSegment:
		return int64(min(max(h.FrameContentSize, zstd.MinWindowSize), 1<<40))
	default:
		return int64(max(h.WindowSize, zstd.MinWindowSize))
	}
}

// openStream decompresses src piece by piece, within streamMemory. The caller calls
// end when it has read enough.
func openStream(src []byte, codec compress.Compression, whole bool) (r io.Reader, end func(), err error) {
	end = func() {}
	switch codec {
	case compress.Gzip:
		r, err = gzip.NewReader(bytes.NewReader(src))
	case compress.Snappy:
		s := &snappyStream{src: src, whole: whole}
		r = &blockReader{next: s.next}
	case compress.Lz4:
		s := &lz4Stream{blocks: lz4Blocks{r: reader{b: src}}}
		r, err = &blockReader{next: s.next}, s.blocks.begin()
	case compress.Zstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(src), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeBuffersBelow(0), zstd.WithDecoderMaxWindow(uint64(zstdWindow(src))))
		if err == nil {
			r, end = d, d.Close
		}
	default:
		return nil, end, unknownCodec(codec)
	}
	if err != nil {
		return nil, end, codecError(codec, err)
	}
	return r, end, nil
}

// blockReader reads what a decompressor returns piece by piece.
type blockReader struct {
	next func() ([]byte, error) // valid until the next call; may be empty
	rest []byte                 // unread
}

func (r *blockReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		var err error
		if r.rest, err = r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// lz4Stream decompresses one block at a time.
type lz4Stream struct {
	blocks lz4Blocks
	// buf holds up to lz4Window bytes of the data before, and then a block.
	buf []byte
}

// next returns the next block's data, or none between two frames.
func (s *lz4Stream) next() ([]byte, error) {
	block, compressed, err := s.blocks.next()
	if err != nil {
		return nil, err
	}
	if block == nil {
		s.buf = s.buf[:0]
		return nil, s.blocks.begin() // a further frame, or io.EOF
	}
	if need := lz4Window + s.blocks.largest; cap(s.buf) < need {
		s.buf = append(make([]byte, 0, need), s.buf...)
	}
	window := copy(s.buf, s.buf[max(0, len(s.buf)-lz4Window):])
	space := s.buf[window : window+s.blocks.largest]
	n := 0
	switch {
	case compressed:
		n, err = s.blocks.unpackBlock(space, block, s.buf[:window])
	case len(block) > len(space):
		err = errLz4
	default:
		n = copy(space, block)
	}
	s.buf = s.buf[:window+n]
	return s.buf[window:], err
}

// snappyStream decompresses one block at a time, and large ones in pieces.
type snappyStream struct {
	src     []byte
	whole   bool
	begun   bool
	framed  bool
	buf     []byte // a block, or the window of a large one and what follows it
	pending *snappyBlock
}

// next returns the next data, or none where a large block begins.
func (s *snappyStream) next() (data []byte, err error) {
	if s.pending != nil {
		if s.buf, data, err = s.pending.more(s.buf); err != nil || len(data) > 0 {
			return data, err
		}
		s.pending = nil
	}
	block, err := s.nextBlock()
	if err != nil {
		return nil, err
	}
	size, err := snappySize(block)
	if err != nil {
		return nil, err
	}
	if size > snappyWhole && !s.whole {
		_, n := binary.Uvarint(block)
		s.pending, s.buf = &snappyBlock{src: block[n:], left: size}, s.buf[:0]
		return nil, nil
	}
	if cap(s.buf) < size {
		s.buf = make([]byte, size)
	}
	return snappy.Decode(s.buf[:size], block)
}

func (s *snappyStream) nextBlock() ([]byte, error) {
	if !s.begun {
		s.begun = true
		if s.framed = bytes.HasPrefix(s.src, xerialMagic); s.framed {
			s.src = s.src[min(len(s.src), len(xerialMagic)+8):]
		}
	}
	if len(s.src) == 0 {
		return nil, io.EOF
	}
	block := s.src
	if s.framed {
		r := reader{b: s.src}
		if block = r.bytes(int64(uint32(r.int32()))); r.bad {
			return nil, io.ErrUnexpectedEOF
		}
		s.src = r.b
	} else {
		s.src = nil
	}
	return block, nil
}

// snappyBlock decompresses a large block. It keeps snappyWindow bytes: most encoders
// refer back 64 KiB at most. Those that refer further (klauspost/compress) are rare,
// and their batches small; errFarBack names them.
type snappyBlock struct {
	src  []byte
	left int // bytes not yet decompressed
	// copyLeft bytes of a copy from copyOffset back did not fit.
	copyLeft, copyOffset int
	literal              []byte // the same of a literal
}

var (
	errSnappy  = errors.New("a faulty block")
	errFarBack = errors.New("the block must be decompressed whole")
)

// more decompresses until buf is full. It returns buf and the new part of it.
func (s *snappyBlock) more(buf []byte) (all, fresh []byte, err error) {
	if cap(buf) < 2*snappyWindow {
		buf = make([]byte, 0, 2*snappyWindow)
	}
	if len(buf) > snappyWindow {
		buf = buf[:copy(buf, buf[len(buf)-snappyWindow:])]
	}
	began := len(buf)
	for len(buf) < cap(buf) && s.left > 0 {
		before := len(buf)
		if buf, err = s.step(buf); err != nil {
			return buf, nil, err
		}
		s.left -= len(buf) - before
	}
	if s.left < 0 || s.left == 0 && (len(s.src) > 0 || s.copyLeft > 0 || len(s.literal) > 0) {
		return buf, nil, errSnappy
	}
	return buf, buf[began:], nil
}

// step decompresses one element, or the part of it that fits.
func (s *snappyBlock) step(buf []byte) ([]byte, error) {
	switch {
	case len(s.literal) > 0:
		n := min(len(s.literal), cap(buf)-len(buf))
		buf, s.literal = append(buf, s.literal[:n]...), s.literal[n:]
		return buf, nil
	case s.copyLeft == 0:
		return buf, s.element()
	}
	if s.copyOffset > len(buf) {
		return nil, errFarBack
	}
	n := min(s.copyLeft, cap(buf)-len(buf))
	s.copyLeft -= n
	for n > 0 { // source and destination may overlap
		part := buf[len(buf)-s.copyOffset:]
		part = part[:min(n, len(part))]
		buf = append(buf, part...)
		n -= len(part)
	}
	return buf, nil
}

// element reads a literal or a copy (google/snappy, format_description.txt).
func (s *snappyBlock) element() error {
	r := reader{b: s.src}
	tag := r.byte()
	length := int(tag>>2) + 1
	switch tag & 3 {
	case 0:
		if extra := length - 60; extra > 0 {
			length = r.little(extra) + 1
		}
		s.literal = r.bytes(int64(length))
	case 1:
		s.copyLeft, s.copyOffset = 4+int(tag>>2&7), int(tag>>5)<<8|int(r.byte())
	case 2:
		s.copyLeft, s.copyOffset = length, r.little(2)
	case 3:
		s.copyLeft, s.copyOffset = length, r.little(4)
	}
	if r.bad || s.copyLeft > 0 && s.copyOffset == 0 {
		return errSnappy
	}
	s.src = r.b
	return nil
}
