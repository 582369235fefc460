package guard

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/test/pipenet"
)

func TestHosts(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for host, code := range map[string]int{
		"127.0.0.1:9090": 200, "10.1.2.3": 200, "[::1]:9090": 200, "[fe80::1%eth0]:1": 200, "localhost": 200, "LocalHost:9090": 200, "localhost.": 200, "": 200,
		"metrics.example": 200, "METRICS.example:80": 200, "metrics.example.:80": 200,
		"evil.example": 403, "evil.example:9090": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "metrics.example.evil": 403,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		Hosts(ok, []string{"metrics.example"}).ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("host %q: %d, want %d: %s", host, w.Code, code, w.Body)
		}
	}
}

// TestLimits: idle connections, slow headers and slow bodies end, and connections beyond
// the limit get 503 until there is room again.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(pipenet.Network)
		l := network.Listen("127.0.0.1:9090")
		server := Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusRequestTimeout)
			}
		}), nil)
		served := make(chan error, 1)
		go func() { served <- server.Serve(Listener(l, 3)) }()
		dial := func(text string) net.Conn {
			t.Helper()
			c, err := network.DialContext(t.Context(), "tcp", "127.0.0.1:9090")
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(c, text) }()
			return c
		}
		idle, header, body := dial("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), dial("GET / HT"), dial("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
		synctest.Wait()
		answer, err := http.ReadResponse(bufio.NewReader(dial("")), nil)
		if err != nil || answer.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("the fourth connection got %v, %v", answer, err)
		}
		answer.Body.Close()
		for _, c := range []struct {
			name string
			net.Conn
			within time.Duration
		}{{"slow header", header, headerTime}, {"slow body", body, readTime}, {"idle", idle, idleTime}} {
			began := time.Now()
			_, _ = io.Copy(io.Discard, c)
			if took := time.Since(began); took > c.within+time.Second {
				t.Errorf("%s: open for %v, want %v", c.name, took, c.within)
			}
			c.Close()
		}
		synctest.Wait()
		again := dial("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		text, _ := io.ReadAll(again)
		if !strings.HasPrefix(string(text), "HTTP/1.1 200") {
			t.Errorf("with room again: %q", text)
		}
		again.Close()
		_ = server.Close()
		<-served
	})
}
