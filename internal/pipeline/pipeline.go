// Package pipeline connects the stages: consumer, batcher and reporter.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/lifecycle"
	"github.com/clientevents/clientevents/internal/metric"
	"github.com/clientevents/clientevents/internal/ownership"
	"github.com/clientevents/clientevents/internal/privacy"
	"github.com/clientevents/clientevents/internal/quality"
	"github.com/clientevents/clientevents/reporter"
)

// Config is the pipeline's configuration, with what the network is made
// of.
type Config struct {
	Consumer consumer.Config
	Batch    batcher.Config
	Reporter reporter.Config
	// Decoder is the consumer's, of which the pipeline tells the state; nil for none.
	Decoder *Decoder
	// Privacy is what Consumer and Reporter ask, of which a reload changes the rules.
	Privacy *privacy.Guard
	// Quality judges the events that Consumer reported.
	Quality *quality.Monitor
	// Stop is the time budget of a stop; nil uses one of its own.
	Stop *lifecycle.Budget
}

// Pipeline carries events from Kafka to the API.
type Pipeline struct {
	consumer *consumer.Consumer
	batcher  *batcher.Batcher
	reporter *reporter.Reporter
	decoder  *Decoder
	privacy  *privacy.Guard
	quality  *quality.Monitor
	stop     *lifecycle.Budget
	log      *slog.Logger

	drain    chan struct{} // closed when an operator wants it to drain
	draining sync.Once
	drained  atomic.Bool
}

// New wires the stages: consumer → batcher → reporter. The outcomes come back along
// the deliveries, and what the consumer knows of its partitions is published in an
// [ownership.Ownership].
func New(cfg Config) (*Pipeline, error) {
	p := &Pipeline{batcher: batcher.New(cfg.Batch), decoder: cfg.Decoder, privacy: cfg.Privacy, quality: cfg.Quality, log: cfg.Consumer.Logger, drain: make(chan struct{})}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.stop = cfg.Stop; p.stop == nil {
		p.stop = lifecycle.NewBudget(lifecycle.Total, p.log)
	}
	cfg.Consumer.Stop = p.stop
	cfg.Consumer.Ownership = &ownership.Ownership{}
	cfg.Reporter.Ownership = cfg.Consumer.Ownership
	var err error
	if p.reporter, err = reporter.New(cfg.Reporter, p.batcher); err != nil {
		return nil, err
	}
	p.consumer = consumer.New(cfg.Consumer, &sink{p.batcher, p.reporter})
	metrics := metric.Set{Registerer: cfg.Consumer.Registerer}
	metrics.GaugeFunc("clientevents_in_flight", "Events sent whose outcome is not yet durable.", func() float64 { return float64(p.batcher.InFlight()) })
	metrics.GaugeFunc("clientevents_pending", "Events waiting to be sent.", func() float64 { return float64(p.batcher.Pending()) })
	metrics.GaugeFunc("clientevents_ready",
		"Whether the replica is ready, as in /readyz: a member of the group, with the state of its partitions read, and not draining (1), or not (0).", p.ready)
	return p, nil
}

func (p *Pipeline) ready() float64 {
	if p.Readiness().Ready() {
		return 1
	}
	return 0
}

// Run reports events until ctx ends, then drains.
//
// The workers stop after the consumer, because its drain needs them.
func (p *Pipeline) Run(ctx context.Context) error {
	workersCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var workers sync.WaitGroup
	workers.Go(func() { p.reporter.Run(workersCtx) })
	err := p.consume(ctx)
	stop()
	p.reporter.Abort()
	// Workers that are late hold nothing: the drain returned it.
	return errors.Join(err, p.stop.Step(ctx, lifecycle.StopWorkers, lifecycle.Within(workers.Wait)))
}

// consume runs the consumer until ctx ends, or until an operator drains it; then
// it waits for the end of ctx, because an orchestrator would start a program that
// ended by itself again.
func (p *Pipeline) consume(ctx context.Context) error {
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(consuming, p.stop.Begin)()
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
	p.log.Info("drained: left the group; idle until stopped")
	<-ctx.Done()
	p.stop.Restart()
	return nil
}

// Reload puts the values of the keys into force that may change while the pipeline runs.
// Nothing changes if it fails.
func (p *Pipeline) Reload(c *config.Config) error {
	// Of what follows, this alone may fail: the file of the key is read again.
	if err := p.privacy.Set(c); err != nil {
		return err
	}
	if p.decoder != nil {
		if err := p.decoder.SetMapping(c.Input.Mapping); err != nil {
			return fmt.Errorf("input.mapping: %w", err)
		}
	}
	p.consumer.SetRules(Rules(c))
	p.consumer.SetConfigHash(c.Hash())
	p.batcher.SetLinger(c.Report.Linger)
	p.reporter.SetRate(c.Report.Rate)
	return nil
}

// SchemaRegistry is why the schema registry can't be used at present; "" if it can be
// used, or records need none.
func (p *Pipeline) SchemaRegistry() string {
	if p.decoder == nil {
		return ""
	}
	return p.decoder.Unavailable()
}

// Drain finishes what is in flight, commits, leaves the consumer group, and does
// nothing more. It does not wait for that; see Drained.
func (p *Pipeline) Drain() { p.draining.Do(func() { close(p.drain) }) }

// Drained reports whether a Drain is over.
func (p *Pipeline) Drained() bool { return p.drained.Load() }

// Pause stops this replica from fetching and sending, or resumes both. What is in
// flight is finished. The replica stays a member of its group.
func (p *Pipeline) Pause(paused bool) {
	p.consumer.PauseAll(paused)
	p.reporter.Pause(paused)
}

// Paused reports whether a Pause has become true: nothing is fetched, and no
// request is in flight.
func (p *Pipeline) Paused() bool { return p.consumer.Standing() && p.reporter.Standing() }

// Readiness reports whether the replica does its work, and if not, the reason.
func (p *Pipeline) Readiness() consumer.Readiness {
	if p.drained.Load() {
		return consumer.Readiness{State: consumer.Drained}
	}
	return p.consumer.Readiness()
}

// Consumer and Reporter are for the status page.
func (p *Pipeline) Consumer() *consumer.Consumer { return p.consumer }

// Reporter is for the status page.
func (p *Pipeline) Reporter() *reporter.Reporter { return p.reporter }

// Quality judges the journeys whose events this replica reported in the last hour.
func (p *Pipeline) Quality() quality.WindowReport { return p.quality.Report(time.Now()) }

// InFlight and Pending count what the batcher holds.
func (p *Pipeline) InFlight() int { return p.batcher.InFlight() }

// Pending counts the events that wait to be sent.
func (p *Pipeline) Pending() int { return p.batcher.Pending() }

// sink is the consumer's sink: the batcher, with a drain that reaches the requests
// in flight.
type sink struct {
	*batcher.Batcher
	reporter *reporter.Reporter
}

// Drain ends terms of partitions. It reports whether none of their events is left;
// if ctx ends first, some are in flight.
func (s *sink) Drain(ctx context.Context, terms []*event.Term) bool {
	for _, t := range terms {
		t.End()
	}
	s.reporter.Release()
	return s.Batcher.Drain(ctx, terms...)
}

// Abort cuts off the requests in flight, and waits until they have returned the
// events of terms.
func (s *sink) Abort(ctx context.Context, terms []*event.Term) {
	s.reporter.Abort()
	s.Batcher.Drain(ctx, terms...)
}
