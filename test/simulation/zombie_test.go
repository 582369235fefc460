package simulation

import (
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// TestZombie: a replica loses its brokers for longer than its session, while the
// API still answers it; others take over, and then it comes back. Without a
// lease it sends nothing, and what it knows late is not committed.
func TestZombie(t *testing.T) {
	t.Parallel()
	traffic := traffic
	traffic.Late = 0 // nothing is published meanwhile, and the partitions that stay wait for parents
	some(t, traffic, func(w *world) {
		late, latest := 0, []int64(nil)
		w.start()
		w.publish(func() {
			if len(w.living()) < 2 {
				w.start()
			}
			zombie := w.any()
			if w.rng.IntN(3) > 0 || !zombie.member() {
				return
			}
			late++
			// Slow enough that more waits to be sent than is in flight.
			w.api.SetFaults(emulator.Faults{Latency: 2 * time.Second})
			time.Sleep(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
			zombie.isolate(true)
			time.Sleep(sessionTimeout + 10*time.Second)
			latest = w.kafka.CommittedOffsets(w.t, group, topic)
			zombie.isolate(false)
			for range 20 {
				time.Sleep(250 * time.Millisecond)
				now := w.kafka.CommittedOffsets(w.t, group, topic)
				for p, offset := range now {
					if offset < latest[p] {
						w.t.Errorf("partition %d: offset %d was committed after %d", p, offset, latest[p])
					}
				}
				latest = now
			}
			w.api.SetFaults(emulator.Faults{Latency: 5 * time.Millisecond})
		})
		w.settle()
		w.judge(late * inFlight)
	})
}

// isolate cuts a replica off from the brokers, and from nothing else.
func (r *replica) isolate(isolated bool) {
	r.w.log.Info("ISOLATE", "replica", r.name, "isolated", isolated)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isolated = isolated
	for conn, to := range r.conns {
		if isolated && to == kafkaNetwork {
			conn.Close()
		}
	}
}
