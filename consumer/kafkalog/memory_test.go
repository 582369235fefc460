package kafkalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

// packed is data in one of the forms that producers write.
type packed struct {
	name  string
	codec compress.Compression
	pack  func([]byte) []byte
	// whole is true if it can only be decompressed whole.
	whole bool
}

func packings() []packed {
	level := func(level zstd.EncoderLevel, window int) func([]byte) []byte {
		return func(b []byte) []byte {
			var out bytes.Buffer
			w, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(level), zstd.WithWindowSize(window))
			if err == nil {
				_, err = w.Write(b)
			}
			if err = errors.Join(err, w.Close()); err != nil {
				panic(err)
			}
			return out.Bytes()
		}
	}
	by := func(codec compress.Compression) func([]byte) []byte {
		return func(b []byte) []byte { return pack(b, codec) }
	}
	return []packed{
		{name: "gzip", codec: compress.Gzip, pack: by(compress.Gzip)},
		{name: "snappy, framed", codec: compress.Snappy, pack: by(compress.Snappy)},
		{name: "snappy, bare", codec: compress.Snappy, pack: bareSnappy},
		{name: "snappy, far back", codec: compress.Snappy, pack: func(b []byte) []byte { return s2.EncodeSnappy(nil, b) }, whole: true},
		{name: "lz4", codec: compress.Lz4, pack: by(compress.Lz4)},
		{name: "zstd", codec: compress.Zstd, pack: by(compress.Zstd)},
		{name: "zstd, small window", codec: compress.Zstd, pack: level(zstd.SpeedFastest, 64<<10)},
		{name: "zstd, large window", codec: compress.Zstd, pack: level(zstd.SpeedDefault, 16<<20)},
	}
}

// bareSnappy encodes a block as Google's library does: nothing refers back beyond the
// 64 KiB that are encoded together.
func bareSnappy(b []byte) []byte {
	block := binary.AppendUvarint(nil, uint64(len(b)))
	for part := range slices.Chunk(b, 64<<10) {
		encoded := snappy.Encode(nil, part)
		_, n := binary.Uvarint(encoded)
		block = append(block, encoded[n:]...)
	}
	return block
}

// readPieces reads an answer again and again until it has read to an offset, and
// calls each with the batches. Each is released.
func readPieces(t testing.TB, req FetchRequest, a *fetchAnswer, to int64, each func(*Batch)) (fetches int) {
	t.Helper()
	for req.Offset < to {
		batch, err := readRequest(req, &fetchAnswer{a.version, bytes.Clone(a.body)})
		if err != nil {
			t.Fatalf("at %d: %v", req.Offset, err)
		}
		checkBatch(t, req.Offset, batch)
		if len(batch.Records) == 0 {
			t.Fatalf("no record at %d", req.Offset)
		}
		each(batch)
		req.Offset = batch.NextOffset
		batch.Release()
		fetches++
	}
	return fetches
}

// A few kilobytes that become 140 MB are valid, and are read in little memory.
func TestBombsAreReadInPieces(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: one goroutine decompresses much")
	}
	const size, limit = 1 << 20, 32 << 20
	value := bytes.Repeat([]byte(" "), size)
	records := make([]Record, 140)
	for i := range records {
		records[i].Value = append(fmt.Appendf(nil, "%d", i), value...)
	}
	for _, p := range packings() {
		t.Run(p.name, func(t *testing.T) {
			n := int64(len(records))
			switch {
			case p.whole:
				n = 17
			case p.name != "zstd":
				n = 40
			}
			plain := body(records[:n]...)
			answer := answerWith(rawBatch{base: 20, body: p.pack(plain), count: int32(n), lastDelta: int32(n - 1), attributes: uint16(p.codec)}.bytes())
			account := &limited{limit: limit}
			next := int64(0)
			began := time.Now()
			fetches := readPieces(t, FetchRequest{Topic: "t", Offset: 20, Account: account, MaxMemory: 10 << 20}, answer, 20+n, func(b *Batch) {
				for i := range b.Records {
					r := &b.Records[i]
					if want := fmt.Sprint(next); r.Offset != 20+next || len(r.Value) != len(want)+size || string(r.Value[:len(want)]) != want || r.Value[len(r.Value)-1] != ' ' {
						t.Fatalf("record %d is at offset %d and has %d bytes", next, r.Offset, len(r.Value))
					}
					next++
				}
			})
			t.Logf("%d bytes, %d fetches, %d bytes reserved, %v", len(answer.body), fetches, account.most, time.Since(began))
			if next != n || account.lent != 0 {
				t.Errorf("%d records, and %d bytes are still lent", next, account.lent)
			}
		})
	}
}

// Decompressing allocates no more than is reserved, whatever the data claims or
// contains.
func TestMemoryIsReservedBeforeItIsTaken(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: one goroutine decompresses much")
	}
	const limit, size = 16 << 20, 64 << 20
	plain := body(Record{Value: make([]byte, size)}, Record{})
	for _, p := range packings() {
		t.Run(p.name, func(t *testing.T) {
			answer := answerWith(rawBatch{base: 20, body: p.pack(plain), count: 2, lastDelta: 1, attributes: uint16(p.codec)}.bytes())
			account := &limited{limit: limit}
			req := FetchRequest{Topic: "t", Offset: 20, Account: account, MaxMemory: 1 << 20, MaxRecord: 1 << 20}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readRequest(req, answer)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > uint64(account.most)+(8<<20) {
				t.Errorf("%d bytes were allocated, and %d reserved", took, account.most)
			}
			large, ok := errors.AsType[*TooLargeError](err)
			if !ok || Retriable(err) || errors.Is(err, ErrCorrupt) {
				t.Fatalf("got error %v, want a TooLargeError", err)
			}
			if large.Offset != 20 || large.Next != 21 || large.Err == nil && (large.Size < size || large.Limit != 1<<20 || large.Time.UnixMilli() != 1000) {
				t.Errorf("got %+v", large)
			}
			if account.lent != 0 {
				t.Errorf("%d bytes are still lent", account.lent)
			}
			if large.Err != nil {
				return // its window alone is larger than the account
			}
			req.Offset = large.Next
			if batch, err := readRequest(req, answer); err != nil || len(batch.Records) != 1 || batch.Records[0].Offset != 21 {
				t.Errorf("behind it: got %+v, %v", batch, err)
			}
		})
	}
}

// A record that is too large is reported when those before it have been read.
func TestATooLargeRecordIsNamed(t *testing.T) {
	large := Record{Key: []byte("the key"), Value: make([]byte, 3<<20)}
	records := []Record{{Value: []byte("before")}, large, {Value: []byte("behind")}}
	for _, codec := range []compress.Compression{compress.None, compress.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			answer := answerWith(rawBatch{base: 20, body: body(records...), count: 3, lastDelta: 2, compress: codec}.bytes())
			if codec != compress.None {
				answer = answerWith(rawBatch{base: 20, body: pack(body(records...), codec), count: 3, lastDelta: 2, attributes: uint16(codec)}.bytes())
			}
			for _, memory := range []int{64 << 10, 64 << 20} { // in pieces, and whole
				req := FetchRequest{Topic: "t", Offset: 20, MaxMemory: memory, MaxRecord: 2 << 20}
				batch, err := readRequest(req, answer)
				if err != nil || !slices.Equal(values(batch.Records), []string{"before"}) || batch.NextOffset != 21 || !batch.Cut {
					t.Fatalf("got %+v, %v", batch, err)
				}
				req.Offset = 21
				_, err = readRequest(req, answer)
				if got, ok := errors.AsType[*TooLargeError](err); !ok || got.Offset != 21 || got.Next != 22 || string(got.Key) != "the key" || got.Size < 3<<20 ||
					err.Error() != fmt.Sprintf("t/0: record at offset 21 has %d bytes: at most 2097152 are read", got.Size) {
					t.Errorf("got error %v", err)
				}
				req.Offset = 22
				if batch, err := readRequest(req, answer); err != nil || !slices.Equal(values(batch.Records), []string{"behind"}) {
					t.Errorf("got %+v, %v", batch, err)
				}
			}
		})
	}
}

func TestTooManyHeaders(t *testing.T) {
	many := Record{Key: []byte("k"), Headers: make([]kafka.Header, 100_000)}
	most := Record{Headers: make([]kafka.Header, MaxHeaders)}
	answer := answerWith(rawBatch{base: 20, body: body(most, many), count: 2, lastDelta: 1, compress: compress.None}.bytes())
	batch, err := readFrom(20, true, 1<<20, answer)
	if err != nil || len(batch.Records) != 2 || len(batch.Records[0].Headers) != MaxHeaders {
		t.Fatalf("got %d records, %v", len(batch.Records), err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	batch, err = readFrom(21, true, 1<<20, answer)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 256<<10 {
		t.Errorf("%d bytes were allocated", took)
	}
	if err != nil || len(batch.Records) != 1 || batch.Records[0].Headers != nil || batch.Records[0].Encoded.Count != 100_000 {
		t.Fatalf("got %d records, %v", len(batch.Records), err)
	}
	// Such a record can be written with more headers.
	letter := batch.Records[0]
	letter.Headers = []kafka.Header{{Key: "reason", Value: []byte("v")}}
	batch, err = readFrom(0, true, 1<<20, answerWith(appendBatch(nil, []Record{{}, letter}, time.UnixMilli(1))))
	if err != nil || len(batch.Records) != 2 {
		t.Fatalf("got %d records, %v", len(batch.Records), err)
	}
	all := batch.Records[1].AllHeaders()
	if len(all) != 100_001 || all[0].Key != "" || all[100_000].Key != "reason" || string(all[100_000].Value) != "v" {
		t.Errorf("got %d headers, the last is %q", len(all), all[len(all)-1].Key)
	}
}

// One large batch is read at a time; other fetches wait, and return the memory they do
// not use.
func TestLargeBatchesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := body(Record{Value: make([]byte, 4<<20)})
		answer := answerWith(rawBatch{base: 20, body: pack(plain, compress.Gzip), count: 1, attributes: uint16(compress.Gzip)}.bytes())
		account := &limited{limit: 64 << 20}
		ctx, cancel := context.WithCancelCause(t.Context())
		turn := newTurn()
		turn <- struct{}{} // another's
		fetch := func() error {
			req := FetchRequest{Topic: "t", Offset: 20, Account: account, MaxMemory: 1 << 20}
			req.setDefaults()
			m := &fetchMessage{ctx: ctx, req: req, loan: &loan{account: account}}
			if err := m.reserve(len(answer.body)); err != nil {
				return err
			}
			batch := &Batch{}
			err := batch.read(answer, req, &decoder{ctx: ctx, batch: batch, unpack: testUnpacker, loan: m.loan, turn: turn})
			if err != nil {
				m.loan.end()
				return err
			}
			batch.Release()
			return nil
		}
		done := make(chan error, 1)
		go func() { done <- fetch() }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it did not wait for its turn: %v", err)
		default:
		}
		if account.lent == 0 || account.lent > 64<<10 {
			t.Errorf("while it waits, %d bytes are lent: expected those of the answer alone", account.lent)
		}
		<-turn
		if err := <-done; err != nil || account.lent != 0 || len(turn) != 0 {
			t.Errorf("%v, %d bytes are still lent, and %d turns", err, account.lent, len(turn))
		}
		turn <- struct{}{}
		cancel(errors.New("given up"))
		err := fetch()
		wantError(t, err, context.Canceled)
		if errors.Is(err, ErrCorrupt) || account.lent != 0 {
			t.Errorf("%v, %d bytes are still lent", err, account.lent)
		}
	})
}

// The booked memory is the records' memory, within a factor of 1.5.
func TestBookedMemoryIsWhatTheRecordsTake(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector empties pools at random, and so changes the heap")
	}
	repeat := func(n int, r func(i int) Record) []Record {
		records := make([]Record, n)
		for i := range records {
			records[i] = r(i)
		}
		return records
	}
	text := func(i, size int) []byte { return []byte(strings.Repeat(fmt.Sprint(i, " "), size))[:size] }
	for name, records := range map[string][]Record{
		"small": repeat(10_000, func(i int) Record { return Record{Value: text(i, 3)} }),
		"usual": repeat(1_000, func(i int) Record {
			return Record{Key: text(i, 20), Value: text(i, 400), Headers: []kafka.Header{{Key: "trace", Value: text(i, 16)}}}
		}),
		"large":         repeat(3, func(i int) Record { return Record{Value: text(i, 500_000)} }),
		"empty headers": repeat(60, func(int) Record { return Record{Headers: make([]kafka.Header, 2000)} }),
		"many names": repeat(200, func(i int) Record {
			var headers []kafka.Header
			for j := range 100 {
				headers = append(headers, kafka.Header{Key: fmt.Sprintf("header-%d-%d", i, j)})
			}
			return Record{Headers: headers}
		}),
	} {
		for _, codec := range []compress.Compression{compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
			t.Run(name+"/"+codec.String(), func(t *testing.T) {
				const batches = 2
				var data []byte
				for i := range int64(batches) {
					n := int64(len(records))
					packed := body(records...)
					if codec != compress.None {
						packed = pack(packed, codec)
					}
					data = append(data, rawBatch{base: i * n, body: packed, count: int32(n), lastDelta: int32(n - 1), attributes: uint16(codec)}.bytes()...)
				}
				checkBooked(t, answerWith(data), batches*len(records))
			})
		}
	}
}

func checkBooked(t *testing.T, answer *fetchAnswer, want int) {
	t.Helper()
	shape := answer.body
	tiny := answerWith(rawBatch{body: pack(body(Record{}), compress.Zstd), count: 1, attributes: uint16(compress.Zstd)}.bytes())
	heap := func() int64 {
		for range 4 * runtime.GOMAXPROCS(0) { // each of the decoders refers to its last output
			if _, err := readFrom(0, true, 1<<20, tiny); err != nil {
				t.Fatal(err)
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	account := &limited{limit: 256 << 20}
	req := FetchRequest{Topic: "t", Account: account, MaxMemory: 64 << 20}
	before := heap()
	answer.body = bytes.Clone(shape) // as it arrives, it is the batch's
	batch, err := readRequest(req, answer)
	answer.body = nil
	took := heap() - before
	if err != nil || len(batch.Records) != want {
		t.Fatalf("got %d records, %v", len(batch.Records), err)
	}
	if batch.Memory != account.lent {
		t.Errorf("Memory is %d, and %d bytes are lent", batch.Memory, account.lent)
	}
	const slack = 64 << 10
	if 2*took > 3*batch.Memory+slack || 2*batch.Memory > 3*took+slack {
		t.Errorf("%d bytes are booked, and the heap grew by %d", batch.Memory, took)
	}
	runtime.KeepAlive(batch)
	runtime.KeepAlive(shape)
}

// A linked block refers to the one before it.
func TestLinkedLz4Blocks(t *testing.T) {
	plain := body(Record{Value: []byte("0123456789abcdef0123456789abcdef")})
	frame := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	frame = append(frame, 0x40, 0x40, 0) // version 1, linked, 64 KiB, some checksum
	first := plain[:len(plain)-17]       // until the second 0123456789abcdef, and one byte for the last record's headers
	frame = binary.LittleEndian.AppendUint32(frame, 1<<31|uint32(len(first)))
	frame = append(frame, first...)
	second := []byte{0x0C, 16, 0, 0x10, plain[len(plain)-1]} // a match of 16 bytes, 16 back; one literal
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(second)))
	frame = append(append(frame, second...), 0, 0, 0, 0)
	for _, memory := range []int{1 << 20, 1} { // whole, and in pieces
		batch, err := readFrom(20, true, memory, answerWith(rawBatch{base: 20, body: frame, count: 1, attributes: 3}.bytes()))
		if err != nil || len(batch.Records) != 1 || string(batch.Records[0].Value) != "0123456789abcdef0123456789abcdef" {
			t.Errorf("memory %d: got %+v, %v", memory, batch.Records, err)
		}
	}
}
