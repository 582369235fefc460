package consumer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/kafkatest"
)

// drainedSink accepts at once, and notes what comes after it was drained.
type drainedSink struct {
	acceptingSink
	drained bool
	late    int
}

func (s *drainedSink) Accept(ds []*event.Delivery) {
	s.mu.Lock()
	if s.drained {
		s.late += len(ds)
	}
	s.mu.Unlock()
	s.acceptingSink.Accept(ds)
}

func (s *drainedSink) Drain(context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = true
}

// TestIntakeEndsBeforeTheDrain: what is being taken in when a replica stops is
// handed over before the sink is drained. Later, it would be sent after the
// partition was given away.
func TestIntakeEndsBeforeTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		var messages []kafka.Message
		for i := range 10 {
			messages = append(messages, kafka.Message{Value: fmt.Appendf(nil,
				`{"eventId":"e%d","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, i)})
		}
		cluster.Produce(t, "events", messages...)
		sink := &drainedSink{}
		c := New(Config{
			Brokers: cluster.Brokers, Topic: "events", Group: "group",
			DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
			Rules:     Rules{Version: event.V3, Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
			Transport: cluster.Transport(t), Dialer: cluster.Dialer(),
		}, sink)
		ctx, stop := context.WithCancel(t.Context())
		c.beforeDecode = func(r record) {
			if r.offset == 5 {
				stop()
				time.Sleep(time.Second) // a slow moment, amid what a fetch brought
			}
		}
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
		if len(sink.ids) != 10 || sink.late > 0 {
			t.Errorf("%d events were handed over, %d of them after the drain: want 10, all before", len(sink.ids), sink.late)
		}
		if got := cluster.CommittedOffsets(t, "group", "events")[0]; got != 10 {
			t.Errorf("committed %d: want 10", got)
		}
	})
}
