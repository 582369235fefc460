package kafkatest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// endRebalances corrects a fault of the embedded broker. Each join starts the timeout of
// a rebalance again; Apache Kafka's is from the first join. If a rebalance can end by
// timeout only, members that join again when they have waited for longer than that keep
// it from ending. Such a rebalance is not rare: the embedded broker loses count of the
// joining members when one leaves while it waits for its assignment.
//
// A member that has joined a rebalance, and asks again after its timeout, waits here for
// its end.
func endRebalances(t testing.TB, broker *kfake.Cluster) {
	type join struct {
		epoch int32
		at    time.Time
	}
	var mu sync.Mutex
	joins := map[string]join{} // the last of each member
	broker.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		request := r.(*kmsg.JoinGroupRequest)
		preparing := func(g *kfake.GroupInfo) bool { return g != nil && g.State == "PreparingRebalance" }
		g := broker.GroupInfo(request.Group)
		if request.MemberID == "" || !preparing(g) {
			return nil, nil, false
		}
		mu.Lock()
		last, ok := joins[request.MemberID]
		ok = ok && last.epoch == g.Epoch
		if !ok {
			joins[request.MemberID] = join{g.Epoch, time.Now()}
		}
		mu.Unlock()
		timeout := time.Duration(request.RebalanceTimeoutMillis) * time.Millisecond
		if ok && time.Since(last.at) >= timeout {
			broker.SleepControl(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*timeout)
				defer cancel()
				_, _ = broker.WaitGroupInfo(ctx, request.Group, func(now *kfake.GroupInfo) bool {
					return !preparing(now) || now.Epoch != g.Epoch
				})
			})
		}
		return nil, nil, false
	})
}
