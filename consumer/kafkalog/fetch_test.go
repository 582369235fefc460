package kafkalog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/test/kafkatest"
)

func TestCodecs(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	began := recently()
	each(t, func(t *testing.T, c cluster) {
		for name, codec := range codecs {
			t.Run(name, func(t *testing.T) {
				topic := c.topic(t)
				producer := c.franz(t, kgo.ProducerBatchCompression(codec))
				var want []Record
				for batch := range 8 {
					var records []*kgo.Record
					for i := range 1 + 7*batch {
						key := fmt.Appendf(nil, "key %d", i)
						value := bytes.Repeat(fmt.Appendf(nil, "value %d of %d, ", i, batch), 1+i)
						header := kafka.Header{Key: "batch", Value: fmt.Append(nil, batch)}
						at := began.Add(time.Duration(i) * time.Millisecond)
						want = append(want, Record{Offset: int64(len(want)), Time: at, Key: key, Value: value, Headers: []kafka.Header{header}})
						records = append(records, &kgo.Record{
							Topic: topic, Key: key, Value: value, Timestamp: at,
							Headers: []kgo.RecordHeader{{Key: header.Key, Value: header.Value}},
						})
					}
					produceBatch(t, producer, records...)
				}
				client := c.client(t)
				for _, maxBytes := range []int{1, 10_000, 1 << 20} {
					from := int64(len(want) / 3)
					got := readAll(t, client, FetchRequest{Topic: topic, Offset: from, MaxBytes: maxBytes})
					if diff := diffRecords(want[from:], got); diff != "" {
						t.Errorf("MaxBytes %d: (-want +got)\n%s", maxBytes, diff)
					}
				}
			})
		}
	})
}

// transaction begins one that writes to a topic.
func (c cluster) transaction(t *testing.T, id string) *kgo.Client {
	t.Helper()
	cl := c.franz(t, kgo.TransactionalID(id))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	return cl
}

func end(t *testing.T, cl *kgo.Client, how kgo.TransactionEndTry) {
	t.Helper()
	if err := cl.EndTransaction(t.Context(), how); err != nil {
		t.Fatal(err)
	}
}

// waitStable waits until no transaction is open in a topic: the broker writes
// the markers after it has answered the producer.
func waitStable(t *testing.T, client *Client, topic string) {
	t.Helper()
	retry(t, func(ctx context.Context) error {
		batch, err := client.Fetch(ctx, FetchRequest{Topic: topic, MaxBytes: 1})
		if err == nil && batch.LastStableOffset < batch.HighWatermark {
			err = kafka.ConcurrentTransactions
		}
		return err
	})
}

func TestTransactions(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		plain := c.franz(t)
		a, b := c.transaction(t, topic+"-a"), c.transaction(t, topic+"-b")
		produce(t, a, topic, "a1", "a2")
		produce(t, b, topic, "b1")
		produce(t, plain, topic, "plain1")
		produce(t, a, topic, "a3")
		end(t, a, kgo.TryAbort)
		produce(t, b, topic, "b2")
		end(t, b, kgo.TryCommit)
		// The producer that aborted continues, and commits.
		if err := a.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, a, topic, "a4")
		end(t, a, kgo.TryCommit)
		if err := b.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, b, topic, "b3")
		end(t, b, kgo.TryAbort)
		waitStable(t, client, topic)
		_, hwm, err := client.Offsets(t.Context(), topic, 0)
		if err != nil {
			t.Fatal(err)
		}

		committed := FetchRequest{Topic: topic, ReadCommitted: true}
		if got, want := values(readAll(t, client, committed)), []string{"b1", "plain1", "b2", "a4"}; !slices.Equal(got, want) {
			t.Errorf("committed: got %q, want %q", got, want)
		}
		// From within an aborted transaction, and one batch at a time.
		from := FetchRequest{Topic: topic, Offset: 4, ReadCommitted: true, MaxBytes: 1}
		if got, want := values(readAll(t, client, from)), []string{"b2", "a4"}; !slices.Equal(got, want) {
			t.Errorf("committed from 4: got %q, want %q", got, want)
		}
		all := []string{"a1", "a2", "b1", "plain1", "a3", "b2", "a4", "b3"}
		if got := values(readAll(t, client, FetchRequest{Topic: topic})); !slices.Equal(got, all) {
			t.Errorf("uncommitted: got %q, want %q", got, all)
		}

		// Only aborted records and their marker follow the last record.
		for _, committed := range []bool{false, true} {
			batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, Offset: hwm - 1, ReadCommitted: committed})
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Records) > 0 || batch.NextOffset != hwm {
				t.Errorf("at the last marker: got %d records and NextOffset %d, want none and %d", len(batch.Records), batch.NextOffset, hwm)
			}
		}
	})
}

func TestAnOpenTransactionIsNotReadInto(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		produce(t, c.franz(t), topic, "before")
		open := c.transaction(t, topic)
		produce(t, open, topic, "open")
		produce(t, c.franz(t), topic, "after")

		batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, ReadCommitted: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := values(batch.Records); !slices.Equal(got, []string{"before"}) {
			t.Errorf("got %q, want only what comes before the transaction", got)
		}
		if batch.NextOffset != 1 || batch.LastStableOffset != 1 || batch.HighWatermark != 3 {
			t.Errorf("got NextOffset %d, LastStableOffset %d, HighWatermark %d, want 1, 1, 3",
				batch.NextOffset, batch.LastStableOffset, batch.HighWatermark)
		}
		end(t, open, kgo.TryCommit)
		waitStable(t, client, topic)
		got := values(readAll(t, client, FetchRequest{Topic: topic, Offset: 1, ReadCommitted: true}))
		if want := []string{"open", "after"}; !slices.Equal(got, want) {
			t.Errorf("after the commit: got %q, want %q", got, want)
		}
	})
}

func TestABatchLargerThanMaxBytesComesWhole(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		value := bytes.Repeat([]byte("large"), 180_000)
		for range 2 {
			if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: value}}); err != nil {
				t.Fatal(err)
			}
		}
		got := readAll(t, client, FetchRequest{Topic: topic, MaxBytes: 1000})
		if len(got) != 2 || !bytes.Equal(got[1].Value, value) {
			t.Errorf("got %d records, want 2 of %d bytes", len(got), len(value))
		}
	})
}

func TestReuse(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		var producers []*kgo.Client
		for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.GzipCompression()} {
			producers = append(producers, c.franz(t, kgo.ProducerBatchCompression(codec)))
		}
		var want []string
		for i := range 60 {
			value := strings.Repeat(fmt.Sprint(i, " "), 1+i*i%977)
			want = append(want, value, value+"!")
			produce(t, producers[i%len(producers)], topic, value, value+"!")
		}
		var got []string
		req := FetchRequest{Topic: topic, MaxBytes: 3000, Reuse: &Batch{}}
		for req.Offset < int64(len(want)) {
			batch, err := client.Fetch(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			checkBatch(t, req.Offset, batch)
			got = append(got, values(batch.Records)...)
			req.Offset, req.Reuse = batch.NextOffset, batch
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestFetchKeepsToItsLimits checks that records beyond MaxRecords or MaxMemory are left
// for the next fetch, and that Memory covers the records.
func TestFetchKeepsToItsLimits(t *testing.T) {
	const inBatch, batches, size = 10, 12, 1000
	const end = 1 + inBatch*batches
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}} {
		for _, limit := range []struct {
			name string
			req  FetchRequest
			most int // records
		}{
			{"records", FetchRequest{MaxRecords: 3*inBatch + 5}, 3 * inBatch},
			{"fewer records than a batch has", FetchRequest{MaxRecords: 1}, inBatch},
			{"next to no memory", FetchRequest{MaxMemory: 1}, 1},
		} {
			t.Run(codec.name+", "+limit.name, func(t *testing.T) {
				c := embedded(t)
				client, topic := c.client(t), c.topic(t)
				producer := c.franz(t, kgo.ProducerBatchCompression(codec.codec))
				produce(t, producer, topic, "first") // only then it knows the topic, and has whole batches
				for i := range batches {
					var values []string
					for j := range inBatch {
						values = append(values, strings.Repeat(fmt.Sprint(i, j, " "), size)[:size])
					}
					produce(t, producer, topic, values...)
				}
				req := limit.req
				req.Topic, req.Offset = topic, 1
				for req.Offset < end {
					batch, err := client.Fetch(t.Context(), req)
					if err != nil {
						t.Fatal(err)
					}
					checkBatch(t, req.Offset, batch)
					n, last := len(batch.Records), batch.NextOffset == end
					if n > limit.most || n < min(limit.most, int(end-req.Offset)) {
						t.Errorf("from %d came %d records, want %d", req.Offset, n, limit.most)
					}
					if batch.Cut == last {
						t.Errorf("from %d: cut = %v, and the last: %v", req.Offset, batch.Cut, last)
					}
					if least := int64(n * size); batch.Memory < least || codec.name != "none" && batch.Memory > 6*least {
						t.Errorf("%d bytes of memory for %d records of %d", batch.Memory, n, size)
					}
					if batch.Wire <= 0 || codec.name == "none" && batch.Wire < n*size {
						t.Errorf("%d bytes in the answer for %d records", batch.Wire, n)
					}
					req.Offset = batch.NextOffset
				}
			})
		}
	}
}

// Compaction leaves batches with holes, and holes between batches. From
// wherever one reads, all is had that another client sees.
func TestACompactedTopic(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), kafkatest.Name(t, "compacted")
		c.CreateTopic(t, topic, 1, map[string]string{
			"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001",
			"segment.bytes": "1048576", "segment.ms": "100", "max.compaction.lag.ms": "100",
		})
		value := make([]byte, 2000)
		// The last records are not compacted: writing continues until something
		// of before is gone.
		kafkatest.WaitFor(t, 90*time.Second, "compaction of "+topic, func() bool {
			for round := range 3 {
				var records []Record
				for i := range 40 {
					records = append(records, Record{Key: fmt.Appendf(nil, "key-%d", i*(1+round)), Value: value})
				}
				if _, err := client.Append(t.Context(), topic, 0, records); err != nil {
					t.Fatal(err)
				}
			}
			if c.Fake != nil {
				c.Fake.Compact()
			}
			return int64(len(readAll(t, client, FetchRequest{Topic: topic}))) < c.EndOffsets(t, topic)[0]
		})
		// A real broker may compact meanwhile: the records read lie between those
		// before and those after.
		before, end := offsetsOf(t, c, topic), c.EndOffsets(t, topic)[0]
		reads := map[int64][]int64{}
		for from := int64(0); from < end; from += 7 {
			for _, r := range readAll(t, client, FetchRequest{Topic: topic, Offset: from, MaxBytes: 50_000}) {
				reads[from] = append(reads[from], r.Offset)
			}
		}
		after := offsetsOf(t, c, topic)
		for from, got := range reads {
			for _, o := range got {
				if _, ok := slices.BinarySearch(before, o); !ok {
					t.Errorf("from %d: got offset %d, where nothing was", from, o)
				}
			}
			first, _ := slices.BinarySearch(after, from)
			for _, o := range after[first:] {
				if _, ok := slices.BinarySearch(got, o); !ok {
					t.Errorf("from %d: did not get offset %d", from, o)
				}
			}
		}
	})
}

// offsetsOf are those of a topic's records, as another client sees them.
func offsetsOf(t *testing.T, c cluster, topic string) []int64 {
	t.Helper()
	var offsets []int64
	for _, m := range c.ReadAll(t, topic) {
		offsets = append(offsets, m.Offset)
	}
	return offsets
}

// A batch that a producer made small, and that becomes 40 MB, is read from the broker
// in pieces, within an account of 32 MiB.
func TestALargeCompressedBatchIsFetchedInPieces(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		const n, size = 40, 1_000_000
		client := c.client(t)
		for name, codec := range map[string]kgo.CompressionCodec{
			"gzip": kgo.GzipCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
		} {
			topic := c.topic(t)
			producer := c.franz(t, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(100<<20), kgo.BrokerMaxWriteBytes(200<<20))
			produce(t, producer, topic, "first") // only then it knows the topic, and has whole batches
			var values []string
			for i := range n {
				values = append(values, fmt.Sprint(i)+strings.Repeat(" ", size))
			}
			produce(t, producer, topic, values...)
			account := &limited{limit: 32 << 20}
			next, fetches := int64(1), 0
			for ; next < n+1; fetches++ {
				batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, Offset: next, MaxMemory: 4 << 20, Account: account, ReadCommitted: true})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				checkBatch(t, next, batch)
				for i := range batch.Records {
					if r := &batch.Records[i]; string(r.Value) != values[r.Offset-1] {
						t.Fatalf("%s: the record at %d has %d bytes", name, r.Offset, len(r.Value))
					}
				}
				next = batch.NextOffset
				batch.Release()
			}
			if account.lent != 0 || fetches < 5 {
				t.Errorf("%s: %d fetches, and %d bytes are still lent", name, fetches, account.lent)
			}
		}
	})
}
