// Package demo runs everything in one process: a broker, a Talent Solution, a
// job board's traffic, and the pipeline between them.
package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/logging"
	"github.com/clientevents/clientevents/internal/pipeline"
)

// Options configure the demo.
type Options struct {
	// Events is the number of records to publish; 0 publishes until the context ends.
	Events int
	// Rate is records per second; 0 derives it from Events.
	Rate float64
	Seed uint64
	// KafkaPort and APIPort are loopback ports; 0 selects a free one.
	KafkaPort, APIPort int
	// Admin is the address of the status page; "" selects a free loopback port.
	Admin string
	// Shape is the shape of the records, one of package shape; "" is events.
	Shape    string
	Out, Err io.Writer
	Verbose  bool
}

// Names that the demo and its printed commands use.
const (
	topic      = "client-events"
	group      = "clientevents"
	parent     = "projects/demo/tenants/demo"
	partitions = 6
	// parentsWait is short, so that the demo does not wait long for the parents
	// that are never published.
	parentsWait = 5 * time.Second
	latency     = 5 * time.Millisecond
)

// Run runs the demo until it is complete or ctx ends. The error
// lists the counts that do not add up.
func Run(ctx context.Context, o Options) error {
	// The signal would end the process at once, and the temporary folder would
	// stay. It is not received either: a broken connection raises it, too, such as
	// that of a browser, and must not end the demo.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	d := &demo{o: o, wanted: newTally(), published: atomic.Int64{}}
	if err := d.start(ctx); err != nil {
		return err
	}
	defer d.stop()
	var running sync.WaitGroup
	pipelineCtx, stopPipeline := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPipeline()
	failed, listens := make(chan error, 1), make(chan string, 1)
	running.Go(func() {
		if err := d.runPipeline(pipelineCtx, listens); err != nil {
			failed <- err
		}
	})
	select {
	case d.admin = <-listens:
	case err := <-failed:
		return err
	}
	d.introduce()
	shown, hide := context.WithCancel(context.WithoutCancel(ctx))
	running.Go(func() { d.display(shown) })
	err := d.publish(ctx)
	d.cut.Store(ctx.Err() != nil)
	if err == nil {
		err = d.settle(failed)
	}
	hide()
	stopPipeline()
	running.Wait()
	if err != nil {
		return err
	}
	return d.summarize()
}

type demo struct {
	o        Options
	dir      string
	cluster  *kfake.Cluster
	api      *emulator.Emulator
	listener net.Listener
	serving  sync.WaitGroup
	stopAPI  context.CancelFunc
	config   *config.Config
	board    *board
	admin    string // the address of the status page
	token    string // for actions there
	shaped   *shaped
	pipeline atomic.Pointer[pipeline.Pipeline]

	published atomic.Int64
	mu        sync.Mutex
	wanted    tally
	// cut reports that the demo was told to stop amid the traffic: the parents of some
	// events were not published, so their outcomes differ from the expected ones.
	cut atomic.Bool
	// unsettled reports that it did not wait for all outcomes.
	unsettled bool
}

// start starts the broker and the API.
func (d *demo) start(ctx context.Context) (err error) {
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(partitions),
		// Old segments are deleted, so that it can run for days.
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "1000"}),
	}
	if d.o.KafkaPort != 0 {
		options = append(options, kfake.Ports(d.o.KafkaPort))
	}
	if d.cluster, err = kfake.NewCluster(options...); err != nil {
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	if d.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", d.o.APIPort)); err != nil {
		d.cluster.Close()
		return fmt.Errorf("start the emulator: %w", err)
	}
	d.api = emulator.New(emulator.Options{Faults: emulator.Faults{Latency: latency}, Seed: d.o.Seed})
	var apiCtx context.Context
	apiCtx, d.stopAPI = context.WithCancel(context.WithoutCancel(ctx))
	d.serving.Go(func() { _ = d.api.Serve(apiCtx, d.listener) })
	if err = d.api.LoadSeed([]byte(`{"tenants":[{"name":"` + parent + `","externalId":"demo"}]}`)); err == nil {
		if d.shaped, err = openShaped(ctx, d.o.Shape); err == nil {
			err = d.configure(ctx)
		}
	}
	if err == nil {
		d.board, err = openBoard(context.WithoutCancel(ctx), fmt.Sprintf("http://%s/v4/%s", d.listener.Addr(), parent), d.o.Seed)
	}
	if err != nil {
		d.stop()
	}
	return err
}

func (d *demo) configure(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "clientevents-demo"); err != nil {
		return fmt.Errorf("create a temporary folder for the demo's configuration: %w: set TMPDIR to a writable folder", err)
	}
	path := d.configFile()
	if err := os.WriteFile(path, []byte(d.yaml(d.cluster.ListenAddrs()[0])), 0o600); err != nil {
		return err
	}
	if d.config, err = config.Load(path, nil); err != nil {
		return err
	}
	d.token = strings.ToLower(rand.Text())
	d.config.Admin.TokenFile = filepath.Join(d.dir, "token")
	if err := os.WriteFile(d.config.Admin.TokenFile, []byte(d.token), 0o600); err != nil {
		return err
	}
	k, err := connect.NewKafka(d.config, connect.Options{})
	if err != nil {
		return err
	}
	defer k.Close()
	answer, err := k.Client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "segment.bytes", ConfigValue: fmt.Sprint(8 << 20)},
			{ConfigName: "retention.bytes", ConfigValue: fmt.Sprint(64 << 20)},
		},
	}}})
	if err == nil {
		err = answer.Errors[topic]
	}
	return err
}

// yaml is the demo's configuration, which also works for 'run'.
func (d *demo) yaml(broker string) string {
	admin := d.o.Admin
	if admin == "" {
		admin = "127.0.0.1:0"
	}
	return fmt.Sprintf(`kafka:
  brokers: [%s]
  topic: %s
  group: %s
api:
  endpoint: http://%s
  version: v4
  parent: %s
  credentials: none
parents:
  wait: %s
admin:
  listen: %s
log:
  format: text
%s`, broker, topic, group, d.listener.Addr(), parent, parentsWait, admin, d.shaped.section())
}

func (d *demo) stop() {
	if d.board != nil {
		d.board.close()
	}
	d.shaped.close()
	d.stopAPI()
	d.serving.Wait()
	d.cluster.Close()
	os.RemoveAll(d.dir)
}

func (d *demo) runPipeline(ctx context.Context, listens chan<- string) error {
	level := slog.LevelWarn
	if d.o.Verbose {
		level = slog.LevelInfo
	}
	var log *slog.Logger
	if logging.IsTerminal(d.o.Err) && !d.o.Verbose {
		log = slog.New(slog.DiscardHandler) // it would break the display
	} else {
		log = logging.New(d.o.Err, config.FormatText, level)
	}
	return app.Run(ctx, app.Options{
		Config:     d.config,
		Logger:     log,
		OnListen:   func(a net.Addr) { listens <- "http://" + a.String() },
		OnPipeline: func(p *pipeline.Pipeline) { d.pipeline.Store(p) },
	})
}

func (d *demo) introduce() {
	fmt.Fprintf(d.o.Out, `A broker, a Talent Solution and a job board, all in this process:

  Kafka         %[1]s   (any client can join in: kcat -b %[1]s -C -t %[2]s)
  events        topic %[2]s, dead letters in %[2]s.dead-letter
  status page   %[4]s   (token for its buttons: %[5]s)
  Talent API    http://%[3]s   (its page shows the jobs and their events)

In another terminal, while the demo runs:

  clientevents top --url %[4]s
  clientevents dead-letters list --newest --limit 5 --config %[6]s
%[7]s
`, d.cluster.ListenAddrs()[0], topic, d.listener.Addr(), d.admin, d.token, d.configFile(), d.shaped.introduction(d.configFile()))
}

// configFile is the path of the demo's configuration, which exists while it runs.
func (d *demo) configFile() string { return filepath.Join(d.dir, "clientevents.yaml") }
