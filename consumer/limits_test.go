package consumer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestLimitsOfABrokerAndOfTheReader checks that a quota is waited for and is no failure,
// that a record with too many headers becomes a dead letter, and that a record too large
// for the memory stops its partition with a message that names it.
func TestLimitsOfABrokerAndOfTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		record := func(id string, headers int) kafka.Message {
			return kafka.Message{Headers: make([]kafka.Header, headers), Value: fmt.Appendf(nil,
				`{"eventId":%q,"requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, id)}
		}
		cluster.Produce(t, "events", record("before", 1), record("headers", 5000), record("between", 1))
		write(t, cluster, "events", 0, kafkalog.Zstd, kafkalog.Record{Value: make([]byte, 3<<20)})
		cluster.Produce(t, "events", record("behind", 1))
		const quota = 7 * time.Second
		cluster.Fake.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			answer := req.ResponseKind().(*kmsg.FetchResponse)
			answer.ThrottleMillis = int32(quota.Milliseconds())
			return answer, nil, true
		})
		var log bytes.Buffer
		sink := &acceptingSink{}
		c := New(Config{
			Brokers: cluster.Brokers, Topic: "events", Group: "group",
			DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
			Version: event.V3, Rules: Rules{Window: time.Hour, ParentsWait: time.Second},
			Memory:    32 << 20, // of which a record may have 2 MiB
			Transport: cluster.Transport(t), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}, sink)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		time.Sleep(30 * time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if throttled, _ := c.kafka.Throttled(); throttled != quota {
			t.Errorf("throttled for %v, want %v", throttled, quota)
		}
		if want := []string{"before", "between"}; !slices.Equal(sink.ids, want) {
			t.Errorf("reported %q, want %q", sink.ids, want)
		}
		if text := log.String(); !strings.Contains(text, "above a limit") || !strings.Contains(text, "offset=3 ") || !strings.Contains(text, "next=4 ") ||
			strings.Contains(text, "could not fetch") {
			t.Errorf("the log is\n%s", text)
		}
		letters := cluster.ReadAll(t, "events.dead-letter")
		if len(letters) != 1 || len(letters[0].Headers) != 5006 || headerCarrier(letters[0].Headers).Get(HeaderReason) != "too_large" {
			t.Errorf("got %d dead letters, the first with %d headers and reason %q", len(letters), len(letters[0].Headers), headerCarrier(letters[0].Headers).Get(HeaderReason))
		}
	})
}

// write writes records as one batch.
func write(t *testing.T, cluster *kafkatest.Cluster, topic string, partition int32, codec kafkalog.Codec, records ...kafkalog.Record) {
	t.Helper()
	client := kafkalog.NewClient(cluster.Addr(), cluster.Transport(t))
	err := client.Write(t.Context(), kafkalog.WriteRequest{Topic: topic, Partition: partition, Codec: codec, Records: records})
	if err != nil {
		t.Fatal(err)
	}
}
