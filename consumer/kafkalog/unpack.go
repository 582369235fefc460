package kafkalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go/compress"
)

// errSmall means that decompressed data is larger than the memory for it.
var errSmall = errors.New("the decompressed data is larger than its buffer")

// unpacker decompresses whole batches into given memory. kafka-go's codecs allocate
// what the compressed data claims to need, so this package uses the libraries
// beneath them. Checksums of frames are not verified: the batch's own covers them.
type unpacker struct {
	zstd func() (*zstd.Decoder, error)
}

func newUnpacker() *unpacker {
	return &unpacker{zstd: sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	})}
}

// unpack decompresses src into the spare capacity of dst, which is empty. It returns
// errSmall if that is not enough.
func (u *unpacker) unpack(dst, src []byte, codec compress.Compression) (plain []byte, err error) {
	switch codec {
	case compress.Gzip:
		plain, err = gunzip(dst, src)
	case compress.Snappy:
		plain, err = unsnappy(dst, src)
	case compress.Lz4:
		plain, err = unlz4(dst, src)
	case compress.Zstd:
		plain, err = u.unzstd(dst, src)
	default:
		return nil, unknownCodec(codec)
	}
	if err != nil {
		return nil, codecError(codec, err)
	}
	return plain, nil
}

func unknownCodec(codec compress.Compression) error {
	return fmt.Errorf("its compression is number %d, which is not known", codec)
}

func codecError(codec compress.Compression, err error) error { return fmt.Errorf("%v: %w", codec, err) }

// plainSize returns the decompressed size that src claims, or -1.
func plainSize(src []byte, codec compress.Compression) int64 {
	switch codec {
	case compress.Snappy:
		size := int64(0)
		err := snappyBlocks(src, func(block []byte) error {
			n, err := snappySize(block)
			size += int64(n)
			return err
		})
		if err == nil {
			return size
		}
	case compress.Zstd:
		var h zstd.Header
		if h.Decode(src) == nil && h.HasFCS && h.FrameContentSize < 1<<40 {
			return int64(h.FrameContentSize)
		}
	}
	return -1
}

func (u *unpacker) unzstd(dst, src []byte) ([]byte, error) {
	d, err := u.zstd()
	if err != nil {
		return nil, err
	}
	plain, err := d.DecodeAll(src, dst)
	if err != nil && !errors.Is(err, zstd.ErrMagicMismatch) {
		// Where the memory is too small, the library also names other reasons. If
		// the data is faulty, so will be its stream.
		return nil, errSmall
	}
	return plain, err
}

// gzipReaders are kept: a new one takes 40 KiB.
var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

func gunzip(dst, src []byte) ([]byte, error) {
	r, _ := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(r)
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	for {
		if len(dst) == cap(dst) {
			return readEnd(dst, r)
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readEnd returns dst if r is at its end.
func readEnd(dst []byte, r io.Reader) ([]byte, error) {
	var one [1]byte
	switch _, err := io.ReadFull(r, one[:]); {
	case err == nil:
		return nil, errSmall
	case errors.Is(err, io.EOF):
		return dst, nil
	default:
		return nil, err
	}
}

// xerialMagic begins snappy data in the framing of the Java clients: two version
// numbers follow, and then blocks with their lengths before them. Other clients
// write one bare block.
var xerialMagic = []byte("\x82SNAPPY\x00")

// snappyBlocks calls each with the blocks of src.
func snappyBlocks(src []byte, each func(block []byte) error) error {
	if !bytes.HasPrefix(src, xerialMagic) {
		return each(src)
	}
	r := reader{b: src[len(xerialMagic):]}
	r.skip(8) // versions
	for len(r.b) > 0 {
		block := r.bytes(int64(uint32(r.int32())))
		if r.bad {
			break
		}
		if err := each(block); err != nil {
			return err
		}
	}
	if r.bad {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// snappySize returns the decompressed size of a block.
func snappySize(block []byte) (int, error) {
	size, err := snappy.DecodedLen(block)
	if err != nil {
		return 0, err
	}
	// Whatever the block claims, snappy makes at most 64 bytes of 3.
	if most := 32 * len(block); size > most {
		return 0, fmt.Errorf("a block of %d bytes claims to contain %d", len(block), size)
	}
	return size, nil
}

func unsnappy(dst, src []byte) ([]byte, error) {
	err := snappyBlocks(src, func(block []byte) error {
		size, err := snappySize(block)
		if err != nil {
			return err
		}
		if size > cap(dst)-len(dst) {
			return errSmall
		}
		end := len(dst) + size
		if _, err := snappy.Decode(dst[len(dst):end:end], block); err != nil {
			return err
		}
		dst = dst[:end]
		return nil
	})
	return dst, err
}

// lz4Blocks reads the blocks of an LZ4 frame (lz4_Frame_format.md). Frames in
// messages of format 0 have a wrong header checksum, which is not looked at.
type lz4Blocks struct {
	r reader
	// largest is the size of the largest decompressed block. If linked, a block may
	// refer to the 64 KiB before it.
	largest         int
	linked          bool
	contentChecksum bool
	blockChecksums  bool
}

const lz4Magic, lz4Window = 0x184D2204, 64 << 10

var errLz4 = errors.New("not an LZ4 frame")

// begin reads a frame's header. It returns io.EOF where no further frame follows.
func (f *lz4Blocks) begin() error {
	if len(f.r.b) == 0 {
		return io.EOF
	}
	head := f.r.bytes(6)
	if f.r.bad || binary.LittleEndian.Uint32(head) != lz4Magic {
		return errLz4
	}
	flags, sizes := head[4], head[5]>>4&7
	if flags>>6 != 1 || sizes < 4 {
		return errLz4
	}
	f.linked, f.blockChecksums, f.contentChecksum = flags&0x20 == 0, flags&0x10 != 0, flags&0x04 != 0
	f.largest = 1 << (8 + 2*sizes)
	if flags&0x08 != 0 {
		f.r.skip(8) // content size
	}
	if flags&0x01 != 0 {
		return errors.New("its LZ4 frame needs a dictionary")
	}
	f.r.skip(1) // header checksum
	if f.r.bad {
		return errLz4
	}
	return nil
}

// next returns a block; nil at the frame's end.
func (f *lz4Blocks) next() (block []byte, compressed bool, err error) {
	size := binary.LittleEndian.Uint32(f.word())
	if f.r.bad {
		return nil, false, io.ErrUnexpectedEOF
	}
	if size == 0 {
		if f.contentChecksum {
			f.r.skip(4)
		}
		return nil, false, nil
	}
	const plain = 1 << 31
	block = f.r.bytes(int64(size &^ plain))
	if f.blockChecksums {
		f.r.skip(4)
	}
	if f.r.bad {
		return nil, false, io.ErrUnexpectedEOF
	}
	return block, size&plain == 0, nil
}

func (f *lz4Blocks) word() []byte {
	if b := f.r.bytes(4); len(b) == 4 {
		return b
	}
	return make([]byte, 4)
}

// unpackBlock decompresses a block into dst; window is the data before it.
func (f *lz4Blocks) unpackBlock(dst, block, window []byte) (int, error) {
	if !f.linked || len(window) == 0 {
		return lz4.UncompressBlock(block, dst)
	}
	return lz4.UncompressBlockWithDict(block, dst, window[max(0, len(window)-lz4Window):])
}

func unlz4(dst, src []byte) ([]byte, error) {
	f := lz4Blocks{r: reader{b: src}}
	for {
		err := f.begin()
		if errors.Is(err, io.EOF) && len(src) > 0 {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
		if dst, err = f.appendFrame(dst); err != nil {
			return nil, err
		}
	}
}

func (f *lz4Blocks) appendFrame(dst []byte) ([]byte, error) {
	began := len(dst)
	for {
		block, compressed, err := f.next()
		if err != nil || block == nil {
			return dst, err
		}
		room := min(f.largest, cap(dst)-len(dst))
		end := len(dst)
		switch {
		case compressed:
			n, err := f.unpackBlock(dst[end:end+room], block, dst[began:end])
			if err != nil && room < f.largest {
				return nil, errSmall // or faulty, which only more memory shows
			}
			if err != nil {
				return nil, err
			}
			dst = dst[:end+n]
		case len(block) > cap(dst)-end:
			return nil, errSmall
		default:
			dst = append(dst, block...)
		}
	}
}
