package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// transactionPatience is how long an open transaction may hold a partition up before
// it is reported, see [Consumer.transactionPatience]. Producers that commit at intervals,
// such as stream processors, hold it up for a moment each time.
const transactionPatience = 10 * time.Second

// OpenTransaction is a producer's transaction that holds a partition up: records at
// and after its first one can't be read before it ends.
type OpenTransaction struct {
	// Offset is that of the transaction's first record.
	Offset int64 `json:"offset"`
	// Since is the timestamp of that record, which its producer chose; if it has
	// none, when this replica met the transaction.
	Since time.Time `json:"since"`
}

func (t *OpenTransaction) String() string {
	return fmt.Sprintf("a transaction that begins at offset %d has been open since %s", t.Offset, t.Since.UTC().Format(time.RFC3339))
}

// stability is what an owner knows of the transactions that hold its partition up. Only
// the fetching goroutine uses it.
type stability struct {
	offset int64     // of the open transaction at the position
	met    time.Time // when the first fetch ended there; zero without one
}

// watchTransactions takes in a fetch from position. If an open transaction holds the
// partition up for longer than the consumer's patience, the owner logs and shows it, once.
func (o *owner) watchTransactions(batch *kafkalog.Batch, position int64) {
	stable, s := batch.LastStableOffset, &o.stability
	switch {
	case batch.HighWatermark == 0 && batch.Throttled > 0: // the answer is not about the partition
	case batch.NextOffset > position || stable > position || stable >= batch.HighWatermark:
		o.endTransaction()
	case s.met.IsZero() || s.offset != stable:
		o.endTransaction()
		*s = stability{stable, time.Now()}
	case o.transaction.Load() == nil && time.Since(s.met) >= o.c.transactionPatience:
		o.showTransaction()
	}
}

// endTransaction notes that no transaction holds the partition up.
func (o *owner) endTransaction() {
	o.stability = stability{}
	if ended := o.transaction.Swap(nil); ended != nil {
		o.log.Info("the open transaction has ended; reading resumed", "offset", ended.Offset, "since", ended.Since)
	}
}

// showTransaction asks for the transaction's age.
func (o *owner) showTransaction() {
	ctx, cancel := context.WithTimeout(o.intake, 5*time.Second)
	defer cancel()
	open, err := o.c.kafka.OpenTransaction(ctx, o.c.cfg.Topic, o.partition.ID(), o.stability.offset, o.account)
	switch {
	case err == nil && open == nil:
		o.stability = stability{} // it has ended meanwhile
		return
	case err != nil:
		open = &kafkalog.OpenTransaction{Offset: o.stability.offset}
	}
	shown := &OpenTransaction{open.Offset, open.Since}
	if shown.Since.IsZero() {
		shown.Since = o.stability.met
	}
	o.transaction.Store(shown)
	o.log.Warn("an open transaction holds the partition up: records behind it can't be read before its producer ends it, or the broker does "+
		"after the producer's transaction.timeout.ms (docs/runbook.md)", "offset", shown.Offset, "since", shown.Since,
		"age", time.Since(shown.Since).Round(time.Second))
}
