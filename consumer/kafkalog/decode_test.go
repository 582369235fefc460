package kafkalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

func TestDecode(t *testing.T) {
	const producer = 7
	for name, test := range map[string]struct {
		from    int64
		log     []byte
		aborted []abortedTxn
		want    []string
		offsets []int64
		next    int64
	}{
		"nothing": {from: 5, next: 5},
		"from within a batch": {
			from: 11, log: log(rawBatch{base: 10, values: []string{"a", "b", "c"}}),
			want: []string{"b", "c"}, offsets: []int64{11, 12}, next: 13,
		},
		"compacted within": {
			from: 10, log: log(rawBatch{base: 10, values: []string{"a", "d"}, deltas: []int64{0, 3}}, rawBatch{base: 20, values: []string{"x"}}),
			want: []string{"a", "d", "x"}, offsets: []int64{10, 13, 20}, next: 21,
		},
		"compacted at the end": {
			from: 10, log: log(rawBatch{base: 10, values: []string{"a"}, lastDelta: 9}),
			want: []string{"a"}, offsets: []int64{10}, next: 20,
		},
		"compacted at the end, from there": {
			from: 12, log: log(rawBatch{base: 10, values: []string{"a"}, lastDelta: 9}), next: 20,
		},
		"compacted down to an empty batch": {
			from: 10, log: log(rawBatch{base: 10, lastDelta: 9}, rawBatch{base: 20, values: []string{"x"}}),
			want: []string{"x"}, offsets: []int64{20}, next: 21,
		},
		"a batch from before": {
			from: 20, log: log(rawBatch{base: 10, values: []string{"a"}}, rawBatch{base: 20, values: []string{"x"}}),
			want: []string{"x"}, offsets: []int64{20}, next: 21,
		},
		"cut within a header": {
			from: 10, log: append(log(rawBatch{base: 10, values: []string{"a"}}), rawBatch{base: 11, values: []string{"b"}}.bytes()[:30]...),
			want: []string{"a"}, offsets: []int64{10}, next: 11,
		},
		"cut within the length": {
			from: 10, log: append(log(rawBatch{base: 10, values: []string{"a"}}), rawBatch{base: 11, values: []string{"b"}}.bytes()[:9]...),
			want: []string{"a"}, offsets: []int64{10}, next: 11,
		},
		"cut within the records": {
			from: 10, log: append(log(rawBatch{base: 10, values: []string{"a"}}), rawBatch{base: 11, values: []string{"b"}}.bytes()[:65]...),
			want: []string{"a"}, offsets: []int64{10}, next: 11,
		},
		"only a marker": {
			from: 10, log: log(rawBatch{base: 10, producer: producer, control: 1}), next: 11,
		},
		"a compacted marker": {
			from: 10, log: log(rawBatch{base: 10, producer: producer, attributes: controlBit | transactionalBit}), next: 11,
		},
		"aborted, and then records of the same producer": {
			from: 10, aborted: []abortedTxn{{producer, 10}},
			log: log(rawBatch{base: 10, producer: producer, attributes: transactionalBit, values: []string{"no"}},
				rawBatch{base: 11, producer: 8, attributes: transactionalBit, values: []string{"other"}},
				rawBatch{base: 12, producer: producer, control: 2},
				rawBatch{base: 13, producer: producer, attributes: transactionalBit, values: []string{"yes"}},
				rawBatch{base: 14, producer: producer, control: 1}),
			want: []string{"other", "yes"}, offsets: []int64{11, 13}, next: 15,
		},
		"a commit does not end the abort that follows it": {
			from: 10, aborted: []abortedTxn{{producer, 12}},
			log: log(rawBatch{base: 10, producer: producer, attributes: transactionalBit, values: []string{"yes"}},
				rawBatch{base: 11, producer: producer, control: 1},
				rawBatch{base: 12, producer: producer, attributes: transactionalBit, values: []string{"no"}},
				rawBatch{base: 13, producer: producer, control: 2}),
			want: []string{"yes"}, offsets: []int64{10}, next: 14,
		},
		"not transactional, by a producer that aborts": {
			from: 10, aborted: []abortedTxn{{producer, 10}},
			log:  log(rawBatch{base: 10, producer: producer, values: []string{"yes"}}),
			want: []string{"yes"}, offsets: []int64{10}, next: 11,
		},
		"two that abort, in no order": {
			from: 10, aborted: []abortedTxn{{9, 11}, {producer, 10}},
			log: log(rawBatch{base: 10, producer: producer, attributes: transactionalBit, values: []string{"no"}},
				rawBatch{base: 11, producer: 9, attributes: transactionalBit, values: []string{"no"}},
				rawBatch{base: 12, producer: producer, control: 2},
				rawBatch{base: 13, producer: 9, attributes: transactionalBit, values: []string{"no"}},
				rawBatch{base: 14, producer: 9, control: 2}),
			next: 15,
		},
		"aborted records are not unpacked": {
			from: 10, aborted: []abortedTxn{{producer, 10}},
			log:  log(rawBatch{base: 10, producer: producer, attributes: transactionalBit | 4, values: []string{"not zstd"}}),
			next: 11,
		},
	} {
		t.Run(name, func(t *testing.T) {
			batch, err := readFrom(test.from, true, plenty, answerWith(test.log, test.aborted...))
			if err != nil {
				t.Fatal(err)
			}
			checkBatch(t, test.from, batch)
			if got := values(batch.Records); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			var offsets []int64
			for _, r := range batch.Records {
				offsets = append(offsets, r.Offset)
			}
			if !slices.Equal(offsets, test.offsets) {
				t.Errorf("got offsets %d, want %d", offsets, test.offsets)
			}
			if batch.NextOffset != test.next {
				t.Errorf("got NextOffset %d, want %d", batch.NextOffset, test.next)
			}
			if batch.HighWatermark != 1000 || batch.LastStableOffset != 900 || batch.LogStartOffset != 1 {
				t.Errorf("got %d, %d, %d, want 1000, 900, 1", batch.HighWatermark, batch.LastStableOffset, batch.LogStartOffset)
			}
		})
	}
}

func TestUncommittedReadsWhatWasAborted(t *testing.T) {
	a := answerWith(log(rawBatch{base: 10, producer: 7, attributes: transactionalBit, values: []string{"a"}},
		rawBatch{base: 11, producer: 7, control: 2}), abortedTxn{7, 10})
	batch, err := readFrom(10, false, plenty, a)
	if err != nil || !slices.Equal(values(batch.Records), []string{"a"}) || batch.NextOffset != 12 {
		t.Errorf("got %+v, %v, want a, and 12 as NextOffset", batch, err)
	}
}

func TestTimes(t *testing.T) {
	created := rawBatch{values: []string{"a", "b"}}
	appended := rawBatch{values: []string{"a", "b"}, attributes: logAppendTimeBit}
	none := rawBatch{values: []string{"a"}, spoil: func(b []byte) []byte {
		binary.BigEndian.PutUint64(b[batchFirstTimeAt:], ^uint64(0))
		return seal(b)
	}}
	for name, test := range map[string]struct {
		batch rawBatch
		want  []time.Time
	}{
		"of the producer": {created, []time.Time{time.UnixMilli(1000), time.UnixMilli(1001)}},
		"of the broker":   {appended, []time.Time{time.UnixMilli(5000), time.UnixMilli(5000)}},
		"none":            {none, []time.Time{{}}},
	} {
		batch, err := readFrom(0, true, plenty, answerWith(test.batch.bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var got []time.Time
		for _, r := range batch.Records {
			got = append(got, r.Time)
		}
		if !slices.EqualFunc(got, test.want, time.Time.Equal) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestCorrupt(t *testing.T) {
	set32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[at:], v)
			return seal(b)
		}
	}
	one := []string{"one"}
	ordinary := body(Record{Value: []byte("one")})
	for name, test := range map[string]struct {
		batch rawBatch
		want  string
	}{
		"a flipped bit":                {rawBatch{values: one, spoil: func(b []byte) []byte { b[len(b)-2] ^= 0x10; return b }}, "checksum"},
		"an unknown format":            {rawBatch{values: one, spoil: func(b []byte) []byte { b[batchMagicAt] = 3; return b }}, "record format is 3"},
		"a length below the header's":  {rawBatch{values: one, spoil: set32(batchLengthAt, 48)}, "claims 60 bytes"},
		"a negative length":            {rawBatch{values: one, spoil: set32(batchLengthAt, 0xFFFFFFFF)}, "claims 11 bytes"},
		"a length beyond the end":      {rawBatch{values: one, spoil: set32(batchLengthAt, 1<<30)}, "no whole batch"},
		"a negative last offset":       {rawBatch{values: one, spoil: set32(batchLastDeltaAt, 1<<31)}, "its offsets are"},
		"a negative count":             {rawBatch{values: one, count: -1}, "-1 records"},
		"more records than offsets":    {rawBatch{values: one, count: 2}, "2 records in 1 offsets"},
		"more records than bytes":      {rawBatch{values: one, count: 1e6, lastDelta: 1e6}, "1000000 records, in"},
		"more records than there are":  {rawBatch{body: slices.Concat(ordinary, ordinary[:7]), count: 2, lastDelta: 1}, "record 2 of 2"},
		"fewer records than there are": {rawBatch{body: slices.Concat(ordinary, ordinary), count: 1, lastDelta: 1}, "bytes follow its last record"},
		"an offset twice":              {rawBatch{values: []string{"a", "b"}, deltas: []int64{1, 1}}, "record 2 of 2: its offset is"},
		"a negative offset":            {rawBatch{values: one, deltas: []int64{-1}}, "record 1 of 1: its offset is"},
		"an offset behind the batch": {
			rawBatch{values: []string{"a"}, deltas: []int64{5}, spoil: set32(batchLastDeltaAt, 4)},
			"record 1 of 1: its offset is",
		},
		"a record of no bytes": {rawBatch{body: []byte{0, 0, 0, 0, 0, 0, 0}, count: 1}, "record 1 of 1"},
		"a null record":        {rawBatch{body: []byte{1, 0, 0, 0, 0, 0, 0}, count: 1}, "record 1 of 1"},
		"a key beyond the record": {
			rawBatch{body: []byte{12, 0, 0, 0, 100, 1, 0, 0, 0}, count: 1},
			"record 1 of 1: it ends too early",
		},
		"a varint without end":    {rawBatch{body: bytes.Repeat([]byte{0xFF}, 20), count: 1}, "record 1 of 1"},
		"more headers than bytes": {rawBatch{body: []byte{12, 0, 0, 0, 1, 1, 100}, count: 1}, "50 headers"},
		"a number of headers <0":  {rawBatch{body: []byte{12, 0, 0, 0, 1, 1, 1}, count: 1}, "-1 headers"},
		"a header without name":   {rawBatch{body: []byte{16, 0, 0, 0, 1, 1, 2, 1, 1}, count: 1}, "record 1 of 1: it ends too early"},
		"bytes after the headers": {
			rawBatch{body: []byte{14, 0, 0, 0, 1, 1, 0, 9}, count: 1},
			"record 1 of 1: 1 bytes follow its last header",
		},
		"a control record of no bytes": {rawBatch{attributes: controlBit, body: []byte{0}, count: 1}, "control record"},
		"an unknown compression":       {rawBatch{values: one, attributes: 5}, "number 5"},
		"not gzip":                     {rawBatch{values: one, attributes: 1}, "gzip"},
		"not snappy":                   {rawBatch{values: one, attributes: 2}, "snappy"},
		"not lz4":                      {rawBatch{values: one, attributes: 3}, "lz4"},
		"not zstd":                     {rawBatch{values: one, attributes: 4}, "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			test.batch.base = 20
			spoiled := test.batch.bytes()
			_, err := readFrom(20, true, plenty, answerWith(spoiled))
			checkCorrupt(t, err, test.want)
			if Retriable(err) {
				t.Errorf("%v is retriable", err)
			}

			// The records before it are still returned, and the fault only after them.
			before := rawBatch{base: 10, values: []string{"a", "b"}}.bytes()
			batch, err := readFrom(10, true, plenty, answerWith(slices.Concat(before, spoiled)))
			if err != nil {
				t.Fatal(err)
			}
			checkBatch(t, 10, batch)
			if got := values(batch.Records); !slices.Equal(got, []string{"a", "b"}) || batch.NextOffset != 12 {
				t.Errorf("got %q and NextOffset %d, want a, b and 12", got, batch.NextOffset)
			}
		})
	}
}

func checkCorrupt(t *testing.T, err error, want string) {
	t.Helper()
	corrupt, ok := errors.AsType[*CorruptError](err)
	if !ok || !errors.Is(err, ErrCorrupt) {
		t.Fatalf("got error %v, want a CorruptError", err)
	}
	if corrupt.Topic != "t" || corrupt.Partition != 0 || corrupt.Offset != 20 {
		t.Errorf("it is about %s/%d at %d, want t/0 at 20", corrupt.Topic, corrupt.Partition, corrupt.Offset)
	}
	if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "t/0: batch at offset 20") {
		t.Errorf("got error %q, want %q in it, and the place", err, want)
	}
}

func TestBatchesOutOfOrder(t *testing.T) {
	for _, base := range []int64{9, 10, 11} {
		data := log(rawBatch{base: 10, values: []string{"a", "b"}}, rawBatch{base: base, values: []string{"again"}, lastDelta: 5})
		batch, err := readFrom(10, true, plenty, answerWith(data))
		if err != nil || !slices.Equal(values(batch.Records), []string{"a", "b"}) || batch.NextOffset != 12 {
			t.Errorf("base %d: got %q, %d, %v, want a, b and 12", base, values(batch.Records), batch.NextOffset, err)
		}
	}
}

func TestOnlyBatchesFromBefore(t *testing.T) {
	_, err := readFrom(20, true, plenty, answerWith(log(rawBatch{base: 10, values: []string{"a"}})))
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt: the next fetch would be the same", err)
	}
}

// The memory of an answer is bounded even where each of its batches is within its own
// bound.
func TestManyBatchesThatGrow(t *testing.T) {
	const batches = 30
	value := strings.Repeat("0", 1<<20)
	packed := rawBatch{values: []string{value}, compress: compress.Zstd}.bytes()
	var data []byte
	for i := range uint64(batches) {
		binary.BigEndian.PutUint64(packed, i) // the checksum does not cover it
		data = append(data, packed...)
	}
	for offset := int64(0); offset < batches; {
		batch, err := readFrom(offset, true, 8<<20, answerWith(data))
		if err != nil {
			t.Fatal(err)
		}
		checkBatch(t, offset, batch)
		if n := len(batch.Records); n == 0 || n > 8 {
			t.Fatalf("at %d: %d records of 1 MiB, want no more than 8", offset, n)
		}
		for i := range batch.Records {
			if string(batch.Records[i].Value) != value {
				t.Fatal("a value differs from the one written")
			}
		}
		offset = batch.NextOffset
	}
}

func TestAnswersThatDoNotFit(t *testing.T) {
	const topicsAt, idAt, partitionAt = 11, 12, 29 // where the topic is named by its ID
	records := log(rawBatch{values: []string{"a"}})
	for name, test := range map[string]struct {
		version int16
		spoil   func([]byte) []byte
	}{
		"empty": {fetchMax, func([]byte) []byte { return nil }},
		"another partition": {fetchMax, func(b []byte) []byte {
			return bytes.Replace(b, []byte("t\x00\x00\x00\x01\x00\x00\x00\x00"), []byte("t\x00\x00\x00\x01\x00\x00\x00\x01"), 1)
		}},
		"another topic": {fetchMax, func(b []byte) []byte { return bytes.Replace(b, []byte("\x00\x01t"), []byte("\x00\x01u"), 1) }},
		"no topics":     {fetchMax, func(b []byte) []byte { b[13] = 0; return b }},
		"cut":           {fetchMax, func(b []byte) []byte { return b[:len(b)-1] }},

		"by ID, empty":             {fetchIDs, func([]byte) []byte { return nil }},
		"by ID, another partition": {fetchIDs, func(b []byte) []byte { b[partitionAt+3] = 1; return b }},
		"by ID, another topic":     {fetchIDs, func(b []byte) []byte { b[idAt] = 1; return b }},
		"by ID, no topics":         {fetchIDs, func(b []byte) []byte { b[topicsAt] = 1; return b }},
		"by ID, many topics":       {fetchIDs, func(b []byte) []byte { b[topicsAt] = 0x7F; return b }},
		"by ID, cut":               {fetchIDs, func(b []byte) []byte { return b[:bytes.Index(b, records)+10] }},
	} {
		t.Run(name, func(t *testing.T) {
			good := answerOf(test.version, records)
			if batch, err := readFrom(0, true, plenty, good); err != nil || len(batch.Records) != 1 {
				t.Fatalf("without a fault: %+v, %v", batch, err)
			}
			_, err := readFrom(0, true, plenty, &fetchAnswer{test.version, test.spoil(bytes.Clone(good.body))})
			if !errors.Is(err, errAnswer) || errors.Is(err, ErrCorrupt) || !Retriable(err) {
				t.Errorf("got %v, want an answer that can't be read, which is retriable", err)
			}
		})
	}
}

func TestHeaderNamesAreNotKeptWithoutEnd(t *testing.T) {
	var records []Record
	for i := range 1000 {
		name := string(rune('a'+i%26)) + strings.Repeat("x", i)
		records = append(records, Record{Headers: []kafka.Header{{Key: name, Value: []byte{1}}}})
	}
	batch, err := readFrom(0, true, plenty, answerWith(appendBatch(nil, records, time.UnixMilli(1))))
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffRecords(withOffsets(withTime(records, time.UnixMilli(1)), 0), nilIfEmpty(batch.Records)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(batch.names) > 100 {
		t.Errorf("%d names are kept", len(batch.names))
	}
}

// Xerial's framing has blocks; kafka-go writes them of 32 KiB.
func TestSnappyBlocks(t *testing.T) {
	var want []string
	for i := range 100 {
		want = append(want, strings.Repeat(string(rune('a'+i%26)), 5000+i))
	}
	framed := rawBatch{values: want, compress: compress.Snappy}
	if n := bytes.Count(framed.bytes(), xerialMagic); n != 1 {
		t.Fatalf("the batch has %d xerial headers", n)
	}
	bare := rawBatch{values: want}
	bare.body, bare.attributes = snappy.Encode(nil, bare.bytes()[batchHeaderSize:]), uint16(compress.Snappy)
	for name, b := range map[string]rawBatch{"framed": framed, "bare": bare} {
		batch, err := readFrom(0, true, plenty, answerWith(b.bytes()))
		if err != nil || !slices.Equal(values(batch.Records), want) {
			t.Errorf("%s: got %d records, %v, want %d", name, len(batch.Records), err, len(want))
		}
	}
}
