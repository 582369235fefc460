// Command chaos puts real processes through misfortune and compares what was
// promised with what was seen: a real Apache Kafka, several `clientevents run`,
// and the emulator. Replicas are killed, frozen past their session, stopped and
// started in order; the broker is restarted; the API fails.
//
// It prints its seed; the same seed makes the same plan, though processes never
// do exactly the same twice. The exit code is 1 where a promise was broken, and
// 3 where this machine can't run Apache Kafka.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/kafkatest/broker"
)

type plan struct {
	seed                              uint64
	records                           int
	planned, kills, freezes, restarts int
}

func main() {
	var p plan
	flag.Uint64Var(&p.seed, "seed", uint64(time.Now().Unix()), "what the misfortune is drawn from")
	flag.IntVar(&p.records, "records", 50_000, "how many records are published")
	flag.IntVar(&p.planned, "planned", 8, "how many replicas are stopped and started in order")
	flag.IntVar(&p.kills, "kills", 8, "how many replicas are killed")
	flag.IntVar(&p.freezes, "freezes", 1, "how many replicas are frozen past their session")
	flag.IntVar(&p.restarts, "restarts", 1, "how often the broker is restarted")
	backlog := flag.Int("backlog", 0, "instead: let so many records pile up behind an API that hangs for a minute")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, p, *backlog)
	stop()
	os.Exit(code)
}

const exitUnavailable = 3

func run(ctx context.Context, p plan, backlog int) int {
	w, err := newWorld(ctx, p)
	if errors.Is(err, errNoKafka) {
		fmt.Println("chaos:", err)
		return exitUnavailable
	}
	if err != nil {
		fmt.Println("chaos:", err)
		return 1
	}
	defer w.close()
	if backlog > 0 {
		err = w.backlog(ctx, backlog)
	} else {
		err = w.misfortune(ctx)
	}
	if err != nil {
		fmt.Printf("chaos: %v\nchaos: the logs are in %s; the seed was %d\n", err, w.dir, p.seed)
		w.keep = true
		return 1
	}
	return 0
}

var errNoKafka = errors.New("no Apache Kafka to be had")

// world is everything that runs.
type world struct {
	plan
	rng    *rand.Rand
	dir    string
	keep   bool
	binary string

	options broker.Options
	broker  *broker.Broker
	address string
	api     *emulator.Emulator
	apiAddr string
	stopAPI context.CancelFunc
	seen    *seen

	replicas []*replica
	started  int
	result   results
}

const (
	topic      = "client-events"
	partitions = 6
	// What a kill may repeat: the defaults of report.concurrency and
	// report.batch_size.
	inFlight = 16 * 100
)

func newWorld(ctx context.Context, p plan) (*world, error) {
	dir, err := os.MkdirTemp("", "clientevents-chaos")
	if err != nil {
		return nil, err
	}
	w := &world{plan: p, rng: rand.New(rand.NewPCG(p.seed, 1)), dir: dir, binary: filepath.Join(dir, "clientevents"), seen: newSeen()}
	fmt.Printf("chaos: seed %d, %d records, %d planned changes, %d kills, %d freezes, %d restarts of the broker\n",
		p.seed, p.records, p.planned, p.kills, p.freezes, p.restarts)
	build := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "./cmd/clientevents")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build clientevents: %w", err)
	}
	libraries, err := broker.Libraries(ctx, os.Stderr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoKafka, err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	w.options = broker.Options{Libraries: libraries, Dir: filepath.Join(dir, "kafka"), Port: port, Heap: "1g"}
	if w.broker, err = broker.Start(ctx, w.options); err != nil {
		return nil, err
	}
	w.address = fmt.Sprintf("127.0.0.1:%d", port)
	return w, w.startAPI(ctx)
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (w *world) startAPI(ctx context.Context) error {
	w.api = emulator.New(emulator.Options{Keep: 1, Faults: healthy, OnAccept: w.seen.accept})
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.apiAddr = l.Addr().String()
	var apiCtx context.Context
	apiCtx, w.stopAPI = context.WithCancel(context.WithoutCancel(ctx))
	go func() { _ = w.api.Serve(apiCtx, l) }()
	return nil
}

var healthy = emulator.Faults{Latency: 5 * time.Millisecond, Jitter: 5 * time.Millisecond}

func (w *world) close() {
	for _, r := range w.replicas {
		r.end()
	}
	if w.broker != nil {
		_ = w.broker.Stop()
	}
	w.stopAPI()
	if !w.keep {
		_ = os.RemoveAll(w.dir)
	}
}

// traffic is what is published.
func (w *world) traffic(n int) (records []journey.Record) {
	mix := journey.DemoMix
	mix.Tombstones = true
	g := journey.New(journey.Options{Seed: w.seed, Version: event.V3, Start: time.Now()})
	for r := range g.Mixed(mix, n) {
		records = append(records, r)
	}
	return records
}
