package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/metric"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestBrokerQuota: while the broker throttles fetches and writes, the replica waits as
// it is told to, says so, counts no failure, and reports everything.
func TestBrokerQuota(t *testing.T) {
	t.Parallel()
	c := kafkatest.Real(t)
	r := newReading(t, c)
	r.clientID = kafkatest.Name(t, "client")
	unlimit := c.Quota(t, r.clientID, map[string]float64{"consumer_byte_rate": 10_000, "producer_byte_rate": 10_000})
	for i := range 60 { // small batches: one that the quota's window can't hold is never sent
		r.publish(fmt.Sprint(i), 30) // some 5 kB
	}
	stop := r.run()
	defer func() { stop() }()
	throttled := time.Duration(0)
	kafkatest.WaitFor(t, time.Minute, "a throttled request", func() bool {
		throttled = max(throttled, r.c.Throttled(time.Now()))
		return throttled > 0 && r.sink.count() > 0
	})
	end, held := int64(0), time.Now()
	for time.Since(held) < 5*time.Second {
		s, ok := r.c.Partition(0)
		if !ok || s.End < end || s.Trouble != TroubleNone {
			t.Fatalf("throttled for %v, the partition shows %+v", throttled, s)
		}
		end = s.End
		time.Sleep(50 * time.Millisecond)
	}
	unlimit()
	r.wait(1800)
	r.committed(1800)
	for name, n := range map[string]float64{
		"fetch": float64(metric.Count(r.c.metrics.fetchFailures)), "commit": float64(metric.Count(r.c.metrics.commitFailures)),
		"state write": float64(metric.Count(r.c.metrics.writeFailures.WithLabelValues(topicState))),
	} {
		if n > 0 {
			t.Errorf("%.0f failures of kind %q are counted", n, name)
		}
	}
	if total, _ := r.c.kafka.Throttled(); total <= 0 {
		t.Error("no throttled time is counted")
	}
	stop()
	if log := r.log.take(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
		t.Errorf("log: want no warning:\n%s", log)
	}
}

// TestDeletedTopicInRebalance: a rebalance while the source topic is missing does not
// create it, though the broker creates topics on demand. The replica that stays does not
// claim to stand by, and reads the topic when it is created again.
func TestDeletedTopicInRebalance(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		first := newReading(t, c)
		second := &reading{t: t, cluster: c, topic: first.topic, state: first.state, letters: first.letters, group: first.group, window: first.window}
		second.sink.n = map[string]int{}
		reported := func() int { return first.sink.count() + second.sink.count() }
		first.publish("old", 3)
		stop := first.run()
		defer func() { stop() }()
		leave := second.run()
		defer leave()
		kafkatest.WaitFor(t, 60*time.Second, "two replicas and three events", func() bool {
			return first.c.Group().Generation >= 0 && second.c.Group().Generation >= 0 && reported() == 3
		})
		first.deleteTopic(first.topic)
		exists := func() bool { return slices.Contains(c.Topics(t), first.topic) }
		kafkatest.WaitFor(t, 40*time.Second, "the topic to be gone", func() bool { return !exists() })
		generation := first.c.Group().Generation
		leave()
		kafkatest.WaitFor(t, 40*time.Second, "a rebalance", func() bool { return first.c.Group().Generation > generation })
		time.Sleep(2 * time.Second)
		if exists() {
			t.Fatalf("topic %s was created", first.topic)
		}
		if s := first.c.Group(); s.Covered {
			t.Errorf("without a topic, the group shows %+v", s)
		}
		c.CreateTopic(t, first.topic, 1, nil)
		first.publish("new", 4)
		kafkatest.WaitFor(t, 60*time.Second, "the new events", func() bool { return reported() == 7 })
		stop()
		if most := max(first.sink.most(), second.sink.most()); most > 1 {
			t.Errorf("an event is reported %d times", most)
		}
	})
}
