package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// noise does not get smaller when it is compressed.
func noise(n int) []byte {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func TestBatchesThatAreTooLargeAreHalved(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), kafkatest.Name(t, "small")
		c.CreateTopic(t, topic, 1, map[string]string{"max.message.bytes": "1500"})
		var records []Record
		var want []string
		for i := range 42 {
			value := append(fmt.Appendf(nil, "%d:", i), noise(200)...)
			if i == 17 || i == 30 {
				value = append(value, noise(5000)...)
			} else {
				want = append(want, string(value))
			}
			records = append(records, Record{Time: recently(), Value: value})
		}
		err := client.Write(t.Context(), WriteRequest{Topic: topic, Records: records, Codec: Zstd})
		failed, ok := errors.AsType[*WriteError](err)
		if !ok || len(failed.Failed) != 2 || failed.Failed[0].Index != 17 || failed.Failed[1].Index != 30 || Retriable(err) {
			t.Fatalf("got error %v", err)
		}
		large, ok := errors.AsType[*RecordTooLargeError](failed.Failed[0].Err)
		if !ok || large.Size < 5000 || large.Plain < large.Size || !errors.Is(err, kafka.MessageSizeTooLarge) || !strings.Contains(err.Error(), "max.message.bytes") {
			t.Errorf("got error %v", err)
		}
		if got := failed.Unwritten(records); len(got) != 2 || &got[0].Value[0] != &records[17].Value[0] {
			t.Errorf("%d records failed, want 17 and 30", len(got))
		}
		if got := values(readAll(t, client, FetchRequest{Topic: topic})); !slices.Equal(got, want) {
			t.Errorf("got %d records, want the other %d in order", len(got), len(want))
		}
	})
}

// A record that Kafka accepted compressed fits when it is compressed.
func TestWrittenRecordsAreCompressed(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		want := []Record{{Time: recently(), Key: []byte("k"), Value: bytes.Repeat([]byte("x"), 3_000_000)}}
		for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
			if err := client.Write(t.Context(), WriteRequest{Topic: topic, Records: want, Codec: codec}); err != nil {
				t.Fatalf("%v: %v", codec, err)
			}
		}
		got := readAll(t, client, FetchRequest{Topic: topic})
		if diff := diffRecords(withOffsets(slices.Repeat(want, 4), 0), got); diff != "" {
			t.Errorf("(-want +got)\n%.1000s", diff)
		}
		if err := client.Write(t.Context(), WriteRequest{Topic: topic, Records: want, Codec: 9}); err == nil || Retriable(err) {
			t.Errorf("an unknown codec: got error %v", err)
		}
	})
}

func TestCompressingDoesNotMakeABatchLarger(t *testing.T) {
	records := []Record{{Time: time.UnixMilli(1), Value: noise(1000)}}
	plain := appendBatch(nil, records, time.UnixMilli(1))
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		if b, err := newPacker().packBatch(nil, plain, codec); err != nil || !bytes.Equal(b, plain) {
			t.Errorf("%v: %d bytes became %d, %v", codec, len(plain), len(b), err)
		}
	}
}

// After an error that is not about size, nothing more is tried, and the records that
// were not written are named.
func TestAWriteThatFailsNamesWhatRemains(t *testing.T) {
	c := embedded(t)
	client, topic := c.client(t), kafkatest.Name(t, "small")
	c.CreateTopic(t, topic, 1, map[string]string{"max.message.bytes": "1500"})
	var records []Record
	for i := range 16 {
		records = append(records, Record{Time: recently(), Value: append([]byte{byte('a' + i)}, noise(300)...)})
	}
	requests := 0
	c.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		if requests++; requests == 5 { // 16, 8, 4 were accepted, and 4 more
			c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas})
		}
		return nil, nil, false
	})
	err := client.Write(t.Context(), WriteRequest{Topic: topic, Records: records})
	failed, ok := errors.AsType[*WriteError](err)
	if !ok || !errors.Is(err, kafka.NotEnoughReplicas) || !Retriable(err) {
		t.Fatalf("got error %v", err)
	}
	remaining := failed.Unwritten(records)
	if n := len(remaining); n == 0 || n == len(records) {
		t.Fatalf("%d records remain", n)
	}
	if err := client.Write(t.Context(), WriteRequest{Topic: topic, Records: remaining}); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, client, FetchRequest{Topic: topic}); !slices.Equal(values(got), values(records)) {
		t.Errorf("got %d records, want all %d once and in order", len(got), len(records))
	}
}

func TestZstdIsReplacedWhereTheBrokerDoesNotKnowIt(t *testing.T) {
	c := embedded(t)
	client, topic := c.client(t), c.topic(t)
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.UnsupportedCompressionType})
	if err := client.Write(t.Context(), WriteRequest{Topic: topic, Records: []Record{{Value: []byte("v")}}, Codec: Zstd}); err != nil {
		t.Error(err)
	}
	if got := values(readAll(t, client, FetchRequest{Topic: topic})); !slices.Equal(got, []string{"v"}) {
		t.Errorf("got %q", got)
	}
}

func TestAWriteEndsWithItsContext(t *testing.T) {
	c := embedded(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.client(t).Write(ctx, WriteRequest{Topic: c.topic(t), Records: []Record{{}}})
	wantError(t, err, context.Canceled)
}

// The size by which batches are filled is the encoder's.
func FuzzBatchSize(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(10))
	f.Add(uint64(2), uint8(200), uint16(70))
	f.Add(uint64(3), uint8(1), uint16(9000))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8, size uint16) {
		random := rand.New(rand.NewPCG(seed, 1))
		some := func() []byte {
			if random.IntN(4) == 0 {
				return nil
			}
			return make([]byte, random.IntN(int(size)+1))
		}
		var s BatchSize
		var records []Record
		for range int(n) + 1 {
			r := Record{Time: time.UnixMilli(random.Int64N(1<<uint(random.IntN(50)+1)) - 5), Key: some(), Value: some()}
			for range random.IntN(4) {
				r.Headers = append(r.Headers, kafka.Header{Key: string(some()), Value: some()})
			}
			records = append(records, r)
			with := s.With(&r)
			if added := s.Add(&r); added != with {
				t.Fatalf("With is %d and Add is %d", with, added)
			}
			if s.records != len(records) {
				t.Fatalf("%d records, want %d", s.records, len(records))
			}
			if len(records)%16 == 1 {
				if b := appendBatch(nil, records, time.Now()); s.Bytes() != len(b) {
					t.Fatalf("%d records: the size is %d, and %d bytes were written", len(records), s.Bytes(), len(b))
				}
			}
		}
		if b := appendBatch(nil, records, time.Now()); s.Bytes() != len(b) {
			t.Fatalf("the size is %d, and %d bytes were written", s.Bytes(), len(b))
		}
	})
}
