package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// measureLinks drains whole journeys, in which a child goes only after its
// parent was accepted, which no alternative sees to, and the same events without
// their links. With -baseline it does so with other builds too.
func measureLinks(ctx context.Context, w *world) (string, error) {
	const n = 100_000
	topics := map[bool]string{}
	for _, links := range []bool{true, false} {
		topic, err := w.newTopic(ctx, "journeys", partitions)
		if err != nil {
			return "", err
		}
		if err := w.loadJourneys(ctx, topic, n, partitions, links); err != nil {
			return "", err
		}
		topics[links] = topic
	}
	var rows []*row
	add := func(batch int, delay time.Duration, links bool) {
		for _, c := range w.builds() {
			s := setup{topic: topics[links], n: n, url: w.plain, batch: batch, linger: -1, v3: true}
			rows = append(rows, &row{of: c, events: n, delay: delay, setup: s})
		}
	}
	for _, at := range []struct {
		batch int
		delay time.Duration
	}{{1, 0}, {100, 0}, {100, 20 * time.Millisecond}} { // single POSTs with a latency are bounded by the requests in flight
		add(at.batch, at.delay, false)
		add(at.batch, at.delay, true)
	}
	if err := w.turns(ctx, rows); err != nil {
		return "", err
	}
	return w.linksTable(rows, topics[true]), nil
}

// linksTable writes the rows' medians as a table. The row with links follows that
// without, as many rows behind it as there are builds.
func (w *world) linksTable(rows []*row, linked string) string {
	var b strings.Builder
	b.WriteString("| journeys | the API's latency | parent links | events/s | CPU µs an event | × without links | peak MB | lost | repeated |\n|---|--:|---|--:|--:|--:|--:|--:|--:|\n")
	for i, r := range rows {
		got, links, ratio := r.median(), "no", ""
		if r.setup.topic == linked {
			without := rows[i-len(w.builds())].median()
			links, ratio = "yes", fmt.Sprintf("%.2f", float64(got.cpu)/float64(without.cpu))
		}
		name := fmt.Sprintf("batches of %d", r.setup.batch)
		if r.of.name != w.product.name {
			name += ", " + r.of.name
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f | %s | %d | %d | %d |\n", name, r.delay, links, thousands(got.perSecond), micros(got.cpu), ratio, got.peak>>20, got.lost, got.repeated)
	}
	return b.String()
}

// dimension is something that grows, while an event should cost the same.
type dimension struct {
	name   string
	values []int
	// run measures one value, with batches.
	run func(ctx context.Context, value int) (result, error)
}

// measureScale shows what an event costs as the deployment grows.
func measureScale(ctx context.Context, w *world) (string, error) {
	text, plots, err := runScale(ctx, w.chosen())
	if err != nil || w.options.plots == "" {
		return text, err
	}
	file := filepath.Join(w.options.plots, "scale.svg")
	if err := os.WriteFile(file, []byte(draw(plots)), 0o644); err != nil { //nolint:gosec // a file of the repository
		return "", err
	}
	return text + fmt.Sprintf("\n![CPU of an event and peak memory against what grows](%s)\n", filepath.Base(file)), nil
}

// chosen returns the dimensions that the options name, or all.
func (w *world) chosen() []dimension {
	all := w.dimensions()
	if w.options.grows == "" {
		return all
	}
	names := strings.Split(w.options.grows, ",")
	return slices.DeleteFunc(all, func(d dimension) bool { return !slices.Contains(names, d.name) })
}

// dimensions returns what can grow, with the values to measure.
func (w *world) dimensions() []dimension {
	const n, many = 100_000, 500_000 // many: enough that the start does not count
	batched := func(topic string, n int) setup {
		return setup{topic: topic, n: n, url: w.plain, batch: 100, linger: -1}
	}
	return []dimension{
		{"partitions", []int{1, 10, 100, 1000}, func(ctx context.Context, value int) (r result, err error) {
			topic, err := w.topicOf(ctx, many, value)
			if err != nil {
				return r, err
			}
			return w.repeat(ctx, batched(topic, many))
		}},
		{"replicas", []int{1, 2, 4}, func(ctx context.Context, value int) (r result, err error) {
			topic, err := w.topicOf(ctx, many, 12)
			if err != nil {
				return r, err
			}
			s := batched(topic, many)
			s.replicas = value
			return w.repeat(ctx, s)
		}},
		{"ids in the window", upTo(w.options.most, 0, 1_000_000, 5_000_000, 20_000_000), func(ctx context.Context, value int) (result, error) {
			return w.rounds(func() (result, error) { return w.drainBesideIDs(ctx, batched("", n), value) })
		}},
		{"backlog", upTo(w.options.most, 10_000, 100_000, 1_000_000, 5_000_000), func(ctx context.Context, value int) (r result, err error) {
			topic, err := w.topicOf(ctx, value, partitions)
			if err != nil {
				return r, err
			}
			defer func() { _, _ = w.admin.DeleteTopics(ctx, topic) }()
			return w.repeat(ctx, batched(topic, value))
		}},
	}
}

// runScale measures each value of each dimension, and returns a table and what to plot.
func runScale(ctx context.Context, all []dimension) (string, []plot, error) {
	var b strings.Builder
	b.WriteString("| | | CPU µs an event | peak MB | events/s | until the first event | lost | repeated |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	var plots []plot
	for _, d := range all {
		p := plot{name: d.name}
		for _, value := range d.values {
			got, err := d.run(ctx, value)
			if err != nil {
				return "", nil, fmt.Errorf("%s %d: %w", d.name, value, err)
			}
			line := fmt.Sprintf("| %s | %s | %.1f | %d | %s | %.1f s | %d | %d |\n", d.name, thousands(float64(value)), micros(got.steady), got.peak>>20,
				thousands(got.perSecond), got.until.Seconds(), got.lost, got.repeated)
			fmt.Fprint(os.Stderr, line)
			b.WriteString(line)
			p.x = append(p.x, value)
			p.cost = append(p.cost, micros(got.steady))
			p.memory = append(p.memory, float64(got.peak)/(1<<20))
		}
		plots = append(plots, p)
	}
	return b.String(), plots, nil
}

func upTo(most int, values ...int) (kept []int) {
	for _, v := range values {
		if v <= most {
			kept = append(kept, v)
		}
	}
	return kept
}

// rounds measures a few times and takes the medians.
func (w *world) rounds(measure func() (result, error)) (result, error) {
	r := row{of: w.product}
	for range min(3, w.options.rounds) {
		got, err := measure()
		if err != nil {
			return result{}, err
		}
		r.results = append(r.results, got)
	}
	return r.median(), nil
}

// repeat drains a topic a few times and takes the medians.
func (w *world) repeat(ctx context.Context, s setup) (result, error) {
	return w.rounds(func() (result, error) { return w.drain(ctx, w.product, s, expected(s.n), 0) })
}

// drainBesideIDs drains a topic, which it makes, while the state topic has so many ids of
// other events. The events' own ids are in it afterwards, so that it serves once.
func (w *world) drainBesideIDs(ctx context.Context, s setup, ids int) (r result, err error) {
	if s.topic, err = w.newTopic(ctx, "events", partitions); err != nil {
		return r, err
	}
	compact := "compact"
	if s.state, err = w.configuredTopic(ctx, "state", partitions, map[string]*string{"cleanup.policy": &compact}); err != nil {
		return r, err
	}
	defer func() { _, _ = w.admin.DeleteTopics(ctx, s.topic, s.state) }()
	if err := w.loadState(ctx, s.state, ids); err != nil {
		return r, err
	}
	s.late = func(ctx context.Context) error { return w.load(ctx, s.topic, s.n, partitions) }
	return w.drain(ctx, w.product, s, expected(s.n), 0)
}

// loadState fills a state topic with so many ids that were reported just now, in
// the form that docs/design.md describes.
func (w *world) loadState(ctx context.Context, topic string, n int) error {
	const format, view = 1, 2
	now := time.Now()
	created := binary.AppendVarint(nil, now.UnixMilli())
	return w.publish(ctx, topic, n, func(i int) *kgo.Record {
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], uint64(i))
		sum := sha256.Sum256(number[:])
		return &kgo.Record{
			Partition: int32(i / 100 % partitions), Timestamp: now,
			Key:   append([]byte{'r'}, sum[:16]...),
			Value: append([]byte{format, view, 1, 2, 3, 4, 5, 6}, created...),
		}
	})
}
