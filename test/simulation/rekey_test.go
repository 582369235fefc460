package simulation

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

// rekeyed makes a world whose topic is not keyed by journey, and runs misfortune in it.
func rekeyed(t *testing.T, traffic journey.Mix, run func(w *world)) {
	for name, key := range map[string]func(w *world) []byte{
		"user":   func(w *world) []byte { return fmt.Append(nil, "user-", w.rng.IntN(40)) },
		"no key": func(*world) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "user" {
				t.Skip("not run with -short, which has records with a key")
			}
			some(t, traffic, func(w *world) {
				w.rekey = true
				w.records = slices.DeleteFunc(w.records, func(r journey.Record) bool {
					// Of two events with one ID, either may come first; and the mismatched
					// parent belongs to another request, so it may not be found.
					return r.Reason == event.ReasonIDConflict || r.Reason == event.ReasonParentMismatch
				})
				for i := range w.records {
					w.records[i].Key = key(w)
				}
				run(w)
			})
		})
	}
}

// TestRekeyKills: replicas die between any two steps of both halves, and nothing is
// lost. At most what was in flight is repeated, and no child is given up whose parent
// was published.
func TestRekeyKills(t *testing.T) {
	t.Parallel()
	traffic := traffic
	traffic.Late = 0 // a parent that is published a minute after its child is rightly given up
	rekeyed(t, traffic, (*world).killReplicas)
}

// TestRekeyPlannedChanges: replicas come and go in order, and nothing is repeated.
func TestRekeyPlannedChanges(t *testing.T) {
	t.Parallel()
	rekeyed(t, traffic, (*world).changeReplicas)
}

// TestRekeyPartitionAway: a partition of the source topic can't be read for much longer
// than children wait for their parents. Those whose parents are in it wait on.
func TestRekeyPartitionAway(t *testing.T) {
	t.Parallel()
	traffic := traffic
	traffic.Late = 0
	rekeyed(t, traffic, func(w *world) {
		w.start()
		w.start()
		var away *kfake.FaultHandle
		w.publish(func() {
			switch {
			case away == nil && w.published > len(w.records)/3:
				away = w.kafka.Fake.Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Partitions: []int32{0}, Err: kerr.UnknownServerError, Count: -1,
				})
				time.Sleep(15 * time.Second)
			case away != nil && w.portionFrom == 0:
				w.portionFrom = w.published
				time.Sleep(15 * time.Minute)
				away.Remove()
			}
		})
		w.settle()
		w.judge(0)
	})
}

// TestRekeyUnwritable: the internal topic refuses every write for a quarter of an hour.
// No source offset is committed meanwhile that an event is before.
func TestRekeyUnwritable(t *testing.T) {
	t.Parallel()
	rekeyed(t, journey.Mix{}, func(w *world) {
		w.start()
		var refusing *kfake.FaultHandle
		before := int64(0)
		w.publish(func() {
			if refusing == nil && w.published > len(w.records)/3 {
				time.Sleep(10 * time.Second)
				refusing = w.kafka.Fake.Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Produce}, Topic: internalTopic, Err: kerr.NotEnoughReplicas, Count: -1,
				})
				before = w.committed()
				return
			}
			if before > 0 {
				time.Sleep(15 * time.Minute)
				if now := w.committed(); now != before {
					w.t.Errorf("%d source offsets were committed while the internal topic could not be written", now-before)
				}
				before = 0
				refusing.Remove()
			}
		})
		w.settle()
		w.judge(0)
	})
}
