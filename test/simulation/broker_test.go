package simulation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/journey"
)

// TestUnwritableTopics: the state topic or the dead-letter topic refuses every
// write for a quarter of an hour. Everything waits, nothing is lost, and since
// nobody died, nothing is repeated.
func TestUnwritableTopics(t *testing.T) {
	t.Parallel()
	traffic := traffic
	traffic.Late = 0 // a parent that comes a quarter of an hour after its child is rightly given up
	for which, held := range map[string]string{topic + ".reported": "reported", topic + ".dead-letter": "dead_letter"} {
		t.Run(which, func(t *testing.T) {
			each(t, traffic, func(w *world) {
				w.start()
				before, refusing := int64(0), (*kfake.FaultHandle)(nil)
				w.publish(func() {
					switch {
					case refusing == nil && w.published > len(w.records)/3:
						// From here on, until the next portion was given ample time.
						time.Sleep(5 * time.Second)
						refusing = w.kafka.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: which, Err: kerr.NotEnoughReplicas, Count: -1})
						w.portionFrom, before = w.published, w.committed()
					case w.portionFrom > 0:
						time.Sleep(15 * time.Minute)
						waits := slices.ContainsFunc(w.records[w.portionFrom:w.published], func(r journey.Record) bool { return r.Expect == held })
						if waits && w.finished() {
							w.t.Errorf("everything was committed while %s could not be written", which)
						}
						// Without the state topic nothing that is reported may be
						// committed, only what leads a partition and is not.
						if n := w.committed() - before; held == "reported" && n > inFlight/2 {
							w.t.Errorf("%d offsets were committed while %s could not be written", n, which)
						}
						w.portionFrom = 0
						refusing.Remove()
					}
				})
				if w.portionFrom > 0 {
					refusing.Remove()
				}
				w.settle()
				w.judge(0)
			})
		})
	}
}

// TestBrokerAway: for longer than a drain takes, the broker answers nobody. A
// replica that can't write down what was reported keeps it until the broker is
// back, so nothing is repeated.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	each(t, traffic, func(w *world) {
		w.start()
		away := w.dropConnections()
		w.publish(func() {
			time.Sleep(time.Duration(w.rng.IntN(40)) * time.Millisecond)
			away.Store(true)
			time.Sleep(30 * time.Second)
			away.Store(false)
		})
		w.settle()
		w.judge(0)
	})
}

// TestStopWhileTheBrokerIsAway: a replica that is told to stop while the broker
// hangs up on everybody ends in time. What the API had accepted can't be written
// down then, and is repeated; no more than that.
func TestStopWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	some(t, traffic, func(w *world) {
		r := w.start()
		away := w.dropConnections()
		portion := 0
		w.publish(func() {
			if portion++; portion != 3 {
				return
			}
			time.Sleep(time.Duration(w.rng.IntN(40)) * time.Millisecond)
			away.Store(true)
			time.Sleep(time.Duration(w.rng.IntN(15)) * time.Second)
			// 10 s, and 2 s for leaving.
			late := time.AfterFunc(12*time.Second, func() {
				w.t.Error("the replica has not ended 12 s after it was told to")
				away.Store(false)
			})
			r.stop()
			late.Stop()
			away.Store(false)
			w.start()
		})
		w.settle()
		w.judge(inFlight)
	})
}

// dropConnections makes the broker hang up on everybody while it is true.
func (w *world) dropConnections() *atomic.Bool {
	var away atomic.Bool
	for key := range int16(37) {
		w.kafka.Fake.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.Fake.KeepControl()
			if away.Load() && w.faultable(req) {
				return nil, errors.New("dropped"), true
			}
			return nil, nil, false
		})
	}
	return &away
}

func (w *world) committed() (sum int64) {
	for _, offset := range w.kafka.CommittedOffsets(w.t, group, topic) {
		sum += max(0, offset)
	}
	return sum
}

// TestBrokerErrors answers each error that a broker may give to each request
// that the pipeline makes, a few times each.
func TestBrokerErrors(t *testing.T) {
	t.Parallel()
	var pairs []failing
	for _, c := range []struct {
		err      *kerr.Error
		requests []kmsg.Key
	}{
		{kerr.NotLeaderForPartition, []kmsg.Key{kmsg.Fetch, kmsg.Produce, kmsg.ListOffsets}},
		{kerr.UnknownTopicOrPartition, []kmsg.Key{kmsg.Fetch, kmsg.Produce, kmsg.ListOffsets}},
		{kerr.LeaderNotAvailable, []kmsg.Key{kmsg.Fetch, kmsg.Produce, kmsg.ListOffsets}},
		{kerr.ReplicaNotAvailable, []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}},
		{kerr.FencedLeaderEpoch, []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}},
		{kerr.UnknownLeaderEpoch, []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}},
		{kerr.OffsetNotAvailable, []kmsg.Key{kmsg.ListOffsets}},
		{kerr.KafkaStorageError, []kmsg.Key{kmsg.Fetch, kmsg.Produce, kmsg.ListOffsets}},
		{kerr.RequestTimedOut, []kmsg.Key{kmsg.Produce, kmsg.OffsetCommit}},
		{kerr.NotEnoughReplicas, []kmsg.Key{kmsg.Produce}},
		{kerr.NotEnoughReplicasAfterAppend, []kmsg.Key{kmsg.Produce}},
		{kerr.CorruptMessage, []kmsg.Key{kmsg.Produce, kmsg.Fetch}},
		{kerr.UnknownServerError, []kmsg.Key{kmsg.Fetch, kmsg.Produce, kmsg.ListOffsets, kmsg.OffsetCommit}},
		{kerr.CoordinatorLoadInProgress, []kmsg.Key{kmsg.OffsetCommit}},
		{kerr.CoordinatorNotAvailable, []kmsg.Key{kmsg.OffsetCommit}},
		{kerr.NotCoordinator, []kmsg.Key{kmsg.OffsetCommit}},
		{kerr.RebalanceInProgress, []kmsg.Key{kmsg.OffsetCommit}},
	} {
		for _, request := range c.requests {
			pairs = append(pairs, failing{request, c.err})
		}
	}
	for _, p := range chosen(pairs) {
		f := kfake.Fault{Keys: []kmsg.Key{p.request}, Err: p.err, Count: 3}
		switch p.request {
		case kmsg.Produce:
			f.Topic = topic + ".reported"
		case kmsg.OffsetCommit:
			f.Group = group
		default:
			f.Topic = topic
		}
		t.Run(fmt.Sprintf("%s/%s", p.request.Name(), p.err.Message), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, traffic)
				w.records = w.records[:len(w.records)/4]
				handle := w.kafka.Fake.Fault(f)
				w.start()
				w.publish(func() {})
				time.Sleep(time.Minute)
				if handle.Hits() == 0 {
					t.Error("the fault befell nothing")
				}
				handle.Remove() // before the test asks the broker itself
				w.settle()
				// A group that moves on while events are on their way is a
				// crash as far as the promise goes.
				w.judge(inFlight)
			})
		})
	}
}

// TestStateTopicUnfit: a state topic that can't keep the promise is refused at
// the start.
func TestStateTopicUnfit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		partitions int
		config     map[string]string
		want       string
	}{
		"partitions": {1, map[string]string{"cleanup.policy": "compact"}, "partitions"},
		"policy":     {2, map[string]string{"cleanup.policy": "delete"}, "cleanup.policy"},
		"retention":  {2, map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "1000"}, "retention.ms"},
	} {
		t.Run(name, func(t *testing.T) {
			config := map[string]string{"cleanup.policy": "delete"}
			maps.Copy(config, c.config)
			err := consumer.CheckStateTopic("state", "source", c.partitions, 2, config, 24*time.Hour)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v: want an error about %s", err, c.want)
			}
		})
	}
	if err := consumer.CheckStateTopic("state", "source", 2, 2, map[string]string{"cleanup.policy": "compact"}, 24*time.Hour); err != nil {
		t.Errorf("a compacted topic is refused: %v", err)
	}
}
