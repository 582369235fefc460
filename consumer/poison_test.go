package consumer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/kafkatest"
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
		d.Done(d, event.Outcome{Kind: event.Accepted})
	}
}
func (s *acceptingSink) Raise(*event.Delivery, uint8) {}
func (s *acceptingSink) Settle(int)                   {}
func (s *acceptingSink) Drain(context.Context)        {}
func (s *acceptingSink) Resume()                      {}

// TestPoisonThatKills: a record ends the process each time it is read, in a way
// that nothing can catch. It is found out by the third attempt, and then is a
// dead letter that nobody reads any more; what stands around it is reported.
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

// runUntilKilled runs a consumer until it reads the killer, which ends it as a
// crash does, or until all offsets are committed.
func runUntilKilled(t *testing.T, cluster *kafkatest.Cluster, sink *acceptingSink, killer int64, n int64) (killed bool) {
	t.Helper()
	network := &mortalNetwork{to: cluster.DialContext, conns: map[net.Conn]bool{}}
	transport := &kafka.Transport{Dial: network.dial, MetadataTTL: time.Second, MetadataTopics: []string{"events", "events.dead-letter", "events.reported"}}
	c := New(Config{
		Brokers: cluster.Brokers, Topic: "events", Group: "group",
		DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
		Rules:          Rules{Version: event.V3, Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
		SessionTimeout: 6 * time.Second, Transport: transport,
		Dialer: &kafka.Dialer{Timeout: 5 * time.Second, DialFunc: network.dial},
	}, sink)
	died := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.beforeDecode = func(r *record) {
		if r.Offset == killer {
			network.die()
			close(died)
			<-ctx.Done()
			runtime.Goexit() // a dead process does nothing more
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for committed := int64(0); committed < n && !killed; {
		select {
		case <-died:
			killed = true
		case <-time.After(time.Second):
			committed = cluster.CommittedOffsets(t, "group", "events")[0]
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
