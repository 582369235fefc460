package group

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// holder is a handler that commits for the partitions that it gives up.
type holder struct {
	m *Member
	t *testing.T
}

func (h *holder) Assigned(map[int32]Position) {}

func (h *holder) Revoked(ctx context.Context, partitions []int32) {
	offsets := map[int32]int64{}
	for _, p := range partitions {
		offsets[p] = 7
	}
	if err := h.m.Commit(ctx, offsets, ""); err != nil {
		h.t.Errorf("commit of partitions that are revoked: %v", err)
	}
}

func (h *holder) Lost(partitions []int32)          { h.t.Errorf("partitions %v are lost", partitions) }
func (h *holder) Grown(context.Context, int) error { return nil }

// TestMembers: members hand partitions over, share them with a cooperative member of
// another library, and come back under their instance id without a rebalance.
func TestMembers(t *testing.T) {
	kafkatest.Parallel(t)
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) {
		source, name := c.NewTopic(t, "source", 4), kafkatest.Name(t, "group")
		start := func(id, instance string) (*Member, func()) {
			transport := &kafka.Transport{ClientID: id, MetadataTTL: time.Second, MetadataTopics: []string{source}, Dial: c.DialContext}
			t.Cleanup(transport.CloseIdleConnections)
			m := New(Config{
				Brokers: c.Brokers, Transport: transport, Group: name, Topic: source, InstanceID: instance,
				SessionTimeout: 6 * time.Second, HeartbeatInterval: 200 * time.Millisecond, CheckInterval: time.Second,
				Logger: slog.New(slog.NewTextHandler(t.Output(), nil)).With("member", id),
			})
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			ended := make(chan error, 1)
			go func() {
				err := m.Run(ctx, &holder{m, t})
				leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				_ = m.Leave(leaving)
				ended <- err
			}()
			return m, func() {
				t.Helper()
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		holds := func(m *Member, n int) {
			t.Helper()
			kafkatest.WaitFor(t, 30*time.Second, "the partitions", func() bool {
				s := m.Status()
				return len(s.Partitions) == n && (n == 0 || m.Leased(time.Now())) && s.Fault == ""
			})
		}
		a, stopA := start("a", "one")
		holds(a, 4)
		b, stopB := start("b", "two")
		holds(b, 2)
		holds(a, 2)
		generation, held := a.Status().Generation, b.Status().Partitions
		if got := c.CommittedOffsets(t, name, source); got[held[0]] != 7 {
			t.Errorf("committed %v: want 7 for partitions %v, which moved", got, held)
		}
		stopB()
		time.Sleep(time.Second)
		b, stopB = start("b", "two")
		holds(b, 2)
		if s := b.Status(); c.Fake == nil && (s.Generation != generation || !slices.Equal(s.Partitions, held)) {
			t.Errorf("a static member came back in generation %d with %v, was in %d with %v", s.Generation, s.Partitions, generation, held)
		}
		kafkatest.WaitFor(t, 30*time.Second, "the peers", func() bool { return len(a.Status().Peers) == 2 })
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.Dialer(c.DialContext), kgo.ConsumerGroup(name), kgo.ConsumeTopics(source),
			kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(200*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		polling, stop := context.WithCancel(t.Context())
		go func() {
			for polling.Err() == nil {
				cl.PollFetches(polling)
			}
		}()
		kafkatest.WaitFor(t, 30*time.Second, "a share for the other library", func() bool {
			return len(a.Status().Partitions)+len(b.Status().Partitions) == 3
		})
		stop()
		cl.LeaveGroup()
		cl.Close()
		holds(a, 2)
		holds(b, 2)
		stopA()
		stopB()
	})
}
