package kafkatest

import (
	"context"
	"errors"
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

// DeleteRecords deletes the records of partition 0 before an offset.
func (c *Cluster) DeleteRecords(t testing.TB, topic string, before int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, before, -1)
	answer, err := c.adm.DeleteRecords(ctx, offsets)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		t.Fatalf("delete records of %s: %v", topic, err)
	}
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

// SetPassword lets a user log in at a real cluster by SCRAM-SHA-256, until t ends.
func (c *Cluster) SetPassword(t testing.TB, user, password string) {
	t.Helper()
	change := func(ctx context.Context, remove []kadm.DeleteSCRAM, set []kadm.UpsertSCRAM) error {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		altered, err := c.adm.AlterUserSCRAMs(ctx, remove, set)
		return errors.Join(err, altered.Error())
	}
	err := change(t.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}})
	if err != nil {
		t.Fatalf("set the password of %s: %v", user, err)
	}
	t.Cleanup(func() {
		if err := change(context.WithoutCancel(t.Context()), []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha256}}, nil); err != nil {
			t.Errorf("remove the user %s: %v", user, err)
		}
	})
}
