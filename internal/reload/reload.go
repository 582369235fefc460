// Package reload puts changes of the configuration into force while the program runs.
package reload

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/metric"
)

// Result is the outcome of a reload.
type Result string

// The results.
const (
	// Applied means that the changes are in force.
	Applied Result = "applied"
	// Unchanged means that no value differs.
	Unchanged Result = "unchanged"
	// Rejected means that a key changed which needs a restart; nothing changed.
	Rejected Result = "rejected"
	// Invalid means that the configuration has faults; nothing changed.
	Invalid Result = "invalid"
)

// Results lists the results.
func Results() []Result { return []Result{Applied, Unchanged, Rejected, Invalid} }

// Status describes the last reload; it is zero before the first.
type Status struct {
	Time   time.Time `json:"time,omitzero"`
	Result Result    `json:"result,omitempty"`
	// Changes are the keys that changed, with their old and new values.
	Changes []string `json:"changes,omitempty"`
	// Error is why nothing changed.
	Error string `json:"error,omitempty"`
}

// Failed reports whether the last configuration that was read is not in force.
func (s Status) Failed() bool { return s.Result == Rejected || s.Result == Invalid }

// Options configure a [Reloader].
type Options struct {
	// Current is the configuration in force at first.
	Current *config.Config
	// Load reads the configuration.
	Load func() (*config.Config, error)
	// Apply puts a valid configuration into force that differs in reloadable keys only.
	// If it fails, nothing changed.
	Apply func(*config.Config) error

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Reloader reads the configuration again. It is safe for concurrent use.
type Reloader struct {
	o         Options
	total     *prometheus.CounterVec
	succeeded prometheus.Gauge
	info      *prometheus.GaugeVec

	reloading sync.Mutex // held during a reload

	mu      sync.Mutex
	current *config.Config
	status  Status
}

// New returns a reloader that registers its metrics.
func New(o Options) *Reloader {
	metrics := metric.Set{Registerer: o.Registerer}
	r := &Reloader{
		o:       o,
		current: o.Current,
		total: metrics.Counters("clientevents_config_reloads_total",
			"Reloads of the configuration, by result: applied, unchanged, rejected (a changed key needs a restart) or invalid.", "result"),
		succeeded: metrics.Gauge("clientevents_config_last_reload_successful",
			"Whether the configuration that was read last is in force (1) or was rejected or invalid (0)."),
		info: metrics.Gauges("clientevents_config_info",
			"Always 1; the labels identify the source and the destination, and hash covers all configuration keys except those of admin and log.",
			"topic", "group", "api_version", "hash"),
	}
	for _, result := range Results() {
		r.total.WithLabelValues(string(result))
	}
	r.succeeded.Set(1)
	r.describe(o.Current)
	return r
}

// describe sets the series that tells replicas with different configurations apart.
func (r *Reloader) describe(c *config.Config) {
	r.info.Reset()
	r.info.WithLabelValues(c.Kafka.Topic, c.Kafka.Group, c.API.Version.String(), c.Hash()).Set(1)
}

// Config returns the configuration in force.
func (r *Reloader) Config() *config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// Status describes the last reload.
func (r *Reloader) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Watch reloads after the configuration's file, or the file of the mapping, changes, and
// at each signal on hangup, until ctx ends. path is "" where there is no file.
func (r *Reloader) Watch(ctx context.Context, files *filewatch.Watcher, path string, hangup <-chan os.Signal) {
	files.Follow(func() []string { return r.paths(path) }, func() (again bool) {
		r.reload(false)
		// Not only the files that are watched may have made it invalid.
		return r.Status().Result == Invalid
	})
	r.reload(false) // they may have changed since the start
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r.Reload()
		}
	}
}

// paths returns the files whose contents are part of the configuration.
func (r *Reloader) paths(path string) (paths []string) {
	for _, p := range []string{path, r.Config().Input.MappingFile} {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}

// Reload reads the configuration, and puts all its changes into force or none.
func (r *Reloader) Reload() Status { return r.reload(true) }

// reload is [Reloader.Reload]. Unless an operator asked, a configuration that was
// reported before is not reported again.
func (r *Reloader) reload(asked bool) Status {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	before := r.Status()
	s := r.attempt()
	repeated := s.Result == Unchanged && !before.Failed() || s.Failed() && s.Error == before.Error
	if repeated && !asked {
		return before
	}
	s.Time = time.Now()
	r.mu.Lock()
	r.status = s
	r.mu.Unlock()
	r.report(s)
	return s
}

func (r *Reloader) report(s Status) {
	r.total.WithLabelValues(string(s.Result)).Inc()
	if s.Failed() {
		r.succeeded.Set(0)
	} else {
		r.succeeded.Set(1)
	}
	switch s.Result {
	case Applied:
		r.o.Logger.Info("configuration reloaded", "changes", strings.Join(s.Changes, "; "))
	case Unchanged:
		r.o.Logger.Info("configuration reloaded: no value differs")
	case Rejected:
		r.o.Logger.Error("configuration change rejected: the previous one stays in force", "error", s.Error)
	case Invalid:
		r.o.Logger.Error("changed configuration is invalid: the previous one stays in force", "error", s.Error)
	}
}

func (r *Reloader) attempt() Status {
	next, err := r.o.Load()
	if err != nil {
		return Status{Result: Invalid, Error: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	current := r.Config()
	changes := config.Changes(current, next)
	if len(changes) == 0 {
		return Status{Result: Unchanged}
	}
	s := Status{Result: Applied}
	var fixed []string
	for _, c := range changes {
		s.Changes = append(s.Changes, fmt.Sprintf("%s: %s -> %s", c.Key.Path, orNone(c.Old), orNone(c.New)))
		if !c.Key.Reload {
			fixed = append(fixed, c.Key.Path)
		}
	}
	if len(fixed) > 0 {
		s.Result, s.Error = Rejected, strings.Join(fixed, ", ")+": a change needs a restart"
		return s
	}
	next.Hide(current.Secrets)
	if err := r.o.Apply(next); err != nil {
		return Status{Result: Invalid, Error: err.Error()}
	}
	r.mu.Lock()
	r.current = next
	r.mu.Unlock()
	r.describe(next)
	return s
}

func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}
