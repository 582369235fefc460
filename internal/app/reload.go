package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/internal/reload"
)

// newReloader returns the reloader of a pipeline, and the log level that it changes.
func newReloader(o Options, p *pipeline.Pipeline, registry prometheus.Registerer) (*reload.Reloader, *admin.Level) {
	level := admin.NewLevel(o.Level, o.Config.Log.Level)
	return reload.New(reload.Options{
		Current: o.Config, Load: o.Reload.Load, Logger: o.Logger, Registerer: registry,
		Apply: func(c *config.Config) error {
			if err := p.Reload(c); err != nil {
				return err
			}
			level.SetUsual(c.Log.Level)
			if o.SetLogFormat != nil {
				o.SetLogFormat(c.Log.Format)
			}
			return nil
		},
	}), level
}

// watch starts to reload the configuration when it changes. The returned function ends
// that.
func watch(ctx context.Context, o ReloadOptions, r *reload.Reloader, files *filewatch.Watcher) (stop func()) {
	if o.Load == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Watch(ctx, files, o.File, o.Hangup)
	}()
	return func() {
		cancel()
		<-ended
	}
}
