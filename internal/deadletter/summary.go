package deadletter

import (
	"context"
	"slices"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
)

// Row counts the dead letters of a reason.
type Row struct {
	Reason string `json:"reason"`
	Total  int    `json:"total"`
	// Outstanding counts the records that a replay would publish: each record once,
	// without those that were replayed and did not become a dead letter again.
	Outstanding int `json:"outstanding"`
	// First and Last are the times of the oldest and the newest of the dead letters.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Summarize counts the dead letters that a filter takes, a row for each reason in the
// order of [event.Reasons]. Foreign counts those of another source topic, which are in no
// row.
func Summarize(ctx context.Context, k *connect.Kafka, c *config.Config, f Filter) (rows []Row, foreign int, err error) {
	r, err := NewReplayer(ctx, k, c)
	if err != nil {
		return nil, 0, err
	}
	r.DryRun = true
	first, err := First(ctx, k, c, f)
	if err != nil {
		return nil, 0, err
	}
	if err := r.LearnReplayed(ctx, first); err != nil {
		return nil, 0, err
	}
	byReason := map[string]*Row{}
	err = Read(ctx, k, c, f, func(l Letter) error {
		if r.Foreign(&l) {
			foreign++
			return nil
		}
		reason := l.Header(consumer.HeaderReason)
		if byReason[reason] == nil {
			byReason[reason] = &Row{Reason: reason, First: l.Record.Time.UTC()}
		}
		return byReason[reason].add(ctx, r, l)
	})
	for _, row := range byReason {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		all := event.Reasons()
		return slices.Index(all, event.Reason(a.Reason)) - slices.Index(all, event.Reason(b.Reason))
	})
	return rows, foreign, err
}

// add counts a letter. The replayer only counts, and so knows whether it would publish
// the letter's record.
func (row *Row) add(ctx context.Context, r *Replayer, l Letter) error {
	row.Total++
	if at := l.Record.Time.UTC(); at.Before(row.First) {
		row.First = at
	}
	if at := l.Record.Time.UTC(); at.After(row.Last) {
		row.Last = at
	}
	if r.Replayed(&l) {
		return nil
	}
	before := r.Published
	if err := r.Add(ctx, l); err != nil {
		return err
	}
	row.Outstanding += r.Published - before
	return nil
}
