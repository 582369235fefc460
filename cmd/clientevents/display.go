package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/logging"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/internal/progress"
	"github.com/clientevents/clientevents/internal/top"
)

// runDisplay shows a person at a terminal what run does, below the log, and at the end
// what it did. Where there is no terminal it does nothing.
type runDisplay struct {
	s      Streams
	screen *progress.Display
	client *http.Client
	began  time.Time

	mu       sync.Mutex
	admin    string
	pipeline *pipeline.Pipeline
}

func newRunDisplay(s Streams) *runDisplay {
	return &runDisplay{s: s, screen: progress.NewDisplay(s.Err), client: top.Client(), began: time.Now()}
}

// log returns an output for the log: above the display, if there is one. A terminal gets
// text.
func (d *runDisplay) log(c config.Log) *logging.Output {
	if d.screen == nil {
		return logging.NewOutput(d.s.Err, c)
	}
	if c.Format == config.FormatAuto {
		c.Format = config.FormatText
	}
	return logging.NewOutput(d.screen, c)
}

// watch adds to the options of a run, which ends with ctx, and shows it until end is
// called.
func (d *runDisplay) watch(ctx context.Context, o *app.Options) (end func()) {
	if d.screen == nil {
		return func() {}
	}
	o.OnListen = func(a net.Addr) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.admin = localURL(a)
	}
	o.OnPipeline = func(p *pipeline.Pipeline) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.pipeline = p
	}
	shown, stop := context.WithCancel(context.WithoutCancel(ctx))
	var showing sync.WaitGroup
	showing.Go(func() { top.Watch(shown, time.Second, func() { d.draw(shown, ctx.Err() != nil) }) })
	return func() {
		stop()
		showing.Wait()
		d.screen.Clear()
		d.summarize()
	}
}

// draw shows the replica's own status.
func (d *runDisplay) draw(ctx context.Context, stopping bool) {
	d.mu.Lock()
	address, p := d.admin, d.pipeline
	d.mu.Unlock()
	switch {
	case address == "":
		return
	case stopping && p != nil:
		d.screen.Draw(stoppingText(p))
		return
	}
	all := top.Ask(ctx, d.client, []string{address})
	if all[0].Err == nil {
		d.screen.Draw(append(top.Lines(all, d.screen.Rows()-1), "Status page "+address+"   (Ctrl-C to stop)")...)
	}
}

// stoppingText names what a stop waits for.
func stoppingText(p *pipeline.Pipeline) string {
	return fmt.Sprintf("Stopping: waiting for %s in flight, at most 10 s", health.Events(p.InFlight()))
}

// summarize prints the outcomes of the run.
func (d *runDisplay) summarize() {
	d.mu.Lock()
	p := d.pipeline
	d.mu.Unlock()
	if p == nil {
		return
	}
	outcomes, letters := p.Consumer().Counts()
	fmt.Fprintf(d.s.Err, "Ran for %s.\n", health.Lasting(time.Since(d.began)))
	for _, outcome := range []struct{ key, name string }{
		{"reported", "reported"}, {"duplicate", "duplicates"}, {"skipped", "skipped"}, {"dead_letter", "dead letters"},
	} {
		fmt.Fprintf(d.s.Err, "  %-14s%12s\n", outcome.name, health.Count(int64(outcomes[outcome.key])))
	}
	var reasons []string
	for reason, n := range letters {
		if n > 0 {
			reasons = append(reasons, reason)
		}
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(d.s.Err, "    %-26s%s\n", reason, health.Count(int64(letters[reason])))
	}
}

// localURL is an address of the admin server for this machine.
func localURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
