// Package admin serves metrics, health, the status page and the actions of
// operators.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/guard"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/internal/reload"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

// Options configure the admin server.
type Options struct {
	Config *config.Config
	Logger *slog.Logger
	// Level is the logger's level, which an action can change.
	Level *Level
	// Reloader holds the configuration in force.
	Reloader *reload.Reloader
	// Files keeps the token for actions current.
	Files *filewatch.Watcher
	// Certificates are those of the connections; nil for none.
	Certificates *tlsfile.Store
	// Listen opens the listener; nil uses the network.
	Listen ListenFunc
}

// ListenFunc opens a listener, as [net.ListenConfig.Listen] does.
type ListenFunc func(ctx context.Context, network, addr string) (net.Listener, error)

// Server serves metrics, health, status and actions.
type Server struct {
	server   *http.Server
	listener net.Listener
	done     chan error
	unwatch  context.CancelFunc
	watching sync.WaitGroup
}

// Start listens on admin.listen and serves until [Server.Stop].
func Start(ctx context.Context, o Options, p *pipeline.Pipeline, registry *prometheus.Registry) (*Server, error) {
	listen := o.Listen
	if listen == nil {
		listen = new(net.ListenConfig).Listen
	}
	listener, err := listen(ctx, "tcp", o.Config.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %q: %w", o.Config.Admin.Listen, err)
	}
	m := newMonitor(p, o, registry)
	a := &Server{
		server:   guard.Server(adminHandler(m, registry), o.Config.Admin.Hosts),
		listener: guard.Listener(listener, guard.MaxConnections),
		done:     make(chan error, 1),
	}
	var watchCtx context.Context
	watchCtx, a.unwatch = context.WithCancel(context.WithoutCancel(ctx))
	a.watching.Go(func() {
		defer m.actions.stop()
		m.run(watchCtx)
	})
	go func() { a.done <- a.server.Serve(a.listener) }()
	return a, nil
}

// Addr returns the address that the server listens on.
func (a *Server) Addr() net.Addr { return a.listener.Addr() }

// Stop ends the server. Answers that are under way when ctx ends are cut off.
func (a *Server) Stop(ctx context.Context) error {
	a.unwatch()
	a.watching.Wait()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close()
	}
	if err := <-a.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin server: %w", err)
	}
	return nil
}

// adminHandler answers the paths of the admin server.
func adminHandler(m *monitor, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		// Brokers, the API and tokens are no reason to be restarted.
		if !m.pipeline.Consumer().Alive(time.Now()) {
			http.Error(w, "the consumer is stuck", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := m.status()
		if !s.Ready {
			http.Error(w, "not ready: "+terminal.Printable(s.NotReady)+"\n"+s.Summary.Text(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.status()) })
	mux.HandleFunc("GET /status/history", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.history()) })
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.configuration()) })
	m.actions.serve(mux)
	servePage(mux)
	return mux
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// The status comes after the encoding: an answer that can't be encoded is not OK.
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "encode the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // the client may have closed the connection
}
