package kafkatest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// everywhere runs test in a bubble as well as against both kinds of broker.
func everywhere(t *testing.T, test func(t *testing.T, c *kafkatest.Cluster)) {
	t.Helper()
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, kafkatest.Bubble(t)) })
	})
	kafkatest.Each(t, test)
}

func TestReadAllGivesBackWhatWasProduced(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic := c.NewTopic(t, "records", 3)
		at := time.UnixMilli(time.Now().UnixMilli())
		want := []kafka.Message{
			{Partition: 0, Offset: 0, Key: []byte("a"), Value: []byte("1"), Time: at, Headers: []kafka.Header{{Key: "h", Value: []byte("x")}, {Key: "h", Value: []byte("y")}}},
			{Partition: 0, Offset: 1, Key: []byte("a"), Value: nil, Time: at.Add(-time.Hour)},
			{Partition: 2, Offset: 0, Key: nil, Value: []byte{}, Time: at.Add(time.Second)},
		}
		c.Produce(t, topic, want...)
		got := c.ReadAll(t, topic)
		if len(got) != len(want) {
			t.Fatalf("ReadAll gave %d records, want %d", len(got), len(want))
		}
		for i := range want {
			want[i].Topic = topic
			if !sameMessage(want[i], got[i]) {
				t.Errorf("record %d:\n got %#v\nwant %#v", i, got[i], want[i])
			}
		}
		if ends := c.EndOffsets(t, topic); !slices.Equal(ends, []int64{2, 0, 1}) {
			t.Errorf("EndOffsets = %v, want [2 0 1]", ends)
		}
	})
}

// sameMessage compares what a record holds; a nil value differs from an empty one.
func sameMessage(a, b kafka.Message) bool {
	sameHeader := func(a, b kafka.Header) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }
	return a.Topic == b.Topic && a.Partition == b.Partition && a.Offset == b.Offset && a.Time.Equal(b.Time) &&
		string(a.Key) == string(b.Key) && (a.Key == nil) == (b.Key == nil) &&
		string(a.Value) == string(b.Value) && (a.Value == nil) == (b.Value == nil) &&
		slices.EqualFunc(a.Headers, b.Headers, sameHeader)
}

func TestProduceByKeyKeepsAKeyInOnePartition(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic := c.NewTopic(t, "keyed", 4)
		var messages []kafka.Message
		for i := range 40 {
			messages = append(messages, kafka.Message{Key: fmt.Appendf(nil, "key-%d", i%10), Value: fmt.Append(nil, i)})
		}
		c.ProduceByKey(t, topic, messages...)
		partitionOf := make(map[string]int)
		used := make(map[int]bool)
		for _, m := range c.ReadAll(t, topic) {
			if p, seen := partitionOf[string(m.Key)]; seen && p != m.Partition {
				t.Errorf("key %s is in partitions %d and %d", m.Key, p, m.Partition)
			}
			partitionOf[string(m.Key)], used[m.Partition] = m.Partition, true
		}
		if len(partitionOf) != 10 || len(used) < 2 {
			t.Errorf("read %d keys in %d partitions, want 10 keys in several", len(partitionOf), len(used))
		}
	})
}

func TestTransactions(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic := c.NewTopic(t, "txn", 1)
		write := func(value string) kafka.Message { return kafka.Message{Value: []byte(value)} }

		c.Produce(t, topic, write("plain"))
		committed := c.Begin(t)
		committed.Produce(t, topic, write("committed-1"), write("committed-2"))
		committed.Commit(t)
		aborted := c.Begin(t)
		aborted.Produce(t, topic, write("aborted"))
		aborted.Abort(t)

		// A transaction's control record takes an offset of its own, and the log
		// ends with one here.
		wantValues(t, c.ReadAll(t, topic), "plain", "committed-1", "committed-2")
		if ends := c.EndOffsets(t, topic); ends[0] != 6 {
			t.Errorf("EndOffsets = %v, want 6: 4 records and 2 control records", ends)
		}

		open := c.Begin(t)
		open.Produce(t, topic, write("open"))
		c.Produce(t, topic, write("behind"))
		wantValues(t, c.ReadAll(t, topic), "plain", "committed-1", "committed-2")
		open.Commit(t)
		wantValues(t, c.ReadAll(t, topic), "plain", "committed-1", "committed-2", "open", "behind")
	})
}

func wantValues(t *testing.T, got []kafka.Message, want ...string) {
	t.Helper()
	var values []string
	for _, m := range got {
		values = append(values, string(m.Value))
	}
	if !slices.Equal(values, want) {
		t.Errorf("ReadAll gave %q, want %q", values, want)
	}
}

func TestOffsetsOfAGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic, group := c.NewTopic(t, "offsets", 2), kafkatest.Name(t, "group")
		for p := range 2 {
			for range 5 {
				c.Produce(t, topic, kafka.Message{Partition: p, Value: []byte("v")})
			}
		}
		if got := c.CommittedOffsets(t, group, topic); !slices.Equal(got, []int64{-1, -1}) {
			t.Errorf("before any commit CommittedOffsets = %v, want [-1 -1]", got)
		}
		if got := c.Lag(t, group, topic); got != 10 {
			t.Errorf("before any commit Lag = %d, want 10", got)
		}
		commit(t, c, group, topic, 1, 3)
		if got := c.CommittedOffsets(t, group, topic); !slices.Equal(got, []int64{-1, 3}) {
			t.Errorf("CommittedOffsets = %v, want [-1 3]", got)
		}
		if got := c.Lag(t, group, topic); got != 7 {
			t.Errorf("Lag = %d, want 7", got)
		}
	})
}

// commit commits one offset as a member of group, through kafka-go as the
// program does.
func commit(t *testing.T, c *kafkatest.Cluster, group, topic string, partition int, offset int64) {
	t.Helper()
	cg, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: c.Brokers, Dialer: c.Dialer(), Topics: []string{topic},
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 15 * time.Second, JoinGroupBackoff: 500 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cg.Close()
	gen, err := cg.Next(t.Context())
	if err != nil {
		t.Fatalf("join group %s: %v", group, err)
	}
	if err := gen.CommitOffsets(map[string]map[int]int64{topic: {partition: offset}}); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func TestUnknownTopicsAreNotCreatedOnDemand(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic := kafkatest.Name(t, "nowhere")
		answer, err := c.Client(t).Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Topics[0].Error; err == nil || !strings.Contains(err.Error(), "Unknown Topic") {
			t.Errorf("metadata of a missing topic says %v, want an unknown topic", err)
		}
	})
}

// Compaction leaves holes in the offsets that a reader has to step over. The
// embedded broker has no faithful compaction, so this is for the real one.
func TestReadAllOfACompactedTopic(t *testing.T) {
	c := kafkatest.Real(t)
	topic := kafkatest.Name(t, "compacted")
	c.CreateTopic(t, topic, 1, map[string]string{
		"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001",
		"segment.bytes": "1048576", "segment.ms": "100", "max.compaction.lag.ms": "100",
	})
	value := make([]byte, 1000)
	round := 0
	// The active segment is not compacted: writing continues until the cleaner,
	// which looks every log.cleaner.backoff.ms, has taken records away.
	kafkatest.WaitFor(t, 90*time.Second, "the cleaner to compact "+topic, func() bool {
		var messages []kafka.Message
		for i := range 50 {
			messages = append(messages, kafka.Message{Key: fmt.Appendf(nil, "key-%d", i), Value: append(fmt.Appendf(nil, "%d:", round), value...)})
		}
		round++
		c.Produce(t, topic, messages...)
		return int64(len(c.ReadAll(t, topic))) < c.EndOffsets(t, topic)[0]
	})
	last := make(map[string]string)
	for _, m := range c.ReadAll(t, topic) {
		last[string(m.Key)], _, _ = strings.Cut(string(m.Value), ":")
	}
	if len(last) != 50 {
		t.Errorf("%d keys are left, want all 50", len(last))
	}
	for key, value := range last {
		if value != fmt.Sprint(round-1) {
			t.Errorf("the last value of %s is of round %s, want %d", key, value, round-1)
		}
	}
}

func TestWaitForInABubbleTakesFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		kafkatest.WaitFor(t, time.Hour, "half an hour to pass", func() bool { return time.Since(start) >= 30*time.Minute })
		if got := time.Since(start); got != 30*time.Minute {
			t.Errorf("waited %v, want 30m", got)
		}
	})
}
