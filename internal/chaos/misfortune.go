package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/kafkatest/broker"
)

// seen is what the API accepted: when each event came first, and how many came
// again.
type seen struct {
	mu       sync.Mutex
	first    map[string]int
	repeated int
	n        int
}

func newSeen() *seen { return &seen{first: map[string]int{}} }

func (s *seen) accept(a emulator.Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if _, before := s.first[a.Event.EventID]; before {
		s.repeated++
		return
	}
	s.first[a.Event.EventID] = s.n
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *seen) repeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repeated
}

// results are what was seen of the promises.
type results struct {
	planned, kills, freezes, restarts, outages int
	repeatedPlanned, repeated                  int
	stops, takeovers                           []time.Duration
	lost, early, wrong                         int
}

func (w *world) config() (*config.Config, error) {
	return config.Load("", []string{
		"CLIENTEVENTS_KAFKA_BROKERS=" + w.address, "CLIENTEVENTS_KAFKA_TOPIC=" + topic, "CLIENTEVENTS_KAFKA_GROUP=chaos",
		"CLIENTEVENTS_API_VERSION=v3", "CLIENTEVENTS_API_PARENT=projects/demo", "CLIENTEVENTS_API_CREDENTIALS=none",
	})
}

func (w *world) misfortune(ctx context.Context) error {
	c, err := w.config()
	if err != nil {
		return err
	}
	k, err := app.NewKafka(c, nil)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := createTopic(ctx, k); err != nil {
		return err
	}
	records := w.traffic(w.records)
	quarter := len(records) / 4
	if err := w.phase(ctx, k, records[:quarter], w.plannedChanges); err != nil {
		return err
	}
	w.result.repeatedPlanned = w.seen.repeats()
	fmt.Printf("chaos: %d planned changes: %d repeated\n", w.result.planned, w.result.repeatedPlanned)
	if err := w.phase(ctx, k, records[quarter:], w.accidents); err != nil {
		return err
	}
	for _, r := range w.living() {
		w.stopped(r.stop())
	}
	w.result.repeated = w.seen.repeats() - w.result.repeatedPlanned
	if err := w.judge(ctx, k, c, records); err != nil {
		return err
	}
	return w.verdict()
}

func createTopic(ctx context.Context, k *app.Kafka) error {
	answer, err := k.Client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1},
	}})
	if err == nil {
		err = answer.Errors[topic]
	}
	return err
}

// phase publishes records while something is done, and waits until all have
// their outcome.
func (w *world) phase(ctx context.Context, k *app.Kafka, records []journey.Record, do func(context.Context) error) error {
	published := make(chan error, 1)
	pace := make(chan struct{})
	go func() { published <- publish(ctx, k, records, pace) }()
	err := do(ctx)
	close(pace)
	if err := errors.Join(err, <-published); err != nil {
		return err
	}
	w.api.SetFaults(healthy)
	if len(w.living()) == 0 {
		if _, err := w.start(ctx); err != nil {
			return err
		}
	}
	return w.settle(ctx, k)
}

// publish publishes slowly while there is misfortune, and the rest at once when
// pace is closed.
func publish(ctx context.Context, k *app.Kafka, records []journey.Record, pace <-chan struct{}) error {
	to := app.NewPublisher(k, topic)
	defer func() { _ = to.Close() }() // what was added is flushed
	for portion := range slices.Chunk(records, max(1, len(records)/400)) {
		for _, r := range portion {
			if err := to.Add(ctx, kafka.Message{Key: r.Key, Value: r.Value}); err != nil {
				return err
			}
		}
		for to.Flush(ctx) != nil { // the broker is away for a moment
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		select {
		case <-pace:
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// plannedChanges starts and stops replicas in order.
func (w *world) plannedChanges(ctx context.Context) error {
	if _, err := w.start(ctx); err != nil {
		return err
	}
	for ; w.result.planned < w.planned && ctx.Err() == nil; w.result.planned++ {
		w.covered(ctx, 30*time.Second)
		time.Sleep(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
		if living := w.living(); len(living) > 2 || (len(living) > 1 && w.rng.IntN(2) == 0) {
			w.stopped(w.any().stop())
			continue
		}
		if _, err := w.start(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (w *world) stopped(took time.Duration, err error) {
	w.result.stops = append(w.result.stops, took)
	if err != nil || took > 10*time.Second {
		w.result.wrong++
		fmt.Printf("chaos: BROKEN: a stop took %s: %v\n", took, err)
	}
}

// accidents kills, freezes and restarts.
func (w *world) accidents(ctx context.Context) error {
	var todo []func(context.Context) error
	for range w.kills {
		todo = append(todo, w.kill)
	}
	for range w.freezes {
		todo = append(todo, w.freeze)
	}
	for range w.restarts {
		todo = append(todo, w.restartBroker)
	}
	for range 1 + w.kills/8 {
		todo = append(todo, w.breakAPI)
	}
	w.rng.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for _, accident := range todo {
		for len(w.living()) < 2 {
			if _, err := w.start(ctx); err != nil {
				return err
			}
		}
		w.covered(ctx, 30*time.Second)
		time.Sleep(time.Duration(w.rng.IntN(2500)) * time.Millisecond)
		if err := accident(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// kill ends a replica while events are on their way, if any are.
func (w *world) kill(ctx context.Context) error {
	w.result.kills++
	victim, accepted := w.any(), w.seen.count()
	for limit := time.Now().Add(2 * time.Second); w.seen.count() < accepted+1+w.rng.IntN(100) && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	victim.kill()
	if took, ok := w.covered(ctx, time.Minute); ok {
		w.result.takeovers = append(w.result.takeovers, took)
	}
	return nil
}

// freeze stops a replica for longer than its session lasts. Others take over;
// when it thaws, it must not send what is no longer its own.
func (w *world) freeze(ctx context.Context) error {
	w.result.freezes++
	r := w.any()
	_ = r.cmd.Process.Signal(syscall.SIGSTOP)
	select {
	case <-time.After(15 * time.Second):
	case <-ctx.Done():
	}
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
	return nil
}

func (w *world) restartBroker(ctx context.Context) (err error) {
	w.result.restarts++
	if err := w.broker.Stop(); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	w.broker, err = broker.Start(ctx, w.options)
	return err
}

func (w *world) breakAPI(ctx context.Context) error {
	w.result.outages++
	f := healthy
	switch w.rng.IntN(3) {
	case 0:
		f.All = emulator.Outage()
	case 1:
		f.All = &emulator.Fault{Cut: emulator.CutConnection}
	case 2:
		f.Quota = emulator.Quota{Limit: 200, Window: time.Second}
	}
	w.api.SetFaults(f)
	select {
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
	}
	w.api.SetFaults(healthy)
	return nil
}

// settle waits until the group has committed everything.
func (w *world) settle(ctx context.Context, k *app.Kafka) error {
	last, moved := int64(-1), time.Now()
	for {
		left, err := lag(ctx, k)
		if err == nil && left == 0 {
			return nil
		}
		if left != last {
			last, moved = left, time.Now()
		}
		if time.Since(moved) > 3*time.Minute {
			return fmt.Errorf("nothing moved for three minutes: %d records are left (%w)", left, err)
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func lag(ctx context.Context, k *app.Kafka) (left int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var numbers []int
	var ends []kafka.OffsetRequest
	for p := range partitions {
		numbers, ends = append(numbers, p), append(ends, kafka.LastOffsetOf(p))
	}
	committed, err := k.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "chaos", Topics: map[string][]int{topic: numbers}})
	if err != nil {
		return -1, err
	}
	end, err := k.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ends}})
	if err != nil {
		return -1, err
	}
	for _, p := range end.Topics[topic] {
		left += p.LastOffset
	}
	for _, p := range committed.Topics[topic] {
		left -= max(0, p.CommittedOffset)
	}
	return left, nil
}

// judge compares what became of each record with what should have.
func (w *world) judge(ctx context.Context, k *app.Kafka, c *config.Config, records []journey.Record) error {
	letters := map[string]string{}
	err := app.Letters(ctx, k, c, app.LetterFilter{}, func(l app.Letter) error {
		letters[string(l.Record.Key)+"\x00"+string(l.Record.Value)] = l.Header(consumer.HeaderReason)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	for _, r := range records {
		switch r.Expect {
		case "reported":
			at, ok := w.seen.first[r.Event.ID]
			if !ok {
				w.result.lost++
			}
			if p := r.Event.ParentID; ok && p != "" && (w.seen.first[p] == 0 || w.seen.first[p] > at) {
				w.result.early++
			}
		case "dead_letter":
			id := string(r.Key) + "\x00" + string(r.Value)
			if reason, ok := letters[id]; !ok {
				w.result.lost++
			} else if reason != string(r.Reason) {
				w.result.wrong++
				fmt.Printf("chaos: BROKEN: a dead letter for %s: want %s\n", reason, r.Reason)
			}
			delete(letters, id)
		}
	}
	for id, reason := range letters {
		w.result.wrong++
		fmt.Printf("chaos: BROKEN: a dead letter (%s) that should not be: %.200q\n", reason, id)
	}
	return nil
}

func (w *world) verdict() error {
	r := &w.result
	row := func(promise, seen string, ok bool) string {
		mark := "kept"
		if !ok {
			mark = "BROKEN"
		}
		return fmt.Sprintf("| %s | %s | %s |\n", promise, seen, mark)
	}
	bound := (r.kills + r.freezes + r.restarts) * inFlight
	var b strings.Builder
	b.WriteString("| promise | seen | |\n|---|---|---|\n")
	b.WriteString(row("nothing is lost", fmt.Sprintf("%d of %d records lost", r.lost, w.records), r.lost == 0))
	b.WriteString(row("planned changes repeat nothing", fmt.Sprintf("%d planned changes, %d repeated", r.planned, r.repeatedPlanned), r.repeatedPlanned == 0))
	b.WriteString(row(fmt.Sprintf("a crash repeats at most %d", inFlight), fmt.Sprintf("%d kills, %d freezes, %d restarts of the broker, %d outages of the API: %d repeated (at most %d)",
		r.kills, r.freezes, r.restarts, r.outages, r.repeated, bound), r.repeated <= bound))
	b.WriteString(row("no child before its parent", fmt.Sprintf("%d", r.early), r.early == 0))
	b.WriteString(row("every fault under its reason, nothing else", fmt.Sprintf("%d wrong", r.wrong), r.wrong == 0))
	b.WriteString(row("SIGTERM: exit 0 within 10 s", fmt.Sprintf("%d stops, the slowest %s", len(r.stops), longest(r.stops)), longest(r.stops) <= 10*time.Second))
	b.WriteString(row("a killed replica is replaced within about 10 s", fmt.Sprintf("median %s, slowest %s", median(r.takeovers), longest(r.takeovers)), median(r.takeovers) <= 15*time.Second))
	fmt.Print(b.String())
	if strings.Contains(b.String(), "BROKEN") {
		return errors.New("a promise is broken")
	}
	return nil
}

func longest(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Max(all).Round(10 * time.Millisecond)
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2].Round(10 * time.Millisecond)
}

// backlog lets records pile up behind an API that hangs, and watches memory.
func (w *world) backlog(ctx context.Context, n int) error {
	c, err := w.config()
	if err != nil {
		return err
	}
	k, err := app.NewKafka(c, nil)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := createTopic(ctx, k); err != nil {
		return err
	}
	to := app.NewPublisher(k, topic)
	g := w.traffic(n)
	for _, r := range g {
		if err := to.Add(ctx, kafka.Message{Key: r.Key, Value: r.Value}); err != nil {
			return err
		}
	}
	if err := errors.Join(to.Flush(ctx), to.Close()); err != nil {
		return err
	}
	release := make(chan struct{})
	f := healthy
	f.All = &emulator.Fault{Hang: release}
	w.api.SetFaults(f)
	r, err := w.start(ctx)
	if err != nil {
		return err
	}
	time.Sleep(time.Minute)
	hanging := r.peakMemory()
	owned := r.partitions(ctx)
	w.api.SetFaults(healthy)
	close(release)
	began := time.Now()
	if err := w.settle(ctx, k); err != nil {
		return err
	}
	peak := r.peakMemory()
	fmt.Printf("| backlog of %d records | |\n|---|---|\n| resident memory while the API hangs for a minute, at the most | %d MiB |\n"+
		"| partitions owned after that minute | %d of %d |\n| drained in | %s |\n| resident memory at the most | %d MiB |\n",
		n, hanging, owned, partitions, time.Since(began).Round(time.Second), peak)
	w.stopped(r.stop())
	const most = 200
	if peak >= most || owned != partitions || w.result.wrong > 0 {
		return fmt.Errorf("want less than %d MiB and all %d partitions", most, partitions)
	}
	return nil
}
