package talent

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

func newClient(tb testing.TB, cfg Config) *Client {
	tb.Helper()
	cfg.Version, cfg.Parent = event.V3, "projects/p"
	c, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// trusting returns a configuration that trusts a server, and allows any version of
// TLS.
func trusting(server *httptest.Server) Config {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return Config{Endpoint: server.URL, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10}}
}

func TestOldTLSIsNotSpoken(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request came over an old version of TLS")
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	server.StartTLS()
	defer server.Close()
	s := newClient(t, trusting(server)).NewSender()
	defer s.Close()
	if answer := s.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err == nil || answer.Err.Reason != Network {
		t.Errorf("the failure is %v, want the connection refused", answer.Err)
	}
}

// A connection that answers PINGs while the backend behind it hangs is replaced,
// though it looks alive; requests in flight on it finish.
func TestHangingConnectionIsReplaced(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		var mu sync.Mutex
		conns := map[string]int{} // requests by connection
		first := ""
		started, finish := make(chan struct{}), make(chan struct{})
		var slow atomic.Bool
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client close the connection
			mu.Lock()
			if first == "" {
				first = r.RemoteAddr
			}
			conns[r.RemoteAddr]++
			hangs := r.RemoteAddr == first
			mu.Unlock()
			switch {
			case slow.CompareAndSwap(true, false):
				close(started)
				<-finish
			case hangs:
				<-r.Context().Done()
			}
		}))
		server.EnableHTTP2 = http2
		server.StartTLS()
		cfg := trusting(server)
		cfg.Timeout, cfg.Concurrency = 200*time.Millisecond, 2
		client := newClient(t, cfg)
		cfg.Timeout = time.Minute
		patient := newClient(t, cfg)
		patient.conns = client.conns
		inFlight := make(chan Answer, 1)
		slow.Store(true)
		go func() {
			s := patient.NewSender()
			defer s.Close()
			inFlight <- s.Send(t.Context(), benchmarkBatch(1)[0])
		}()
		<-started
		if !http2 {
			mu.Lock()
			first = "" // the next connection is the one that hangs
			mu.Unlock()
		}
		s := client.NewSender()
		for try := 1; try <= 3; try++ {
			answer := s.Send(t.Context(), benchmarkBatch(1)[0])
			timedOut := answer.Err != nil && answer.Err.Reason == Timeout
			if want := try <= timeoutsUntilReplaced && http2 || try == 1; timedOut != want {
				t.Errorf("HTTP/2 %v: attempt %d ended with %v; a timeout: %v, want %v", http2, try, answer.Err, timedOut, want)
			}
		}
		close(finish)
		if answer := <-inFlight; answer.Err != nil {
			t.Errorf("HTTP/2 %v: the request in flight failed: %v", http2, answer.Err)
		}
		if http2 && len(conns) != 2 {
			t.Errorf("requests by connection are %v, want two connections", conns)
		}
		s.Close()
		client.Close()
		server.Close()
	}
}

// One answer between two timeouts shows that the connection works.
func TestConnectionsAreKeptBetweenTimeouts(t *testing.T) {
	c := newConnections(Config{Concurrency: 1})
	conn := c.current.Load()
	for range 3 {
		c.timedOut(conn)
		c.answered(conn)
	}
	if c.current.Load() != conn {
		t.Error("connections were replaced though each timeout was followed by an answer")
	}
	c.timedOut(conn)
	c.timedOut(conn)
	c.timedOut(conn) // a straggler
	next := c.current.Load()
	if next == conn {
		t.Error("connections were kept after two timeouts")
	}
	c.timedOut(conn)
	if c.current.Load() != next {
		t.Error("a timeout of an old connection replaced the new ones")
	}
}
