package kafkatest

import (
	"context"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Txn is a producer's transaction that has not ended yet.
type Txn struct {
	cl    *kgo.Client
	id    string
	ended bool
}

// Begin starts a transaction, for logs with control records and aborted
// records. One that is still open when t ends is aborted then.
func (c *Cluster) Begin(t testing.TB) *Txn {
	t.Helper()
	id := Name(t, "txn")
	txn := &Txn{id: id, cl: c.franz(t, kgo.TransactionalID(id))}
	if err := txn.cl.BeginTransaction(); err != nil {
		t.Fatalf("begin a transaction: %v", err)
	}
	t.Cleanup(func() {
		if !txn.ended {
			txn.end(context.WithoutCancel(t.Context()), t, kgo.TryAbort)
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
// partition that it wrote to. It returns when those are written.
func (x *Txn) Commit(t testing.TB) {
	t.Helper()
	x.end(t.Context(), t, kgo.TryCommit)
}

// Abort ends the transaction as [Txn.Commit] does, but its records are aborted.
func (x *Txn) Abort(t testing.TB) {
	t.Helper()
	x.end(t.Context(), t, kgo.TryAbort)
}

func (x *Txn) end(ctx context.Context, t testing.TB, how kgo.TransactionEndTry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	x.ended = true
	if err := x.cl.EndTransaction(ctx, how); err != nil {
		t.Errorf("end the transaction: %v", err)
		return
	}
	// Kafka answers when the outcome is decided, and writes the control records
	// after that.
	adm := kadm.NewClient(x.cl)
	for {
		described, err := adm.DescribeTransactions(ctx, x.id)
		if state := described[x.id]; err == nil && state.Err == nil && !strings.HasPrefix(state.State, "Prepare") {
			return
		}
		if pause(ctx) != nil {
			t.Errorf("the transaction has not ended: %+v, %v", described[x.id], err)
			return
		}
	}
}
