package consumer

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// waitsFor reports whether the replica waits for the replicas of another group.
func (r *reading) waitsFor(group string) bool {
	return slices.ContainsFunc(r.c.Partitions(), func(p PartitionStatus) bool {
		shared, ok := errors.AsType[*SharedStateError](p.Err)
		return ok && shared.Other == group && p.Trouble == TroubleRestore
	})
}

// TestTwoGroupsAtOnce: of two groups that start at the same moment with one state topic,
// neither of which finds the other's session, one waits for the other.
func TestTwoGroupsAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		first, second := newReading(t, c), newReading(t, c)
		second.topic, second.state, second.letters = first.topic, first.state, first.letters
		c.CreateTopic(t, first.state, 1, map[string]string{"cleanup.policy": "compact"})
		var both sync.WaitGroup
		both.Add(2)
		stops := map[*reading]func(){}
		for _, r := range []*reading{first, second} {
			r.beforeClaim = sync.OnceFunc(func() {
				both.Done()
				both.Wait() // both have read the state
			})
			stops[r] = r.run()
		}
		defer func() {
			for _, stop := range stops {
				stop()
			}
		}()
		kafkatest.WaitFor(t, time.Minute, "one of the groups to wait", func() bool {
			return first.waitsFor(second.group) || second.waitsFor(first.group)
		})
		winner, loser := first, second
		if first.waitsFor(second.group) {
			winner, loser = second, first
		}
		if last := winner.lastSession(); last != winner.group {
			t.Errorf("the last session is that of group %s: want that of %s, which does not wait", last, winner.group)
		}
		first.publish("old", 20)
		winner.wait(20)
		winner.committed(20)
		if offsets := c.CommittedOffsets(t, loser.group, loser.topic); len(offsets) > 0 && offsets[0] >= 0 {
			t.Errorf("the group that waits has committed %d", offsets)
		}
		stops[winner]()
		first.publish("new", 5)
		loser.wait(5)
		if loser.sink.first("new") != 5 {
			t.Errorf("the group that waited reported %v: want only what was published after the first had ended", loser.sink.n)
		}
		winner.once()
		loser.once()
	})
}

// TestGroupBesideARunningReplica: a running replica notices that a group that does not wait
// uses its state topic, continues, and notices its end. The next replica of its group finds
// its session.
func TestGroupBesideARunningReplica(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		stop := r.begin()
		defer func() { stop() }()
		other := newReading(t, c)
		other.topic = r.topic
		stopOther := other.run()
		other.wait(20)
		for range 2 {
			r.foreignSession(session{group: other.group})
			kafkatest.WaitFor(t, time.Minute, "the other group to be noticed", func() bool {
				s := r.c.StateTopic().Sharing
				return s != nil && s.Group == other.group && slices.Equal(s.Partitions, []int32{0})
			})
			kafkatest.WaitFor(t, time.Minute, "the session to be written again", func() bool { return r.lastSession() == r.group })
			r.publish("new", 5)
			r.wait(25)
		}
		stopOther()
		kafkatest.WaitFor(t, time.Minute, "the end of the other group to be noticed", func() bool { return r.c.StateTopic().Sharing == nil })
		r.once()
	})
}

// TestClosedSessionOfARunningGroup: a partition whose session is closed may be between two
// replicas of its group.
func TestClosedSessionOfARunningGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		c.CreateTopic(t, r.state, 1, map[string]string{"cleanup.policy": "compact"})
		other := newReading(t, c)
		other.topic = r.topic
		stopOther := other.begin()
		r.foreignSession(session{state: sessionClosed, group: other.group})
		defer r.run()()
		kafkatest.WaitFor(t, time.Minute, "the replica to wait", func() bool { return r.waitsFor(other.group) })
		stopOther()
		r.wait(20)
	})
}

// lastSession returns the group of the last session in the state topic.
func (r *reading) lastSession() (group string) {
	r.t.Helper()
	for _, m := range r.cluster.ReadAll(r.t, r.state) {
		if m.Key[0] == stateSession {
			group = sessionGroup(m.Headers)
		}
	}
	return group
}

// foreignSession writes a session as a replica of another group does.
func (r *reading) foreignSession(s session) {
	r.t.Helper()
	log := kafkalog.NewClient(r.cluster.Addr(), r.cluster.Transport(r.t))
	if _, err := log.Append(r.t.Context(), r.state, 0, []kafkalog.Record{{Key: sessionKey, Value: s.value(), Headers: s.headers(), Time: time.Now()}}); err != nil {
		r.t.Fatal(err)
	}
}

// TestOwnRecordsAreNotRead: an owner reads nothing of what it has written, and knows
// what others have.
func TestOwnRecordsAreNotRead(t *testing.T) {
	var a appended
	a.reset(10)
	check := func(end int64, want offsetSpan, some bool) {
		t.Helper()
		if got, ok := a.gap(end); ok != some || ok && got != want {
			t.Errorf("the gap before %d is %v (%t), want %v (%t)", end, got, ok, want, some)
		}
	}
	check(10, offsetSpan{}, false)
	check(12, offsetSpan{10, 12}, true)
	a.add(10, 2)
	check(12, offsetSpan{}, false)
	a.add(14, 2) // acknowledged before
	a.add(12, 2)
	check(0, offsetSpan{}, false)
	a.add(20, 5)
	a.add(18, 1)
	check(0, offsetSpan{16, 18}, true)
	a.pass(18)
	check(0, offsetSpan{19, 20}, true)
	a.pass(20)
	check(25, offsetSpan{}, false)
	check(26, offsetSpan{25, 26}, true)
	for i := range int64(3 * maxSpans) {
		a.add(100+2*i, 1)
	}
	if len(a.offsets) > maxSpans {
		t.Errorf("%d spans are kept: want %d at most", len(a.offsets), maxSpans)
	}
}

// TestOwnRecordsInTheStateTopic: with writes by several goroutines, an owner reads none of
// its records again.
func TestOwnRecordsInTheStateTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, kafkatest.Bubble(t))
		defer r.begin()()
		o := r.c.owners()[0]
		for i := range 3 {
			o.renewNow.set()
			o.loseState()
			r.publish("new", 5*(i+1))
			r.wait(20 + 5*(i+1))
			r.rewritten(i + 1)
			synctest.Wait()
			if gap, ok := o.appended.gap(r.cluster.EndOffsets(t, r.state)[0]); ok {
				t.Errorf("the owner does not know its records at %v", gap)
			}
		}
	})
}
