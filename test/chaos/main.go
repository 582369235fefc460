// Command chaos puts real processes through misfortune and compares the promises
// with the events that the API accepted: a cluster of Apache Kafka, several
// `clientevents run`, and the emulator. Replicas are killed, frozen past their session,
// stopped and started in order, and cut off from others; brokers are killed, frozen and
// restarted; the API fails.
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
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/emulator"
)

// plan is how much of what is to happen.
type plan struct {
	seed                                          uint64
	records                                       int
	rebalances, kills, freezes, restarts, outages int
	brokerKills, brokerFreezes, cuts              int
	nodes                                         int
	codec                                         string
	keep                                          bool
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
	flag.IntVar(&p.nodes, "nodes", 3, "how many brokers")
	flag.IntVar(&p.brokerKills, "broker-kills", 2, "how many brokers of the cluster are killed")
	flag.IntVar(&p.brokerFreezes, "broker-freezes", 1, "how many brokers of the cluster are frozen for some seconds")
	flag.IntVar(&p.cuts, "cuts", 0, "how often a replica is cut off from a broker, the API or everything; needs root and network namespaces")
	flag.BoolVar(&p.keep, "keep", false, "keep the logs, also after a run that kept every promise")
	kind := flag.String("broker", "auto", "kafka, embedded (in a process of its own), or auto: kafka where it can be had")
	flag.StringVar(&p.codec, "codec", "snappy", "how the records are compressed: none, gzip, snappy, lz4 or zstd")
	backlog := flag.Int("backlog", 0, "instead: let so many records pile up behind an API that hangs for a minute")
	replaced := flag.Int("replace", 0, "instead: replace three replicas one after the other with so many ids remembered, and measure how late events are")
	takeover := flag.Int("takeover", 0, "instead: kill replicas with so many ids remembered, let a fourth one join, and measure how long that takes and what it costs")
	static := flag.Bool("static", false, "with -replace: the replicas are static members (kafka.instance_id)")
	revision := flag.String("revision", "", "with -replace: run the program of this revision")
	upgrade := flag.String("upgrade", "", "instead: replace replicas of this revision by ones of the working tree and back; previous is the last release, or the commit before")
	flag.Parse()
	if _, ok := codecs[p.codec]; !ok {
		fmt.Fprintf(os.Stderr, "chaos: -codec %q: want none, gzip, snappy, lz4 or zstd\n", p.codec)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := start(ctx, p, *kind, func(w *world) error {
		switch {
		case *backlog > 0:
			return w.backlog(ctx, *backlog)
		case *replaced > 0:
			return w.replace(ctx, *replaced, *static, *revision)
		case *takeover > 0:
			return w.takeOver(ctx, *takeover)
		case *upgrade != "":
			return w.upgrade(ctx, *upgrade)
		}
		return w.misfortune(ctx)
	})
	stop()
	os.Exit(code)
}

// start runs the plan, in a network of its own where links are to be cut. A machine that
// has none says so and runs the rest.
func start(ctx context.Context, p plan, kind string, do func(*world) error) int {
	if p.cuts > 0 && os.Getenv(inNetwork) == "" {
		code, err := enterNetwork(ctx)
		if err == nil {
			return code
		}
		fmt.Println("chaos:", err)
		p.cuts = 0
	}
	return run(ctx, p, kind, do)
}

func run(ctx context.Context, p plan, kind string, do func(*world) error) int {
	w, err := newWorld(ctx, p, kind)
	if err == nil {
		err = do(w)
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
	w.close(p.keep)
	if p.keep {
		fmt.Println("chaos: the logs are in", w.dir)
	}
	return 0
}

// world is everything that runs.
type world struct {
	plan
	rng    *rand.Rand
	dir    string
	binary string

	network *network // nil where all is on loopback
	broker  kafkaBroker
	client  *kgo.Client
	admin   *kadm.Client
	api     *api
	seen    *seen
	delays  *delays
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
	inFlight = 16 * (100 + 1)
)

// newWorld starts everything but the replicas. The world it returns is to be
// closed even where there is an error.
func newWorld(ctx context.Context, p plan, kind string) (*world, error) {
	w := &world{plan: p, rng: rand.New(rand.NewPCG(p.seed, 1)), seen: newSeen(), delays: newDelays()}
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
	if w.network, err = newNetwork(ctx); err != nil {
		return w, err
	}
	if w.broker, err = newBroker(ctx, kind, w.dir, p.nodes, w.network); err != nil {
		return w, err
	}
	if err := w.broker.start(ctx); err != nil {
		return w, err
	}
	if w.api, err = startAPI(ctx, w.apiHost(), func(a emulator.Accepted) { w.seen.accept(a); w.delays.accept(a) }); err != nil {
		return w, err
	}
	return w, w.connect(ctx)
}

// apiHost is the address of the API.
func (w *world) apiHost() string {
	if w.network != nil {
		return bridgeIP
	}
	return "127.0.0.1"
}

// seeds are the brokers for the chaos run's own clients.
func (w *world) seeds() kgo.Opt { return kgo.SeedBrokers(strings.Split(w.broker.addresses(), ",")...) }

// connect makes the chaos run's own client. It is franz-go and not the library
// that the program uses, so that a fault of the one can't hide itself; and its
// producer is idempotent: what is published is there once.
func (w *world) connect(ctx context.Context) (err error) {
	w.client, err = kgo.NewClient(w.seeds(), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(codecs[w.codec]), kgo.MetadataMinAge(100*time.Millisecond), kgo.MaxBufferedRecords(100_000),
		kgo.UnknownTopicRetries(-1)) // a topic that was just created is not known to all brokers
	if err != nil {
		return err
	}
	w.admin = kadm.NewClient(w.client)
	answer, err := w.admin.CreateTopic(ctx, partitions, -1, nil, topic)
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
	w.network.close()
	if !keepLogs && w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}
