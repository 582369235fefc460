package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin serves metrics, health and status.
type admin struct {
	server   *http.Server
	listener net.Listener
	done     chan error
	unwatch  context.CancelFunc
	watching sync.WaitGroup
}

func startAdmin(ctx context.Context, o Options, p *Pipeline, registry *prometheus.Registry) (*admin, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Config.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %q: %w", o.Config.Admin.Listen, err)
	}
	m := newMonitor(p, o)
	a := &admin{
		server:   &http.Server{Handler: adminHandler(m, registry), ReadHeaderTimeout: 10 * time.Second},
		listener: listener,
		done:     make(chan error, 1),
	}
	var watchCtx context.Context
	watchCtx, a.unwatch = context.WithCancel(context.WithoutCancel(ctx))
	a.watching.Go(func() {
		defer m.actions.stop()
		m.run(watchCtx)
	})
	if o.OnListen != nil {
		o.OnListen(listener.Addr())
	}
	go func() { a.done <- a.server.Serve(listener) }()
	return a, nil
}

func (a *admin) addr() net.Addr { return a.listener.Addr() }

func (a *admin) stop() error {
	a.unwatch()
	a.watching.Wait()
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

// adminHandler answers the paths of the admin server.
func adminHandler(m *monitor, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		// Brokers, the API and tokens are no reason to be restarted.
		if !m.pipeline.consumer.Alive(time.Now()) {
			http.Error(w, "the consumer stands still", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, why := m.pipeline.Ready()
		if !ready {
			http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.Status()) })
	mux.HandleFunc("GET /status/history", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.history()) })
	m.actions.serve(mux)
	servePage(mux)
	return mux
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // whoever asked may have gone
}
