package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fault is something that happens to a contender in mid-stream.
type fault struct {
	name string
	// strike does it, when a third of the events have arrived.
	strike func(ctx context.Context, x *trial) error
	// lasts is how long events can't arrive whatever the contender does.
	lasts time.Duration
	// late leaves two thirds of the records for strike to publish.
	late bool
}

// refusedFor is how long the sink refuses, and retryAfter the Retry-After of its 429.
const (
	refusedFor = 20 * time.Second
	retryAfter = 2 * time.Second
)

var faults = []fault{
	{name: "SIGKILL, and a start", strike: func(_ context.Context, x *trial) error {
		x.note()
		_ = x.p.cmd.Process.Kill()
		x.p.done <- <-x.p.done
		return x.start()
	}},
	{name: "SIGTERM, and a start", strike: func(ctx context.Context, x *trial) error {
		x.note()
		x.p.stop(ctx)
		return x.start()
	}},
	{name: "20 s of 503", lasts: refusedFor, strike: func(ctx context.Context, x *trial) error {
		return x.w.refuse(ctx, http.StatusServiceUnavailable, 0, 1)
	}},
	{name: "20 s in which half of the requests get 429 and Retry-After: 2", strike: func(ctx context.Context, x *trial) error {
		return x.w.refuse(ctx, http.StatusTooManyRequests, int(retryAfter/time.Second), 2)
	}},
	{name: "the topic is deleted and created again", late: true, strike: func(ctx context.Context, x *trial) error {
		if _, err := x.w.admin.DeleteTopics(ctx, x.topic); err != nil {
			return err
		}
		if _, err := x.w.admin.CreateTopic(ctx, partitions, 1, nil, x.topic); err != nil {
			return err
		}
		// The client that published before knows the topic by its former ID.
		fresh := *x.w
		var err error
		if fresh.client, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(x.w.brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
			return err
		}
		defer fresh.client.Close()
		return fresh.loadFrom(ctx, x.topic, x.n/3, x.n, x.at)
	}},
	{name: "a batch of 15 KB that unpacks to 120 MB", late: true, strike: func(ctx context.Context, x *trial) error {
		if err := x.bomb(ctx); err != nil {
			return err
		}
		return x.w.loadFrom(ctx, x.topic, x.n/3, x.n, x.at)
	}},
}

// refuse makes the sink refuse one of share requests.
func (w *world) refuse(ctx context.Context, status, after, share int) error {
	return w.ask(ctx, http.MethodPost, "/refuse?"+url.Values{
		"status": {strconv.Itoa(status)}, "after": {strconv.Itoa(after)}, "share": {strconv.Itoa(share)}, "for": {refusedFor.String()},
	}.Encode(), nil)
}

// trial is one contender under one fault.
type trial struct {
	w     *world
	of    contender
	fault fault
	setup setup
	topic string
	n     int
	at    time.Time // in the records
	p     *process
	peak  int64
	// letters are the records that have to become dead letters.
	letters letters
	// restarts count how often it ended by itself.
	restarts int
	got      outcome
}

// outcome is what a trial showed.
type outcome struct {
	seen           seen
	lost, repeated int
	// Of dead letters.
	lettersLost, lettersRepeated int
	still                        time.Duration
	peak                         int64
	restarts                     int
	failed                       string
}

// Trials have n records, and slow contenders few. A killed member's session may last 60 s
// for a contender, which is no loss.
const (
	trialRecords, fewTrialRecords = 21_000, 3_000
	trialDelay                    = 5 * time.Millisecond
	trialPatience                 = 75 * time.Second
	mostRestarts                  = 3
)

// measureFaults runs each contender into each fault; a few trials run beside each
// other, since none of their figures depends on the rate.
func measureFaults(ctx context.Context, w *world) (string, error) {
	others, missing := w.alternatives(ctx)
	var all []*trial
	for _, f := range faults {
		for _, c := range append([]contender{w.product}, others...) {
			n := trialRecords
			if c.slow {
				n = fewTrialRecords
			}
			all = append(all, &trial{of: c, fault: f, n: n})
		}
	}
	queue := make(chan int)
	var lanes sync.WaitGroup
	for range max(1, w.options.beside) {
		lanes.Go(func() {
			for i := range queue {
				x := all[i]
				if err := x.run(ctx, w, fmt.Sprintf("trial-%d-", i)); err != nil {
					x.got.failed = oneLine(err.Error())
				}
				fmt.Fprintf(os.Stderr, "%-30s %-60s lost %d repeated %d dead letters lost %d repeated %d still %.1f s peak %d MB early %d/%d alien %d restarts %d %s\n", x.of.name, x.fault.name, x.got.lost, x.got.repeated, x.got.lettersLost, x.got.lettersRepeated,
					x.got.still.Seconds(), x.got.peak>>20, x.got.seen.Early, x.got.seen.Retries, x.got.seen.Alien, x.got.restarts, x.got.failed)
			}
		})
	}
	for i := range all {
		queue <- i
	}
	close(queue)
	lanes.Wait()
	for _, x := range all {
		if x.got.failed == "" {
			continue
		}
		if x.of.name == w.product.name {
			return "", errors.New(x.got.failed)
		}
		missing = append(missing, fmt.Sprintf("%s, %s (%s)", x.of.name, x.fault.name, x.got.failed))
	}
	return faultTable(all) + notMeasured(missing), ctx.Err()
}

// run runs a trial with a sink of its own.
func (x *trial) run(ctx context.Context, shared *world, name string) (err error) {
	w := *shared
	w.prefix, w.ends, w.services = name, nil, nil
	defer w.close()
	if err := w.startSink(w.certificate + "." + name); err != nil {
		return err
	}
	x.w, x.letters, x.at = &w, faulty(x.n), time.Now()
	if x.topic, err = w.newTopic(ctx, "events", partitions); err != nil {
		return err
	}
	first := x.n
	if x.fault.late {
		first = x.n / 3
	}
	if err := w.loadFrom(ctx, x.topic, 0, first, x.at); err != nil {
		return err
	}
	x.setup = setup{topic: x.topic, n: x.n, url: w.plain, batch: 1, linger: -1, run: name + "run"}
	if err := w.prepare(ctx, x.of, x.setup); err != nil {
		return err
	}
	if err := w.reset(ctx, x.n, trialDelay); err != nil {
		return err
	}
	if err := x.start(); err != nil {
		return err
	}
	defer func() { x.p.stop(ctx) }()
	return x.watch(ctx, first)
}

// watch strikes in mid-stream and waits for what comes after it.
func (x *trial) watch(ctx context.Context, first int) error {
	events, before := expected(x.n), expected(x.n)/3
	if x.fault.late {
		before = expected(first) // all that is there yet
	}
	if got, err := x.await(ctx, before, startPatience); err != nil || got < before {
		return errors.Join(err, fmt.Errorf("only %d of the events before the fault arrived: %s", got, x.p.tail()))
	}
	if err := x.fault.strike(ctx, x); err != nil {
		return err
	}
	if _, err := x.await(ctx, events, trialPatience+x.fault.lasts); err != nil {
		return err
	}
	x.note()
	got, err := x.w.seen(ctx, "")
	if err != nil {
		return err
	}
	x.got = outcome{
		seen: got, lost: events - got.Unique, repeated: got.Events - got.Unique,
		still: max(0, got.Still-x.fault.lasts), peak: x.peak, restarts: x.restarts,
	}
	x.got.lettersLost, x.got.lettersRepeated, err = x.w.deadLetters(ctx, x.setup.run+".dead-letter", x.letters)
	return err
}

func (x *trial) start() (err error) {
	x.p, err = x.w.start(x.of, x.setup)
	return err
}

// note keeps the peak of a process that may end.
func (x *trial) note() { x.peak = max(x.peak, x.p.peak()) }

// await waits until the sink has so many events, or no more come for a time. A process
// that ended by itself is started again, as a supervisor would.
func (x *trial) await(ctx context.Context, events int, patience time.Duration) (int, error) {
	last, moved := -1, time.Now()
	for ctx.Err() == nil {
		got, err := x.w.seen(ctx, "")
		if err != nil {
			return 0, err
		}
		if got.Unique != last {
			last, moved = got.Unique, time.Now()
		}
		if last >= events || time.Since(moved) > patience {
			return last, nil
		}
		x.note()
		if err := (replicas{x.p}).ended(); err != nil {
			if x.restarts++; x.restarts > mostRestarts {
				return last, fmt.Errorf("%w: %s", err, x.p.tail())
			}
			time.Sleep(time.Second)
			if err := x.start(); err != nil {
				return last, err
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return last, ctx.Err()
}

// loadFrom publishes the records with numbers from one to another; at is in all of them, so
// that a repeat is the same event.
func (w *world) loadFrom(ctx context.Context, topic string, from, to int, at time.Time) error {
	return w.publish(ctx, topic, to-from, func(i int) *kgo.Record {
		i += from
		return &kgo.Record{Partition: partitionOf(i, partitions), Value: appendRecord(make([]byte, 0, 400), i, at)}
	})
}

// The bomb is one batch of records that are not JSON, and so small when compressed that
// a broker takes it.
const bombRecords, bombRecordSize = 1200, 100 << 10

func (x *trial) bomb(ctx context.Context) error {
	const room = 2 * bombRecords * bombRecordSize
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(x.w.brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerLinger(2*time.Second), kgo.MaxBufferedRecords(bombRecords+1),
		kgo.ProducerBatchMaxBytes(room), kgo.BrokerMaxWriteBytes(room*2))
	if err != nil {
		return err
	}
	defer cl.Close()
	value := bytes.Repeat([]byte("a"), bombRecordSize)
	x.letters.add(value, bombRecords)
	records := make([]*kgo.Record, bombRecords)
	for i := range records {
		records[i] = &kgo.Record{Topic: x.topic, Value: value}
	}
	return cl.ProduceSync(ctx, records...).FirstErr()
}

// faultTable writes a group of rows for each fault.
func faultTable(all []*trial) string {
	var b strings.Builder
	b.WriteString("| | lost | repeated | dead letters lost | repeated | s without an event | peak MB | retries before Retry-After |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	last := ""
	for _, x := range all {
		if x.fault.name != last {
			last = x.fault.name
			fmt.Fprintf(&b, "| **%s** | | | | | | | |\n", last)
		}
		if x.got.failed != "" {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %.1f | %d | %s |\n", x.of.name, x.got.lost, x.got.repeated, x.got.lettersLost, x.got.lettersRepeated,
			x.got.still.Seconds(), x.got.peak>>20, earlyShare(x.got.seen))
	}
	return b.String()
}

// earlyShare is how many of the retries came before their time; empty where none had one.
func earlyShare(s seen) string {
	if s.Retries == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*float64(s.Early)/float64(s.Retries))
}
