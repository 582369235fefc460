package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/version"
	"github.com/clientevents/clientevents/reporter"
)

// admin serves metrics, health and status.
type admin struct {
	server   *http.Server
	listener net.Listener
	done     chan error
}

func startAdmin(ctx context.Context, o Options, p *Pipeline, registry *prometheus.Registry) (*admin, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Config.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %q: %w", o.Config.Admin.Listen, err)
	}
	a := &admin{
		server:   &http.Server{Handler: AdminHandler(p, registry, time.Now()), ReadHeaderTimeout: 10 * time.Second},
		listener: listener,
		done:     make(chan error, 1),
	}
	if o.OnListen != nil {
		o.OnListen(listener.Addr())
	}
	go func() { a.done <- a.server.Serve(listener) }()
	return a, nil
}

func (a *admin) addr() net.Addr { return a.listener.Addr() }

func (a *admin) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close() // somebody is still reading; the program ends all the same
	}
	if err := <-a.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin server: %w", err)
	}
	return nil
}

// AdminHandler answers the paths of the admin server.
func AdminHandler(p *Pipeline, registry *prometheus.Registry, started time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		// Brokers, the API and tokens are no reason to be restarted.
		if !p.consumer.Alive(time.Now()) {
			http.Error(w, "the consumer stands still", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, why := p.consumer.Ready()
		if !ready {
			http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(p.Status(started))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		serveStatusPage(w, p.Status(started))
	})
	return mux
}

// Status is what /status answers.
type Status struct {
	Version    string                     `json:"version"`
	Commit     string                     `json:"commit"`
	Started    time.Time                  `json:"started"`
	Ready      bool                       `json:"ready"`
	NotReady   string                     `json:"not_ready,omitempty"`
	InFlight   int                        `json:"in_flight"`
	Pending    int                        `json:"pending"`
	Outcomes   map[string]uint64          `json:"outcomes"`
	Letters    map[string]uint64          `json:"dead_letters"`
	Reporter   reporter.Status            `json:"reporter"`
	Partitions []consumer.PartitionStatus `json:"partitions"`
}

// Status describes the pipeline at the moment.
func (p *Pipeline) Status(started time.Time) Status {
	s := Status{
		Version:    version.Number(),
		Commit:     version.Commit(),
		Started:    started,
		InFlight:   p.InFlight(),
		Pending:    p.Pending(),
		Reporter:   p.reporter.Status(),
		Partitions: p.consumer.Partitions(),
	}
	s.Ready, s.NotReady = p.consumer.Ready()
	s.Outcomes, s.Letters = p.consumer.Counts()
	return s
}
