package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// most is how much resident memory, in MiB, a replica may take.
const most = 200

// backlog lets n records pile up, starts a replica while the API hangs, lets it
// hang for a minute, and watches the replica until everything is drained.
func (w *world) backlog(ctx context.Context, n int) error {
	fmt.Printf("chaos: seed %d, on %s: a backlog of %d records (%s) and an API that hangs\n", w.seed, w.broker.name(), n, w.codec)
	records := traffic(w.seed, n)
	w.result.records = len(records)
	if err := w.send(ctx, records); err != nil {
		return err
	}
	release := make(chan struct{})
	w.api.SetFaults(with(&emulator.Fault{Hang: release}))
	r, err := w.start(ctx)
	if err != nil {
		return err
	}
	joined, ok := w.covered(ctx, time.Minute)
	if !ok {
		return errors.New("the replica did not own all partitions within a minute")
	}
	hanging, least := 0, partitions
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(time.Second) {
		hanging = max(hanging, r.memory("VmRSS"))
		least = min(least, r.partitions(ctx))
	}
	w.api.SetFaults(healthy)
	close(release)
	began := time.Now()
	if err := w.settle(ctx); err != nil {
		return err
	}
	drained := time.Since(began)
	peak := r.memory("VmHWM")
	joins, err := r.metric(ctx, "clientevents_rebalances_total")
	if err != nil {
		return err
	}
	w.stop(r)
	if err := w.judge(ctx, records); err != nil {
		return err
	}
	res := &w.result
	fmt.Printf("\n| a backlog of %d records, compressed: %s | |\n|---|---|\n"+
		"| partitions owned and their state read after | %s |\n"+
		"| resident memory while the API hangs for a minute | at most %d MiB |\n"+
		"| partitions owned during that minute | at least %d of %d |\n"+
		"| generations of the group it took part in | %.0f |\n"+
		"| drained, once the API answers, in | %s (%.0f records a second) |\n"+
		"| resident memory at its highest, start to end (VmHWM) | %d MiB |\n"+
		"| lost, reported before the parent, wrong dead letters, repeated | %d, %d, %d, %d |\n\n",
		n, w.codec, joined.Round(100*time.Millisecond), hanging, least, partitions, joins, drained.Round(time.Second), float64(n)/drained.Seconds(), peak,
		res.lost, res.early, res.wrongLetters, w.seen.repeats())
	if peak >= most || least != partitions || joins != 1 || res.lost+res.early+res.wrongLetters+res.failedStops > 0 {
		return fmt.Errorf("want less than %d MiB, all %d partitions in one generation, nothing lost or wrong, and a clean stop", most, partitions)
	}
	return nil
}
