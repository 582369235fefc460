package reporter

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
)

// proxy is a real server that stands before the API.
type proxy struct {
	program string
	modules string // a folder that must exist; "" for none
	config  string // DIR, PORT and API are replaced
	args    []string
	reload  os.Signal
	ready   string // a file that says so, and what it contains by then
	says    string
	secure  bool // it serves HTTP/2 with the certificate DIR/cert and DIR/key
}

// http2 returns nginx with HTTP/2: GOAWAY ends each connection after 50 requests.
func (p proxy) http2() proxy {
	p.config = strings.Replace(p.config, "listen 127.0.0.1:PORT;", `listen 127.0.0.1:PORT ssl http2;
    ssl_certificate DIR/cert;
    ssl_certificate_key DIR/key;`, 1)
	p.secure = true
	return p
}

var nginx = proxy{
	program: "nginx",
	config: `
daemon off;
worker_processes 2;
pid DIR/pid;
error_log DIR/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  server {
    listen 127.0.0.1:PORT;
    keepalive_requests 50;
    client_max_body_size 10m;
    location / { proxy_pass API; }
  }
}
`,
	args:   []string{"-p", "DIR", "-c", "DIR/conf", "-e", "DIR/error.log"},
	reload: syscall.SIGHUP,
	ready:  "pid",
	says:   "\n",
}

var proxies = map[string]proxy{
	// Each child ends after 200 connections.
	"Apache httpd": {
		program: "apache2",
		modules: "/usr/lib/apache2/modules",
		config: `
ServerRoot DIR
PidFile DIR/pid
DefaultRuntimeDir DIR
ErrorLog DIR/error.log
ServerName localhost
Listen 127.0.0.1:PORT
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
KeepAlive On
MaxKeepAliveRequests 5
KeepAliveTimeout 5
MaxConnectionsPerChild 200
StartServers 2
ThreadsPerChild 16
MaxRequestWorkers 64
ServerLimit 4
ProxyPass / API
`,
		args:   []string{"-f", "DIR/conf", "-DFOREGROUND"},
		reload: syscall.SIGUSR1,
		ready:  "error.log",
		says:   "resuming normal operations",
	},
	// Each connection ends after 50 requests.
	"nginx":         nginx,
	"nginx, HTTP/2": nginx.http2(),
}

// Real servers that end connections after a number of requests, and that are
// reloaded under load: no event is lost, reporting never pauses, and only
// interrupted requests are repeated.
func TestRealProxies(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds")
	}
	for name, p := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := exec.LookPath(p.program)
			if err != nil {
				t.Skipf("NOT RUN: %s is not installed", p.program)
			}
			for _, size := range []int{1, 10} {
				t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
					t.Parallel()
					reportThrough(t, program, p, size)
				})
			}
		})
	}
}

func reportThrough(t *testing.T, program string, p proxy, size int) {
	api := emulator.New(emulator.Options{KeepAll: true, Faults: emulator.Faults{Latency: 2 * time.Millisecond}})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	endpoint, trusted, reload := p.start(t, program, server.URL+"/")
	log := &lockedWriter{w: &bytes.Buffer{}}
	const concurrency, events = 16, 3000
	b := batcher.New(batcher.Config{Size: size, Concurrency: concurrency})
	registry := prometheus.NewRegistry()
	r, err := New(Config{
		Endpoint: endpoint, Version: event.V3, Parent: "projects/demo", Concurrency: concurrency, burst: events,
		Logger: slog.New(slog.NewTextHandler(log, nil)), Registerer: registry, TLS: &tls.Config{RootCAs: trusted},
	}, b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); r.Abort(); running.Wait() })
	var done sync.WaitGroup
	for part := range 6 {
		b.Accept(eventsFor(&done, part*events/6, events/6))
		reload()
		waitUntil(t, func() bool { return b.Pending() < events/12 })
	}
	done.Wait()
	judgeProxied(t, api, registry, events)
	if text := log.w.(*bytes.Buffer).String(); strings.Contains(text, "paused") {
		t.Errorf("reporting paused:\n%s", text)
	}
}

// eventsFor makes n events; done counts them until they have an outcome.
func eventsFor(done *sync.WaitGroup, first, n int) (ds []*event.Delivery) {
	term := event.NewTerm()
	for i := range n {
		d := &event.Delivery{Term: term, Event: &event.Event{
			ID: fmt.Sprint("e", first+i), RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/demo/jobs/j"},
		}}
		done.Add(1)
		d.OnDone(func(*event.Delivery, event.Outcome) bool { done.Done(); return false })
		ds = append(ds, d)
	}
	return ds
}

// judgeProxied wants all events at the API, and no more of them twice than have an
// unknown outcome.
func judgeProxied(t *testing.T, api *emulator.Emulator, registry *prometheus.Registry, events int) {
	t.Helper()
	times := map[string]int{}
	for _, a := range api.Events() {
		times[a.Event.EventID]++
	}
	repeated := len(api.Events()) - len(times)
	g := &rig{t: t, registry: registry}
	unknown := g.metric("unknown_outcomes_total", "")
	if len(times) != events || float64(repeated) > unknown {
		t.Errorf("the API has %d events, %d of them again; want %d, at most the %v of an unknown outcome again", len(times), repeated, events, unknown)
	}
	t.Logf("%d events, %d repeated, %v of an unknown outcome, %v retries", len(times), repeated, unknown, g.metric("retries_total", "network"))
}

// start starts the server before the API. reload reloads it, by a signal: the servers'
// own commands look for a file with the process ID, which Apache writes again meanwhile.
func (p proxy) start(t *testing.T, program, api string) (endpoint string, trusted *x509.CertPool, reload func()) {
	dir, err := os.MkdirTemp("", "proxy") //nolint:usetesting // the server's own user can't enter the test's folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o777)
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	fill := strings.NewReplacer("DIR", dir, "PORT", port, "API", api)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(fill.Replace(p.config)), 0o644); err != nil {
		t.Fatal(err)
	}
	trusted = writeCertificate(t, dir)
	args := make([]string, len(p.args))
	for i, a := range p.args {
		args[i] = fill.Replace(a)
	}
	server := exec.Command(program, args...)
	var output bytes.Buffer
	server.Stdout, server.Stderr = &output, &output
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
		if errors, _ := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() {
			t.Logf("the server:\n%s%.4000s", output.String(), errors)
		}
	})
	waitUntil(t, func() bool { // it listens before it handles signals
		text, _ := os.ReadFile(filepath.Join(dir, p.ready))
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil && strings.Contains(string(text), p.says)
	})
	if endpoint = "http://" + address; p.secure {
		endpoint = "https://" + address
	}
	return endpoint, trusted, func() {
		if err := server.Process.Signal(p.reload); err != nil {
			t.Errorf("reload: %v", err)
		}
	}
}

// writeCertificate writes DIR/cert and DIR/key, and returns a pool with the certificate.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"key":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	return trusted
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitUntil looks again and again, since other processes do the work.
func waitUntil(t *testing.T, reached func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("not reached within 20s")
		}
	}
}
