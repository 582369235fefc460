package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

const (
	takeovers = 5
	// busyLatency is the API's, with which three replicas have all their requests in
	// flight and leave the machine most of its time.
	busyLatency = time.Second
	busyRecords = 400_000
	busyWindow  = 2 * time.Second
)

// takeOver measures, with so many ids remembered, how soon the partitions of a killed
// replica are owned again and their state is read, and what is reported while a fourth
// replica joins three that have all their requests in flight.
func (w *world) takeOver(ctx context.Context, ids int) error {
	fmt.Printf("chaos: seed %d, on %s: replicas are killed, and a fourth one joins, with %d ids\n", w.seed, w.broker.name(), ids)
	if err := w.remember(ctx, ids); err != nil {
		return err
	}
	for range replacedReplicas {
		if _, err := w.start(ctx); err != nil {
			return err
		}
	}
	if !w.balanced(ctx, 3*time.Minute) {
		return errors.New("the replicas did not share the partitions evenly within three minutes")
	}
	var took []time.Duration
	for range takeovers {
		w.seen.crash()
		w.any().kill()
		d, ok := w.covered(ctx, time.Minute)
		if !ok {
			return errors.New("not all partitions were owned within a minute of a kill")
		}
		took = append(took, d)
		if _, err := w.start(ctx); err != nil {
			return err
		}
		if !w.balanced(ctx, time.Minute) {
			return errors.New("the replicas did not share the partitions evenly within a minute")
		}
	}
	slices.Sort(took)
	fmt.Printf("%d takeovers after a kill: median %.1f s, longest %.1f s\n", len(took), took[len(took)/2].Seconds(), took[len(took)-1].Seconds())
	return w.join(ctx)
}

// join has a fourth replica join under full load.
func (w *world) join(ctx context.Context) error {
	if err := w.send(ctx, traffic(w.seed, busyRecords)); err != nil {
		return err
	}
	w.api.SetFaults(emulator.Faults{Latency: busyLatency})
	time.Sleep(10 * time.Second)
	before := w.perWindow(ctx, 5)
	joined := make(chan error, 1)
	go func() {
		_, err := w.start(ctx)
		joined <- err
	}()
	during := w.perWindow(ctx, 10)
	if err := <-joined; err != nil {
		return err
	}
	if !w.balanced(ctx, time.Minute) {
		return errors.New("the fourth replica did not get its share within a minute")
	}
	w.api.SetFaults(healthy)
	if err := w.settle(ctx); err != nil {
		return err
	}
	usual := slices.Sorted(slices.Values(before))[len(before)/2]
	least := slices.Min(during)
	fmt.Printf("a fourth replica joins: %d events in %s before, at least %d during (%.0f %%); repeated %d\n",
		usual, busyWindow, least, 100*float64(least)/float64(usual), w.seen.repeats())
	return nil
}

// perWindow counts the events that are accepted in each of n windows.
func (w *world) perWindow(ctx context.Context, n int) (counts []int) {
	last := w.seen.count()
	for range n {
		select {
		case <-ctx.Done():
		case <-time.After(busyWindow):
		}
		now := w.seen.count()
		counts, last = append(counts, now-last), now
	}
	return counts
}
