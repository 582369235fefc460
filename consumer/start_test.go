package consumer

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestLatestIsDecidedOnce: with "latest", a group begins at the end of the topic
// as it was when it first came. What is published while it is away is not before
// that, though nothing was ever reported.
func TestLatestIsDecidedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		sink := &acceptingSink{}
		publish := func(ids ...string) {
			var messages []kafka.Message
			for _, id := range ids {
				messages = append(messages, kafka.Message{Value: fmt.Appendf(nil,
					`{"eventId":%q,"requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, id)})
			}
			cluster.Produce(t, "events", messages...)
		}
		run := func() {
			c := New(Config{
				Brokers: cluster.Brokers, Topic: "events", Group: "group", StartLatest: true,
				DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
				Version:   event.V3,
				Rules:     Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
				Transport: cluster.Transport(t),
			}, sink)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			time.Sleep(10 * time.Second)
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		publish("before", "before too")
		run()
		if got := cluster.CommittedOffsets(t, "group", "events"); !slices.Equal(got, []int64{2}) {
			t.Errorf("committed: %v, want the end as it was, 2", got)
		}
		publish("while it was away")
		run()
		publish("later")
		run()
		if want := []string{"while it was away", "later"}; !slices.Equal(sink.ids, want) {
			t.Errorf("reported %q: want %q", sink.ids, want)
		}
	})
}
