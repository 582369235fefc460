package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

const (
	replacedReplicas = 3
	replaceRate      = 600 // events a second
)

// delays are how late events are accepted, by id.
type delays struct {
	mu     sync.Mutex
	events map[string]*journeyed
}

// journeyed is an event that was published.
type journeyed struct {
	at        time.Time
	partition int32
	late      time.Duration // 0 until it was accepted
}

func newDelays() *delays { return &delays{events: map[string]*journeyed{}} }

// publish records that an event is published, and returns what the broker's answer is
// given to: the partition is known from there.
func (d *delays) publish(id string, at time.Time) func(partition int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &journeyed{at: at}
	d.events[id] = e
	return func(partition int32) {
		d.mu.Lock()
		defer d.mu.Unlock()
		e.partition = partition
	}
}

func (d *delays) accept(a emulator.Accepted) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.events[a.Event.EventID]; e != nil && e.late == 0 {
		e.late = time.Since(e.at)
	}
}

// step is one planned change: when it began and ended, and the partitions that another
// replica owned afterwards.
type step struct {
	from, to time.Time
	moved    map[int32]bool
}

// replace measures what a rolling replacement costs: with so many ids remembered, three
// replicas are replaced one after the other while events come steadily. It prints how
// late events are on the partitions that moved and on the others.
func (w *world) replace(ctx context.Context, ids int, static bool, revision string) (err error) {
	if revision != "" {
		if w.binary, err = w.buildRevision(ctx, revision); err != nil {
			return err
		}
	}
	fmt.Printf("chaos: seed %d, on %s: %d replicas replaced one after the other with %d ids, %d events/s\n", w.seed, w.broker.name(), replacedReplicas, ids, replaceRate)
	d := w.delays
	if err := w.remember(ctx, ids); err != nil {
		return err
	}
	for i := range replacedReplicas {
		if _, err := w.startAs(ctx, instance(static, i)); err != nil {
			return err
		}
	}
	if _, ok := w.covered(ctx, 3*time.Minute); !ok {
		return errors.New("the replicas did not own all partitions within three minutes")
	}
	publishing, stop := context.WithCancel(ctx)
	published := make(chan error, 1)
	go func() { published <- w.steadily(publishing, d) }()
	time.Sleep(5 * time.Second) // connections and memory are warm
	steps, err := w.replaceAll(ctx, static)
	time.Sleep(5 * time.Second)
	stop()
	if err := errors.Join(err, <-published, w.settle(ctx)); err != nil {
		return err
	}
	for _, r := range w.living() {
		w.stop(r)
	}
	return d.report(ids, steps, w)
}

func instance(static bool, i int) string {
	if !static {
		return ""
	}
	return fmt.Sprintf("replica-%d", i)
}

// replaceAll replaces every replica. A static member ends first and returns under its
// name; another is replaced before it ends.
func (w *world) replaceAll(ctx context.Context, static bool) (steps []step, err error) {
	change := func(do func() error) error {
		before, s := w.owners(ctx), step{from: time.Now(), moved: map[int32]bool{}}
		if err := do(); err != nil {
			return err
		}
		if !w.balanced(ctx, time.Minute) {
			return errors.New("the replicas did not share the partitions evenly within a minute")
		}
		s.to = time.Now()
		for p, owner := range w.owners(ctx) {
			s.moved[p] = owner != before[p]
		}
		steps = append(steps, s)
		time.Sleep(3 * time.Second)
		return ctx.Err()
	}
	for i, old := range slices.Clone(w.living()) {
		start := func() error { _, err := w.startAs(ctx, instance(static, i)); return err }
		if static {
			err = change(func() error { w.stop(old); return start() })
		} else {
			err = errors.Join(change(start), change(func() error { w.stop(old); return ctx.Err() }))
		}
		if err != nil {
			return steps, err
		}
	}
	return steps, nil
}

// owners are the names of the replicas that own the partitions.
func (w *world) owners(ctx context.Context) map[int32]string {
	owners := map[int32]string{}
	for _, r := range w.living() {
		var status struct{ Partitions []struct{ Partition int32 } }
		if r.get(ctx, "/status", func(body io.Reader) error { return json.NewDecoder(body).Decode(&status) }) != nil {
			continue
		}
		for _, p := range status.Partitions {
			owners[p.Partition] = r.name
		}
	}
	return owners
}

// steadily publishes single events at a steady rate until ctx ends.
func (w *world) steadily(ctx context.Context, d *delays) error {
	g := journey.New(journey.Options{Seed: 3 * w.seed, Version: event.V3, Start: time.Now()})
	tick := time.NewTicker(time.Second / 100)
	defer tick.Stop()
	next, done := iter.Pull(g.Events())
	defer done()
	for {
		select {
		case <-ctx.Done():
			return w.client.Flush(context.WithoutCancel(ctx))
		case at := <-tick.C:
			for range replaceRate / 100 {
				e, _ := next()
				for e.ParentID != "" { // it would wait for its parent, whatever the group does
					e, _ = next()
				}
				published := d.publish(e.ID, at)
				record := &kgo.Record{Key: []byte(e.RequestID), Value: e.AppendRecord(nil)}
				w.client.Produce(context.WithoutCancel(ctx), record, func(r *kgo.Record, _ error) { published(r.Partition) })
			}
		}
	}
}

// remember writes state records of ids that nobody publishes, as after a busy day.
func (w *world) remember(ctx context.Context, ids int) error {
	state := topic + ".reported"
	answer, err := w.admin.CreateTopic(ctx, partitions, -1, map[string]*string{
		"cleanup.policy": new("compact,delete"), "retention.ms": new("172800000"),
	}, state)
	if err == nil {
		err = answer.Err
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", state, err)
	}
	var failed error
	var mu sync.Mutex
	for i := range ids {
		key := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("remembered"), uint64(i)))
		value := binary.AppendVarint([]byte{1, byte(event.View), 1, 2, 3, 4, 5, 6}, time.Now().UnixMilli())
		w.client.Produce(ctx, &kgo.Record{Topic: state, Key: append([]byte{'r'}, key[:16]...), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	return errors.Join(w.client.Flush(ctx), failed)
}

// report prints a row for the partitions that moved, and one for the others.
func (d *delays) report(ids int, steps []step, w *world) error {
	var moved, retained []time.Duration
	lost := 0
	for _, l := range d.events {
		if l.late == 0 {
			lost++
			continue
		}
		in := slices.IndexFunc(steps, func(s step) bool { return !l.at.Before(s.from.Add(-time.Second)) && l.at.Before(s.to.Add(time.Second)) })
		switch {
		case in < 0:
		case steps[in].moved[l.partition]:
			moved = append(moved, l.late)
		default:
			retained = append(retained, l.late)
		}
	}
	fmt.Printf("\n| %d ids, %d changes | events | median | p99 | latest | over 1 s |\n|---|--:|--:|--:|--:|--:|\n", ids, len(steps))
	for _, row := range []struct {
		name string
		all  []time.Duration
	}{{"partitions that stay", retained}, {"partitions that move", moved}} {
		slices.Sort(row.all)
		over, n := 0, len(row.all)
		for _, l := range row.all {
			if l > time.Second {
				over++
			}
		}
		if n == 0 {
			fmt.Printf("| %s | 0 | | | | |\n", row.name)
			continue
		}
		at := func(share float64) time.Duration {
			return row.all[min(n-1, int(share*float64(n)))].Round(time.Millisecond)
		}
		fmt.Printf("| %s | %d | %s | %s | %s | %.1f %% |\n", row.name, n, at(.5), at(.99), at(1), 100*float64(over)/float64(n))
	}
	fmt.Printf("\nlost %d, repeated %d\n", lost, w.seen.repeats())
	if lost+w.seen.repeats() > 0 {
		return errors.New("a replacement lost or repeated events")
	}
	return nil
}
