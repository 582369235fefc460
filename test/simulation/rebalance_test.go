package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/deletegroups"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// change starts or stops a replica; one is left at least.
func (w *world) change() {
	if living := w.living(); len(living) > 1 && w.rng.IntN(2) == 0 {
		w.any().stop()
		return
	}
	w.start()
}

// TestCoordinatorMovesInRebalance: the group's coordinator, and leaders of partitions,
// move to other brokers in the middle of cooperative rebalances. Nothing is lost, and
// nothing is repeated.
func TestCoordinatorMovesInRebalance(t *testing.T) {
	t.Parallel()
	withSeeds(t, (*seeds+1)/2, traffic, func(w *world) {
		w.start()
		w.start()
		w.publish(func() {
			go func(delays [3]int) {
				for _, delay := range delays {
					time.Sleep(time.Duration(delay) * time.Millisecond)
					w.log.Info("COORDINATORS MOVE")
					w.kafka.Fake.RehashCoordinators()
					w.kafka.Fake.ShufflePartitionLeaders()
				}
			}([3]int{w.rng.IntN(300), w.rng.IntN(300), w.rng.IntN(1000)})
			w.change()
			time.Sleep(2 * time.Second)
		})
		w.settle()
		w.judge(0)
	}, kfake.Ports(9092, 9093, 9094))
}

// TestThrottledBroker: the broker throttles fetches and heartbeats by seconds while
// replicas come and go. Nobody dies of that, and nothing is repeated.
func TestThrottledBroker(t *testing.T) {
	t.Parallel()
	withSeeds(t, (*seeds+1)/2, traffic, func(w *world) {
		var mu sync.Mutex
		chance := rand.New(rand.NewPCG(11, w.rng.Uint64()))
		for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.Heartbeat} {
			w.kafka.Fake.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
				w.kafka.Fake.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				// The other versions are franz-go's, which this test's own client is.
				if v := req.GetVersion(); v == 12 || v > 13 || chance.IntN(10) > 0 {
					return nil, nil, false
				}
				answer := req.ResponseKind()
				answer.(kmsg.SetThrottleResponse).SetThrottle(int32(chance.IntN(4000)))
				return answer, nil, true
			})
		}
		w.start()
		w.start()
		w.publish(w.change)
		w.settle()
		w.judge(0)
	})
}

// TestDeletedOffsets: the group's offsets are deleted while no replica runs. The replicas
// resume where the state topic says.
func TestDeletedOffsets(t *testing.T) {
	t.Parallel()
	some(t, traffic, func(w *world) {
		client, deleted := w.kafka.Client(w.t), 0
		w.start()
		w.publish(func() {
			if w.rng.IntN(2) == 0 {
				w.change()
				return
			}
			for _, r := range w.living() {
				r.stop()
			}
			before := w.kafka.CommittedOffsets(w.t, group, topic)
			answer, err := client.Transport.RoundTrip(w.t.Context(), client.Addr, &deletegroups.Request{GroupIDs: []string{group}})
			if err != nil {
				w.t.Fatal(err)
			}
			if code := answer.(*deletegroups.Response).Responses[0].ErrorCode; code != 0 {
				w.t.Errorf("delete the group: %v", kafka.Error(code))
			}
			deleted++
			w.resumes(w.start(), before)
			w.change()
		})
		w.settle()
		w.judge(0)
		if deleted == 0 {
			w.t.Error("no offsets were deleted")
		}
	})
}

// resumes waits until a replica, the only one, has read its state, and checks that each
// partition of which something was committed resumes where the state topic says.
func (w *world) resumes(r *replica, before []int64) {
	kafkatest.WaitFor(w.t, time.Minute, "all partitions to be restored", func() bool {
		all := r.pipeline.Consumer().Partitions()
		return len(all) == len(before) && !slices.ContainsFunc(all, func(p consumer.PartitionStatus) bool { return !p.Restored })
	})
	w.output.mu.Lock()
	defer w.output.mu.Unlock()
	for p, offset := range before {
		line := fmt.Sprintf("resuming where the state topic says\" replica=%s partition=%d offset=%d\n", r.name, p, offset)
		if offset > 0 && !strings.Contains(w.output.b.String(), line) {
			w.t.Errorf("partition %d of %s does not resume at %d", p, r.name, offset)
		}
	}
}
