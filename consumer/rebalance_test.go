package consumer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// timingSink accepts at once, except that a drain takes a while, and notes when it
// accepted the events of each partition.
type timingSink struct {
	drain time.Duration

	mu   sync.Mutex
	ids  []string
	last map[int32]time.Time
	gap  map[int32]time.Duration // the longest time without an event
}

func (s *timingSink) Accept(ds []*event.Delivery) {
	now := time.Now()
	s.mu.Lock()
	for _, d := range ds {
		s.ids = append(s.ids, d.ID)
		if before, ok := s.last[d.Partition]; ok {
			s.gap[d.Partition] = max(s.gap[d.Partition], now.Sub(before))
		}
		s.last[d.Partition] = now
	}
	s.mu.Unlock()
	for _, d := range ds {
		d.Done(event.Outcome{Kind: event.Accepted})
	}
}

func (s *timingSink) Raise(*event.Delivery, uint8) {}

func (s *timingSink) Drain(ctx context.Context, _ []*event.Term) bool {
	select {
	case <-time.After(s.drain):
	case <-ctx.Done():
	}
	return true
}

func (s *timingSink) Abort(context.Context, []*event.Term) {}

// rebalancing is two replicas of which the second comes and goes, and a producer.
type rebalancing struct {
	t       *testing.T
	cluster *kafkatest.Cluster
	log     lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// take returns what was written since the last call.
func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// peek returns what was written since the last take.
func (l *lockedBuffer) peek() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (r *rebalancing) start(name string) (*Consumer, *timingSink, func()) {
	sink := &timingSink{last: map[int32]time.Time{}, gap: map[int32]time.Duration{}}
	c := New(Config{
		Brokers: r.cluster.Brokers, Topic: "events", Group: "group",
		DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
		Version:   event.V3,
		Rules:     Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
		Transport: r.cluster.Transport(r.t), Logger: slog.New(slog.NewTextHandler(&r.log, nil)).With("replica", name),
	}, sink)
	ctx, stop := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, sink, func() {
		r.t.Helper()
		stop()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	}
}

// publish publishes an event to each of two partitions every 100 ms.
func (r *rebalancing) publish(first, n int) {
	for i := range n {
		var messages []kafka.Message
		for p := range 2 {
			messages = append(messages, kafka.Message{Partition: p, Value: fmt.Appendf(nil,
				`{"eventId":"e%d-%d","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, p, first+i)})
		}
		r.cluster.Produce(r.t, "events", messages...)
		time.Sleep(100 * time.Millisecond)
	}
}

// TestRebalance: a second replica comes and goes. The partition that the first one
// keeps runs on, without a pause and with its state. The one that moves is drained
// and committed first, so no event is reported twice, and when it comes back, only
// the records that were added to its state are read.
func TestRebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rebalancing{t: t, cluster: kafkatest.Bubble(t)}
		r.cluster.CreateTopic(t, "events", 2, nil)
		a, atA, stopA := r.start("a")
		r.publish(0, 50)
		atA.drain = 3 * time.Second // while the other partition runs
		kept := a.Partitions()[0].Partition
		r.log.take()
		b, atB, stopB := r.start("b")
		r.publish(50, 100)
		if len(a.Partitions()) != 1 || len(b.Partitions()) != 1 || a.Partitions()[0].Partition != kept {
			t.Fatalf("a has %v and b has %v, want one each, and partition %d with a", a.Partitions(), b.Partitions(), kept)
		}
		moved := b.Partitions()[0].Partition
		if got := r.log.take(); strings.Contains(got, fmt.Sprintf(`"state read" replica=a partition=%d`, kept)) {
			t.Errorf("the state of the partition that was kept was read again:\n%s", got)
		}
		inB := len(atB.ids)
		stopB()
		r.publish(150, 50)
		log := r.log.take()
		want := fmt.Sprintf(`msg="state read" replica=a partition=%d records=%d `, moved, inB+2) // and its session, opened and closed
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
		stopA()
		if gap := atA.gap[kept]; gap > 300*time.Millisecond {
			t.Errorf("partition %d, which was kept, paused for %s", kept, gap)
		}
		ids := slices.Concat(atA.ids, atB.ids)
		slices.Sort(ids)
		if twice := len(ids) - len(slices.Compact(slices.Clone(ids))); twice != 0 || len(ids) != 400 {
			t.Errorf("%d events were reported, %d of them twice; want 400, none twice", len(ids), twice)
		}
	})
}
