package consumer

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/metric"
	"github.com/clientevents/clientevents/test/kafkatest"
)

const (
	waitingChild = `{"eventId":"child","requestId":"r","parentEventId":"parent","createTime":"2026-01-02T03:04:06Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]}}`
	lateParent   = `{"eventId":"parent","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`
)

// wantLetters wants the dead-letter topic to have so many records, and waits for them.
func (r *reading) wantLetters(n int64) {
	r.t.Helper()
	kafkatest.WaitFor(r.t, 20*time.Second, fmt.Sprintf("%d dead letters", n), func() bool { return r.cluster.EndOffsets(r.t, r.letters)[0] >= n })
	if ends := r.cluster.EndOffsets(r.t, r.letters); ends[0] != n {
		r.t.Errorf("the dead-letter topic ends at %d, want %d", ends, n)
	}
}

// leaveOneWaiting lets a replica read a child whose parent is missing, and two dead letters.
func (r *reading) leaveOneWaiting() {
	r.t.Helper()
	r.cluster.CreateTopic(r.t, r.letters, 1, nil)
	r.parentsWait = time.Hour
	r.publishValues(waitingChild, "no event", "no event")
	defer r.run()()
	r.wantLetters(2)
}

// TestRestartRepeatsNoDeadLetter: dead letters behind an event that waits are not written
// again by the next owner, and count as duplicates.
func TestRestartRepeatsNoDeadLetter(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.leaveOneWaiting()
		for range 2 { // the second time without an own dead letter
			stop := r.run()
			kafkatest.WaitFor(t, 20*time.Second, "two duplicates", func() bool { return metric.Count(r.c.metrics.records[partition.Duplicate]) == 2 })
			stop()
		}
		defer r.run()()
		r.publishValues("no event", lateParent)
		r.wait(2)
		r.committed(5)
		r.wantLetters(3)
	})
}

// TestOffsetSetBackReadsDeadLetters: who sets the group's offset back wants the records to
// be read, and so does another group.
func TestOffsetSetBackReadsDeadLetters(t *testing.T) {
	for name, change := range map[string]func(*reading){
		"set back":      func(r *reading) { r.setOffset(0) },
		"another group": func(r *reading) { r.group += "-new" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReading(t, kafkatest.Bubble(t))
				r.leaveOneWaiting()
				change(r)
				defer r.run()()
				r.wantLetters(4)
			})
		})
	}
}

// TestKillRepeatsFewDeadLetters: a replica that is killed has recorded its dead letters but
// for those of the last seconds.
func TestKillRepeatsFewDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		cluster.Produce(t, "events", kafka.Message{Value: []byte(waitingChild)}, kafka.Message{Value: []byte("no event")})
		config := Config{
			Brokers: cluster.Brokers, Topic: "events", Group: "group",
			DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
			Version: event.V3, Rules: Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Hour}, SessionTimeout: 6 * time.Second,
		}
		sink := &acceptingSink{}
		killed := runMortalWith(t, cluster, sink, config, func(ctx context.Context, _ *Consumer, die func()) {
			go func() {
				time.Sleep(2*deadLetteredInterval + 5*time.Second)
				die()
			}()
		}, func() bool { return false })
		if ends := cluster.EndOffsets(t, "events.dead-letter"); !killed || !slices.Equal(ends, []int64{1}) {
			t.Fatalf("killed: %v, with dead letters up to %d: want one", killed, ends)
		}
		cluster.Produce(t, "events", kafka.Message{Value: []byte(lateParent)})
		runMortalWith(t, cluster, sink, config, func(context.Context, *Consumer, func()) {}, func() bool {
			return cluster.CommittedOffsets(t, "group", "events")[0] == 3
		})
		if ends := cluster.EndOffsets(t, "events.dead-letter"); !slices.Equal(ends, []int64{1}) {
			t.Errorf("the dead-letter topic ends at %d, want 1", ends)
		}
	})
}

// FuzzParseDeadLettered: whatever is in the header, the set is in order.
func FuzzParseDeadLettered(f *testing.F) {
	f.Add(offsetSet{{3, 4}, {10, 200}}.headers()[0].Value)
	f.Add([]byte{1})
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		end := int64(0)
		for _, span := range parseDeadLettered([]kafka.Header{{Key: headerDeadLetters, Value: value}}) {
			if span.from < end || span.to <= span.from {
				t.Fatalf("%v begins before %d or is empty", span, end)
			}
			end = span.to
		}
	})
}
