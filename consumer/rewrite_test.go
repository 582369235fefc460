package consumer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// recreateState deletes the state topic and creates it again.
func (r *reading) recreateState() {
	r.t.Helper()
	r.deleteTopic(r.state)
	r.cluster.CreateTopic(r.t, r.state, 1, map[string]string{"cleanup.policy": "compact"})
}

// rewritten waits until the state was written again so many times.
func (r *reading) rewritten(times int) {
	r.t.Helper()
	kafkatest.WaitFor(r.t, time.Minute, "the state to be written again", func() bool {
		return strings.Count(r.log.peek(), "is written again") == times && r.c.StateTopic().Rewriting == nil
	})
}

// stateKinds counts the records of the state topic by their kind.
func (r *reading) stateKinds() map[byte]int {
	r.t.Helper()
	kinds := map[byte]int{}
	for _, m := range r.cluster.ReadAll(r.t, r.state) {
		kinds[m.Key[0]]++
	}
	return kinds
}

// TestRecreatedStateTopic: when the state topic is recreated while a replica runs, the
// replica writes what it knows again, and the next one reports no event twice.
func TestRecreatedStateTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		stop := r.begin()
		kafkatest.WaitFor(t, time.Minute, "the replica to know the topic", func() bool { return !r.c.assignment.state.log.id().IsZero() })
		r.recreateState()
		r.rewritten(1)
		if kinds := r.stateKinds(); kinds[stateReported] != 20 || kinds[stateSession] == 0 {
			t.Errorf("the new topic has %v records by kind: want 20 IDs and a session", kinds)
		}
		stop()
		if log := r.log.take(); strings.Count(log, "the state topic was deleted and recreated") != 1 {
			t.Errorf("log: want one line about the recreated state topic:\n%s", log)
		}
		stop = r.run()
		r.publish("old", 20)
		r.publish("new", 5)
		r.wait(25)
		r.committed(45)
		stop()
		r.once()
	})
}

// TestStateTopicForgot: what a topic with unfit settings may have deleted is written
// again when they are corrected.
func TestStateTopicForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, kafkatest.Bubble(t))
		defer r.begin()()
		r.configure(r.state, map[string]string{"cleanup.policy": "delete"})
		kafkatest.WaitFor(t, time.Minute, "the settings to be noticed", func() bool { return r.c.StateTopic().Unfit != nil })
		r.configure(r.state, map[string]string{"cleanup.policy": "compact"})
		r.rewritten(1)
		if n := r.stateKinds()[stateReported]; n != 40 {
			t.Errorf("the topic has %d records of IDs: want the 20 IDs twice", n)
		}
	})
}

// recreateStateHeld recreates the state topic, whose IDs wait until the budget lets them be
// written again.
func (r *reading) recreateStateHeld() {
	r.t.Helper()
	time.Sleep(time.Minute)
	for range cap(r.c.budget.rewrites) {
		r.c.budget.rewrites <- struct{}{}
	}
	r.recreateState()
	kafkatest.WaitFor(r.t, time.Minute, "IDs to wait", func() bool { return r.c.StateTopic().Rewriting != nil })
}

// TestRewritingIsInTheBackground: events are reported while IDs wait to be written again,
// and a planned stop waits for these.
func TestRewritingIsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, kafkatest.Bubble(t))
		stop := r.begin()
		r.recreateStateHeld()
		r.publish("new", 5)
		r.wait(25)
		r.committed(25)
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		time.Sleep(3 * time.Second)
		select {
		case <-stopped:
			t.Error("the replica has stopped before the IDs were written again")
		default:
		}
		<-r.c.budget.rewrites
		<-stopped
		stop = r.run()
		r.publish("old", 20)
		r.committed(45)
		stop()
		r.once()
	})
}

// TestRewritingFails: IDs that can't be written are tried again and are a problem
// meanwhile, and do not hold a stop up.
func TestRewritingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, kafkatest.Bubble(t))
		stop := r.begin()
		defer func() { stop() }()
		r.recreateStateHeld()
		time.Sleep(time.Second) // the session is written
		fault := r.cluster.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: r.state, Err: kerr.InvalidTimestamp, Count: -1})
		for range cap(r.c.budget.rewrites) {
			<-r.c.budget.rewrites
		}
		kafkatest.WaitFor(t, time.Minute, "the cause", func() bool {
			s := r.c.StateTopic().Rewriting
			return s != nil && s.Cause != nil && strings.Contains(s.Cause.Err.Error(), "timestamp")
		})
		fault.Remove()
		r.rewritten(1)
		if n := r.stateKinds()[stateReported]; n != 20 {
			t.Errorf("the new topic has %d records of IDs: want 20", n)
		}
	})
}

// TestRewritingKilledHalfway: IDs that a killed owner wrote again are known to the next
// one, and to write all again changes nothing.
func TestRewritingKilledHalfway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ids = 5000
		r := newReading(t, kafkatest.Bubble(t))
		defer r.run()()
		r.restored(1)
		var known []partition.Known
		for i := range ids {
			known = append(known, partition.Known{Key: partition.KeyOf(fmt.Sprint(i)), Entry: partition.Entry{Type: event.View, Created: time.Now(), Reported: time.Now()}})
		}
		o := r.c.owners()[0]
		o.partition.Remember(known)
		restored := func() int {
			next := newOwner(r.c, 0, r.c.cfg.Rules, group.Position{Offset: -1}, kept{})
			if err := next.readState(t.Context()); err != nil {
				t.Fatal(err)
			}
			return next.partition.Stats().Known
		}
		ctx, kill := context.WithCancel(t.Context())
		pieces := 0
		r.cluster.Fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			if r.cluster.Fake.KeepControl(); pieces == 2 {
				kill()
			}
			pieces++
			return nil, nil, false
		})
		if n, err := o.rewriteFrom(ctx, new(partition.Place)); err == nil || n == 0 || n == ids {
			t.Errorf("%d IDs were written before the end, which was %v", n, err)
		}
		if n := restored(); n == 0 || n == ids {
			t.Errorf("the next owner knows %d IDs: want a part of %d", n, ids)
		}
		for range 2 {
			if n, err := o.rewriteFrom(t.Context(), new(partition.Place)); n != ids || err != nil {
				t.Errorf("%d IDs were written: %v", n, err)
			}
			if n := restored(); n != ids {
				t.Errorf("the next owner knows %d IDs: want %d", n, ids)
			}
		}
		if held := o.account.bytes.Load(); held != 0 {
			t.Errorf("%d bytes are accounted", held)
		}
	})
}
