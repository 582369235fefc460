package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/clientevents/clientevents/internal/kafkatest"
)

// recently is a while ago, to the millisecond. A broker deletes what is older
// than a week.
func recently() time.Time { return time.UnixMilli(time.Now().Add(-time.Minute).UnixMilli()) }

// variedRecords are what a log may hold, in one batch.
func variedRecords(at time.Time) []Record {
	return []Record{
		{Time: at, Key: []byte("key"), Value: []byte("value")},
		{Time: at.Add(time.Millisecond), Key: nil, Value: nil},
		{Time: at.Add(-time.Hour), Key: []byte{}, Value: []byte{}},
		{Time: at.Add(time.Minute / 2), Key: bytes.Repeat([]byte("k"), 300), Value: bytes.Repeat([]byte("v"), 70_000)},
		{Time: at, Value: []byte("headers"), Headers: []kafka.Header{
			{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}, {Key: "naïve", Value: []byte{0xFF}},
		}},
		{Time: at, Value: []byte("more headers"), Headers: []kafka.Header{{Key: "a", Value: []byte("2")}}},
	}
}

func withOffsets(records []Record, base int64) []Record {
	records = slices.Clone(records)
	for i := range records {
		records[i].Offset = base + int64(i)
	}
	return records
}

// diffRecords compares bytes as a whole, since one by one takes seconds; null
// is not empty.
func diffRecords(want, got []Record) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }))
}

func TestWhatIsAppendedIsFetched(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		at := recently()
		var want []Record
		for round := range 3 {
			records := variedRecords(at)
			base, err := client.Append(t.Context(), topic, 0, records)
			if err != nil {
				t.Fatal(err)
			}
			if want := int64(round * len(records)); base != want {
				t.Fatalf("base offset %d, want %d", base, want)
			}
			want = append(want, withOffsets(records, base)...)
		}
		for from := range int64(len(want)) {
			got := readAll(t, client, FetchRequest{Topic: topic, Offset: from, MaxBytes: 100_000, ReadCommitted: true})
			if diff := diffRecords(want[from:], got); diff != "" {
				t.Fatalf("from offset %d: (-want +got)\n%s", from, diff)
			}
		}
	})
}

func TestAppendIsReadByAnotherClient(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		want := variedRecords(recently())
		if _, err := client.Append(t.Context(), topic, 0, want); err != nil {
			t.Fatal(err)
		}
		other := c.franz(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
		var got []Record
		for len(got) < len(want) {
			fetches := other.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				rec := Record{Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value}
				for _, h := range r.Headers {
					rec.Headers = append(rec.Headers, kafka.Header{Key: h.Key, Value: h.Value})
				}
				got = append(got, rec)
			})
		}
		if diff := diffRecords(withOffsets(want, 0), got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestARecordWithoutTimeGetsThePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		time.Sleep(time.Minute)
		if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte("now")}}); err != nil {
			t.Fatal(err)
		}
		got := readAll(t, client, FetchRequest{Topic: topic})
		if len(got) != 1 || !got[0].Time.Equal(time.Now().Truncate(time.Millisecond)) {
			t.Errorf("got %+v, want one record of %v", got, time.Now())
		}
	})
}

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
// the markers after it has answered the one who ended it.
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
		// The producer that aborted goes on, and commits.
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

		// Behind the last record stand only what was aborted and its marker.
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

// TestFetchKeepsToItsLimits: what an answer holds beyond MaxRecords or MaxMemory
// comes with the next fetch, and Memory says what the records keep.
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
			{"memory for a batch", FetchRequest{MaxMemory: 1}, inBatch},
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

func TestOffsets(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		if first, end, err := client.Offsets(t.Context(), topic, 0); err != nil || first != 0 || end != 0 {
			t.Fatalf("empty: got %d, %d, %v, want 0, 0", first, end, err)
		}
		at := recently()
		for i := range 5 {
			if _, err := client.Append(t.Context(), topic, 0, []Record{{Time: at.Add(time.Duration(i) * time.Second), Value: []byte("v")}}); err != nil {
				t.Fatal(err)
			}
		}
		if first, end, err := client.Offsets(t.Context(), topic, 0); err != nil || first != 0 || end != 5 {
			t.Fatalf("got %d, %d, %v, want 0, 5", first, end, err)
		}
		for _, test := range []struct {
			at   time.Time
			want int64
		}{
			{time.Time{}, 0},
			{time.UnixMilli(0), 0},
			{at, 0},
			{at.Add(time.Nanosecond), 1},
			{at.Add(time.Millisecond), 1},
			{at.Add(time.Second - time.Nanosecond), 1},
			{at.Add(4 * time.Second), 4},
			{at.Add(4*time.Second + 1), 5},
			{at.Add(24 * time.Hour), 5},
		} {
			if got, err := client.OffsetAt(t.Context(), topic, 0, test.at); err != nil || got != test.want {
				t.Errorf("at %v: got %d, %v, want %d", test.at, got, err, test.want)
			}
		}
		deleteRecords(t, c, topic, 3)
		if first, end, err := client.Offsets(t.Context(), topic, 0); err != nil || first != 3 || end != 5 {
			t.Errorf("after deleting up to 3: got %d, %d, %v, want 3, 5", first, end, err)
		}
		batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, Offset: 3})
		if err != nil || batch.LogStartOffset != 3 {
			t.Errorf("got %+v, %v, want LogStartOffset 3", batch, err)
		}
		for _, offset := range []int64{0, 2, 6, math.MaxInt64} {
			_, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, Offset: offset})
			wantError(t, err, kafka.OffsetOutOfRange)
			if Retriable(err) {
				t.Errorf("at %d: %v is retriable", offset, err)
			}
		}
	})
}

func deleteRecords(t *testing.T, c cluster, topic string, before int64) {
	t.Helper()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Offset = before
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{p}}}
	answer, err := req.RequestWith(t.Context(), c.franz(t))
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnknownTopicsAndPartitions(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		for _, test := range []struct {
			topic     string
			partition int32
		}{{topic + "-not", 0}, {topic, 1}, {topic, -1}} {
			_, err := client.Fetch(t.Context(), FetchRequest{Topic: test.topic, Partition: test.partition})
			wantError(t, err, kafka.UnknownTopicOrPartition)
			_, err = client.Append(t.Context(), test.topic, test.partition, []Record{{}})
			wantError(t, err, kafka.UnknownTopicOrPartition)
			_, _, err = client.Offsets(t.Context(), test.topic, test.partition)
			wantError(t, err, kafka.UnknownTopicOrPartition)
			if err != nil && !strings.Contains(err.Error(), test.topic) {
				t.Errorf("%v does not name the topic", err)
			}
		}
	})
}

func TestAppendWithoutRecords(t *testing.T) {
	if _, err := embedded(t).client(t).Append(t.Context(), "any", 0, nil); err == nil || Retriable(err) {
		t.Errorf("got %v, want an error that is not retriable", err)
	}
}

func TestAppendTooLarge(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), kafkatest.Name(t, "small")
		c.CreateTopic(t, topic, 1, map[string]string{"max.message.bytes": "1000"})
		_, err := client.Append(t.Context(), topic, 0, []Record{{Value: make([]byte, 2000)}})
		wantError(t, err, kafka.MessageSizeTooLarge)
		if Retriable(err) {
			t.Errorf("%v is retriable", err)
		}
		if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: make([]byte, 500)}}); err != nil {
			t.Error(err)
		}
	})
}

func TestAppendErrors(t *testing.T) {
	c := embedded(t)
	client, topic := c.client(t), c.topic(t)
	for _, test := range []struct {
		fault     *kerr.Error
		want      kafka.Error
		retriable bool
	}{
		{kerr.TopicAuthorizationFailed, kafka.TopicAuthorizationFailed, false},
		{kerr.InvalidRecord, kafka.InvalidRecord, false},
		{kerr.NotEnoughReplicas, kafka.NotEnoughReplicas, true},
		{kerr.NotEnoughReplicasAfterAppend, kafka.NotEnoughReplicasAfterAppend, true},
		{kerr.RequestTimedOut, kafka.RequestTimedOut, true},
		{kerr.KafkaStorageError, kafka.KafkaStorageError, true},
	} {
		c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: test.fault})
		_, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte("v")}})
		wantError(t, err, test.want)
		if Retriable(err) != test.retriable {
			t.Errorf("Retriable(%v) is %v", err, !test.retriable)
		}
		if err != nil && test.fault.Description != "" && !strings.Contains(err.Error(), topic+"/0") {
			t.Errorf("%v does not name the partition", err)
		}
	}
}

// Every version that is spoken is a different layout of request and answer.
func TestBrokerVersions(t *testing.T) {
	for version, versions := range map[string]*kversion.Versions{
		"0.11": kversion.V0_11_0(), "1.0": kversion.V1_0_0(), "1.1": kversion.V1_1_0(), "2.0": kversion.V2_0_0(),
		"2.1": kversion.V2_1_0(), "2.3": kversion.V2_3_0(), "2.4": kversion.V2_4_0(), "3.9": kversion.V3_9_0(),
		"4.0": kversion.V4_0_0(), "newest": kversion.Tip(),
	} {
		t.Run(version, func(t *testing.T) {
			c := embedded(t, kfake.MaxVersions(versions), kfake.SeedTopics(1, "topic"))
			client := c.client(t)
			want := variedRecords(recently())
			base, err := client.Append(t.Context(), "topic", 0, want)
			if err != nil || base != 0 {
				t.Fatalf("got %d, %v", base, err)
			}
			got := readAll(t, client, FetchRequest{Topic: "topic", ReadCommitted: true})
			if diff := diffRecords(withOffsets(want, 0), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			_, err = client.Fetch(t.Context(), FetchRequest{Topic: "topic", Offset: 100})
			wantError(t, err, kafka.OffsetOutOfRange)
			c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
			_, err = client.Append(t.Context(), "topic", 0, want)
			wantError(t, err, kafka.TopicAuthorizationFailed)
		})
	}
}

func TestALeaderThatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte("before")}}); err != nil {
			t.Fatal(err)
		}
		if err := c.Fake.MoveTopicPartition(topic, 0, 1-c.Fake.LeaderFor(topic, 0)); err != nil {
			t.Fatal(err)
		}
		_, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte("after")}})
		wantError(t, err, kafka.NotLeaderForPartition)
		_, err = client.Fetch(t.Context(), FetchRequest{Topic: topic})
		wantError(t, err, kafka.NotLeaderForPartition)
		retry(t, func(ctx context.Context) error {
			_, err := client.Append(ctx, topic, 0, []Record{{Value: []byte("after")}})
			return err
		})
		if got, want := values(readAll(t, client, FetchRequest{Topic: topic})), []string{"before", "after"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// drop closes the connection that the next such request comes from.
func drop(c cluster, key kmsg.Key) {
	c.Fake.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, errors.New("dropped"), true
	})
}

func TestAConnectionThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		for range 3 {
			drop(c, kmsg.Produce)
			if _, err := client.Append(t.Context(), topic, 0, []Record{{}}); err == nil || !Retriable(err) {
				t.Errorf("append: got %v, want a retriable error", err)
			}
			if _, err := client.Append(t.Context(), topic, 0, []Record{{}}); err != nil {
				t.Errorf("append again: %v", err)
			}
			drop(c, kmsg.Fetch)
			if _, err := client.Fetch(t.Context(), FetchRequest{Topic: topic}); err == nil || !Retriable(err) {
				t.Errorf("fetch: got %v, want a retriable error", err)
			}
			if _, err := client.Fetch(t.Context(), FetchRequest{Topic: topic}); err != nil {
				t.Errorf("fetch again: %v", err)
			}
			drop(c, kmsg.ListOffsets)
			if _, _, err := client.Offsets(t.Context(), topic, 0); err == nil || !Retriable(err) {
				t.Errorf("offsets: got %v, want a retriable error", err)
			}
		}
	})
}

// A broker that takes requests and never answers must not hold a caller for
// longer than the deadline that there always is.
func TestABrokerThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		for name, request := range map[string]struct {
			key  kmsg.Key
			want time.Duration
			do   func(context.Context) error
		}{
			"fetch": {kmsg.Fetch, requestTimeout + 3*time.Second, func(ctx context.Context) error {
				_, err := client.Fetch(ctx, FetchRequest{Topic: topic, MaxWait: 3 * time.Second})
				return err
			}},
			"append": {kmsg.Produce, requestTimeout, func(ctx context.Context) error {
				_, err := client.Append(ctx, topic, 0, []Record{{}})
				return err
			}},
			"offsets": {kmsg.ListOffsets, requestTimeout, func(ctx context.Context) error {
				_, _, err := client.Offsets(ctx, topic, 0)
				return err
			}},
		} {
			for _, deadline := range []time.Duration{0, time.Second, time.Minute} {
				c.Fake.ControlKey(request.key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
				ctx, cancel, want := t.Context(), context.CancelFunc(func() {}), request.want
				if deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, deadline)
					want = deadline
				}
				late := time.Duration(0)
				if name == "append" { // its request may be for others too
					want, late = min(want, requestTimeout), gatherFor
				}
				began := time.Now()
				err := request.do(ctx)
				cancel()
				wantError(t, err, context.DeadlineExceeded)
				if !Retriable(err) {
					t.Errorf("%s: %v is not retriable", name, err)
				}
				if took := time.Since(began); took < want || took > want+late {
					t.Errorf("%s with a deadline of %v: took %v, want %v", name, deadline, took, want)
				}
			}
		}
		time.Sleep(time.Minute) // the connections' own deadlines
	})
}

func TestTheBrokerWaitsNoLongerThanTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		batch, err := client.Fetch(ctx, FetchRequest{Topic: topic, MaxWait: time.Minute})
		if err != nil || len(batch.Records) > 0 || batch.NextOffset != 0 {
			t.Errorf("got %+v, %v, want an empty batch before the deadline", batch, err)
		}
	})
}

// The memory of a fetch whose caller gave up is not the next one's: the answer
// may still come.
func TestACancelledFetchKeepsItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		one, other := strings.Repeat("1", 10_000), strings.Repeat("2", 10_000)
		produce(t, c.franz(t), topic, one)
		produce(t, c.franz(t), topic, other)
		batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		c.Fake.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.Fake.SleepControl(func() { time.Sleep(2 * time.Second) })
			return nil, nil, false
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = client.Fetch(ctx, FetchRequest{Topic: topic, Offset: 1, MaxBytes: 1, Reuse: batch})
		wantError(t, err, context.Canceled)
		if Retriable(err) {
			t.Errorf("%v is retriable", err)
		}
		batch, err = client.Fetch(t.Context(), FetchRequest{Topic: topic, MaxBytes: 1, Reuse: batch})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the late answer has come
		if got := values(batch.Records); len(got) != 1 || got[0] != one {
			t.Errorf("what was fetched was written over")
		}
	})
}

func TestAnOldBroker(t *testing.T) {
	var sent bytes.Buffer
	rw := struct {
		io.Reader
		io.Writer
	}{strings.NewReader(""), &sent}
	client := NewClient(kafka.TCP("localhost:1"), nil)
	fetch := &fetchMessage{req: FetchRequest{Topic: "t"}}
	fetch.Required(nil)
	_, err := fetch.RawExchange(rw)
	wantError(t, err, kafka.UnsupportedVersion)
	produce := &produceMessage{client: client}
	produce.Required(nil)
	_, err = produce.RawExchange(rw)
	wantError(t, err, kafka.UnsupportedVersion)
	if sent.Len() > 0 {
		t.Errorf("%d bytes were sent", sent.Len())
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
		// What is written last is not compacted: writing goes on until something
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
		// A real broker may go on meanwhile: what is read lies between what was
		// there before and what is left after.
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
