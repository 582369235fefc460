package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

// traffic makes up records of every kind, complete in themselves: no child is
// left without its parent. Two seeds have no event in common.
func traffic(seed uint64, n int) []journey.Record {
	mix := journey.DemoMix
	mix.Tombstones = true
	g := journey.New(journey.Options{Seed: seed, Version: event.V3, Start: time.Now()})
	return slices.AppendSeq(make([]journey.Record, 0, n), g.Mixed(mix, n))
}

// pace spreads what is published over what happens, so that there is always
// something on its way.
type pace struct {
	mu          sync.Mutex
	done, total int
	began       time.Time
}

// usually is how long a misfortune takes, about.
const usually = 8 * time.Second

func newPace(total int) *pace { return &pace{total: total, began: time.Now()} }

func (p *pace) next() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.began = time.Now()
}

func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = p.total
}

// of is how many of n records ought to be published by now.
func (p *pace) of(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done >= p.total {
		return n
	}
	return int(float64(n) * (float64(p.done) + min(1, float64(time.Since(p.began))/float64(usually))) / float64(p.total))
}

// publish publishes records in bursts, as fast as pace wants it.
func (w *world) publish(ctx context.Context, records []journey.Record, p *pace, rng *rand.Rand) error {
	for sent := 0; sent < len(records); {
		upTo := min(len(records), p.of(len(records)))
		if err := w.send(ctx, records[sent:upTo]); err != nil {
			return err
		}
		if sent = upTo; sent == len(records) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(20+rng.IntN(800)) * time.Millisecond):
		}
	}
	return nil
}

// send publishes records and waits until the broker has them all.
func (w *world) send(ctx context.Context, records []journey.Record) error {
	var mu sync.Mutex
	var failed error
	for _, r := range records {
		w.client.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if failed == nil {
				failed = err
			}
		})
	}
	if err := w.client.Flush(ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	if failed != nil {
		return fmt.Errorf("publish: %w", failed)
	}
	return nil
}

// settle waits until the group has committed everything.
func (w *world) settle(ctx context.Context) error {
	last, moved := int64(-1), time.Now()
	for {
		left, err := w.lag(ctx)
		if err == nil && left == 0 {
			return nil
		}
		if left != last {
			last, moved = left, time.Now()
		}
		if time.Since(moved) > 3*time.Minute {
			return fmt.Errorf("nothing moved for three minutes: %d records have no outcome (%w)", left, err)
		}
		if len(w.living()) == 0 {
			return fmt.Errorf("no replica is left, and %d records have no outcome", left)
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lag is how many records the group has not committed.
func (w *world) lag(ctx context.Context) (left int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ends, err := w.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return -1, err
	}
	committed, err := w.admin.FetchOffsetsForTopics(ctx, group, topic)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return -1, err
	}
	for p := range int32(partitions) {
		end, ok := ends.Lookup(topic, p)
		if !ok {
			return -1, fmt.Errorf("no end of partition %d", p)
		}
		left += end.Offset
		if c, ok := committed.Lookup(topic, p); ok {
			left -= max(0, c.At)
		}
	}
	return left, nil
}
