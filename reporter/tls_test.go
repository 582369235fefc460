package reporter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/event"
)

// Over real sockets: TLS, HTTP/2, and credentials.
func TestTLS(t *testing.T) {
	for _, test := range []struct {
		name     string
		http2    bool
		protocol string
	}{
		{"HTTP/1.1", false, "HTTP/1.1"},
		{"HTTP/2", true, "HTTP/2.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var mu sync.Mutex
			protocols := map[string]int{}
			var inFlight atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n := inFlight.Add(1); n > 4 {
					t.Errorf("%d requests in flight, want at most 4", n)
				}
				defer inFlight.Add(-1)
				mu.Lock()
				protocols[r.Proto]++
				mu.Unlock()
				got := received{path: r.URL.Path}
				if r.URL.Path == "/batch" {
					got.ids, got.parts = readBatch(t, r)
				} else {
					got.ids = []string{eventID(t, r.Body)}
				}
				if r.Header.Get("Authorization") != "Bearer secret" {
					t.Errorf("the request to %s has no credentials", r.URL.Path)
				}
				accept(w, got)
			}))
			server.EnableHTTP2 = test.http2
			server.StartTLS()
			defer server.Close()
			outcomes := reportOverTLS(t, server, 500)
			for id, o := range outcomes {
				if o.Kind != event.Accepted {
					t.Errorf("the outcome of %s is %+v", id, o)
				}
			}
			if len(protocols) != 1 || protocols[test.protocol] < 50 {
				t.Errorf("requests by protocol are %v, want at least 50 by %s", protocols, test.protocol)
			}
		})
	}
}

// tlsConfig trusts the server, and would speak any version.
func tlsConfig(t *testing.T, server *httptest.Server) Config {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return Config{
		Endpoint: server.URL, Version: event.V3, Parent: "projects/p", Concurrency: 4,
		TLS:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10},
		Tokens: secretToken(t),
	}
}

func reportOverTLS(t *testing.T, server *httptest.Server, n int) map[string]event.Outcome {
	b := batcher.New(batcher.Config{Size: 10, Concurrency: 4})
	r, err := New(tlsConfig(t, server), b)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	outcomes := map[string]event.Outcome{}
	all := make(chan struct{})
	done := func(d *event.Delivery, o event.Outcome) bool {
		mu.Lock()
		defer mu.Unlock()
		outcomes[d.ID] = o
		if len(outcomes) == n {
			close(all)
		}
		return false
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	for _, id := range sequence("e", n) {
		d := &event.Delivery{Event: &event.Event{
			ID: id, RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/p/jobs/j"},
		}}
		d.OnDone(done)
		b.Accept([]*event.Delivery{d})
	}
	<-all
	stop()
	running.Wait()
	return outcomes
}
