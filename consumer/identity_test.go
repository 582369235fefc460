package consumer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/metric"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// reading is a group of one replica at a time, and what it reported.
type reading struct {
	t                            *testing.T
	cluster                      *kafkatest.Cluster
	topic, state, letters, group string
	latest                       bool
	clientID                     string
	patience                     time.Duration // with transactions; 0 for the default
	parentsWait                  time.Duration // 0 for a second
	beforeClaim                  func()
	registry                     *prometheus.Registry
	window                       time.Duration
	sink                         countingSink
	log                          lockedBuffer
	c                            *Consumer
}

// countingSink accepts all events, and counts them by ID.
type countingSink struct {
	mu sync.Mutex
	n  map[string]int
}

func (s *countingSink) Accept(ds []*event.Delivery) {
	s.mu.Lock()
	for _, d := range ds {
		s.n[d.ID]++
	}
	s.mu.Unlock()
	for _, d := range ds {
		d.Done(event.Outcome{Kind: event.Accepted})
	}
}
func (s *countingSink) Raise(*event.Delivery, uint8)              {}
func (s *countingSink) Drain(context.Context, []*event.Term) bool { return true }
func (s *countingSink) Abort(context.Context, []*event.Term)      {}
func (s *countingSink) count() int                                { s.mu.Lock(); defer s.mu.Unlock(); return len(s.n) }

func (s *countingSink) most() (most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.n {
		most = max(most, n)
	}
	return most
}

// first returns how many of the first events with a prefix are reported.
func (s *countingSink) first(prefix string) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.n[fmt.Sprintf("%s-%d", prefix, n)] > 0 {
		n++
	}
	return n
}

func newReading(t *testing.T, c *kafkatest.Cluster) *reading {
	r := &reading{t: t, cluster: c, topic: c.NewTopic(t, "source", 1), group: kafkatest.Name(t, "group"), window: time.Hour}
	r.state, r.letters = r.topic+".reported", r.topic+".dead-letter"
	c.DeleteAfter(t, r.state, r.letters)
	r.sink.n = map[string]int{}
	return r
}

// run starts a replica, which the result stops.
func (r *reading) run() (stop func()) {
	r.registry = prometheus.NewRegistry()
	transport := r.cluster.Transport(r.t)
	transport.ClientID = r.clientID
	r.c = New(Config{
		Brokers: r.cluster.Brokers, Topic: r.topic, Group: r.group, DeadLetterTopic: r.letters, StateTopic: r.state,
		StateReplication: 1, StartLatest: r.latest, SessionTimeout: 6 * time.Second,
		Version: event.V3, Rules: Rules{Window: r.window, ParentsRequired: true, ParentsWait: cmp.Or(r.parentsWait, time.Second)},
		Transport: transport, Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Registerer: r.registry,
	}, &r.sink)
	if r.patience > 0 {
		r.c.transactionPatience = r.patience
	}
	r.c.beforeClaim = r.beforeClaim
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.c.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
}

func (r *reading) publish(prefix string, n int) {
	r.t.Helper()
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf(`{"eventId":"%s-%d","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`, prefix, i)
	}
	r.publishValues(values...)
}

// publishValues publishes with kafka-go, since franz-go's producers hold to the ID of a
// topic that was recreated.
func (r *reading) publishValues(values ...string) {
	r.t.Helper()
	records := make([]kafka.Record, len(values))
	for i, v := range values {
		records[i].Value = kafka.NewBytes([]byte(v))
	}
	client := r.cluster.Client(r.t)
	kafkatest.WaitFor(r.t, 10*time.Second, "a published batch", func() bool {
		answer, err := client.Produce(r.t.Context(), &kafka.ProduceRequest{Topic: r.topic, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
		return err == nil && answer.Error == nil
	})
}

func (r *reading) wait(n int) {
	r.t.Helper()
	kafkatest.WaitFor(r.t, 40*time.Second, fmt.Sprintf("%d reported events", n), func() bool { return r.sink.count() == n })
}

// committed waits until an offset of each partition is committed.
func (r *reading) committed(offsets ...int64) {
	r.t.Helper()
	kafkatest.WaitFor(r.t, 20*time.Second, fmt.Sprintf("a commit of %d", offsets), func() bool {
		return slices.Equal(r.cluster.CommittedOffsets(r.t, r.group, r.topic), offsets)
	})
}

// begin starts a replica, which the result stops, and waits until it has reported 20 events
// and committed that.
func (r *reading) begin() (stop func()) {
	r.t.Helper()
	r.publish("old", 20)
	stop = r.run()
	r.wait(20)
	r.committed(20)
	return stop
}

// once wants no event to be reported again.
func (r *reading) once() {
	r.t.Helper()
	if most := r.sink.most(); most > 1 {
		r.t.Errorf("an event is reported %d times", most)
	}
}

// recreate deletes the topic and creates it again.
func (r *reading) recreate(pause time.Duration) {
	r.t.Helper()
	r.deleteTopic(r.topic)
	if r.cluster.Fake == nil { // else a late removal takes what is committed to the new topic
		kafkatest.WaitFor(r.t, time.Minute, "the offsets of the deleted topic to be removed", func() bool {
			return !r.cluster.HasOffsets(r.t, r.group, r.topic)
		})
	}
	time.Sleep(pause)
	r.cluster.CreateTopic(r.t, r.topic, 1, nil)
}

// everywhere runs a test with fake time and, where there is one, a real broker.
func everywhere(t *testing.T, test func(*testing.T, *kafkatest.Cluster)) {
	kafkatest.Parallel(t)
	t.Run("embedded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, kafkatest.Bubble(t)) })
	})
	t.Run("real", func(t *testing.T) { test(t, kafkatest.Real(t)) })
}

// TestRecreatedTopic: a source topic that is deleted and created again is read from
// its beginning, with fewer, as many and more records than before, whether the
// replica runs meanwhile or not, and even with "latest".
func TestRecreatedTopic(t *testing.T) {
	kafkatest.Parallel(t)
	for _, running := range []bool{true, false} {
		for _, records := range []int{5, 20, 60} {
			t.Run(fmt.Sprintf("running=%t/records=%d", running, records), func(t *testing.T) {
				everywhere(t, func(t *testing.T, c *kafkatest.Cluster) { recreateTopic(t, c, running, records) })
			})
		}
	}
}

func recreateTopic(t *testing.T, c *kafkatest.Cluster, running bool, records int) {
	r := newReading(t, c)
	stop := r.begin()
	defer func() { stop() }()
	if !running {
		stop()
		r.latest = true
	}
	r.recreate(200 * time.Millisecond)
	if c.Fake != nil {
		r.watchCommits()
	}
	r.publish("new", records)
	if !running {
		stop = r.run()
	}
	r.wait(20 + records)
	r.committed(int64(records))
	stop()
	r.once()
	if n := metric.Count(r.c.metrics.recreated); n != 1 {
		t.Errorf("%d recreations are counted: want 1", n)
	}
	if log := r.log.take(); strings.Count(log, "deleted and recreated") != 1 {
		t.Errorf("log: want one line about the recreated topic:\n%s", log)
	}
}

// TestRecreatedTopicIsReadOnce: no record of a recreated topic is read from the position in
// the former log, before a replica notices: a dead letter of it would come twice.
func TestRecreatedTopicIsReadOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		stop := r.begin()
		defer stop()
		r.recreate(0)
		const n = 60
		r.publishValues(slices.Repeat([]string{"no event"}, n)...)
		r.committed(n)
		if ends := c.EndOffsets(t, r.letters); !slices.Equal(ends, []int64{n}) {
			t.Errorf("the dead-letter topic ends at %d, want %d: each record is a dead letter once", ends, n)
		}
	})
}

// TestRecreatedWhilePaused: nothing is fetched that could tell that the topic is another
// one, and its offsets are committed at intervals.
func TestRecreatedWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, kafkatest.Bubble(t))
		r.publish("old", 20)
		stop := r.run()
		defer stop()
		r.wait(20)
		r.committed(20)
		r.c.PauseAll(true)
		kafkatest.WaitFor(t, time.Minute, "the replica to fetch nothing", r.c.Standing)
		r.recreate(0)
		r.watchCommits()
		time.Sleep(time.Minute)
		r.c.PauseAll(false)
		r.publish("new", 5)
		r.wait(25)
		r.committed(5)
	})
}

// watchCommits checks that no offset is committed to the recreated topic before all
// records up to it are reported.
func (r *reading) watchCommits() {
	topics, err := r.c.kafka.Topics(r.t.Context(), r.topic)
	if err != nil {
		r.t.Fatal(err)
	}
	ours := commitMetadata(topics[0].ID)
	r.cluster.Fake.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.Fake.KeepControl()
		for _, t := range req.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range t.Partitions {
				if p.Metadata != nil && *p.Metadata == ours && p.Offset > r.sink.first("new") {
					r.t.Errorf("offset %d is committed, and only the first %d events are reported", p.Offset, r.sink.first("new"))
				}
			}
		}
		return nil, nil, false
	})
}

// TestMissingTopic: a replica says that the source topic does not exist, and does
// not create it.
func TestMissingTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.publish("old", 3)
		stop := r.run()
		defer stop()
		r.wait(3)
		r.recreate(5 * time.Second) // fails if the topic was created meanwhile
		r.publish("new", 4)
		r.wait(7)
		if log := r.log.take(); !strings.Contains(log, "topic "+r.topic+" does not exist") {
			t.Errorf("log: want a line about the missing topic:\n%s", log)
		}
	})
}

// TestExpiredOffsets: a group without committed offsets resumes where the state
// topic says, though the IDs are no longer remembered.
func TestExpiredOffsets(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		stop := r.begin()
		stop()
		r.group, r.window = kafkatest.Name(t, "another"), time.Millisecond
		r.publish("new", 5)
		stop = r.run()
		r.wait(25)
		stop()
		r.once()
	})
}

// TestGrowthWhileStopped: partitions that were added to the source topic while no
// replica ran are added to the state topic at the start.
func TestGrowthWhileStopped(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.publish("old", 2)
		stop := r.run()
		r.wait(2)
		stop()
		r.resize(r.topic, 3)
		stop = r.run()
		defer stop()
		r.restored(3)
		if n := len(c.EndOffsets(t, r.state)); n != 3 {
			t.Errorf("the state topic has %d partitions: want 3", n)
		}
	})
}
