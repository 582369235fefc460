package kafkalog

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

// fuzzLogs are seeds.
func fuzzLogs() [][]byte {
	headers := appendBatch(nil, variedRecords(time.UnixMilli(1_700_000_000_000))[:3], time.UnixMilli(1))
	headers = append(headers, appendBatch(nil, []Record{{Headers: []kafka.Header{{Key: "h", Value: []byte("v")}, {Key: "h"}}}}, time.UnixMilli(1))...)
	logs := [][]byte{
		nil, headers,
		log(rawBatch{base: 3, values: []string{"a", "d"}, deltas: []int64{0, 3}, lastDelta: 5}, rawBatch{base: 20}),
		log(rawBatch{base: 3, producer: 7, attributes: transactionalBit, values: []string{"a"}}, rawBatch{base: 4, producer: 7, control: 2},
			rawBatch{base: 5, producer: 8, control: 1}),
		log(rawBatch{base: 1, body: binary.AppendUvarint(nil, 1<<32-1), count: 1, attributes: 2}),
	}
	for codec := compress.Gzip; codec <= compress.Zstd; codec++ {
		logs = append(logs, log(rawBatch{base: 3, values: []string{"a", strings.Repeat("b", 100)}, compress: codec}))
	}
	return logs
}

// resealed returns data with correct checksums, so that decoding continues behind them.
func resealed(data []byte) []byte {
	data = bytes.Clone(data)
	for rest := data; len(rest) >= batchHeaderSize; {
		size := int64(binary.BigEndian.Uint32(rest[batchLengthAt:])) + beforeLength
		if size < batchHeaderSize || size > int64(len(rest)) {
			break
		}
		rest[batchMagicAt] = batchMagic
		seal(rest[:size:size])
		rest = rest[size:]
	}
	return data
}

// Whatever the bytes, decoding ends, does not panic, uses bounded memory and returns
// increasing offsets.
func FuzzDecode(f *testing.F) {
	for _, data := range fuzzLogs() {
		for _, from := range []int64{0, 4, 1 << 40} {
			f.Add(data, from, int64(7), int64(3), true)
			f.Add(data, from, int64(8), int64(0), false)
		}
	}
	const limit, maxBytes = 1 << 16, 1 << 12
	f.Fuzz(func(t *testing.T, data []byte, from, producer, first int64, reseal bool) {
		if reseal {
			data = resealed(data)
		}
		from = max(0, from)
		batch := &Batch{NextOffset: from}
		account := &limited{limit: limit}
		d := decoder{
			ctx: t.Context(), batch: batch, from: from, aborted: []abortedTxn{{producer, first}}, unpack: testUnpacker,
			loan: &loan{account: account}, turn: newTurn(), share: maxBytes, most: maxBytes, maxRecord: maxBytes,
		}
		if err := d.loan.reserve(t.Context(), maxBytes); err != nil {
			t.Fatal(err)
		}
		err := d.decode(data)
		if err != nil && strings.Contains(err.Error(), panicked) {
			t.Fatal(err)
		}
		checkBatch(t, from, batch)
		if err == nil && len(data) > 0 && batch.NextOffset == from {
			t.Fatal("no progress and no error")
		}
		if n := int64(len(batch.Records)*recordCost + cap(batch.plain)); n > d.loan.used || d.loan.used > d.loan.held || d.loan.held > limit {
			t.Fatalf("%d bytes of memory, %d used, %d reserved", n, d.loan.used, d.loan.held)
		}
	})
}

// The part of an answer before the records.
func FuzzAnswer(f *testing.F) {
	for _, data := range fuzzLogs() {
		f.Add(answerWith(data, abortedTxn{7, 3}, abortedTxn{8, 1}).body, int16(fetchMax), true)
		f.Add(answerOf(fetchIDs, data, abortedTxn{7, 3}).body, int16(fetchIDs), true)
		f.Add(answerWith(data).body, int16(fetchMin), false)
	}
	f.Add([]byte("\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x02"+strings.Repeat("\x00", 22)+"\x00\x00\x00\x01"+strings.Repeat("\x00", 18)), int16(produceMin), false)
	f.Fuzz(func(t *testing.T, body []byte, version int16, committed bool) {
		req := FetchRequest{Topic: "t", ReadCommitted: committed}
		req.setDefaults()
		batch, err := readRequest(req, &fetchAnswer{version: version, body: body})
		if err == nil {
			checkBatch(t, 0, batch)
		} else if strings.Contains(err.Error(), panicked) {
			t.Fatal(err)
		}
		parts := []*appending{{topic: "t", done: make(chan struct{})}, {topic: "t", partition: 1, done: make(chan struct{})}}
		err = (&produceAnswer{version: version, body: body}).read(parts)
		for _, a := range parts {
			if (err == nil && !a.answered) || (a.err != nil && a.base != 0) {
				t.Fatalf("the answer is read with error %v, and of partition %d is answered %v, offset %d, error %v", err, a.partition, a.answered, a.base, a.err)
			}
		}
	})
}

// All records that are written can be read.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "name", []byte("header"), int64(1_700_000_000_000), int64(5), uint8(0))
	f.Add([]byte{}, []byte{}, "", []byte{}, int64(0), int64(-5), uint8(0xFF))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, ms, step int64, null uint8) {
		const span = 1 << 50 // of milliseconds, beyond which a time.Time overflows
		ms, step = ms%span, step%span
		nullable := func(b []byte, bit uint8) []byte {
			switch {
			case null&bit != 0:
				return nil
			case b == nil:
				return []byte{}
			}
			return b
		}
		headers := []kafka.Header{{Key: name, Value: nullable(header, 1)}, {Key: name + name, Value: nullable(value, 2)}}
		want := []Record{
			{Offset: 0, Time: time.UnixMilli(ms), Key: nullable(key, 4), Value: nullable(value, 8), Headers: headers},
			{Offset: 1, Time: time.UnixMilli(ms + step), Key: nullable(value, 16), Value: nullable(key, 32)},
			{Offset: 2, Time: time.UnixMilli(ms - step), Headers: headers[:1]},
		}
		now := time.UnixMilli(1)
		b := appendBatch(nil, want, now)
		if got := batchSize(want, now); got != len(b) {
			t.Fatalf("batchSize is %d, and %d bytes were written", got, len(b))
		}
		batch, err := readFrom(0, true, plenty, answerWith(b))
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if want[i].Time.UnixMilli() == -1 {
				want[i].Time = time.Time{}
			}
		}
		if diff := diffRecords(want, batch.Records); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

// Whatever a compressed batch contains, it is read within the account, and allocates
// at most 32 MB beside it.
func FuzzUnpack(f *testing.F) {
	plain := body(Record{Value: bytes.Repeat([]byte("0123456789"), 50_000)}, Record{Value: []byte("v")})
	for _, p := range packings() {
		f.Add(p.pack(plain), uint8(p.codec), byte(batchMagic))
		f.Add(p.pack(plain[:100]), uint8(p.codec), byte(batchMagic))
	}
	set := oldMessage{format: 1, value: bytes.Repeat([]byte("0"), 300_000)}.bytes()
	for codec := compress.Gzip; codec <= compress.Lz4; codec++ {
		f.Add(pack(set, codec), uint8(codec), byte(1))
		f.Add(pack(set, codec), uint8(codec), byte(0))
	}
	const limit, beside = 4 << 20, 32 << 20
	f.Fuzz(func(t *testing.T, packed []byte, codec uint8, format byte) {
		codec = 1 + codec%4
		data := oldMessage{offset: 20, format: int8(format & 1), attributes: int8(codec), value: packed}.bytes()
		if format >= batchMagic {
			data = rawBatch{base: 20, body: packed, count: 2, lastDelta: 1, attributes: uint16(codec)}.bytes()
		}
		if len(data) > limit/4 {
			return
		}
		account := &limited{limit: limit}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		batch, err := readRequest(FetchRequest{Topic: "t", Offset: 20, Account: account, MaxMemory: limit / 4}, answerWith(data))
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > limit+beside {
			t.Errorf("%d bytes were allocated", took)
		}
		if err != nil {
			if account.lent != 0 || strings.Contains(err.Error(), panicked) {
				t.Fatalf("%v, and %d bytes are still lent", err, account.lent)
			}
			return
		}
		checkBatch(t, 20, batch)
		if batch.Memory != account.lent || account.most > limit {
			t.Errorf("Memory is %d, and %d bytes are lent, %d at most", batch.Memory, account.lent, account.most)
		}
	})
}
