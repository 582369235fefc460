// Package demo runs everything in one process: a broker, a Talent Solution, a
// job board's traffic, and the pipeline between them.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
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
	"golang.org/x/time/rate"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/logging"
	"github.com/clientevents/clientevents/internal/progress"
)

// Options say what the demo does.
type Options struct {
	// Events is how many records are published; 0 goes on until told to stop.
	Events int
	// Rate is how many a second; 0 is chosen by Events.
	Rate float64
	Seed uint64
	// KafkaPort and APIPort are loopback ports; 0 is any that is free.
	KafkaPort, APIPort int
	// Admin is the address of the status page; "" is any free loopback port.
	Admin    string
	Out, Err io.Writer
	Verbose  bool
}

// The names that the demo uses, and that the commands it prints use, too.
const (
	topic      = "client-events"
	group      = "clientevents"
	parent     = "projects/demo"
	partitions = 6
	// parentsWait is short, so that the demo need not wait long for the parents
	// that never come.
	parentsWait = 5 * time.Second
	latency     = 5 * time.Millisecond
)

// Run runs the demo until it has done what Options say, or ctx ends. The error
// says what did not add up.
func Run(ctx context.Context, o Options) error {
	// Who no longer reads what it prints wants no more of it. Left to itself the
	// signal ends the process at once, and the temporary folder stays.
	ctx, ignore := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer ignore()
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
	d.cut = ctx.Err() != nil
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
	pipeline atomic.Pointer[app.Pipeline]

	published atomic.Int64
	mu        sync.Mutex
	wanted    tally
	// cut says that it was told to stop amid the traffic: the parents of some
	// events were not published any more, so what was expected of them is void.
	cut bool
}

// start starts the broker and the API.
func (d *demo) start(ctx context.Context) (err error) {
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(partitions),
		// Old segments are given back, so that it can run for days.
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
	if err = d.configure(ctx); err == nil {
		d.board, err = openBoard(context.WithoutCancel(ctx), fmt.Sprintf("http://%s/v3/%s", d.listener.Addr(), parent), d.o.Seed)
	}
	if err != nil {
		d.stop()
	}
	return err
}

func (d *demo) configure(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "clientevents-demo"); err != nil {
		return fmt.Errorf("a temporary folder for the demo's configuration: %w: set TMPDIR to a folder that can be written", err)
	}
	path := filepath.Join(d.dir, "clientevents.yaml")
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
	k, err := app.NewKafka(d.config, nil)
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

// yaml is the demo's configuration, which works for 'run' as well.
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
  version: v3
  parent: %s
  credentials: none
parents:
  wait: %s
admin:
  listen: %s
log:
  format: text
`, broker, topic, group, d.listener.Addr(), parent, parentsWait, admin)
}

func (d *demo) stop() {
	if d.board != nil {
		d.board.close()
	}
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
		log = slog.New(slog.DiscardHandler) // it would tear the display apart
	} else {
		log = logging.New(d.o.Err, "text", level)
	}
	return app.Run(ctx, app.Options{
		Config:     d.config,
		Logger:     log,
		OnListen:   func(a net.Addr) { listens <- "http://" + a.String() },
		OnPipeline: func(p *app.Pipeline) { d.pipeline.Store(p) },
	})
}

func (d *demo) introduce() {
	fmt.Fprintf(d.o.Out, `A broker, a Talent Solution and a job board, all in this process:

  Kafka         %[1]s   (any client can join in: kcat -b %[1]s -C -t %[2]s)
  events        topic %[2]s, dead letters in %[2]s.dead-letter
  status page   %[5]s   (token for its buttons: %[6]s)
  Talent API    http://%[3]s   (its page: what jobs it has, and what came of them)

The same by hand, against a Kafka of your own (the configuration as below, with
your brokers, and the endpoint http://127.0.0.1:8080):

  clientevents emulator --listen 127.0.0.1:8080
  clientevents generate --events 1000 | clientevents publish --config clientevents.yaml
  clientevents run --config clientevents.yaml

%[4]s
`, d.cluster.ListenAddrs()[0], topic, d.listener.Addr(), d.yaml(d.cluster.ListenAddrs()[0]), d.admin, d.token)
}

// rate is how many records a second are published: a demo of some events takes
// about ten seconds.
func (d *demo) rate() float64 {
	switch {
	case d.o.Rate > 0:
		return d.o.Rate
	case d.o.Events > 0:
		return max(200, float64(d.o.Events)/10)
	}
	return 500
}

// publish publishes the traffic, while the API throttles for a while.
func (d *demo) publish(ctx context.Context) error {
	k, err := app.NewKafka(d.config, nil)
	if err != nil {
		return err
	}
	defer k.Close()
	to := app.NewPublisher(k, topic)
	defer func() { _ = to.Close() }() // what was added is flushed
	perSecond := d.rate()
	const ticks = 20 // a second
	limiter := rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/ticks)))
	began := time.Now()
	g := journey.New(journey.Options{
		Seed: d.o.Seed, Version: event.V3, Parent: parent, Start: began,
		Gap:    time.Duration(8 / perSecond * float64(time.Second)),
		Search: d.board.results,
	})
	for r := range g.Mixed(journey.DemoMix, d.o.Events) {
		if !limiter.Allow() {
			if err := to.Flush(ctx); err != nil {
				return d.stopped(ctx, err)
			}
			d.misbehave(time.Since(began))
			if err := limiter.Wait(ctx); err != nil {
				return nil // told to stop: what was published is settled
			}
		}
		if err := to.Add(ctx, kafka.Message{Key: r.Key, Value: r.Value}); err != nil {
			return d.stopped(ctx, err)
		}
		d.count(r)
	}
	return d.stopped(ctx, to.Flush(ctx))
}

// stopped tells an error from being told to stop.
func (d *demo) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *demo) count(r journey.Record) {
	d.published.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted.add(r.Expect, string(r.Reason))
}

// misbehave lets the API throttle for a few seconds of each half minute.
func (d *demo) misbehave(since time.Duration) {
	f := emulator.Faults{Latency: latency}
	if at := since % (30 * time.Second); at > 3*time.Second && at < 6*time.Second {
		f.Quota = emulator.Quota{Limit: int(max(1, d.rate()/4)), Window: time.Second, EventsOnly: true}
	}
	d.api.SetFaults(f)
}

// patience is how long nothing may move before the demo gives up.
const patience = 90 * time.Second

// settle waits until every record in the topic has its outcome.
func (d *demo) settle(failed <-chan error) error {
	d.api.SetFaults(emulator.Faults{Latency: latency})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last, moved := uint64(0), time.Now()
	for {
		done := d.finished()
		if total, err := d.inTopic(); err == nil && done >= uint64(total) {
			return nil
		}
		if done != last {
			last, moved = done, time.Now()
		}
		if time.Since(moved) > patience {
			return fmt.Errorf("nothing moved for %s: %d of %d records have an outcome", patience, done, d.published.Load())
		}
		select {
		case err := <-failed:
			return err
		case <-tick.C:
		}
	}
}

// inTopic counts the records of the topic: ours, and those of whoever joined
// in.
func (d *demo) inTopic() (int64, error) {
	k, err := app.NewKafka(d.config, nil)
	if err != nil {
		return 0, err
	}
	defer k.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ask := map[string][]kafka.OffsetRequest{}
	for p := range partitions {
		ask[topic] = append(ask[topic], kafka.LastOffsetOf(p))
	}
	answer, err := k.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, p := range answer.Topics[topic] {
		err = errors.Join(err, p.Error)
		total += p.LastOffset
	}
	return total, err
}

func (d *demo) outcomes() (outcomes, letters map[string]uint64) {
	p := d.pipeline.Load()
	if p == nil {
		return nil, nil
	}
	return p.Consumer().Counts()
}

func (d *demo) finished() uint64 {
	outcomes, _ := d.outcomes()
	sum := uint64(0)
	for _, n := range outcomes {
		sum += n
	}
	return sum
}

// display shows a person what goes on.
func (d *demo) display(ctx context.Context) {
	screen := progress.NewDisplay(d.o.Err)
	if screen == nil {
		return
	}
	defer screen.Clear()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			screen.Draw(d.lines()...)
		}
	}
}

func (d *demo) lines() []string {
	outcomes, _ := d.outcomes()
	p := d.pipeline.Load()
	if p == nil {
		return nil
	}
	state := "open"
	if s := p.Reporter().Status(); !s.Gate.Open {
		state = "waiting: " + string(s.Gate.Reason)
	}
	return []string{
		fmt.Sprintf("published %7d   reported %7d   duplicates %5d   dead letters %5d",
			d.published.Load(), outcomes["reported"], outcomes["duplicate"], outcomes["dead_letter"]),
		fmt.Sprintf("in flight %7d   pending  %7d   API %s", p.InFlight(), p.Pending(), state),
		"status page " + d.admin + "   jobs and events http://" + d.listener.Addr().String() + "   (Ctrl-C to stop)",
	}
}
