// Package app runs the program: the pipeline with the admin server beside it.
package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/lifecycle"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/internal/privacy"
	"github.com/clientevents/clientevents/internal/proc"
	"github.com/clientevents/clientevents/internal/scrub"
	"github.com/clientevents/clientevents/internal/tlsfile"
	"github.com/clientevents/clientevents/internal/tracing"
	"github.com/clientevents/clientevents/internal/version"
)

// Options are the parts of a run that the configuration does not state.
type Options struct {
	Config *config.Config
	Logger *slog.Logger
	// Level is the logger's level, for admin actions and reloads; nil for none.
	Level *slog.LevelVar
	// SetLogFormat changes the logger's format for a reload; nil leaves it unchanged.
	SetLogFormat func(config.LogFormat)
	// Reload is where a changed configuration comes from.
	Reload ReloadOptions
	// DialKafka and DialAPI replace the network; nil uses it.
	DialKafka, DialAPI connect.DialFunc
	// Stat replaces os.Stat of the credentials file; nil uses it.
	Stat func(name string) (os.FileInfo, error)
	// Listen replaces the network for the admin server; nil uses it.
	Listen admin.ListenFunc
	// StopWithin is the time budget of a stop; default [lifecycle.Total].
	StopWithin time.Duration
	// OnListen receives the address of the admin server.
	OnListen func(net.Addr)
	// OnPipeline receives the pipeline before it runs.
	OnPipeline func(*pipeline.Pipeline)
}

// ReloadOptions configure how the configuration is read again. The zero value never does
// so.
type ReloadOptions struct {
	// Load reads the configuration; nil disables reloads.
	Load func() (*config.Config, error)
	// File is watched for changes; "" for none. A file of the mapping is watched, too.
	File string
	// Hangup has a value when the configuration is to be read.
	Hangup <-chan os.Signal
}

// Run reports events until ctx ends, then drains.
//
// The admin server starts before the pipeline and stops after it, so that both
// the wait for brokers and the drain can be watched.
func Run(ctx context.Context, o Options) (err error) {
	if o.Config.Secrets == nil {
		o.Config.Hide(&scrub.Scrubber{})
	}
	o.Logger = slog.New(o.Config.Secrets.Handler(o.Logger.Handler()))
	budget := lifecycle.NewBudget(cmp.Or(o.StopWithin, lifecycle.Total), o.Logger)
	running := lifecycle.NewStack(budget)
	defer func() { err = errors.Join(err, running.Stop(ctx)) }()

	registry := prometheus.NewRegistry()
	proc.Register(registry)
	files := filewatch.New(o.Logger, registry)
	running.Add(lifecycle.Disconnect, lifecycle.Within(files.Close))
	certificates := tlsfile.New(files, o.Config.Secrets, registry)
	k, api, err := dial(o, registry, files, certificates, running)
	if err != nil {
		return err
	}
	guard, err := privacy.New(o.Config, files)
	if err != nil {
		return err
	}
	cfg, err := pipeline.Configure(o.Config, pipeline.Environment{
		Memory: proc.MemoryLimit(),
		Kafka:  k, API: api, Files: files, Certificates: certificates,
		DialAPI: o.DialAPI, Logger: o.Logger, Registerer: registry, Stop: budget, Privacy: guard,
	})
	if err != nil {
		return err
	}
	cfg.Consumer.Explain = func(ctx context.Context, err error) error { return check.Explain(ctx, k, o.Config, err) }
	if err := startTracing(ctx, o, &cfg, running); err != nil {
		return err
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		return err
	}
	if o.OnPipeline != nil {
		o.OnPipeline(p)
	}
	reloader, level := newReloader(o, p, registry)
	server, err := admin.Start(ctx, admin.Options{
		Config: o.Config, Logger: o.Logger, Level: level, Listen: o.Listen, Reloader: reloader, Files: files, Certificates: certificates,
	}, p, registry)
	if err != nil {
		return err
	}
	running.Add(lifecycle.StopAdmin, server.Stop)
	defer watch(ctx, o.Reload, reloader, files)()
	if o.OnListen != nil {
		o.OnListen(server.Addr())
	}
	o.Logger.Info("carrying events", "from", o.Config.Kafka.Topic, "group", o.Config.Kafka.Group,
		"to", o.Config.API.Endpoint, "api", o.Config.API.Version.String(), "parent", o.Config.API.Parent, "admin", server.Addr().String())
	return p.Run(ctx)
}

// dial prepares the connections to the brokers and to the API.
func dial(o Options, registry prometheus.Registerer, files *filewatch.Watcher, certificates *tlsfile.Store, running *lifecycle.Stack) (*connect.Kafka, *connect.API, error) {
	k, err := connect.NewKafka(o.Config, connect.Options{Dial: o.DialKafka, Logger: o.Logger, Registerer: registry, Files: files, Certificates: certificates})
	if err != nil {
		return nil, nil, err
	}
	running.Add(lifecycle.Disconnect, lifecycle.Within(k.Close))
	api, err := connect.NewAPI(o.Config, connect.Options{Dial: o.DialAPI, Stat: o.Stat, Logger: o.Logger, Registerer: registry})
	if err != nil {
		return nil, nil, err
	}
	running.Add(lifecycle.Disconnect, lifecycle.Within(api.Close))
	return k, api, nil
}

// startTracing gives the stages a tracer where tracing is configured.
func startTracing(ctx context.Context, o Options, cfg *pipeline.Config, running *lifecycle.Stack) error {
	if o.Config.Tracing.Endpoint == "" {
		return nil
	}
	provider, err := tracing.New(context.WithoutCancel(ctx), tracing.Config{
		Endpoint:    o.Config.Tracing.Endpoint,
		SampleRatio: o.Config.Tracing.SampleRatio,
		Version:     version.Number(),
		Logger:      o.Logger,
		Dial:        o.DialAPI,
		Secrets:     o.Config.Secrets,
	})
	if err != nil {
		return err
	}
	running.Add(lifecycle.SendTraces, provider.Stop)
	cfg.Consumer.Tracer, cfg.Reporter.Tracer = provider.Tracer(), provider.Tracer()
	return nil
}
