package talent

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
)

// proxied is set in the process that TestProxy starts.
const proxied = "CLIENTEVENTS_TEST_PROXIED"

// net/http reads the proxies of the environment once for each process, so this
// test runs in its own.
func TestProxy(t *testing.T) {
	if os.Getenv(proxied) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxy$")
		cmd.Env = append(os.Environ(), proxied+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the protocol is %s, want HTTP/2", r.Proto)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	tunnels, posts := 0, 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Host == "plain.example.com" {
			posts++
			return
		}
		if r.Method != http.MethodConnect || r.Host != "example.com:443" {
			t.Errorf("the proxy received %s %s, want CONNECT example.com:443", r.Method, r.Host)
			return
		}
		tunnels++
		tunnel(t, w, server.Listener.Addr().String())
	}))
	defer proxy.Close()
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	cfg := trusting(server)
	cfg.Endpoint = "https://example.com" // which the server's certificate is for
	sender := newClient(t, cfg).NewSender()
	defer sender.Close()
	if answer := sender.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil {
		t.Errorf("the attempt failed: %v", answer.Err)
	}
	plain := newClient(t, Config{Endpoint: "http://plain.example.com"}).NewSender()
	defer plain.Close()
	if answer := plain.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil || posts != 1 {
		t.Errorf("the attempt over plain http failed with %v, and %d requests reached the proxy, want 1", answer.Err, posts)
	}
	if tunnels != 1 {
		t.Errorf("%d connections through the proxy, want 1", tunnels)
	}
}

// tunnel answers a CONNECT: it copies bytes between the client and an address.
func tunnel(t *testing.T, w http.ResponseWriter, address string) {
	back, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer back.Close()
	w.WriteHeader(http.StatusOK)
	front, read, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	go func() {
		_, _ = io.Copy(back, read) // which may have the client's first byte already
		back.Close()
	}()
	_, _ = io.Copy(front, back)
	front.Close()
}
