package input

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

// TestWatchedLogin replaces the token and the authorities under a registry's client: the
// last usable content is in force.
func TestWatchedLogin(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	server.Close()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		put := func(name, content string) string {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * filewatch.Every)
			synctest.Wait()
			return path
		}
		files := filewatch.New(slog.New(slog.DiscardHandler), nil)
		defer files.Close()
		c := Config{Files: files, Certificates: tlsfile.New(files, nil, nil), Registry: Registry{
			URL: "https://schemas.example", BearerTokenFile: put("token", "first\n"), CAFile: put("ca", authority),
		}}
		login, err := newLogin(c)
		if err != nil {
			t.Fatal(err)
		}
		transport, err := newTransport(c)
		if err != nil {
			t.Fatal(err)
		}
		token := func(want string) {
			t.Helper()
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			if err := login.authorize(req); err != nil || req.Header.Get("Authorization") != "Bearer "+want {
				t.Errorf("the login is %q, %v, expected %s", req.Header.Get("Authorization"), err, want)
			}
		}
		token("first")
		put("token", "")
		token("first")
		put("token", "second")
		token("second")

		first := transport.now()
		if first.TLSClientConfig.RootCAs == nil || transport.now() != first {
			t.Error("connections do not share the transport with the authorities")
		}
		put("ca", authority[:len(authority)/2])
		if transport.now() != first {
			t.Error("a half-written file of authorities is used")
		}
		put("ca", authority+authority)
		if next := transport.now(); next == first || next.TLSClientConfig.RootCAs == nil {
			t.Error("new connections do not use the changed authorities")
		}

		c.Registry.BearerTokenFile = filepath.Join(dir, "missing")
		if _, err := newLogin(c); err == nil || err.Error()[:len("input.registry.bearer_token_file: open")] != "input.registry.bearer_token_file: open" {
			t.Errorf("a missing file: %v", err)
		}
	})
}
