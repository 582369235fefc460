package kafkalog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// oldMessage is a message of format 0 or 1.
type oldMessage struct {
	offset     int64
	format     int8
	attributes int8
	ms         int64 // of format 1
	key, value []byte
}

// bytes encodes it with the definitions of franz-go.
func (m oldMessage) bytes() []byte {
	var b []byte
	if m.format == 0 {
		b = (&kmsg.MessageV0{Offset: m.offset, Attributes: m.attributes, Key: m.key, Value: m.value}).AppendTo(nil)
	} else {
		b = (&kmsg.MessageV1{Offset: m.offset, Magic: m.format, Attributes: m.attributes, Timestamp: m.ms, Key: m.key, Value: m.value}).AppendTo(nil)
	}
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-beforeLength))
	binary.BigEndian.PutUint32(b[legacyCRCAt:], crc32.ChecksumIEEE(b[batchMagicAt:]))
	return b
}

// wrapper compresses messages into one. In format 1 they get relative offsets, as
// brokers store them.
func wrapper(codec compress.Compression, attributes int8, messages ...oldMessage) oldMessage {
	var set []byte
	last := messages[len(messages)-1]
	for _, m := range messages {
		if m.format == 1 {
			m.offset -= messages[0].offset
		}
		set = append(set, m.bytes()...)
	}
	return oldMessage{offset: last.offset, format: last.format, attributes: attributes | int8(codec), ms: last.ms, value: pack(set, codec)}
}

func oldRecord(offset, ms int64, key, value []byte) Record {
	return Record{Offset: offset, Time: timeOf(ms), Key: key, Value: value}
}

func TestOldMessageFormats(t *testing.T) {
	// Bytes of Kafka's documentation of the protocol: format 1, offset 3, timestamp
	// 1,500,000,000,000, key "k", value "v".
	literal := []byte("\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x18\xCC\xCC\xCC\xCC\x01\x00\x00\x00\x01\x5D\x3E\xF7\x98\x00\x00\x00\x00\x01k\x00\x00\x00\x01v")
	binary.BigEndian.PutUint32(literal[legacyCRCAt:], crc32.ChecksumIEEE(literal[batchMagicAt:]))
	large := []byte(strings.Repeat("large ", 40_000))
	first := []oldMessage{{offset: 10, format: 1, ms: 5, value: []byte("a")}, {offset: 12, format: 1, ms: 6, key: []byte("k"), value: large}, {offset: 13, format: 1, ms: 7}}
	zero := []oldMessage{{offset: 10, value: []byte("a")}, {offset: 12, key: []byte("k"), value: large}, {offset: 13}}
	wantFirst := []Record{oldRecord(10, 5, nil, []byte("a")), oldRecord(12, 6, []byte("k"), large), oldRecord(13, 7, nil, nil)}
	wantZero := []Record{oldRecord(10, -1, nil, []byte("a")), oldRecord(12, -1, []byte("k"), large), oldRecord(13, -1, nil, nil)}
	appended := slices.Clone(wantFirst)
	for i := range appended {
		appended[i].Time = time.UnixMilli(7)
	}
	join := func(messages ...oldMessage) (b []byte) {
		for _, m := range messages {
			b = append(b, m.bytes()...)
		}
		return b
	}
	type test struct {
		from int64
		log  []byte
		want []Record
		next int64
	}
	tests := map[string]test{
		"literal":         {0, literal, []Record{oldRecord(3, 1_500_000_000_000, []byte("k"), []byte("v"))}, 4},
		"format 1":        {10, join(first...), wantFirst, 14},
		"format 0":        {10, join(zero...), wantZero, 14},
		"from the middle": {12, join(zero...), wantZero[1:], 14},
		"upgraded": {
			10, append(join(first...), rawBatch{base: 14, values: []string{"new"}}.bytes()...),
			append(slices.Clone(wantFirst), Record{Offset: 14, Time: time.UnixMilli(1000), Key: []byte("k"), Value: []byte("new")}), 15,
		},
		"cut": {10, join(first...)[:len(join(first...))-3], wantFirst[:2], 13},
	}
	for _, codec := range []compress.Compression{compress.Gzip, compress.Snappy, compress.Lz4} {
		tests["format 1, "+codec.String()] = test{10, join(wrapper(codec, 0, first...)), wantFirst, 14}
		tests["format 0, "+codec.String()] = test{10, join(wrapper(codec, 0, zero...)), wantZero, 14}
		tests["from within, "+codec.String()] = test{12, join(wrapper(codec, 0, first...)), wantFirst[1:], 14}
		tests["log append time, "+codec.String()] = test{10, join(wrapper(codec, logAppendTimeBit, first...)), appended, 14}
		tests["two, "+codec.String()] = test{10, join(wrapper(codec, 0, first[:2]...), wrapper(codec, 0, first[2])), wantFirst, 14}
	}
	for name, test := range tests {
		for _, memory := range []int{1 << 20, 1000} { // whole, and in pieces
			t.Run(fmt.Sprint(name, ", ", memory), func(t *testing.T) {
				var got []Record
				answer := answerWith(test.log)
				readPieces(t, FetchRequest{Topic: "t", Offset: test.from, MaxMemory: memory}, answer, test.next, func(b *Batch) {
					got = append(got, b.Records...)
				})
				if diff := diffRecords(test.want, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}

func TestCorruptOldMessages(t *testing.T) {
	value := func(messages ...oldMessage) (set []byte) {
		for _, m := range messages {
			set = append(set, m.bytes()...)
		}
		return pack(set, compress.Gzip)
	}
	wrap := func(set []byte) []byte {
		return oldMessage{offset: 20, format: 1, attributes: 1, value: set}.bytes()
	}
	reseal := func(b []byte, change func([]byte)) []byte {
		change(b)
		binary.BigEndian.PutUint32(b[legacyCRCAt:], crc32.ChecksumIEEE(b[batchMagicAt:]))
		return b
	}
	plain := oldMessage{offset: 20, format: 1, value: []byte("v")}
	for name, test := range map[string]struct {
		log  []byte
		want string
	}{
		"a flipped bit":       {func() []byte { b := plain.bytes(); b[len(b)-1] ^= 1; return b }(), "checksum"},
		"a value beyond it":   {reseal(plain.bytes(), func(b []byte) { b[len(b)-2] = 9 }), "ends too early"},
		"bytes after it":      {reseal(plain.bytes(), func(b []byte) { b[len(b)-2] = 0 }), "1 bytes follow its value"},
		"too short":           {reseal(plain.bytes(), func(b []byte) { b[batchLengthAt+3] = 13 }), "25 bytes"},
		"not gzip":            {wrap([]byte("nothing of the kind")), "gzip"},
		"no value":            {wrap(nil), "gzip"},
		"compressed again":    {wrap(value(oldMessage{format: 1, attributes: 1, value: []byte("v")})), "compressed again"},
		"another format":      {wrap(value(oldMessage{value: []byte("v")})), "format 0 instead of 1"},
		"offsets that shrink": {wrap(value(oldMessage{offset: 1, format: 1}, oldMessage{offset: 1, format: 1})), "has offset 1"},
		"an offset too large": {wrap(value(oldMessage{offset: 21, format: 1})), "its last message has offset 21"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, memory := range []int{1 << 20, 1} {
				_, err := readFrom(20, true, memory, answerWith(test.log))
				if name == "too short" && strings.Contains(err.Error(), test.want) {
					continue
				}
				checkCorrupt(t, err, test.want)
			}
		})
	}
}
