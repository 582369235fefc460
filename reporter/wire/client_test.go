package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/internal/pipenet"
)

// echoBack answers with the protocol, and with the request's body.
func echoBack(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Proto)
	_, _ = io.Copy(w, r.Body)
}

func TestProtocols(t *testing.T) {
	const lanes, requests = 20, 50
	for _, test := range []struct {
		protocol    string
		http2       bool
		connections int64
	}{{"HTTP/1.1", false, lanes}, {"HTTP/2.0", true, 1}} {
		t.Run(test.protocol, func(t *testing.T) {
			server := tlsServer(t, test.http2, echoBack)
			var dials atomic.Int64
			first, h := laneTo(t, server.URL, trusting(server), counting(&dials))
			var all sync.WaitGroup
			for i := range lanes {
				all.Go(func() {
					l := first.client.NewLane()
					defer l.Close()
					for j := range requests {
						body := strconv.Itoa(i*requests + j)
						got, err := l.Do(t.Context(), h, []byte(body))
						if err != nil || got.Status != http.StatusOK || got.ContentType != test.protocol || string(got.Body) != body {
							t.Errorf("the answer is %d %s %q, %v: want %q by %s", got.Status, got.ContentType, got.Body, err, body, test.protocol)
							return
						}
					}
				})
			}
			all.Wait()
			if dials.Load() != test.connections {
				t.Errorf("%d lanes took %d connections, want %d", lanes, dials.Load(), test.connections)
			}
		})
	}
}

// A host may speak another protocol after a while.
func TestProtocolChanges(t *testing.T) {
	var http2 atomic.Bool
	server := tlsServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // which ends an HTTP/2 connection too
		echoBack(w, r)
	})
	l, h := laneTo(t, server.URL, trusting(server))
	for i, speaks := range []bool{true, false, false, true, true, false} {
		http2.Store(speaks)
		l.client.tls.NextProtos = []string{"http/1.1"}
		want := "HTTP/1.1"
		if speaks {
			l.client.tls.NextProtos, want = []string{"h2"}, "HTTP/2.0"
		}
		got, err := l.Do(t.Context(), h, []byte("{}"))
		if err != nil || got.ContentType != want {
			t.Fatalf("request %d went by %q, want %q: %v", i, got.ContentType, want, err)
		}
		if l.client.http1Only.Load() == speaks {
			t.Errorf("after request %d lanes dial for themselves: %v", i, !speaks)
		}
	}
}

// What many lanes wait for is dialed once, and fails for all of them at once.
func TestLanesShareADial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		broken := errors.New("no way")
		l, h := laneTo(t, "https://api", func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				dials.Add(1)
				time.Sleep(9 * time.Second)
				return nil, broken
			}
		})
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				lane := l.client.NewLane()
				defer lane.Close()
				if _, err := lane.Do(t.Context(), h, nil); !errors.Is(err, broken) {
					t.Errorf("the error is %v, want %v", err, broken)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Do(ctx, h, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("a lane waits for a dial beyond its context: %v after %v", err, time.Since(began))
		}
		all.Wait()
		if dials.Load() != 1 || time.Since(began) != 9*time.Second {
			t.Errorf("%d dials in %v, want 1 in 9s", dials.Load(), time.Since(began))
		}
	})
}

func TestHandshakeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net pipenet.Network
		silent := net.Listen("api:443")
		defer silent.Close()
		go func() {
			for {
				conn, err := silent.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, conn) }()
			}
		}()
		l, h := laneTo(t, "https://api", network(&net))
		began := time.Now()
		if _, err := l.Do(t.Context(), h, nil); err == nil || time.Since(began) != handshakeTimeout {
			t.Errorf("a handshake without an answer ended after %v: %v", time.Since(began), err)
		}
	})
}

func TestCertificatesAreChecked(t *testing.T) {
	server := tlsServer(t, true, echoBack)
	l, h := laneTo(t, server.URL)
	_, err := l.Do(t.Context(), h, nil)
	if unknown := new(tls.CertificateVerificationError); !errors.As(err, &unknown) {
		t.Errorf("the error is %v, want that the certificate can't be trusted", err)
	}
}

// What goes by a proxy is net/http's, and goes by it.
func TestProxy(t *testing.T) {
	var seen []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.String()+" "+r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.Copy(w, r.Body)
	}))
	defer proxy.Close()
	var asked string
	l, h := laneTo(t, "http://jobs.example/v4/x", func(c *Config) {
		c.Proxy = func(r *http.Request) (*url.URL, error) {
			asked = r.URL.String()
			return url.Parse(proxy.URL)
		}
	})
	got, err := l.Do(t.Context(), h, []byte("{}"))
	if err != nil || got.Status != http.StatusTooManyRequests || string(got.Body) != "{}" {
		t.Errorf("the answer is %d %q, %v", got.Status, got.Body, err)
	}
	if asked != "http://jobs.example/v4/x" || len(seen) != 1 || seen[0] != "http://jobs.example/v4/x Bearer secret" {
		t.Errorf("the way was asked for to %q, and the proxy saw %q", asked, seen)
	}
	if _, err := NewClient(Config{URL: h.url, Proxy: func(*http.Request) (*url.URL, error) { return nil, io.ErrNoProgress }}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("the error is %v, want that of the proxy's configuration", err)
	}
}

func TestAddresses(t *testing.T) {
	for raw, want := range map[string]string{
		"http://api/x": "api:80", "https://api": "api:443", "https://api:8443": "api:8443", "http://[::1]/": "[::1]:80", "http://[::1]:81": "[::1]:81",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := addressOf(u); got != want {
			t.Errorf("%s is at %q, want %q", raw, got, want)
		}
	}
}

// A connection that breaks before anything was written costs another dial.
func TestUnreadRequestsAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net1 pipenet.Network
		net1.Serve(t, "api:80", http.HandlerFunc(echoBack))
		dials, broken := 0, 3
		l, h := laneTo(t, "http://api", func(c *Config) {
			c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := net1.DialContext(ctx, network, address)
				if dials++; dials <= broken && err == nil {
					conn.Close()
				}
				return conn, err
			}
		})
		if got, err := l.Do(t.Context(), h, []byte("{}")); err != nil || string(got.Body) != "{}" || dials != broken+1 {
			t.Errorf("after %d connections that broke: %q, %v", dials-1, got.Body, err)
		}
		l.Close()
		dials, broken = 0, 1<<30
		if _, err := l.Do(t.Context(), h, []byte("{}")); err == nil || dials != maxTries {
			t.Errorf("%d connections broke, and the error is %v: want %d tries", dials, err, maxTries)
		}
	})
}
