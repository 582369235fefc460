package kafkatest

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// settleGroups corrects a fault of the embedded broker. It counts a member that waits
// for its assignment as one that is joining, so when that member leaves, or joins again,
// its group is one short for good: a rebalance then ends by timeout only, and never
// where members ask more often than that. Such a request waits here for the assignment,
// as it would on a slow network. Apache Kafka has no such fault.
func settleGroups(broker *kfake.Cluster) {
	var mu sync.Mutex
	waiting := map[string]int32{} // the generation whose assignment a member has asked for
	broker.ControlKey(int16(kmsg.SyncGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		sync := r.(*kmsg.SyncGroupRequest)
		mu.Lock()
		defer mu.Unlock()
		waiting[sync.MemberID] = sync.Generation
		return nil, nil, false
	})
	settle := func(group string, members ...string) {
		waits := func(g *kfake.GroupInfo) bool {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range members {
				if generation, ok := waiting[m]; ok && g != nil && g.State == "CompletingRebalance" && g.Epoch == generation {
					return true
				}
			}
			return false
		}
		if !waits(broker.GroupInfo(group)) {
			return
		}
		broker.SleepControl(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			_, _ = broker.WaitGroupInfo(ctx, group, func(g *kfake.GroupInfo) bool { return !waits(g) })
		})
	}
	broker.ControlKey(int16(kmsg.LeaveGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		leave := r.(*kmsg.LeaveGroupRequest)
		members := []string{leave.MemberID}
		for _, m := range leave.Members {
			members = append(members, m.MemberID)
		}
		settle(leave.Group, members...)
		return nil, nil, false
	})
	broker.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		join := r.(*kmsg.JoinGroupRequest)
		settle(join.Group, join.MemberID)
		return nil, nil, false
	})
}
