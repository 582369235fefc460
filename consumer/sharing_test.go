package consumer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestTwoGroupsOneStateTopic: a replica waits while those of another group use its state
// topic, and continues their work when they have ended.
func TestTwoGroupsOneStateTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.publish("old", 20)
		stop := r.run()
		defer func() { stop() }()
		r.wait(20)
		r.committed(20)
		other := newReading(t, c)
		other.topic, other.state, other.letters = r.topic, r.state, r.letters
		stopOther := other.run()
		defer stopOther()
		kafkatest.WaitFor(t, time.Minute, "the other group to wait", func() bool {
			return slices.ContainsFunc(other.c.Partitions(), func(p PartitionStatus) bool {
				shared, ok := errors.AsType[*SharedStateError](p.Err)
				return ok && shared.Other == r.group && p.Trouble == TroubleRestore
			})
		})
		r.publish("new", 5)
		r.wait(25)
		r.committed(25)
		stop()
		r.publish("newer", 5)
		other.wait(5)
		if other.sink.first("newer") != 5 {
			t.Errorf("the other group reported %v: want only what was published after the first had ended", other.sink.n)
		}
		stopOther()
		stop = r.run()
		r.committed(30)
		r.publish("newest", 5)
		r.wait(30)
	})
}
