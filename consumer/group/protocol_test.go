package group

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describegroups"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/internal/ownership"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// The consequences of an error that brokers answer with, as the partitions see it.
const (
	nothing = "keeps its partitions"
	loss    = "loses its partitions and gets them again"
	end     = "ends"
)

// codes are the errors that each request is answered with, twice, and their
// consequence for a dynamic member. They are those that brokers answer with
// according to Kafka's source, and a few others, among them FENCED_INSTANCE_ID, which
// only static members should get.
var codes = map[kmsg.Key]map[*kerr.Error]string{
	kmsg.FindCoordinator: {
		kerr.CoordinatorNotAvailable: nothing, kerr.CoordinatorLoadInProgress: nothing, kerr.UnknownServerError: nothing,
		kerr.InvalidGroupID: end, kerr.GroupAuthorizationFailed: end,
	},
	kmsg.JoinGroup: {
		kerr.CoordinatorNotAvailable: nothing, kerr.CoordinatorLoadInProgress: nothing, kerr.NotCoordinator: nothing,
		kerr.RebalanceInProgress: nothing, kerr.UnknownServerError: nothing, kerr.InconsistentGroupProtocol: nothing,
		kerr.GroupMaxSizeReached: nothing, kerr.NotEnoughReplicas: nothing,
		kerr.UnknownMemberID: loss, kerr.IllegalGeneration: loss,
		kerr.FencedInstanceID: loss, kerr.InvalidSessionTimeout: end, kerr.InvalidGroupID: end,
		kerr.GroupAuthorizationFailed: end, kerr.UnsupportedVersion: end,
	},
	kmsg.SyncGroup: {
		kerr.CoordinatorNotAvailable: nothing, kerr.CoordinatorLoadInProgress: nothing, kerr.NotCoordinator: nothing,
		kerr.RebalanceInProgress: nothing, kerr.IllegalGeneration: nothing, kerr.InconsistentGroupProtocol: nothing,
		kerr.UnknownServerError: nothing,
		kerr.UnknownMemberID:    loss,
		kerr.FencedInstanceID:   loss, kerr.GroupAuthorizationFailed: end,
	},
	kmsg.Heartbeat: {
		kerr.CoordinatorNotAvailable: nothing, kerr.CoordinatorLoadInProgress: nothing, kerr.NotCoordinator: nothing,
		kerr.RebalanceInProgress: nothing, kerr.GroupAuthorizationFailed: nothing, kerr.UnknownServerError: nothing,
		kerr.UnknownMemberID: loss, kerr.IllegalGeneration: loss,
		kerr.FencedInstanceID: loss,
	},
	kmsg.OffsetCommit: {
		kerr.CoordinatorNotAvailable: nothing, kerr.CoordinatorLoadInProgress: nothing, kerr.NotCoordinator: nothing,
		kerr.RebalanceInProgress: nothing, kerr.UnknownServerError: nothing, kerr.UnknownTopicOrPartition: nothing,
		kerr.TopicAuthorizationFailed: nothing, kerr.GroupAuthorizationFailed: nothing, kerr.RequestTimedOut: nothing,
		kerr.OffsetMetadataTooLarge: nothing, kerr.InvalidCommitOffsetSize: nothing,
		kerr.UnknownMemberID: loss, kerr.IllegalGeneration: loss,
		kerr.FencedInstanceID: loss,
	},
	kmsg.OffsetFetch: {
		kerr.CoordinatorNotAvailable: nothing, kerr.CoordinatorLoadInProgress: nothing, kerr.NotCoordinator: nothing,
		kerr.UnstableOffsetCommit: nothing, kerr.UnknownServerError: nothing, kerr.UnknownTopicOrPartition: nothing,
		kerr.IllegalGeneration:        nothing,
		kerr.UnknownMemberID:          loss,
		kerr.GroupAuthorizationFailed: end, kerr.TopicAuthorizationFailed: end,
	},
	kmsg.LeaveGroup: {
		kerr.CoordinatorNotAvailable: nothing, kerr.CoordinatorLoadInProgress: nothing, kerr.NotCoordinator: nothing,
		kerr.UnknownMemberID: nothing, kerr.FencedInstanceID: nothing, kerr.GroupAuthorizationFailed: nothing,
		kerr.UnknownServerError: nothing,
	},
	kmsg.Metadata: {
		kerr.LeaderNotAvailable: nothing, kerr.UnknownServerError: nothing, kerr.ListenerNotFound: nothing,
		kerr.TopicAuthorizationFailed: nothing,
	},
	kmsg.DescribeGroups: {
		kerr.CoordinatorNotAvailable: nothing, kerr.NotCoordinator: nothing, kerr.GroupAuthorizationFailed: nothing,
	},
}

// TestErrorCodes answers each request with each error while the member holds one
// partition and gets another, commits, and finally leaves.
func TestErrorCodes(t *testing.T) {
	for key, errs := range codes {
		for err, want := range errs {
			t.Run(fmt.Sprintf("%s/%s", key.Name(), err.Message), func(t *testing.T) {
				bubble(t, 1, func(t *testing.T, w *world) { testErrorCode(t, w, key, err, want) }, kfake.Ports(9092, 9093))
			})
		}
	}
}

func testErrorCode(t *testing.T, w *world, key kmsg.Key, err *kerr.Error, want string) {
	a := w.start("a", func(c *Config) { c.CheckInterval = 5 * time.Second })
	w.settled(1, a)
	time.Sleep(100 * time.Millisecond)
	f := kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: 2}
	switch key {
	case kmsg.Metadata:
		f.Topic, f.When = topic, func(r kmsg.Request) bool { return r.GetVersion() <= 8 } // not the test's own client
	case kmsg.OffsetCommit, kmsg.OffsetFetch:
		f.Topic, f.When = topic, func(r kmsg.Request) bool { return r.GetVersion() <= 7 }
	default:
		f.Group = name
	}
	fault := w.cluster.Fake.Fault(f)
	if key == kmsg.FindCoordinator {
		a.m.mistrust(a.m.id)
	}
	w.grow(t, 2)
	time.Sleep(8 * time.Second)
	committing, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	_ = a.m.Commit(committing, map[int32]int64{0: 5}, "")
	cancel()
	time.Sleep(3 * time.Second)
	if want == end {
		if err := a.wait(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the member ended with %v, want an error that names the group", err)
		}
		return
	}
	if key != kmsg.LeaveGroup {
		w.settled(2, a)
	}
	lost := slices.ContainsFunc(w.events(), func(e string) bool { return strings.Contains(e, "lost") })
	revoked := slices.ContainsFunc(w.events(), func(e string) bool { return strings.Contains(e, "revoked") })
	if revoked || lost != (want == loss) {
		t.Errorf("the member %s: got %v", want, w.events())
	}
	a.stop()
	if fault.Hits() == 0 {
		t.Error("no request was answered with the error")
	}
}

// TestFailedHeartbeatExtendsNothing: only accepted heartbeats count,
// from the time when it was sent.
func TestFailedHeartbeatExtendsNothing(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(1, a)
		time.Sleep(time.Second)
		for _, err := range []*kerr.Error{kerr.UnknownServerError, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress} {
			time.Sleep(700 * time.Millisecond)
			until := a.leaseEnd()
			fault := w.cluster.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: name, Err: err, Count: -1})
			time.Sleep(time.Until(until) - time.Millisecond)
			if !a.m.Leased(time.Now()) {
				t.Errorf("%v: the lease ended early", err)
			}
			if time.Sleep(time.Millisecond); a.m.Leased(time.Now()) {
				t.Errorf("%v: the lease lasts though no heartbeat succeeded", err)
			}
			fault.Remove()
			w.settled(1, a)
		}
	})
}

// TestLateAnswerExtendsFromSending: how long the answer took does not count, nor
// does an answer for a membership that has ended.
func TestLateAnswerExtendsFromSending(t *testing.T) {
	m := New(Config{SessionTimeout: session})
	sent := time.Now()
	m.lease.grant()
	m.id = identity{1, "me", 3}
	for _, key := range []protocol.ApiKey{protocol.Heartbeat, protocol.OffsetCommit} {
		m.lease.extend(sent.Add(-time.Second), false)
		m.heard(key, m.id, sent, nil)
		if !m.Leased(sent.Add(session-1)) || m.Leased(sent.Add(session)) {
			t.Errorf("after %s: want a lease for the session timeout after sending", key)
		}
		m.heard(key, identity{1, "another", 3}, sent.Add(time.Second), nil)
		if m.Leased(sent.Add(session)) {
			t.Errorf("%s of an earlier membership extends the lease", key)
		}
	}
}

// TestRebalanceTimeoutBoundsLease: in a rebalance heartbeats prove that the
// coordinator knows the member, but not that it waits for it beyond its time.
func TestRebalanceTimeoutBoundsLease(t *testing.T) {
	published := &ownership.Ownership{}
	l := lease{session: 8 * time.Second, rebalance: 16 * time.Second, published: published}
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	l.extend(at(0), false)
	if published.Leased(at(0)) {
		t.Error("a lease without partitions")
	}
	l.grant()
	for s := 1; s <= 15; s++ {
		l.extend(at(s), true)
	}
	if !published.Leased(at(15)) || published.Leased(at(16)) {
		t.Error("want a lease until the rebalance timeout after the last heartbeat before the rebalance")
	}
	l.extend(at(17), false)
	if !published.Leased(at(24)) || published.Leased(at(25)) {
		t.Error("want a lease for the session timeout after the rebalance")
	}
	l.end()
	if l.extend(at(18), false); published.Leased(at(18)) {
		t.Error("a lease that ended is not granted by a heartbeat")
	}
}

// TestStaticMember: a member with an instance id returns without a rebalance, and
// so do its partitions.
func TestStaticMember(t *testing.T) {
	static := func(id string) func(*Config) { return func(c *Config) { c.InstanceID = id } }
	bubble(t, 2, func(t *testing.T, w *world) {
		a := w.start("a", static("one"))
		w.settled(2, a)
		b := w.start("b", static("two"))
		w.settled(2, a, b)
		generation, held := a.m.Status().Generation, b.m.Status().Partitions
		w.clear()
		b.stop()
		time.Sleep(session / 2)
		again := w.start("b2", static("two"))
		w.settled(2, a, again)
		if got := again.m.Status(); got.Generation != generation || !slices.Equal(got.Partitions, held) {
			t.Errorf("it came back in generation %d with %v, was in %d with %v", got.Generation, got.Partitions, generation, held)
		}
		w.want(fmt.Sprintf("b revoked %v", held), fmt.Sprintf("b2 assigned %v", held))
	})
}

// TestRefusedByTheBroker: a refusal names the setting that is to be changed.
func TestRefusedByTheBroker(t *testing.T) {
	for code, want := range map[kafka.Error]string{
		kafka.GroupMaxSizeReached:   "has as many members as group.max.size of the brokers allows",
		kafka.InvalidSessionTimeout: "kafka.session_timeout is 6s: expected a time between group.min.session.timeout.ms and",
	} {
		bubble(t, 1, func(t *testing.T, w *world) {
			w.cluster.Fake.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
				w.cluster.Fake.KeepControl()
				answer := r.ResponseKind().(*kmsg.JoinGroupResponse)
				answer.ErrorCode = int16(code)
				return answer, nil, true
			})
			a := w.start("a")
			if code == kafka.InvalidSessionTimeout {
				if err := a.wait(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%d: got %v", code, err)
				}
				return
			}
			kafkatest.WaitFor(t, time.Minute, "the refusal to be explained", func() bool {
				err := a.m.Status().Err
				return err != nil && strings.Contains(err.Error(), want)
			})
		})
	}
}

// TestFencedInstance: two replicas with the same instance id are an error of the
// configuration, which the older one ends with as soon as it learns of it.
func TestFencedInstance(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		w.twins = true
		twin := func(c *Config) { c.InstanceID = "twin" }
		a := w.start("a", twin)
		w.settled(2, a)
		b := w.start("b", twin)
		err := a.wait()
		if err == nil || !strings.Contains(err.Error(), `instance ID "twin" is used by another member of the group`) {
			t.Errorf("got %v", err)
		}
		w.settled(2, b)
		if a.m.Leased(time.Now()) || !slices.Contains(w.events(), "a lost [0 1]") {
			t.Errorf("the fenced member did not lose its partitions: %v", w.events())
		}
	})
}

// TestThrottle: after an answer that asks for it, the broker gets no further
// request for so long.
func TestThrottle(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(1, a)
		var mu sync.Mutex
		var at []time.Time // heartbeats
		dialed := func() int { a.mu.Lock(); defer a.mu.Unlock(); return len(a.conns) }
		before := dialed()
		w.cluster.Fake.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.Fake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			if len(at) > 1 {
				return nil, nil, false
			}
			answer := r.ResponseKind().(*kmsg.HeartbeatResponse)
			answer.ThrottleMillis = 3000
			return answer, nil, true
		})
		time.Sleep(2 * time.Second)
		if left := a.m.Status().Throttled; left < time.Second || left > 3*time.Second {
			t.Errorf("throttled for another %s", left)
		}
		time.Sleep(3 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if waited := at[1].Sub(at[0]); waited < 3*time.Second || waited > 4*time.Second {
			t.Errorf("the next heartbeat came after %s, want 3 s", waited)
		}
		if n := dialed() - before; n != 1 {
			t.Errorf("%d new connections, want one instead of that which is throttled", n)
		}
	})
}

// TestGrowth: partitions that are added are assigned, whichever member sees them first,
// even a member that had none and does not lead.
func TestGrowth(t *testing.T) {
	for _, seer := range []string{"a", "b"} {
		t.Run(seer, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, w *world) {
				slow := func(c *Config) { c.CheckInterval = time.Hour }
				a := w.start("a", slow)
				w.settled(1, a)
				b := w.start("b", slow)
				w.settled(1, a, b)
				time.Sleep(time.Second)
				w.grow(t, 6)
				r := map[string]*replica{"a": a, "b": b}[seer]
				r.m.grow(t.Context(), r, 1, 6)
				w.settled(6, a, b)
				if r.toldOf() != 6 || a.toldOf()+b.toldOf() != 6 {
					t.Errorf("told of %d and %d partitions", a.toldOf(), b.toldOf())
				}
			})
		})
	}
}

// TestRecreatedWithFewerPartitions: the partitions that no longer exist are given up, by
// whichever member has them.
func TestRecreatedWithFewerPartitions(t *testing.T) {
	bubble(t, 6, func(t *testing.T, w *world) {
		often := func(c *Config) { c.CheckInterval = time.Second }
		a, b := w.start("a", often), w.start("b", often)
		w.settled(6, a, b)
		for _, n := range []int{2, 4, 2} {
			answer, err := w.cluster.Client(t).DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
			if err != nil || answer.Errors[topic] != nil {
				t.Fatal(err, answer)
			}
			time.Sleep(3 * time.Second)
			w.cluster.CreateTopic(t, topic, n, nil)
			w.settled(n, a, b)
			kafkatest.WaitFor(t, time.Minute, "all partitions to be covered", func() bool { return a.m.Status().Covered && b.m.Status().Covered })
		}
	})
}

// TestHeard: an answer to a heartbeat or a commit about a generation that the
// member is leaving, or has left, decides nothing: the answer to its JoinGroup does.
func TestHeard(t *testing.T) {
	for _, key := range []protocol.ApiKey{protocol.Heartbeat, protocol.OffsetCommit} {
		for _, test := range []struct {
			joining bool
			asked   int32
			want    reaction
		}{{false, 3, lose}, {true, 3, again}, {false, 2, again}} {
			m := New(Config{SessionTimeout: session})
			m.id, m.joining = identity{1, "me", 3}, test.joining
			got := m.heard(key, identity{1, "me", test.asked}, time.Now(), kafka.IllegalGeneration)
			if decided := m.verdict == lose; got != test.want || decided != (test.want == lose) {
				t.Errorf("%s, joining: %v, of generation %d: reaction %d, decided: %v; want %d", key, test.joining, test.asked, got, decided, test.want)
			}
		}
	}
}

// TestLostCoordinatorInterruptsJoin: a join that waits at a broker which answers
// no heartbeat does not wait for its own deadline.
func TestLostCoordinatorInterruptsJoin(t *testing.T) {
	m := New(Config{SessionTimeout: session})
	interrupted := false
	m.id, m.joining, m.interrupt = identity{1, "me", 3}, true, func() { interrupted = true }
	m.heard(protocol.Heartbeat, m.id, time.Now(), kafka.UnknownTopicOrPartition)
	if interrupted {
		t.Error("interrupted by an answer of the coordinator")
	}
	if m.heard(protocol.Heartbeat, m.id, time.Now(), io.EOF); !interrupted || m.id.coordinator >= 0 {
		t.Errorf("interrupted: %v, coordinator %d; want to look for it", interrupted, m.id.coordinator)
	}
}

// TestCommitOfAnEarlierTerm: a commit that is repeated while the partition is lost
// and comes back would rewind the offset that another member committed meanwhile.
func TestCommitOfAnEarlierTerm(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(1, a)
		w.cluster.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: topic, Err: kerr.UnknownServerError, Count: 6})
		committed := make(chan error, 1)
		go func() { committed <- a.m.Commit(t.Context(), map[int32]int64{0: 3}, "") }()
		time.Sleep(500 * time.Millisecond)
		a.m.decide(lose, kafka.IllegalGeneration)
		synctest.Wait()
		w.settled(1, a)
		if err := <-committed; !errors.Is(err, ErrNotOwned) {
			t.Errorf("the earlier commit ended with %v, want that the partition is not owned", err)
		}
		w.want("a assigned [0]", "a lost [0]", "a assigned [0]")
	})
}

// TestDrainOfTheLost: a drain does not start as if it had time when the membership
// is known to have ended.
func TestDrainOfTheLost(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		a := w.add("a")
		a.m.owned[0] = 1
		a.drain.Store(int64(time.Hour))
		a.m.decide(renew, kafka.UnknownMemberId)
		began := time.Now()
		a.m.revoke(t.Context(), a, []int32{0})
		if took := time.Since(began); took > time.Minute {
			t.Errorf("the drain took %s", took)
		}
	})
}

// TestTurnedEager: when an earlier release joins, and leads because the leader is
// gone, it may assign partitions that this member holds. The member starts no
// request from then on, gives all up and joins again.
func TestTurnedEager(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(2, a)
		w.cluster.Fake.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
			answer := r.ResponseKind().(*kmsg.JoinGroupResponse)
			answer.MemberID, answer.LeaderID = r.(*kmsg.JoinGroupRequest).MemberID, "another"
			answer.Generation, answer.Protocol = a.m.Status().Generation, new(eager)
			return answer, nil, true
		})
		w.cluster.Fake.ControlKey(int16(kmsg.SyncGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
			if a.m.Leased(time.Now()) {
				t.Error("there is a lease though others may have the partitions")
			}
			answer := r.ResponseKind().(*kmsg.SyncGroupResponse)
			answer.MemberAssignment = encodeAssignment(map[string][]int32{topic: {0}}, nil)
			return answer, nil, true
		})
		a.m.decide(rejoin, nil)
		time.Sleep(time.Second)
		w.settled(2, a)
		w.want("a assigned [0 1]", "a revoked [0 1]", "a assigned [0 1]")
	})
}

// TestCheckOfTheGroup: a partition without an owner is a fault only if it stays so.
func TestCheckOfTheGroup(t *testing.T) {
	m := New(Config{Topic: topic, Transport: &kafka.Transport{}})
	group := describegroups.ResponseGroup{GroupState: "Stable", ProtocolType: "consumer", ProtocolData: cooperative, Members: []describegroups.ResponseGroupMember{{
		MemberID: "one", ClientID: "clientevents", ClientHost: "/10.0.0.1",
		MemberMetadata:   encodeSubscription(cooperative, subscription{topics: []string{topic}, generation: none}, 0),
		MemberAssignment: encodeAssignment(map[string][]int32{topic: {0, 2}}, nil),
	}}}
	g, fault := Describe(group, topic, "")
	m.inspected(g, fault, 3)
	if s := m.Status(); s.Fault != "" || len(s.Peers) != 1 || s.Peers[0].Host != "10.0.0.1" || s.Peers[0].Foreign {
		t.Errorf("at first: %+v", s)
	}
	m.inspected(g, fault, 4)
	if s := m.Status(); s.Fault != "no replica reads partitions [1] of topic events" {
		t.Errorf("the second time: fault %q", s.Fault)
	}
	m.inspected(g, fault, 0)
	if s := m.Status(); s.Fault != "" {
		t.Errorf("at last: fault %q", s.Fault)
	}
}

// TestStaticMembersKeepTheirOrder: the assignment does not depend on the member
// ids that static members are given.
func TestStaticMembersKeepTheirOrder(t *testing.T) {
	if got := sortKey(joingroup.ResponseMember{MemberID: "x-1", GroupInstanceID: "x"}); got != "x" {
		t.Errorf("a static member is sorted by %q", got)
	}
	if got := sortKey(joingroup.ResponseMember{MemberID: "x-1"}); got != "x-1" {
		t.Errorf("a dynamic member is sorted by %q", got)
	}
}

// TestInvalidAnswers: a contradiction to the protocol is reported, and the member
// recovers.
func TestInvalidAnswers(t *testing.T) {
	assignment := func(topics map[string][]int32) func(kmsg.Request) kmsg.Response {
		return func(r kmsg.Request) kmsg.Response {
			answer := r.ResponseKind().(*kmsg.SyncGroupResponse)
			answer.MemberAssignment = encodeAssignment(topics, map[string]int32{topic: 2})
			return answer
		}
	}
	for title, test := range map[string]struct {
		key    kmsg.Key
		answer func(kmsg.Request) kmsg.Response
		want   string
	}{
		"unknown topic":     {kmsg.SyncGroup, assignment(map[string][]int32{"other": {0}, topic: {0, 1}}), "topic other"},
		"unknown partition": {kmsg.SyncGroup, assignment(map[string][]int32{topic: {0, 1, 2}}), "partitions [2], and topic events has 2"},
		"partition twice":   {kmsg.SyncGroup, assignment(map[string][]int32{topic: {0, 1, 1}}), "twice"},
		"garbage": {kmsg.SyncGroup, func(r kmsg.Request) kmsg.Response {
			answer := r.ResponseKind().(*kmsg.SyncGroupResponse)
			answer.MemberAssignment = []byte{0, 1, 0, 0, 1, 0}
			return answer
		}, "unreadable metadata"},
		"no member id": {kmsg.JoinGroup, func(r kmsg.Request) kmsg.Response {
			answer := r.ResponseKind().(*kmsg.JoinGroupResponse)
			answer.Generation = 9
			return answer
		}, "no member id"},
		"older generation": {kmsg.JoinGroup, func(r kmsg.Request) kmsg.Response {
			answer := r.ResponseKind().(*kmsg.JoinGroupResponse)
			answer.MemberID, answer.Generation = r.(*kmsg.JoinGroupRequest).MemberID, 0
			return answer
		}, "generation 0 after"},
	} {
		t.Run(title, func(t *testing.T) {
			bubble(t, 2, func(t *testing.T, w *world) {
				a := w.start("a")
				w.settled(2, a)
				w.cluster.Fake.ControlKey(int16(test.key), func(r kmsg.Request) (kmsg.Response, error, bool) {
					return test.answer(r), nil, true
				})
				a.m.decide(rejoin, nil)
				time.Sleep(100 * time.Millisecond)
				if s := a.m.Status(); !strings.Contains(s.Fault+w.text(), test.want) {
					t.Errorf("fault %q and log %s: expected %q", s.Fault, w.text(), test.want)
				}
				a.m.decide(rejoin, nil)
				kafkatest.WaitFor(t, time.Minute, "the fault to end", func() bool { return a.m.Status().Fault == "" })
				w.settled(2, a)
			})
		})
	}
}

// TestForeignMember: a consumer of another topic is named by all members, and gets
// its partitions from a leader of ours; partitions that a foreign leader leaves
// out are named.
func TestForeignMember(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		w.cluster.CreateTopic(t, "other", 1, nil)
		a := w.start("a", func(c *Config) { c.CheckInterval = time.Second })
		w.settled(2, a)
		cl := w.franz(t, "stranger", "other")
		kafkatest.WaitFor(t, time.Minute, "the stranger to be named", func() bool {
			fault := a.m.Status().Fault
			return strings.Contains(fault, `client "stranger" on host `) && strings.Contains(fault, `"other"`)
		})
		w.settled(2, a)
		w.cluster.Produce(t, "other", kafka.Message{Value: []byte("x")})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got := cl.PollFetches(ctx).NumRecords(); got != 1 {
			t.Errorf("the stranger got %d records of its own topic, want 1", got)
		}
		cl.LeaveGroup()
		kafkatest.WaitFor(t, time.Minute, "the fault to end", func() bool { return a.m.Status().Fault == "" })
	})
}

// TestForeignMemberWithOurClientID: a consumer of the same topic is foreign, though it has
// the client ID of a replica.
func TestForeignMemberWithOurClientID(t *testing.T) {
	bubble(t, 4, func(t *testing.T, w *world) {
		a := w.start("a", func(c *Config) { c.CheckInterval = time.Second })
		w.settled(4, a)
		w.franz(t, a.transport.ClientID, topic)
		kafkatest.WaitFor(t, time.Minute, "the stranger to be named", func() bool {
			s := a.m.Status()
			return s.Unread && !s.Covered && strings.Contains(s.Fault, fmt.Sprintf("client %q on host ", a.transport.ClientID)) && strings.Contains(s.Fault, "no replica reads partitions")
		})
	})
}

// TestUnreadPartition: a leader that leaves a partition out is a fault.
func TestUnreadPartition(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.cluster.Fake.ControlKey(int16(kmsg.SyncGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.Fake.KeepControl()
			for i := range r.(*kmsg.SyncGroupRequest).GroupAssignment {
				r.(*kmsg.SyncGroupRequest).GroupAssignment[i].MemberAssignment = encodeAssignment(map[string][]int32{topic: {0, 2}}, nil)
			}
			return nil, nil, false
		})
		a := w.start("a", func(c *Config) { c.CheckInterval = time.Second })
		kafkatest.WaitFor(t, time.Minute, "the fault", func() bool {
			return strings.Contains(a.m.Status().Fault, "no replica reads partitions [1] of topic events")
		})
	})
}

// grow adds partitions to the topic.
func (w *world) grow(t *testing.T, n int) {
	t.Helper()
	answer, err := w.cluster.Client(t).CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(n)}},
	})
	if err != nil || answer.Errors[topic] != nil {
		t.Fatal(err, answer)
	}
}

// franz starts a consumer of another library in the group.
func (w *world) franz(t *testing.T, id string, topics ...string) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.Brokers...), kgo.Dialer(w.cluster.DialContext), kgo.ClientID(id),
		kgo.ConsumerGroup(name), kgo.ConsumeTopics(topics...), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(session), kgo.HeartbeatInterval(time.Second), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// earlier is a member of the previous release: kafka-go's ConsumerGroup, which
// knows eager protocols alone.
type earlier struct {
	*replica
	group *kafka.ConsumerGroup
}

func (w *world) earlier(t *testing.T, id string) *earlier {
	t.Helper()
	dialer := w.cluster.Dialer()
	dialer.ClientID = id
	e := &earlier{replica: w.add(id)}
	var err error
	e.group, err = kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: name, Brokers: w.cluster.Brokers, Topics: []string{topic}, Dialer: dialer,
		SessionTimeout: session, HeartbeatInterval: session / 10, RebalanceTimeout: 2 * session,
		JoinGroupBackoff: 500 * time.Millisecond, StartOffset: kafka.FirstOffset, Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	e.cancel = cancel
	go func() { e.ended <- e.consume(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-e.ended
	})
	return e
}

func (e *earlier) consume(ctx context.Context) error {
	defer e.group.Close()
	for {
		gen, err := e.group.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			continue
		}
		positions, all := map[int32]Position{}, []int32{}
		for _, a := range gen.Assignments[topic] {
			positions[int32(a.ID)] = Position{Offset: a.Offset}
			all = append(all, int32(a.ID))
		}
		ended := make(chan struct{})
		gen.Start(func(genCtx context.Context) {
			defer close(ended)
			e.replica.m.mu.Lock()
			e.replica.m.lease.extend(time.Now().Add(time.Hour), false)
			e.replica.m.lease.grant()
			e.replica.m.mu.Unlock()
			e.Assigned(positions)
			select {
			case <-genCtx.Done():
			case <-ctx.Done():
			}
			e.release("gave back", all)
		})
		<-ended
	}
}

func (w *world) held(r *replica) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, holder := range w.holders {
		if holder == r {
			n++
		}
	}
	return n
}

// TestUpgradeAndRollback: replicas of the previous release are replaced one after
// the other, and back, whichever leads; no partition has two owners at any time.
func TestUpgradeAndRollback(t *testing.T) {
	bubble(t, 4, func(t *testing.T, w *world) {
		share := func(want ...*replica) {
			t.Helper()
			kafkatest.WaitFor(t, time.Minute, "all partitions to have an owner", func() bool {
				total := 0
				for _, r := range want {
					if w.held(r) == 0 {
						return false
					}
					total += w.held(r)
				}
				return total == 4
			})
		}
		old1, old2 := w.earlier(t, "old1"), w.earlier(t, "old2")
		share(old1.replica, old2.replica)
		a := w.start("a")
		share(a, old1.replica, old2.replica)
		old1.stop()
		b := w.start("b")
		share(a, b, old2.replica)
		if got := a.m.Status().Protocol; got != eager {
			t.Errorf("with an earlier release in the group the protocol is %q", got)
		}
		old2.stop()
		share(a, b)
		w.settled(4, a, b)
		if got := a.m.Status().Protocol; got != cooperative {
			t.Errorf("without an earlier release in the group the protocol is %q", got)
		}
		old3 := w.earlier(t, "old3")
		share(a, b, old3.replica)
		a.stop()
		old4 := w.earlier(t, "old4")
		share(b, old3.replica, old4.replica)
		b.stop()
		share(old3.replica, old4.replica)
	})
}

// TestOtherLibraries: a member of franz-go, which has a cooperative-sticky
// assignor too, shares the partitions with ours, whichever leads, and is named.
func TestOtherLibraries(t *testing.T) {
	for _, first := range []string{"ours", "theirs"} {
		t.Run(first, func(t *testing.T) {
			bubble(t, 4, func(t *testing.T, w *world) {
				var a *replica
				start := func() *replica {
					return w.start("a", func(c *Config) { c.CheckInterval = time.Second })
				}
				if first == "ours" {
					a = start()
					w.settled(4, a)
				}
				cl := w.franz(t, "franz", topic)
				poll, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					for poll.Err() == nil {
						cl.PollFetches(poll)
					}
				}()
				time.Sleep(2 * time.Second)
				if first == "theirs" {
					a = start()
				}
				w.settledAt(a, 2)
				if s := a.m.Status(); s.Leader != (first == "ours") {
					t.Errorf("leader: %v", s.Leader)
				}
				kafkatest.WaitFor(t, time.Minute, "the other to be named, and its partitions", func() bool {
					s := a.m.Status()
					return strings.Contains(s.Fault, `client "franz" on host `) && strings.Contains(s.Fault, "no replica reads partitions ") && s.Unread && !s.Covered
				})
				cancel()
				cl.Close()
				w.settled(4, a)
			})
		})
	}
}

func (w *world) settledAt(r *replica, n int) {
	w.t.Helper()
	kafkatest.WaitFor(w.t, time.Minute, fmt.Sprintf("%d partitions", n), func() bool { return len(r.m.Status().Partitions) == n })
}
