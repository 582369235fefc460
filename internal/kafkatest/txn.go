package kafkatest

import (
	"context"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Txn is a producer's transaction that has not ended yet.
type Txn struct {
	cl    *kgo.Client
	ended bool
}

// Begin starts a transaction, for logs with control records and aborted
// records. One that is still open when t ends is aborted then.
func (c *Cluster) Begin(t testing.TB) *Txn {
	t.Helper()
	txn := &Txn{cl: c.franz(t, kgo.TransactionalID(Name(t, "txn")))}
	if err := txn.cl.BeginTransaction(); err != nil {
		t.Fatalf("begin a transaction: %v", err)
	}
	t.Cleanup(func() {
		if !txn.ended {
			txn.end(t, context.WithoutCancel(t.Context()), kgo.TryAbort)
		}
	})
	return txn
}

// Produce is [Cluster.Produce] within the transaction.
func (x *Txn) Produce(t testing.TB, topic string, messages ...kafka.Message) {
	t.Helper()
	produce(t, x.cl, topic, messages)
}

// Commit ends the transaction, and with it writes a control record to every
// partition that it wrote to.
func (x *Txn) Commit(t testing.TB) {
	t.Helper()
	x.end(t, t.Context(), kgo.TryCommit)
}

// Abort ends the transaction as [Txn.Commit] does, but its records are void.
func (x *Txn) Abort(t testing.TB) {
	t.Helper()
	x.end(t, t.Context(), kgo.TryAbort)
}

func (x *Txn) end(t testing.TB, ctx context.Context, how kgo.TransactionEndTry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	x.ended = true
	if err := x.cl.EndTransaction(ctx, how); err != nil {
		t.Errorf("end the transaction: %v", err)
	}
}
