package consumer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// acceptingSink accepts every event at once, as an API without latency would.
type acceptingSink struct {
	mu  sync.Mutex
	ids []string
}

func (s *acceptingSink) Accept(ds []*event.Delivery) {
	for _, d := range ds {
		s.mu.Lock()
		s.ids = append(s.ids, d.ID)
		s.mu.Unlock()
		d.Done(event.Outcome{Kind: event.Accepted})
	}
}
func (s *acceptingSink) Raise(*event.Delivery, uint8)              {}
func (s *acceptingSink) Drain(context.Context, []*event.Term) bool { return true }
func (s *acceptingSink) Abort(context.Context, []*event.Term)      {}

// TestPoisonThatKills: a record ends the process each time it is read, in a way
// that nothing can catch. It is found out by the third attempt, and then is a
// dead letter that is not decoded any more; the records around it are reported.
func TestPoisonThatKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		const n, killer = 500, 321
		var messages []kafka.Message
		for i := range n {
			messages = append(messages, kafka.Message{Value: fmt.Appendf(nil,
				`{"eventId":"e%d","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, i)})
		}
		cluster.Produce(t, "events", messages...)
		sink := &acceptingSink{}
		attempts := 0
		for ; attempts < 10; attempts++ {
			if !runUntilKilled(t, cluster, sink, killer, n) {
				break
			}
		}
		if attempts < 1 || attempts > 3 {
			t.Errorf("the record ended the process %d times: want it found out by the third", attempts)
		}
		letters := cluster.ReadAll(t, "events.dead-letter")
		if len(letters) != 1 || string(letters[0].Value) != string(messages[killer].Value) {
			t.Fatalf("%d dead letters: want the killer alone", len(letters))
		}
		for _, h := range letters[0].Headers {
			if h.Key == HeaderReason && string(h.Value) != string(event.ReasonPoison) {
				t.Errorf("the killer is a dead letter for %s: want %s", h.Value, event.ReasonPoison)
			}
		}
		reported := map[string]bool{}
		for _, id := range sink.ids {
			reported[id] = true
		}
		if len(reported) != n-1 || reported[fmt.Sprint("e", killer)] {
			t.Errorf("%d events were reported: want all but the killer, %d", len(reported), n-1)
		}
	})
}

// TestFetchThatKills kills the process by each fetch of the records. A note before the
// fetch lets the fourth owner know that: it waits, so that other partitions make progress,
// and then reads the records.
func TestFetchThatKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		const n = 3
		for i := range n {
			cluster.Produce(t, "events", kafka.Message{Value: fmt.Appendf(nil,
				`{"eventId":"e%d","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, i)})
		}
		id := cluster.Fake.TopicInfo("events").TopicID
		var kill func() // nil lets the fetch pass
		var fetched time.Time
		var mu sync.Mutex
		cluster.Fake.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
			cluster.Fake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			if r.(*kmsg.FetchRequest).Topics[0].TopicID == id {
				if fetched.IsZero() {
					fetched = time.Now()
				}
				if kill != nil {
					kill()
				}
			}
			return nil, nil, false
		})
		sink := &acceptingSink{}
		for attempt := 1; attempt <= 3; attempt++ {
			killed := runMortal(t, cluster, sink, n, func(_ context.Context, _ *Consumer, die func()) {
				mu.Lock()
				defer mu.Unlock()
				kill = sync.OnceFunc(die)
			})
			if !killed {
				t.Fatalf("attempt %d was not killed", attempt)
			}
		}
		var started time.Time
		runMortal(t, cluster, sink, n, func(context.Context, *Consumer, func()) {
			mu.Lock()
			defer mu.Unlock()
			kill, fetched, started = nil, time.Time{}, time.Now()
		})
		if wait := fetched.Sub(started); wait < fetchKillWait {
			t.Errorf("the records were fetched after %v: want a wait of %v", wait, fetchKillWait)
		}
		if got := sink.accepted(); len(got) != n {
			t.Errorf("reported %v: want %d events", got, n)
		}
	})
}

// runUntilKilled runs a consumer until it reads the killer, which ends it as a
// crash does, or until all offsets are committed.
func runUntilKilled(t *testing.T, cluster *kafkatest.Cluster, sink *acceptingSink, killer int64, n int64) (killed bool) {
	t.Helper()
	return runMortal(t, cluster, sink, n, func(ctx context.Context, c *Consumer, die func()) {
		c.beforeDecode = func(r *record) {
			if r.Offset == killer {
				die()
				<-ctx.Done()
				runtime.Goexit() // a dead process does nothing more
			}
		}
	})
}

// runMortal runs a consumer until die is called, which ends it as a crash does, or until
// n offsets are committed. arm prepares the consumer.
func runMortal(t *testing.T, cluster *kafkatest.Cluster, sink *acceptingSink, n int64, arm func(ctx context.Context, c *Consumer, die func())) (killed bool) {
	t.Helper()
	config := Config{
		Brokers: cluster.Brokers, Topic: "events", Group: "group",
		DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
		Version:        event.V3,
		Rules:          Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
		SessionTimeout: 6 * time.Second,
	}
	return runMortalWith(t, cluster, sink, config, arm, func() bool { return cluster.CommittedOffsets(t, "group", "events")[0] >= n })
}

// runMortalWith runs a consumer until die is called, which ends it as a crash does, or
// until it is done. arm prepares the consumer.
func runMortalWith(t *testing.T, cluster *kafkatest.Cluster, sink *acceptingSink, config Config, arm func(ctx context.Context, c *Consumer, die func()), done func() bool) (killed bool) {
	t.Helper()
	network := &mortalNetwork{to: cluster.DialContext, conns: map[net.Conn]bool{}}
	topics := []string{config.Topic, config.DeadLetterTopic, config.StateTopic}
	if config.ByRequest != "" {
		topics = append(topics, config.ByRequest)
	}
	transport := &kafka.Transport{Dial: network.dial, MetadataTTL: time.Second, MetadataTopics: topics}
	config.Transport = transport
	c := New(config, sink)
	died := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	arm(ctx, c, func() {
		network.die()
		close(died)
	})
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for over := false; !over && !killed; {
		select {
		case <-died:
			killed = true
		case <-time.After(time.Second):
			over = done()
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	time.Sleep(10 * time.Second) // the broker notices
	return killed
}

// mortalNetwork is a process's network: it ends with it.
type mortalNetwork struct {
	to    func(context.Context, string, string) (net.Conn, error)
	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]bool
}

func (m *mortalNetwork) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := m.to(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		_ = conn.Close()
		return nil, errors.New("the process is dead")
	}
	m.conns[conn] = true
	return conn, nil
}

func (m *mortalNetwork) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	for conn := range m.conns {
		_ = conn.Close()
	}
}

// accepted lists the events that were accepted, in order.
func (s *acceptingSink) accepted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}
