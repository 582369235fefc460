package kafkalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
)

// exchange writes a request and reads the answer's body. Answers of up to expect bytes
// are ordinary; memory for a larger one is only taken as its bytes arrive.
func exchange(rw io.ReadWriter, request []byte, expect int) ([]byte, error) {
	return exchangeWithin(rw, request, nil, expect, func(int) error { return nil })
}

// exchangeWithin reads into buf where that is large enough, and calls reserve with the body's size before it takes memory for it.
func exchangeWithin(rw io.ReadWriter, request []byte, buf []byte, expect int, reserve func(int) error) ([]byte, error) {
	if _, err := rw.Write(request); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	if size < 0 || size > maxAnswer {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d are the most that is taken", errAnswer, size, int64(maxAnswer))
	}
	want := binary.BigEndian.Uint32(request[correlationAt:])
	if got := binary.BigEndian.Uint32(head[4:]); got != want {
		return nil, fmt.Errorf("%w: it is for request %d instead of %d", errAnswer, got, want)
	}
	if err := reserve(int(size)); err != nil {
		return nil, err
	}
	return readBody(rw, int(size), buf, expect)
}

func readBody(r io.Reader, size int, buf []byte, expect int) ([]byte, error) {
	if cap(buf) < min(size, expect) {
		buf = make([]byte, min(size, expect))
	}
	body := buf[:min(size, cap(buf))]
	for read := 0; ; {
		n, err := io.ReadFull(r, body[read:])
		if err != nil {
			if errors.Is(err, io.EOF) && size > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if read += n; read == size {
			return body, nil
		}
		grown := make([]byte, min(size, 2*len(body)))
		copy(grown, body)
		body = grown
	}
}

// Where a request has its version and its correlation id, after its length and
// its key.
const (
	versionAt     = 6
	correlationAt = 8
)

// appendHead begins a request; setLength ends it.
func appendHead(b []byte, key protocol.ApiKey, version int16, correlation int32, clientID string) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	return appendString(b, clientID)
}

func setLength(b []byte) { binary.BigEndian.PutUint32(b, uint32(len(b)-4)) }

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendInt16s(b []byte, values ...int16) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func appendInt32s(b []byte, values ...int32) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// reader reads numbers and bytes. After the first fault it is bad, and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

// bytes takes n bytes, without copying them.
func (r *reader) bytes(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.fail()
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) skip(n int64) { r.bytes(n) }

func (r *reader) byte() byte {
	if b := r.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// little reads a little-endian number of n bytes, 4 at most.
func (r *reader) little(n int) int {
	v := 0
	for i, b := range r.bytes(int64(n)) {
		v |= int(b) << (8 * i)
	}
	return v
}

func (r *reader) int16() int16 {
	if b := r.bytes(2); len(b) == 2 {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.bytes(4); len(b) == 4 {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.bytes(8); len(b) == 8 {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// string reads one that has its length before it; "" for null.
func (r *reader) string() string {
	n := r.int16()
	if n < 0 {
		return ""
	}
	return string(r.bytes(int64(n)))
}

// varint reads a zigzag varint. Nearly all of them have one byte.
func (r *reader) varint() int64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		u := r.b[0]
		r.b = r.b[1:]
		return int64(u>>1) ^ -int64(u&1)
	}
	return r.longVarint()
}

func (r *reader) longVarint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// nullable reads a varint length and as many bytes; nil for null.
func (r *reader) nullable() []byte {
	n := r.varint()
	if n < 0 {
		return nil
	}
	return r.bytes(n)
}

// nullable32 reads a length of 4 bytes and as many bytes; nil for null.
func (r *reader) nullable32() []byte {
	n := r.int32()
	if n < 0 {
		return nil
	}
	return r.bytes(int64(n))
}
