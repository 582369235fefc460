package consumer

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/lifecycle"
	"github.com/clientevents/clientevents/test/kafkatest"
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

func (s *drainedSink) Drain(context.Context, []*event.Term) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = true
	return true
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
			Version:   event.V3,
			Rules:     Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
			Transport: cluster.Transport(t),
		}, sink)
		ctx, stop := context.WithCancel(t.Context())
		c.beforeDecode = func(r *record) {
			if r.Offset == 5 {
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

// TestStopWhileTheBrokerIsSilent: a replica that is told to stop while the broker
// takes its requests and never answers doesn't wait for the library's timeouts.
func TestStopWhileTheBrokerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		cluster.Produce(t, "events", kafka.Message{Value: []byte(
			`{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`)})
		var silent atomic.Bool
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := cluster.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return kafkatest.Silence(conn, &silent), nil
		}
		transport := &kafka.Transport{Dial: dial, MetadataTTL: time.Second}
		defer transport.CloseIdleConnections()
		c := New(Config{
			Brokers: cluster.Brokers, Topic: "events", Group: "group",
			DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
			Version: event.V3,
			Rules:   Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
			Stop:    lifecycle.NewBudget(time.Second, nil), CommitInterval: 50 * time.Millisecond,
			Transport: transport,
		}, &acceptingSink{})
		ctx, stop := context.WithCancel(t.Context())
		c.beforeDecode = func(*record) { silent.Store(true) } // so that its state record is never written
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		kafkatest.WaitFor(t, 20*time.Second, "the event", silent.Load)
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(2 * time.Second):
			t.Fatal("it has not stopped after 2 s: want 1 s")
		}
	})
}

// lateSink has its events in flight until the test says that the API accepted them.
type lateSink struct {
	hangingSink
	flights *event.Flights
}

func (s *lateSink) Accept(ds []*event.Delivery) {
	for _, d := range ds {
		d.Depart(s.flights)
	}
	s.hangingSink.Accept(ds)
}

// end returns how many those were.
func (s *lateSink) end() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.held {
		d.Done(event.Outcome{Kind: event.Accepted})
	}
	n, s.held = len(s.held), nil
	return n
}

// TestLateAcceptanceLands: the API accepts an event when its partition is about to be
// revoked and no state record is written any more. The event does not stay in flight: what
// waits for the events in flight would wait forever.
func TestLateAcceptanceLands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		cluster.Produce(t, "events", kafka.Message{Value: []byte(
			`{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`)})
		sink := &lateSink{flights: event.NewFlights()}
		c := New(Config{
			Brokers: cluster.Brokers, Topic: "events", Group: "group",
			DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
			Version:        event.V3,
			Rules:          Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
			CommitInterval: time.Hour, // so that the only commit is the one after the drain
			Transport:      cluster.Transport(t),
		}, sink)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		kafkatest.WaitFor(t, 20*time.Second, "the event", func() bool { return sink.flights.Count() == 1 })
		accepted := 0
		cluster.Fake.ControlKey(kmsg.OffsetCommit.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.Fake.KeepControl()
			accepted += sink.end()
			return nil, nil, false
		})
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if left := sink.flights.Count(); accepted != 1 || left != 0 {
			t.Errorf("%d events were accepted during the commit, and %d stay in flight: want 1 and none", accepted, left)
		}
		if n := len(cluster.ReadAll(t, "events.reported")); n != 2 {
			t.Errorf("the state topic has %d records: want the session's, opened and closed, and none of the event", n)
		}
	})
}
