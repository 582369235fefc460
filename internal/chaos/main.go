// Command chaos puts real processes through misfortune and compares what was
// promised with what was seen: a real Apache Kafka, several `clientevents run`,
// and the emulator. Replicas are killed, frozen past their session, stopped and
// started in order; the broker is restarted; the API fails.
//
// It prints its seed; the same seed makes the same plan, though processes never
// do exactly the same twice. The exit code is 1 where a promise was broken, and
// 3 where this machine can't run Apache Kafka and -broker=kafka asked for it, or
// where the clone doesn't have the revision of -upgrade.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// plan is how much of what is to happen.
type plan struct {
	seed                                          uint64
	records                                       int
	rebalances, kills, freezes, restarts, outages int
	codec                                         string
}

// codecs are the ways in which a producer may compress.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

const (
	exitUsage       = 2
	exitUnavailable = 3
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == embeddedCommand {
		os.Exit(serveEmbedded(os.Args[2], os.Args[3]))
	}
	var p plan
	flag.Uint64Var(&p.seed, "seed", uint64(time.Now().Unix()), "what the misfortune is drawn from")
	flag.IntVar(&p.records, "records", 50_000, "how many records are published")
	flag.IntVar(&p.rebalances, "rebalances", 10, "how many replicas are stopped or started in order")
	flag.IntVar(&p.kills, "kills", 10, "how many replicas are killed")
	flag.IntVar(&p.freezes, "freezes", 1, "how many replicas are frozen past their session")
	flag.IntVar(&p.restarts, "restarts", 1, "how often the broker is restarted")
	flag.IntVar(&p.outages, "outages", 3, "how often the API fails for some seconds")
	kind := flag.String("broker", "auto", "kafka, embedded (in a process of its own), or auto: kafka where it can be had")
	flag.StringVar(&p.codec, "codec", "snappy", "how the records are compressed: none, gzip, snappy, lz4 or zstd")
	backlog := flag.Int("backlog", 0, "instead: let so many records pile up behind an API that hangs for a minute")
	upgrade := flag.String("upgrade", "", "instead: replace replicas of this revision by ones of the working tree and back; previous is the last release, or the commit before")
	flag.Parse()
	if _, ok := codecs[p.codec]; !ok {
		fmt.Fprintf(os.Stderr, "chaos: -codec %q: want none, gzip, snappy, lz4 or zstd\n", p.codec)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, p, *kind, *backlog, *upgrade)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, p plan, kind string, backlog int, upgrade string) int {
	w, err := newWorld(ctx, p, kind)
	switch {
	case err != nil:
	case backlog > 0:
		err = w.backlog(ctx, backlog)
	case upgrade != "":
		err = w.upgrade(ctx, upgrade)
	default:
		err = w.misfortune(ctx)
	}
	switch {
	case errors.Is(err, errNoKafka), errors.Is(err, errNoRevision):
		w.close(false)
		fmt.Println("chaos:", err)
		return exitUnavailable
	case err != nil:
		w.close(true)
		fmt.Printf("chaos: %v\nchaos: the logs are in %s; run it again with -seed %d\n", err, w.dir, p.seed)
		return 1
	}
	w.close(false)
	return 0
}

// world is everything that runs.
type world struct {
	plan
	rng    *rand.Rand
	dir    string
	binary string

	broker  kafkaBroker
	address string
	client  *kgo.Client
	admin   *kadm.Client
	api     *api
	seen    *seen
	pace    *pace

	replicas []*replica
	started  int
	crashed  atomic.Int64 // replicas that ended by themselves
	failing  sync.WaitGroup
	result   results
}

const (
	topic        = "client-events"
	letters      = topic + ".dead-letter"
	group        = "chaos"
	partitions   = 6
	sessionLimit = 8 * time.Second // the default of kafka.session_timeout
	// What a kill may repeat: the defaults of report.concurrency and
	// report.batch_size.
	inFlight = 16 * 100
)

// newWorld starts everything but the replicas. The world it returns is to be
// closed even where there is an error.
func newWorld(ctx context.Context, p plan, kind string) (*world, error) {
	w := &world{plan: p, rng: rand.New(rand.NewPCG(p.seed, 1)), seen: newSeen()}
	var err error
	if w.dir, err = os.MkdirTemp("", "clientevents-chaos"); err != nil {
		return w, err
	}
	w.binary = filepath.Join(w.dir, "clientevents")
	build := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "./cmd/clientevents")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return w, fmt.Errorf("build clientevents: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return w, err
	}
	w.address = fmt.Sprintf("127.0.0.1:%d", port)
	if w.broker, err = newBroker(ctx, kind, w.dir, port); err != nil {
		return w, err
	}
	if err := w.broker.start(ctx); err != nil {
		return w, err
	}
	if w.api, err = startAPI(ctx, w.seen.accept); err != nil {
		return w, err
	}
	return w, w.connect(ctx)
}

// connect makes the chaos run's own client. It is franz-go and not the library
// that the program uses, so that a fault of the one can't hide itself; and its
// producer is idempotent: what is published is there once.
func (w *world) connect(ctx context.Context) (err error) {
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.address), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(codecs[w.codec]), kgo.MetadataMinAge(100*time.Millisecond), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return err
	}
	w.admin = kadm.NewClient(w.client)
	answer, err := w.admin.CreateTopic(ctx, partitions, 1, nil, topic)
	if err == nil {
		err = answer.Err
	}
	if err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	return nil
}

// close ends everything that was started.
func (w *world) close(keepLogs bool) {
	for _, r := range w.replicas {
		r.end()
	}
	w.failing.Wait()
	if w.client != nil {
		w.client.Close()
	}
	if w.broker != nil {
		_ = w.broker.stop()
	}
	if w.api != nil {
		w.api.stop()
	}
	if !keepLogs && w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}
