package talent

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestsAreEncryptedTogether: over HTTP/2, a connection combines the requests of
// all senders before it encrypts them.
func TestRequestsAreEncryptedTogether(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Proto != "HTTP/2.0" {
			t.Errorf("a request came by %s, want HTTP/2.0", r.Proto)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := newClient(t, trusting(server))
	var conns []net.Conn
	transport := client.conns.current.Load().Transport
	dial := transport.DialTLSContext
	transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		conns = append(conns, conn)
		return conn, err
	}
	s := client.NewSender()
	defer s.Close()
	for range 3 {
		if answer := s.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil {
			t.Fatal(answer.Err)
		}
	}
	if len(conns) != 1 {
		t.Fatalf("%d connections, want 1", len(conns))
	}
	combining, ok := conns[0].(*coalescer)
	if !ok {
		t.Fatalf("the connection is a %T", conns[0])
	}
	if _, ok := combining.Conn.(*tls.Conn); !ok {
		t.Errorf("writes are combined for a %T, want before they are encrypted", combining.Conn)
	}
}

// A server without HTTP/2 is found out by the first request, which is sent all the
// same, and so are those after new connections.
func TestServerWithoutHTTP2(t *testing.T) {
	var requests, dials atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) == 0 || r.Proto != "HTTP/1.1" {
			t.Errorf("received %q by %s: %v", body, r.Proto, err)
		}
		requests.Add(1)
	}))
	server.StartTLS()
	defer server.Close()
	cfg := trusting(server)
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	client := newClient(t, cfg)
	s := client.NewSender()
	defer s.Close()
	send := func() {
		t.Helper()
		if answer := s.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil || answer.Status != http.StatusOK {
			t.Errorf("status %d, %v", answer.Status, answer.Err)
		}
	}
	send()
	send()
	client.conns.replace(client.conns.current.Load())
	send()
	if requests.Load() != 3 || dials.Load() != 3 {
		t.Errorf("%d requests over %d connections, want 3 over 3: one to find out, and two that were used", requests.Load(), dials.Load())
	}
}

func TestWhereHTTP2MayBeTried(t *testing.T) {
	if mayTryHTTP2("http://127.0.0.1") {
		t.Error("HTTP/2 is tried over plain http")
	}
	if !mayTryHTTP2("https://127.0.0.1") {
		t.Error("HTTP/2 is not tried over https")
	}
	t.Setenv("GODEBUG", "http2client=0")
	if mayTryHTTP2("https://127.0.0.1") {
		t.Error("HTTP/2 is tried though it is switched off")
	}
}

// The server's certificate is checked, for its name too.
func TestCertificateIsChecked(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request was sent to a server that is not trusted")
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	server.StartTLS()
	defer server.Close()
	for name, change := range map[string]func(*Config){
		"unknown authority": func(c *Config) { c.TLS = nil },
		"wrong name":        func(c *Config) { c.TLS.ServerName = "other.test" },
		"wrong host": func(c *Config) {
			c.Endpoint = "https://other.test"
			c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
			}
		},
	} {
		cfg := trusting(server)
		change(&cfg)
		s := newClient(t, cfg).NewSender()
		answer := s.Send(t.Context(), benchmarkBatch(1)[0])
		if _, ok := errors.AsType[*tls.CertificateVerificationError](answer.Err); !ok {
			t.Errorf("%s: the failure is %v, want a rejected certificate", name, answer.Err)
		}
		s.Close()
	}
}

// TestClosingTLSIsBounded: a peer that no longer reads does not delay the end of a
// connection by the five seconds that crypto/tls would wait.
func TestClosingTLSIsBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		handshake := make(chan error, 1)
		go func() {
			handshake <- tls.Server(far, &tls.Config{Certificates: server.TLS.Certificates, SessionTicketsDisabled: true}).Handshake()
		}()
		secure := tls.Client(near, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // of this test's own peer
		if err := errors.Join(secure.Handshake(), <-handshake); err != nil {
			t.Fatal(err)
		}
		c := newCoalescer(secure)
		began := time.Now()
		_ = c.Close()
		if took := time.Since(began); took != closeTimeout {
			t.Errorf("Close took %v, want %v", took, closeTimeout)
		}
	})
}
