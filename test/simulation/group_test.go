package simulation

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// comesBackWithin is how long after its last fault the group may take until
// everything has its outcome: a member that the library forgot without leaving
// holds the group up for as long as a rebalance may last, and no more.
const comesBackWithin = time.Minute

// TestGroupErrors answers each error that a broker may give to each request
// about the group and the topics, three times, while replicas come and go. The
// group comes back by itself, and since nobody died, nothing is repeated.
func TestGroupErrors(t *testing.T) {
	t.Parallel()
	var pairs []failing
	for _, c := range []struct {
		request kmsg.Key
		errs    []*kerr.Error
	}{
		{kmsg.JoinGroup, []*kerr.Error{
			kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.InconsistentGroupProtocol,
			kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.GroupMaxSizeReached, kerr.FencedInstanceID, kerr.UnknownServerError,
		}},
		{kmsg.SyncGroup, []*kerr.Error{
			kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.IllegalGeneration,
			kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.UnknownServerError,
		}},
		{kmsg.Heartbeat, []*kerr.Error{
			kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.IllegalGeneration,
			kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.FencedInstanceID, kerr.GroupAuthorizationFailed, kerr.UnknownServerError,
		}},
		{kmsg.LeaveGroup, []*kerr.Error{
			kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.UnknownMemberID,
			kerr.GroupAuthorizationFailed, kerr.UnknownServerError,
		}},
		{kmsg.OffsetFetch, []*kerr.Error{
			kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.UnknownMemberID,
			kerr.IllegalGeneration, kerr.UnknownTopicOrPartition, kerr.UnstableOffsetCommit, kerr.UnknownServerError,
		}},
		{kmsg.FindCoordinator, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.UnknownServerError}},
		{kmsg.Metadata, []*kerr.Error{
			kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.ReplicaNotAvailable, kerr.ListenerNotFound, kerr.UnknownServerError,
		}},
		{kmsg.CreateTopics, []*kerr.Error{
			kerr.TopicAlreadyExists, kerr.NotController, kerr.RequestTimedOut, kerr.InvalidReplicationFactor, kerr.PolicyViolation,
			kerr.ThrottlingQuotaExceeded, kerr.UnknownServerError,
		}},
		{kmsg.DescribeConfigs, []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.RequestTimedOut, kerr.InvalidConfig, kerr.UnknownServerError}},
	} {
		for _, err := range c.errs {
			pairs = append(pairs, failing{c.request, err})
		}
	}
	for _, p := range chosen(pairs) {
		t.Run(fmt.Sprintf("%s/%s", p.request.Name(), p.err.Message), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 9, traffic)
				w.records = w.records[:len(w.records)/4]
				var faults []*kfake.FaultHandle
				inject := func() { faults = append(faults, w.kafka.Fake.Fault(groupFault(p.request, p.err))) }
				inject()
				w.start()
				portion := 0
				w.publish(func() {
					switch portion++; portion {
					case 3:
						inject()
						w.start()
					case 6:
						inject()
						w.any().stop()
					}
				})
				began := time.Now()
				for !w.finished() && time.Since(began) < comesBackWithin {
					time.Sleep(time.Second)
				}
				if !w.finished() {
					t.Errorf("not all has its outcome %s after the last fault", comesBackWithin)
				}
				hits := 0
				for _, f := range faults {
					hits += f.Hits()
					f.Remove()
				}
				if hits == 0 {
					t.Error("the fault befell nothing")
				}
				w.settle()
				w.judge(0)
			})
		})
	}
}

// groupFault fails the pipeline's own requests three times, not those of the
// test's.
func groupFault(key kmsg.Key, err *kerr.Error) kfake.Fault {
	f := kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: 3}
	// The pipeline uses older versions than franz-go, which the test's clients are.
	newest := map[kmsg.Key]int16{kmsg.OffsetFetch: 5, kmsg.FindCoordinator: 2, kmsg.Metadata: 8}
	if most, ok := newest[key]; ok {
		f.When = func(req kmsg.Request) bool { return req.GetVersion() <= most }
	}
	switch key {
	case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.FindCoordinator:
		f.Group = group
	case kmsg.Metadata, kmsg.OffsetFetch: // whose old versions have errors of partitions alone
		f.Topic = topic
	}
	return f
}

// TestHopelessGroupErrors: an error that waiting does not fix ends the program with words
// that say what is wrong, and nothing is lost or repeated by that.
func TestHopelessGroupErrors(t *testing.T) {
	t.Parallel()
	for key, errs := range map[kmsg.Key][]*kerr.Error{
		kmsg.JoinGroup:       {kerr.GroupAuthorizationFailed, kerr.InvalidSessionTimeout, kerr.InvalidGroupID},
		kmsg.SyncGroup:       {kerr.GroupAuthorizationFailed},
		kmsg.OffsetFetch:     {kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed},
		kmsg.FindCoordinator: {kerr.GroupAuthorizationFailed, kerr.InvalidGroupID},
		kmsg.Metadata:        {kerr.TopicAuthorizationFailed},
		kmsg.CreateTopics:    {kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed},
	} {
		for _, err := range errs {
			t.Run(fmt.Sprintf("%s/%s", key.Name(), err.Message), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 9, traffic)
					w.records = w.records[:len(w.records)/4]
					f := groupFault(key, err)
					f.Count = -1
					fault := w.kafka.Fake.Fault(f)
					r := w.start()
					var got error
					select {
					case got = <-r.done:
					case <-time.After(time.Minute):
						t.Error("the replica continues")
					}
					r.dead = true
					r.cancel()
					r.done <- nil
					fault.Remove()
					want := kafka.Error(err.Code)
					subject := map[bool]string{true: topic, false: group}[key == kmsg.Metadata || key == kmsg.CreateTopics]
					if got == nil || !strings.Contains(got.Error(), want.Title()) || !strings.Contains(got.Error(), subject) {
						t.Errorf("the replica ended with %v: want words about %s and %q", got, subject, want.Title())
					}
					w.start()
					w.publish(func() {})
					w.settle()
					w.judge(0)
				})
			})
		}
	}
}
