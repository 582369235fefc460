package kafkatest

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Topics returns the names of all topics but internal ones, without creating any.
func (c *Cluster) Topics(t testing.TB) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	topics, err := c.adm.ListTopics(ctx)
	if err != nil {
		t.Fatalf("list topics: %v", err)
	}
	return topics.Names()
}

// Quota limits the requests with a client ID to the given rates, such as
// consumer_byte_rate, until t ends or the returned function is called.
func (c *Cluster) Quota(t testing.TB, clientID string, rates map[string]float64) (remove func()) {
	t.Helper()
	alter := func(ctx context.Context, remove bool) {
		var ops []kadm.AlterClientQuotaOp
		for rate, value := range rates {
			ops = append(ops, kadm.AlterClientQuotaOp{Key: rate, Value: value, Remove: remove})
		}
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		results, err := c.adm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &clientID}}, Ops: ops,
		}})
		if i := slices.IndexFunc(results, func(r kadm.AlteredClientQuota) bool { return r.Err != nil }); i >= 0 {
			err = results[i].Err
		}
		if err != nil {
			t.Errorf("quota of client %s: %v", clientID, err)
		}
	}
	alter(t.Context(), false)
	removed := false
	remove = func() {
		if !removed {
			removed = true
			alter(context.WithoutCancel(t.Context()), true)
		}
	}
	t.Cleanup(remove)
	return remove
}
