package check

import (
	"context"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/connect"
)

// hangingAfter is the age at which a transaction has outlived Kafka's default of
// transaction.max.timeout.ms. The broker would have aborted it.
const hangingAfter = 15 * time.Minute

// transactions looks for open transactions in the source topic: readers of committed
// records read nothing behind them. It says nothing where the topic can't be read, which
// is another check's to tell.
func (ch *check) transactions(ctx context.Context, k *connect.Kafka) {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
	defer cancel()
	topic, log := ch.c.Kafka.Topic, kafkalog.NewClient(k.Addr, k.Transport)
	topics, err := log.Topics(ctx, topic)
	if err != nil || topics[0].Err != nil {
		return
	}
	for _, p := range topics[0].Partitions {
		open, behind, err := openTransaction(ctx, log, topic, p.ID)
		if err != nil || open == nil {
			continue
		}
		what := fmt.Sprintf("partition %d of topic %s", p.ID, topic)
		says := fmt.Sprintf("a transaction that begins at offset %d has been open %s: %d records from there on can't be read yet", open.Offset, age(open.Since), behind)
		do := "have its producer end it; see \"An open transaction\" in docs/runbook.md"
		if open.Since.IsZero() || time.Since(open.Since) < hangingAfter {
			ch.note(what, says, do)
			continue
		}
		ch.fail(what, says, "abort it if its producer does not end it; see \"An open transaction\" in docs/runbook.md")
	}
}

// age describes for how long a transaction is open, by the clock of its producer.
func age(since time.Time) string {
	if since.IsZero() {
		return "for an unknown time"
	}
	return fmt.Sprintf("for %v, since %s", max(0, time.Since(since)).Round(time.Second), since.UTC().Format(time.RFC3339))
}

// openTransaction returns the open transaction that readers of a partition meet, or
// nil, and how many records they can't read because of it.
func openTransaction(ctx context.Context, log *kafkalog.Client, topic string, partition int32) (open *kafkalog.OpenTransaction, behind int64, err error) {
	_, end, err := log.Offsets(ctx, topic, partition)
	if err != nil {
		return nil, 0, err
	}
	atEnd, err := log.Fetch(ctx, kafkalog.FetchRequest{Topic: topic, Partition: partition, Offset: end, MaxBytes: 1, MaxRecords: 1})
	if err != nil {
		return nil, 0, err
	}
	defer atEnd.Release()
	if atEnd.LastStableOffset >= atEnd.HighWatermark {
		return nil, 0, nil
	}
	open, err = log.OpenTransaction(ctx, topic, partition, atEnd.LastStableOffset, nil)
	return open, atEnd.HighWatermark - atEnd.LastStableOffset, err
}
