package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// rekeying is the configuration of a consumer that rekeys.
func rekeying(brokers []string) Config {
	return Config{
		Brokers: brokers, Topic: "events", Group: "group", ByRequest: "events.by-request",
		DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
		Version:        event.V3,
		Rules:          Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
		SessionTimeout: 6 * time.Second,
	}
}

func impressions(from, to int) (messages []kafka.Message) {
	for i := from; i < to; i++ {
		messages = append(messages, kafka.Message{Key: []byte("user"), Value: fmt.Appendf(nil,
			`{"eventId":"e%d","requestId":"r%d","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, i, i%7)})
	}
	return messages
}

// TestPoisonInTheFirstHalf: a record ends the process each time the first half reads it.
// It is a dead letter by the third attempt, and the other events pass both halves.
func TestPoisonInTheFirstHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		const n, killer = 100, 63
		messages := impressions(0, n)
		cluster.Produce(t, "events", messages...)
		sink := &acceptingSink{}
		attempts := 0
		for ; attempts < 10; attempts++ {
			killed := runMortalWith(t, cluster, sink, rekeying(cluster.Brokers), func(ctx context.Context, c *Consumer, die func()) {
				c.First().beforeDecode = func(r *record) {
					if r.Offset == killer {
						die()
						<-ctx.Done()
						runtime.Goexit() // a dead process does nothing more
					}
				}
			}, func() bool {
				return len(distinct(sink.accepted())) == n-1 && cluster.CommittedOffsets(t, "group", "events")[0] == n
			})
			if !killed {
				break
			}
		}
		if attempts < 1 || attempts > 3 {
			t.Errorf("the record ended the process %d times: want it found out by the third", attempts)
		}
		letters := cluster.ReadAll(t, "events.dead-letter")
		if len(letters) != 1 || string(letters[0].Value) != string(messages[killer].Value) || string(letters[0].Key) != "user" {
			t.Fatalf("%d dead letters: want the killer alone", len(letters))
		}
		if i := slices.IndexFunc(letters[0].Headers, func(h kafka.Header) bool { return h.Key == HeaderReason }); i < 0 || string(letters[0].Headers[i].Value) != string(event.ReasonPoison) {
			t.Errorf("the killer is a dead letter with %v: want %s", letters[0].Headers, event.ReasonPoison)
		}
		if slices.Contains(sink.accepted(), fmt.Sprint("e", killer)) {
			t.Error("the killer was reported")
		}
	})
}

func distinct(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// TestRekeyWithoutOffsets: the offsets of both groups are deleted, as brokers do after
// their retention. Both halves resume where they had finished: nothing is written to the
// internal topic twice, and nothing is reported twice.
func TestRekeyWithoutOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		sink := &acceptingSink{}
		run := func(n int) {
			t.Helper()
			runMortalWith(t, cluster, sink, rekeying(cluster.Brokers), func(context.Context, *Consumer, func()) {}, func() bool {
				return len(sink.accepted()) >= n && cluster.CommittedOffsets(t, "group", "events")[0] == int64(n)
			})
		}
		cluster.Produce(t, "events", impressions(0, 50)...)
		run(50)
		client := &kafka.Client{Addr: kafka.TCP(cluster.Brokers...), Transport: cluster.Transport(t)}
		answer, err := client.DeleteGroups(t.Context(), &kafka.DeleteGroupsRequest{GroupIDs: []string{"group", RekeyedGroup("group")}})
		if err != nil || len(answer.Errors) != 2 {
			t.Fatalf("delete the groups: %+v, %v", answer, err)
		}
		for group, err := range answer.Errors {
			if err != nil {
				t.Fatalf("delete %s: %v", group, err)
			}
		}
		cluster.Produce(t, "events", impressions(50, 60)...)
		run(60)
		if got := cluster.ReadAll(t, "events.by-request"); len(got) != 60 {
			t.Errorf("the internal topic has %d records: want each event once, 60", len(got))
		}
		if got := sink.accepted(); len(got) != 60 || len(distinct(got)) != 60 {
			t.Errorf("%d events were reported: want 60, each once", len(got))
		}
	})
}

// TestInternalTopicLosesPartitions: where the internal topic is recreated with fewer
// partitions, the events go to those that it has.
func TestInternalTopicLosesPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 3, nil)
		sink := &acceptingSink{}
		var log lockedBuffer
		config := rekeying(cluster.Brokers)
		config.Logger = slog.New(slog.NewTextHandler(&log, nil))
		cluster.Produce(t, "events", impressions(0, 50)...)
		recreated := false
		finished := func(n int) bool {
			return len(sink.accepted()) >= n && cluster.CommittedOffsets(t, "group", "events")[0] == int64(n)
		}
		ended := time.Now().Add(5 * time.Minute)
		runMortalWith(t, cluster, sink, config, func(context.Context, *Consumer, func()) {}, func() bool {
			if !recreated && finished(50) {
				recreated = true
				answer, err := cluster.Client(t).DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{config.ByRequest}})
				if err != nil || answer.Errors[config.ByRequest] != nil {
					t.Fatal(err, answer)
				}
				cluster.CreateTopic(t, config.ByRequest, 1, nil)
				cluster.Produce(t, "events", impressions(50, 100)...)
			}
			return finished(100) || time.Now().After(ended)
		})
		if got := sink.accepted(); len(got) != 100 || len(distinct(got)) != 100 {
			t.Errorf("%d events were reported: want 100, each once", len(got))
		}
		if text := log.take(); !strings.Contains(text, "the internal topic was deleted and recreated") || strings.Contains(text, "the source topic was deleted") {
			t.Errorf("log: want a line about the recreated internal topic:\n%s", text)
		}
	})
}

// TestRekeyFlood: while the internal topic can't be written, a backlog that expands when
// it is decompressed takes no more memory than the budget says. Then all of it passes.
func TestRekeyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mebi = 1 << 20
		n := 60_000
		if testing.Short() {
			n = 20_000
		}
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 4, nil)
		backlog(t, cluster, kgo.ZstdCompression(), n, 0)
		time.Sleep(time.Minute) // what served the producer goes
		fault := cluster.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "events.by-request", Err: kerr.NotEnoughReplicas, Count: -1})
		before := heap()
		sink := &acceptingSink{}
		config := rekeying(cluster.Brokers)
		config.MaxInFlightBytes, config.MaxInFlightRecords, config.Transport = 4*mebi, 1<<30, cluster.Transport(t)
		c := New(config, sink)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		held, grown := c.First().budget.held(), heap()-before
		t.Logf("%d KiB booked, the heap has grown by %d KiB", held>>10, grown>>10)
		// A large batch of each partition may be above the limit, and each has a write of
		// 1 MiB under way.
		most := config.MaxInFlightBytes*3/2 + 4*6*mebi + 4*4*maxRekeyedBytes
		if held < mebi || held > most {
			t.Errorf("%d bytes are booked: want at least 1 MiB and at most %d", held, most)
		}
		if grown > most {
			t.Errorf("the heap has grown by %d bytes: want at most %d", grown, most)
		}
		if n := len(sink.accepted()); n > 0 {
			t.Errorf("%d events were reported", n)
		}
		fault.Remove()
		kafkatest.WaitFor(t, 10*time.Minute, "every event to be reported", func() bool { return len(sink.accepted()) >= n })
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := sink.accepted(); len(distinct(got)) != n {
			t.Errorf("%d events were reported: want %d", len(distinct(got)), n)
		}
	})
}
