package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
)

// laneTo makes a client and a lane of it, and the head of requests to a URL.
func laneTo(t testing.TB, to string, adjust ...func(*Config)) (*Lane, *Head) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{URL: u, Dial: new(net.Dialer).DialContext, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	for _, f := range adjust {
		f(&cfg)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHead(u, http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer secret"}})
	if err != nil {
		t.Fatal(err)
	}
	l := c.NewLane()
	t.Cleanup(func() { l.Close(); c.Close() })
	return l, h
}

// trusting lets a client believe a test's server.
func trusting(server *httptest.Server) func(*Config) {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return func(c *Config) { c.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12} }
}

// tlsServer serves a handler over TLS, by HTTP/2 where that is wanted.
func tlsServer(t testing.TB, http2 bool, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = http2
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// counting counts the connections that a client makes.
func counting(n *atomic.Int64) func(*Config) {
	return func(c *Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			n.Add(1)
			return dial(ctx, network, address)
		}
	}
}

// scripted listens on loopback and answers each request of a connection with the
// text, or closes the connection with its end. It says how many requests it read.
func scripted(t testing.TB, answer func(conn net.Conn)) (address string, requests *atomic.Int64) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	requests = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, req.Body); err != nil {
						return
					}
					requests.Add(1)
					answer(conn)
				}
			}()
		}
	}()
	return l.Addr().String(), requests
}
