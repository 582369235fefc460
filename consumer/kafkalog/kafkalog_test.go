package kafkalog

import (
	"bytes"
	"math"
	"slices"
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
)

// recently is a minute ago, to the millisecond. A broker deletes records older
// than a week.
func recently() time.Time { return time.UnixMilli(time.Now().Add(-time.Minute).UnixMilli()) }

// variedRecords are records of many forms, in one batch.
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
		c.DeleteRecords(t, topic, 3)
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
