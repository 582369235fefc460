package demo

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/publish"
)

// rate is the number of records published per second: a demo with a number of events takes
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

// publish publishes the traffic while the API sometimes throttles.
func (d *demo) publish(ctx context.Context) error {
	k, err := connect.NewKafka(d.config, connect.Options{})
	if err != nil {
		return err
	}
	defer k.Close()
	to := publish.New(k, topic)
	perSecond := d.rate()
	const ticks = 20 // a second
	limiter := rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/ticks)))
	began := time.Now()
	g := journey.New(journey.Options{
		Seed: d.o.Seed, Version: event.V4, Parent: parent, Start: began,
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
				return nil // stopped: the published records are settled
			}
		}
		m, err := d.shaped.record(&r)
		if err != nil {
			return err
		}
		if err := to.Add(ctx, m); err != nil {
			return d.stopped(ctx, err)
		}
		d.count(r)
	}
	return d.stopped(ctx, to.Flush(ctx))
}

// stopped returns nil for an error that a stop caused.
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

// The API throttles for throttleFor of each throttlePeriod, beginning with throttleAt.
// The rate that the pipeline learns from that is near the rate of the traffic, and the
// time between suffices to catch up. With a number of events, which take about ten
// seconds, it throttles once and sooner.
const (
	throttlePeriod = 2 * time.Minute
	throttleAt     = 20 * time.Second
	throttleEarly  = 3 * time.Second
	throttleFor    = 3 * time.Second
)

// misbehave makes the API throttle for a few seconds at intervals.
func (d *demo) misbehave(since time.Duration) {
	begin := throttleAt
	if d.o.Events > 0 {
		begin = throttleEarly
	}
	f := emulator.Faults{Latency: latency}
	if left := begin + throttleFor - since%throttlePeriod; left > 0 && left <= throttleFor {
		f.Hook = func(r *emulator.Request) *emulator.Fault {
			if !strings.HasSuffix(r.Path, "/batch") && !strings.HasSuffix(r.Path, "/clientEvents") || r.Part > 0 {
				return nil // searches and jobs have separate quotas
			}
			return &emulator.Fault{Status: http.StatusTooManyRequests, RetryAfter: left}
		}
	}
	d.api.SetFaults(f)
}
