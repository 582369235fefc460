package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// connectProxy is a proxy for CONNECT, which leads every call to one address.
type connectProxy struct {
	to string

	mu    sync.Mutex
	calls []string // host and credentials of each
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.calls = append(p.calls, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
	p.mu.Unlock()
	there, err := net.Dial("tcp", p.to)
	if err != nil || r.Method != http.MethodConnect {
		http.Error(w, "no", http.StatusBadGateway)
		return
	}
	defer there.Close()
	w.WriteHeader(http.StatusOK)
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	go func() { _, _ = io.Copy(there, buffered); there.Close() }()
	_, _ = io.Copy(here, there)
}

func (p *connectProxy) called() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(p.calls)))
}

// asChild says that the test binary is to be the program: which proxy is used is
// looked up once in a process.
const asChild = "CLIENTEVENTS_TEST_ARGUMENTS"

func TestChild(t *testing.T) {
	arguments, ok := os.LookupEnv(asChild)
	if !ok {
		t.Skip("this is the program for other tests")
	}
	os.Unsetenv(asChild)
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	os.Exit(Main(ctx, strings.Fields(arguments), Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()}))
}

func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestProxy runs the program where nothing can be reached but through a proxy,
// as the environment says.
func TestProxy(t *testing.T) {
	t.Parallel()
	tokens := &tokenserver.Server{URL: "https://talent.invalid"}
	api := emulator.New(emulator.Options{Faults: emulator.Faults{Token: func(token string) bool {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return tokens.Check(r, googleauth.JobsScope) == nil
	}}})
	both := http.NewServeMux()
	both.Handle("/token", tokens)
	both.Handle("/", api)
	server := httptest.NewUnstartedServer(both)
	certificate := selfSigned(t, "talent.invalid") // a name that leads nowhere
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	defer server.Close()
	proxy := &connectProxy{to: server.Listener.Addr().String()}
	proxyServer := httptest.NewServer(proxy)
	defer proxyServer.Close()

	dir := t.TempDir()
	authority := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStation(t, kafkatest.Embedded(t), "")
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	key := tokens.KeyFile(t, filepath.Join(dir, "key.json"))
	changed := bytes.Replace(text, []byte("credentials: none"), []byte("credentials: "+key), 1)
	before, after, _ := bytes.Cut(changed, []byte(`endpoint: "`))
	_, after, _ = bytes.Cut(after, []byte(`"`))
	changed = fmt.Appendf(nil, `%sendpoint: "https://talent.invalid"%s`, before, after)
	if err := os.WriteFile(s.file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	environ := append(os.Environ(), "SSL_CERT_FILE="+authority, "HTTPS_PROXY="+strings.Replace(proxyServer.URL, "http://", "http://user:proxy-canary@", 1))
	child := func(arguments string, more ...string) *exec.Cmd {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$")
		cmd.Env = append(append(environ, asChild+"="+arguments+" --config "+s.file), more...)
		return cmd
	}
	const basic = "Basic dXNlcjpwcm94eS1jYW5hcnk="
	want := func(calls ...string) {
		t.Helper()
		if got := proxy.called(); !slices.Equal(got, calls) {
			t.Errorf("the proxy was called for %q, want %q", got, calls)
		}
	}

	out, err := child("check", "NO_PROXY=talent.invalid").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "FAIL  token") {
		t.Errorf("without the proxy check says %v\n%s", err, out)
	}
	want()
	out, err = child("check").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ok    endpoint https://talent.invalid") || strings.Contains(string(out), "canary") {
		t.Errorf("check says %v\n%s", err, out)
	}
	want("CONNECT talent.invalid:443 " + basic)
	out, err = child("check", strings.Replace(environ[len(environ)-1], proxyServer.Listener.Addr().String(), "127.0.0.1:1", 1)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "proxy") || strings.Contains(string(out), "canary") {
		t.Errorf("with a proxy that is away check says %v\n%s", err, out)
	}

	s.Produce(t, s.topic, kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, goodEvent, "a", "a")})
	run := child("run")
	var log bytes.Buffer
	run.Stdout, run.Stderr = &log, &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	kafkatest.WaitFor(t, 30*time.Second, "the event to be reported", func() bool { return api.Stats().Accepted == 1 })
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := run.Wait(); err != nil || strings.Contains(log.String(), "canary") {
		t.Errorf("run: %v\n%s", err, log.String())
	}
	want("CONNECT talent.invalid:443 " + basic)
}
