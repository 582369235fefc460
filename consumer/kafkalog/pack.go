package kafkalog

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// Codec is how the records of a batch are compressed.
type Codec = compress.Compression

// The codecs of Kafka. Zstd needs Kafka 2.1 or newer.
const (
	Uncompressed = compress.None
	Gzip         = compress.Gzip
	Snappy       = compress.Snappy
	LZ4          = compress.Lz4
	Zstd         = compress.Zstd
)

// packer compresses batches. It is safe for concurrent use.
type packer struct {
	zstd func() (*zstd.Encoder, error)
}

func newPacker() *packer {
	return &packer{zstd: sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	})}
}

// pack appends the compressed form of src to dst.
func (p *packer) pack(dst, src []byte, codec Codec) ([]byte, error) {
	if codec == Zstd {
		e, err := p.zstd()
		if err != nil {
			return nil, err
		}
		return e.EncodeAll(src, dst), nil
	}
	known := codec.Codec()
	if known == nil {
		return nil, unknownCodec(codec)
	}
	out := bytes.NewBuffer(dst)
	w := known.NewWriter(out)
	if _, err := w.Write(src); err != nil {
		w.Close()
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// packBatch compresses the records of a batch that appendBatch wrote, and appends the
// new batch to dst, which is empty. It leaves the batch as it is if that would not
// make it smaller.
func (p *packer) packBatch(dst, batch []byte, codec Codec) ([]byte, error) {
	dst = append(dst, batch[:batchHeaderSize]...)
	dst, err := p.pack(dst, batch[batchHeaderSize:], codec)
	if err != nil {
		return nil, err
	}
	if len(dst) >= len(batch) {
		return append(dst[:0], batch...), nil
	}
	binary.BigEndian.PutUint16(dst[batchAttributesAt:], uint16(codec))
	return sealBatch(dst), nil
}
