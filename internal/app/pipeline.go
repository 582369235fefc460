// Package app puts the program together: the pipeline out of its stages, and
// the admin server beside it.
package app

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/reporter"
)

// PipelineConfig is the pipeline's configuration, with what the network is made
// of.
type PipelineConfig struct {
	Consumer consumer.Config
	Batch    batcher.Config
	Reporter reporter.Config
}

// Pipeline carries events from Kafka to the API.
type Pipeline struct {
	consumer *consumer.Consumer
	batcher  *batcher.Batcher
	reporter *reporter.Reporter
	log      *slog.Logger

	drain    chan struct{} // closed when an operator wants it to drain
	draining sync.Once
	drained  atomic.Bool
}

// NewPipeline wires the stages: consumer → batcher → reporter, and the outcomes
// back along the deliveries.
func NewPipeline(cfg PipelineConfig) (*Pipeline, error) {
	p := &Pipeline{batcher: batcher.New(cfg.Batch), log: cfg.Consumer.Logger, drain: make(chan struct{})}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	cfg.Reporter.Lease = func(now time.Time) bool { return p.consumer.Leased(now) }
	var err error
	if p.reporter, err = reporter.New(cfg.Reporter, p.batcher); err != nil {
		return nil, err
	}
	if rate := cfg.Reporter.Rate; rate > 0 {
		cfg.Consumer.OnShare = func(owned, all int) { p.reporter.SetRate(rate * float64(max(1, owned)) / float64(all)) }
	}
	p.consumer = consumer.New(cfg.Consumer, &sink{p.batcher, p.reporter})
	if reg := cfg.Consumer.Registerer; reg != nil {
		reg.MustRegister(
			gauge("clientevents_in_flight", "Events that were sent and are not yet durably known as reported.", p.batcher.InFlight),
			gauge("clientevents_pending", "Events that wait to be sent.", p.batcher.Pending),
			gauge("clientevents_ready", "1 while the replica is a member of the group, has read the state of its partitions and does not drain; as /readyz says.", p.ready),
		)
	}
	return p, nil
}

func gauge(name, help string, value func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
}

func (p *Pipeline) ready() int {
	if ready, _ := p.consumer.Ready(); ready {
		return 1
	}
	return 0
}

// Run carries events until ctx ends, then drains.
//
// Stop order: the consumer stops taking records and drains through the workers,
// which therefore outlive it; only then do the workers stop.
func (p *Pipeline) Run(ctx context.Context) error {
	workersCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var workers sync.WaitGroup
	workers.Go(func() { p.reporter.Run(workersCtx) })
	err := p.consume(ctx)
	stop()
	p.reporter.Abort()
	workers.Wait()
	return err
}

// consume runs the consumer until ctx ends, or until it is to drain; then it
// waits for the end of ctx, doing nothing. A program that ended by itself would
// only be started again.
func (p *Pipeline) consume(ctx context.Context) error {
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-p.drain:
			stop()
		case <-ended:
		}
	}()
	err := p.consumer.Run(consuming)
	if err != nil || ctx.Err() != nil {
		return err
	}
	p.drained.Store(true)
	p.log.Info("drained: the group is left, and nothing is done until the program is stopped")
	<-ctx.Done()
	return nil
}

// Drain finishes what is in flight, commits, leaves the consumer group, and does
// nothing more. It does not wait for that; see Drained.
func (p *Pipeline) Drain() { p.draining.Do(func() { close(p.drain) }) }

// Drained says whether a Drain is over.
func (p *Pipeline) Drained() bool { return p.drained.Load() }

// Pause lets this replica fetch and send nothing, or go on with both. What is in
// flight is finished. The replica stays a member of its group.
func (p *Pipeline) Pause(paused bool) {
	p.consumer.PauseAll(paused)
	p.reporter.Pause(paused)
}

// Paused says whether a Pause has become true: nothing is fetched, and no
// request is in flight.
func (p *Pipeline) Paused() bool { return p.consumer.Standing() && p.reporter.Standing() }

// Ready says whether the replica does its work; if not, why.
func (p *Pipeline) Ready() (bool, string) {
	if p.drained.Load() {
		return false, "drained"
	}
	return p.consumer.Ready()
}

// Consumer and Reporter are for the status page.
func (p *Pipeline) Consumer() *consumer.Consumer { return p.consumer }

// Reporter is for the status page.
func (p *Pipeline) Reporter() *reporter.Reporter { return p.reporter }

// InFlight and Pending count what the batcher holds.
func (p *Pipeline) InFlight() int { return p.batcher.InFlight() }

// Pending counts the events that wait to be sent.
func (p *Pipeline) Pending() int { return p.batcher.Pending() }

// sink is what the consumer hands events to: the batcher, with a drain that
// reaches to the requests in flight.
type sink struct {
	*batcher.Batcher
	reporter *reporter.Reporter
}

// abortWait is how long requests that were cut have to come back.
const abortWait = time.Second

// Drain finishes what is in flight; what is not finished when ctx ends is cut.
func (s *sink) Drain(ctx context.Context) {
	if !s.Batcher.Drain(ctx) {
		s.reporter.Abort()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWait)
		defer cancel()
		s.Batcher.Drain(ctx)
	}
	s.reporter.Release()
}

// network is how connections are made; nil is the ordinary way.
type network func(ctx context.Context, network, addr string) (net.Conn, error)

// topicTransport is kafka-go's transport for these topics. Without naming them
// it would ask for the metadata of every topic of the cluster.
func topicTransport(dial network, topics ...string) *kafka.Transport {
	return &kafka.Transport{
		Dial:           dial,
		DialTimeout:    10 * time.Second,
		MetadataTTL:    time.Second, // how soon a moved leader is found
		MetadataTopics: topics,
		ClientID:       "clientevents",
	}
}
