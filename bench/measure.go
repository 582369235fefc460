package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// row is a line of a table: a contender under one condition.
type row struct {
	of      contender
	setup   setup
	events  int
	delay   time.Duration
	results []result
	// failed is why an alternative could not be measured; the others still are.
	failed string
}

// median takes the median of each figure by itself, and the worst of what must
// not happen at all.
func (r *row) median() result {
	return result{
		perSecond: medianOf(r.results, func(r result) float64 { return r.perSecond }),
		cpu:       medianOf(r.results, func(r result) time.Duration { return r.cpu }),
		steady:    medianOf(r.results, func(r result) time.Duration { return r.steady }),
		until:     medianOf(r.results, func(r result) time.Duration { return r.until }),
		peak:      medianOf(r.results, func(r result) int64 { return r.peak }),
		around:    medianOf(r.results, func(r result) time.Duration { return r.around }),
		p50:       medianOf(r.results, func(r result) time.Duration { return r.p50 }),
		p99:       medianOf(r.results, func(r result) time.Duration { return r.p99 }),
		lost:      mostOf(r.results, func(r result) int { return r.lost }),
		repeated:  mostOf(r.results, func(r result) int { return r.repeated }),
	}
}

func medianOf[T cmp.Ordered](all []result, figure func(result) T) T {
	var zero T
	if len(all) == 0 {
		return zero
	}
	var values []T
	for _, r := range all {
		values = append(values, figure(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func mostOf(all []result, figure func(result) int) (most int) {
	for _, r := range all {
		most = max(most, figure(r))
	}
	return most
}

// turns measures all rows once, then all again, so that a noisy minute is
// everybody's.
func (w *world) turns(ctx context.Context, rows []*row) error {
	for round := range w.options.rounds {
		for _, r := range rows {
			if r.failed != "" {
				continue
			}
			got, err := w.drain(ctx, r.of, r.setup, r.events, r.delay)
			if err != nil && ctx.Err() == nil && w.isAlternative(r.of) {
				r.failed = oneLine(err.Error())
				fmt.Fprintln(os.Stderr, "bench: not measured:", r.failed)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.of.name, err)
			}
			r.results = append(r.results, got)
			fmt.Fprintf(os.Stderr, "%d/%d %-18s batch %3d delay %-5s %8.0f events/s %6.2f µs (%.2f without the start) and %.2f around %4d MB lost %d repeated %d\n", round+1, w.options.rounds,
				r.of.name, r.setup.batch, r.delay, got.perSecond, micros(got.cpu), micros(got.steady), micros(got.around), got.peak>>20, got.lost, got.repeated)
		}
	}
	return nil
}

func (w *world) isAlternative(c contender) bool {
	return c.name != floor.name && c.name != pipe.name && c.name != w.product.name
}

// failures are the rows without a result, and why.
func failures(rows []*row) (why []string) {
	for _, r := range rows {
		if r.failed != "" {
			why = append(why, fmt.Sprintf("%s with batches of %d over %s (%s)", r.of.name, r.setup.batch, r.setup.url[:strings.Index(r.setup.url, ":")], r.failed))
		}
	}
	return why
}

// notMeasured is the line below a table that names what it lacks.
func notMeasured(missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("\nNot measured: %s.\n", strings.Join(missing, "; "))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// topicOf makes a topic with n of the records.
func (w *world) topicOf(ctx context.Context, n, partitions int) (string, error) {
	topic, err := w.newTopic(ctx, "events", partitions)
	if err != nil {
		return "", err
	}
	return topic, w.load(ctx, topic, n, partitions)
}

// partitions are as many as the alternatives were measured with before.
const partitions = 6

// measureDrain drains a backlog while the API answers at once.
func measureDrain(ctx context.Context, w *world) (string, error) {
	const n, few = 100_000, 10_000
	large, err := w.topicOf(ctx, n, partitions)
	if err != nil {
		return "", err
	}
	small, err := w.topicOf(ctx, few, partitions)
	if err != nil {
		return "", err
	}
	others, missing := w.alternatives(ctx)
	rows, groups := w.drainRows(others, large, small, n, few)
	if err := w.turns(ctx, rows); err != nil {
		return "", err
	}
	chart, err := w.plotDrain(rows)
	return w.drainTable(rows, groups) + chart + "\n" + w.bars(rows) + notMeasured(append(missing, failures(rows)...)), err
}

// drainRows returns the rows of the table, and the group of each. Slow contenders
// drain the small topic, with few records; the others the large one, with n.
func (w *world) drainRows(others []contender, large, small string, n, few int) (rows []*row, groups map[*row]string) {
	groups = map[*row]string{}
	add := func(group string, c contender, url string, batch int) {
		s := setup{topic: large, n: n, url: url, batch: batch, linger: -1}
		if c.slow {
			s.topic, s.n = small, few
		}
		r := &row{of: c, setup: s, events: expected(s.n)}
		rows, groups[r] = append(rows, r), group
	}
	for _, to := range []struct{ name, url string }{{"HTTP/1.1", w.plain}, {"TLS, HTTP/2", w.secure}} {
		for _, c := range append([]contender{floor, pipe, w.product}, others...) {
			add("one POST an event, "+to.name, c, to.url, 1)
		}
		for _, c := range []contender{floor, pipe, w.product} {
			add("batches of 100, "+to.name, c, to.url, 100)
		}
	}
	return rows, groups
}

// drainTable writes the rows' medians as a table, each beside its group's bare loop.
func (w *world) drainTable(rows []*row, groups map[*row]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | events/s | × bare loop | CPU s for 100,000 | × bare loop | × clientevents | × its batches | peak MB | lost | repeated |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	last := ""
	var base, ours result
	for _, r := range rows {
		if r.failed != "" {
			continue
		}
		got := r.median()
		if groups[r] != last {
			last = groups[r]
			fmt.Fprintf(&b, "| **%s** | | | | | | | | | |\n", last)
		}
		switch r.of.name {
		case floor.name:
			base = got
		case w.product.name:
			ours = got
		}
		against := " | "
		if w.isAlternative(r.of) {
			batches := medianIn(rows, w.product.name, r.setup.url, 100)
			against = fmt.Sprintf("%.1f | %.1f", float64(got.cpu)/float64(ours.cpu), float64(got.cpu)/float64(batches.cpu))
		}
		peak := ""
		if got.peak > 0 {
			peak = fmt.Sprintf("%d", got.peak>>20)
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.2f | %s | %s | %d | %d |\n", r.of.name, thousands(got.perSecond), got.perSecond/base.perSecond,
			got.cpu.Seconds()*100_000, float64(got.cpu)/float64(base.cpu), against, peak, got.lost, got.repeated)
	}
	return b.String()
}

// medianIn returns the median of a contender, to a URL and in batches of a size.
func medianIn(rows []*row, name, url string, batch int) result {
	for _, r := range rows {
		if r.of.name == name && r.setup.url == url && r.setup.batch == batch {
			return r.median()
		}
	}
	return result{}
}

// bars holds the medians against what the project wants of itself.
func (w *world) bars(rows []*row) string {
	find := func(name, url string, batch int) result { return medianIn(rows, name, url, batch) }
	floor1, floor2 := find(floor.name, w.plain, 1), find(floor.name, w.secure, 1)
	single1, single2 := find(w.product.name, w.plain, 1), find(w.product.name, w.secure, 1)
	batch1, batch2 := find(w.product.name, w.plain, 100), find(w.product.name, w.secure, 100)
	peak := max(single1.peak, single2.peak, batch1.peak, batch2.peak) >> 20
	ratio := func(a, b time.Duration) float64 { return float64(a) / float64(b) }
	var b strings.Builder
	b.WriteString("| wanted | HTTP/1.1 | TLS, HTTP/2 |\n|---|--:|--:|\n")
	fmt.Fprintf(&b, "| events/s of single POSTs ≥ 0.9 × bare loop | %.2f | %.2f |\n", single1.perSecond/floor1.perSecond, single2.perSecond/floor2.perSecond)
	fmt.Fprintf(&b, "| CPU of single POSTs ≤ 1.35 × bare loop | %.2f | %.2f |\n", ratio(single1.cpu, floor1.cpu), ratio(single2.cpu, floor2.cpu))
	fmt.Fprintf(&b, "| CPU of batches ≤ 0.4 × single POSTs | %.2f | %.2f |\n", ratio(batch1.cpu, single1.cpu), ratio(batch2.cpu, single2.cpu))
	fmt.Fprintf(&b, "| CPU of an event in batches ≤ 15 µs | %.1f | %.1f |\n", micros(batch1.cpu), micros(batch2.cpu))
	fmt.Fprintf(&b, "| peak memory ≤ 128 MB and the index | %d | |\n", peak)
	return b.String()
}

func thousands(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// measureSlow drains a backlog while the API takes its time: requests in flight
// bound the rate then.
func measureSlow(ctx context.Context, w *world) (string, error) {
	// Enough events that the slow start hardly counts, but fewer for slow contenders.
	const n, few, fewest = 20_000, 4_000, 200
	topics := map[int]string{}
	for _, size := range []int{n, few, fewest} {
		var err error
		if topics[size], err = w.topicOf(ctx, size, partitions); err != nil {
			return "", err
		}
	}
	others, missing := w.alternatives(ctx)
	var rows []*row
	for _, delay := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		add := func(c contender, size, batch int) {
			s := setup{topic: topics[size], n: size, url: w.plain, batch: batch, linger: -1}
			rows = append(rows, &row{of: c, delay: delay, events: expected(size), setup: s})
		}
		for _, c := range append([]contender{floor, w.product}, others...) {
			switch {
			case c.slow && delay < 100*time.Millisecond:
				add(c, fewest, 1)
			case c.slow:
			case w.isAlternative(c) && delay >= 100*time.Millisecond:
				add(c, few, 1) // they have no slow start, and it takes long
			default:
				add(c, n, 1)
			}
		}
		add(w.product, n, 100)
	}
	if err := w.turns(ctx, rows); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| the API's latency | | events/s | × bare loop | CPU µs an event | lost | repeated |\n|---|---|--:|--:|--:|--:|--:|\n")
	var base result
	for _, r := range rows {
		if r.failed != "" {
			continue
		}
		got := r.median()
		if r.of.name == floor.name {
			base = got
		}
		name := r.of.name + ", single POSTs"
		if r.setup.batch > 1 {
			name = r.of.name + ", batches of 100"
		}
		cpu := got.cpu
		if got.steady > 0 {
			cpu = got.steady // so few events do not outweigh the start
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %.1f | %d | %d |\n", r.delay, name, thousands(got.perSecond), got.perSecond/base.perSecond, micros(cpu), got.lost, got.repeated)
	}
	return b.String() + notMeasured(append(missing, failures(rows)...)), nil
}

// pacing is one condition below saturation.
type pacing struct {
	of        contender
	perSecond int
	batch     int
	linger    time.Duration
	results   []result
	failed    string
}

// measurePace measures the time from publishing to arrival below saturation.
func measurePace(ctx context.Context, w *world) (string, error) {
	others, missing := w.alternatives(ctx)
	var all []*pacing
	for _, perSecond := range []int{10, 1000, 10_000} {
		all = append(all,
			&pacing{of: pipe, perSecond: perSecond, batch: 1},
			&pacing{of: pipe, perSecond: perSecond, batch: 100},
			&pacing{of: w.product, perSecond: perSecond, batch: 1, linger: 0},
			&pacing{of: w.product, perSecond: perSecond, batch: 100, linger: 0},
			&pacing{of: w.product, perSecond: perSecond, batch: 100, linger: -1})
		for _, c := range others {
			if c.slow && perSecond > 1000 {
				continue // more than it can carry
			}
			all = append(all, &pacing{of: c, perSecond: perSecond, batch: 1, linger: -1})
		}
	}
	for round := range w.options.rounds {
		for _, p := range all {
			if p.perSecond < 100 && round%2 == 1 {
				continue // they take long, and vary little
			}
			if p.failed != "" {
				continue
			}
			got, err := w.paced(ctx, p)
			if err != nil && ctx.Err() == nil && w.isAlternative(p.of) {
				p.failed = oneLine(err.Error())
				missing = append(missing, fmt.Sprintf("%s at %d events/s (%s)", p.of.name, p.perSecond, p.failed))
				continue
			}
			if err != nil {
				return "", fmt.Errorf("%s at %d/s: %w", p.of.name, p.perSecond, err)
			}
			p.results = append(p.results, got)
			fmt.Fprintf(os.Stderr, "%d/%d %-18s batch %3d linger %-4s %5d/s p50 %.2f p99 %.2f ms %.1f µs\n",
				round+1, w.options.rounds, p.of.name, p.batch, p.linger, p.perSecond, millis(got.p50), millis(got.p99), micros(got.cpu))
		}
	}
	var b strings.Builder
	b.WriteString("| events/s | | p50 ms | p99 ms | CPU µs an event | lost | repeated |\n|--:|---|--:|--:|--:|--:|--:|\n")
	for _, p := range all {
		if p.failed != "" {
			continue
		}
		r := row{results: p.results}
		got := r.median()
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.0f | %d | %d |\n", thousands(float64(p.perSecond)), p.name(), millis(got.p50), millis(got.p99), micros(got.cpu), got.lost, got.repeated)
	}
	return b.String() + notMeasured(missing), nil
}

func (p *pacing) name() string {
	switch {
	case p.of.name == pipe.name && p.batch == 1:
		return pipe.name + ", single POSTs"
	case p.of.name == pipe.name:
		return pipe.name + ", batches of up to 100"
	case p.of.name != "clientevents":
		return p.of.name
	case p.batch == 1:
		return "clientevents, single POSTs, linger 0"
	case p.linger == 0:
		return "clientevents, batches of 100, linger 0"
	}
	return "clientevents, batches of 100, linger 5 ms (the defaults)"
}

// paced publishes to a contender that is up and has nothing to do.
func (w *world) paced(ctx context.Context, c *pacing) (r result, err error) {
	w.runs++
	topic, err := w.newTopic(ctx, "paced", partitions)
	if err != nil {
		return r, err
	}
	s := setup{topic: topic, url: w.plain, batch: c.batch, linger: c.linger, prompt: true, run: fmt.Sprintf("run-%d", w.runs)}
	const warm = 200
	took := 2 * time.Second
	if c.perSecond < 100 {
		took = 10 * time.Second // fewer events would say nothing
	}
	most := c.perSecond*int(took/time.Second) + warm
	if err := w.reset(ctx, most, 0); err != nil {
		return r, err
	}
	if err := w.prepare(ctx, c.of, s); err != nil {
		return r, err
	}
	p, err := w.start(c.of, s)
	if err != nil {
		return r, err
	}
	// A few at first, so that it is known to be there, with its connections.
	if _, err := w.pace(ctx, topic, warm, partitions, time.Second, 0); err != nil {
		return r, err
	}
	defer p.stop(ctx)
	if _, err := w.awaitAll(ctx, replicas{p}, warm); err != nil {
		return r, fmt.Errorf("%w: %s", err, p.tail())
	}
	if err := w.reset(ctx, most, 0); err != nil {
		return r, err
	}
	before := p.cpu()
	n, err := w.pace(ctx, topic, c.perSecond, partitions, took, warm)
	if err != nil {
		return r, err
	}
	if _, err := w.awaitAll(ctx, replicas{p}, n); err != nil {
		return r, fmt.Errorf("%w: %s", err, p.tail())
	}
	r.cpu = (p.cpu() - before) / time.Duration(n)
	got, err := w.seen(ctx, "yes")
	if err != nil {
		return r, err
	}
	r.p50, r.p99, r.lost, r.repeated = got.P50, got.P99, n-got.Unique, got.Events-got.Unique
	return r, nil
}
