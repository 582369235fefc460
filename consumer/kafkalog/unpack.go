package kafkalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// maxUnpacked bounds what a compressed batch may become: a few kilobytes can be
// made to hold gigabytes of zeros.
const maxUnpacked = 128 << 20

// unpacker decompresses batches, up to a limit. gzip and lz4 are kafka-go's.
// Its snappy and zstd take whatever memory the compressed data says it needs, so
// for those the libraries beneath it are used directly.
type unpacker struct {
	limit int
	zstd  func() (*zstd.Decoder, error)
}

func newUnpacker(limit int) *unpacker {
	return &unpacker{
		limit: limit,
		zstd: sync.OnceValues(func() (*zstd.Decoder, error) {
			return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(limit)))
		}),
	}
}

// unpack decompresses src into the spare capacity of dst, which is empty, or
// into new memory where that is too small.
func (u *unpacker) unpack(dst, src []byte, codec compress.Compression) (plain []byte, err error) {
	switch codec {
	case compress.Snappy:
		plain, err = u.unsnappy(dst, src)
	case compress.Zstd:
		var d *zstd.Decoder
		if d, err = u.zstd(); err == nil {
			plain, err = d.DecodeAll(src, dst)
		}
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
			err = u.tooLarge()
		}
	default:
		known := codec.Codec()
		if known == nil {
			return nil, fmt.Errorf("its compression is number %d, which is not known", codec)
		}
		from := known.NewReader(bytes.NewReader(src))
		defer from.Close()
		plain, err = u.readAll(dst, from)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", codec, err)
	}
	return plain, nil
}

func (u *unpacker) tooLarge() error {
	return fmt.Errorf("more than %d bytes when decompressed, which is the most that is taken", u.limit)
}

func (u *unpacker) readAll(dst []byte, from io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(len(dst), bytes.MinRead))
		}
		n, err := from.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > u.limit:
			return nil, u.tooLarge()
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return nil, err
		}
	}
}

// xerialMagic begins snappy data as the Java clients write it: after it come two
// version numbers, and then blocks with their lengths before them. Other
// clients write one bare block.
var xerialMagic = []byte("\x82SNAPPY\x00")

func (u *unpacker) unsnappy(dst, src []byte) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		return u.unsnappyBlock(dst, src)
	}
	r := reader{b: src[len(xerialMagic):]}
	r.skip(8) // versions
	for len(r.b) > 0 {
		block := r.bytes(int64(uint32(r.int32())))
		if r.bad {
			break
		}
		var err error
		if dst, err = u.unsnappyBlock(dst, block); err != nil {
			return nil, err
		}
	}
	if r.bad {
		return nil, io.ErrUnexpectedEOF
	}
	return dst, nil
}

// unsnappyBlock decompresses a block behind what dst holds.
func (u *unpacker) unsnappyBlock(dst, block []byte) ([]byte, error) {
	size, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	// Whatever the block says, snappy makes at most 64 bytes of 3.
	if most := 32 * len(block); size > most {
		return nil, fmt.Errorf("a block of %d bytes says that it becomes %d", len(block), size)
	}
	if size > u.limit-len(dst) {
		return nil, u.tooLarge()
	}
	dst = slices.Grow(dst, size)
	end := len(dst) + size
	if _, err := snappy.Decode(dst[len(dst):end:end], block); err != nil {
		return nil, err
	}
	return dst[:end], nil
}
