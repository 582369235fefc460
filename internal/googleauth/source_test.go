package googleauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2/google"

	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/test/pipenet"
)

// serve runs a token server on a loopback port.
func serve(t *testing.T) *tokenserver.Server {
	s := &tokenserver.Server{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// check reports whether a token is one of the server's, for the scope.
func check(s *tokenserver.Server, token, scope string) error {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return s.Check(r, scope)
}

func source(from string) *googleauth.Source {
	return &googleauth.Source{From: from, Scope: googleauth.JobsScope, UserAgent: "clientevents/test"}
}

func TestEveryKindOfCredentials(t *testing.T) {
	s := serve(t)
	dir := t.TempDir()
	for name, test := range map[string]struct {
		file         string
		kind         google.CredentialsType
		account      string
		quotaProject string
		paths        string
	}{
		"service account": {s.KeyFile(t, filepath.Join(dir, "key.json")), google.ServiceAccount, tokenserver.Email, "", "/token"},
		"user":            {s.UserFile(t, filepath.Join(dir, "user.json")), google.AuthorizedUser, "", tokenserver.QuotaProject, "/token"},
		"workload identity": {
			s.WorkloadFile(t, filepath.Join(dir, "pool.json"), false), google.ExternalAccount, tokenserver.Audience, "", "/sts",
		},
		"workload identity of a service account": {
			s.WorkloadFile(t, filepath.Join(dir, "pool2.json"), true), google.ExternalAccount, tokenserver.Impersonated, "", "/sts IMPERSONATE",
		},
		"impersonation": {
			s.ImpersonatedFile(t, filepath.Join(dir, "as.json")), google.ImpersonatedServiceAccount, tokenserver.Impersonated, "", "/token IMPERSONATE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := googleauth.Find(test.file)
			if err != nil {
				t.Fatal(err)
			}
			if found.Kind != test.kind || found.File != test.file || found.Account != test.account || found.QuotaProject != test.quotaProject {
				t.Errorf("found %s of %q in %s, quota project %q", found.Kind, found.Account, found.File, found.QuotaProject)
			}
			before := len(s.Requests())
			token, err := source(test.file).Token(t.Context())
			if err != nil {
				t.Fatalf("no token: %v; the requests were %+v", err, s.Requests()[before:])
			}
			if err := check(s, token.AccessToken, googleauth.JobsScope); err != nil {
				t.Error(err)
			}
			if left := time.Until(token.Expiry); left < 59*time.Minute || left > 61*time.Minute {
				t.Errorf("it ends in %v, want an hour", left)
			}
			var paths []string
			for _, r := range s.Requests()[before:] {
				if strings.HasSuffix(r.Path, ":generateAccessToken") {
					r.Path = "IMPERSONATE"
				}
				paths = append(paths, r.Path)
				if r.UserAgent != "clientevents/test" {
					t.Errorf("a request names itself %q", r.UserAgent)
				}
			}
			if got := strings.Join(paths, " "); got != test.paths {
				t.Errorf("the requests were %s, want %s", got, test.paths)
			}
		})
	}
}

// TestApplicationDefault walks along the places where Application Default
// Credentials may be.
func TestApplicationDefault(t *testing.T) {
	s := serve(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("APPDATA", home)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(s.URL, "http://"))
	want := func(kind google.CredentialsType, account string) {
		t.Helper()
		found, err := googleauth.Find(googleauth.Default)
		if err != nil {
			t.Fatal(err)
		}
		if found.Kind != kind || found.Account != account {
			t.Errorf("found %s of %q, want %s of %q", found.Kind, found.Account, kind, account)
		}
		token, err := source(googleauth.Default).Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := check(s, token.AccessToken, googleauth.JobsScope); err != nil {
			t.Error(err)
		}
	}
	want(googleauth.Metadata, "")
	email, scopes, err := source(googleauth.Default).MetadataAccount(t.Context())
	if email != tokenserver.Email || len(scopes) != 1 || scopes[0] != googleauth.CloudScope || err != nil {
		t.Errorf("the metadata server's account is %q with %q, %v", email, scopes, err)
	}

	s.UserFile(t, filepath.Join(home, ".config", "gcloud", "application_default_credentials.json"))
	want(google.AuthorizedUser, "")

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", s.KeyFile(t, filepath.Join(home, "key.json")))
	want(google.ServiceAccount, tokenserver.Email)

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(home, "none.json"))
	if _, err := googleauth.Find(googleauth.Default); err == nil || !strings.Contains(err.Error(), "GOOGLE_APPLICATION_CREDENTIALS") {
		t.Errorf("a file that does not exist: %v", err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
	if found, err := googleauth.Find(googleauth.Default); err != nil || found.QuotaProject != "payer" {
		t.Errorf("the quota project is not the environment's: %+v, %v", found, err)
	}
}

func TestNotCredentials(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "not a credentials file",
		`{"type":"something"}`:     `its type is "something"`,
		`{"installed":{}}`:         `its type is ""`,
		`{"type":"gdch_whatever"}`: "expected one of",
	} {
		file := filepath.Join(t.TempDir(), "file.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := googleauth.Find(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		var e *googleauth.Error
		if _, err := source(file).Token(t.Context()); !errors.As(err, &e) || e.Result != googleauth.Unusable {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A key that was replaced is known, and used.
func TestKeyFileIsReadAgain(t *testing.T) {
	s := serve(t)
	file := s.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))
	src := source(file)
	if _, err := src.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if src.Changed() {
		t.Error("the file counts as changed although it is the same")
	}
	s.KeyFile(t, file) // the server knows the new key alone
	if !src.Changed() {
		t.Error("a new file does not count as changed")
	}
	if _, err := src.Token(t.Context()); err != nil {
		t.Errorf("the new key is not used: %v", err)
	}
	if src.Changed() {
		t.Error("the file counts as changed although it was read")
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Token(t.Context()); err == nil || src.Changed() {
		t.Errorf("a file that can't be read: %v, and it counts as changed: %v", err, src.Changed())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Token(t.Context()); err == nil {
		t.Error("there is a token without a key")
	}
	if src.Changed() {
		t.Error("no file counts as a changed one")
	}
	s.KeyFile(t, file)
	if !src.Changed() {
		t.Error("a file that is there again does not count as changed")
	}
}

// TestTokenServersThatMisbehave wants each fault known for what it is, and no
// secret in what is said about it.
func TestTokenServersThatMisbehave(t *testing.T) {
	answer := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ": ")
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "did not understand %s %v", body, r.Header)
	}
	for name, test := range map[string]struct {
		answer     http.HandlerFunc
		result     googleauth.Result
		retryAfter time.Duration
		text       string
	}{
		"garbage":              {answer(200, "{{{"), googleauth.Invalid, 0, "200 OK: the answer is not a token"},
		"a web page":           {answer(200, "<html>log in</html>"), googleauth.Invalid, 0, "200 OK: the answer is not a token"},
		"200 with an error":    {answer(200, `{"error":"temporarily_unavailable","error_description":"later"}`), googleauth.Invalid, 0, "200 OK: temporarily_unavailable: later"},
		"no token":             {answer(200, `{"expires_in":3600}`), googleauth.Invalid, 0, "200 OK: the answer is not a token"},
		"the wrong type":       {answer(200, `{"access_token":"token-canary-x","expires_in":"soon"}`), googleauth.Invalid, 0, "200 OK: the answer is not a token"},
		"a wrong key":          {answer(400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`), googleauth.Refused, 0, "400 Bad Request: invalid_grant: Invalid JWT Signature."},
		"Google's own form":    {answer(403, `{"error":{"code":403,"message":"Permission denied.","status":"PERMISSION_DENIED"}}`), googleauth.Refused, 0, "403 Forbidden: PERMISSION_DENIED: Permission denied."},
		"throttled":            {answer(429, "", "Retry-After: 17"), googleauth.Throttled, 17 * time.Second, "429 Too Many Requests"},
		"throttled by 403":     {answer(403, `{"error":"rate_limit"}`, "Retry-After: 3"), googleauth.Throttled, 3 * time.Second, "403 Forbidden: rate_limit"},
		"down":                 {answer(500, "<html>"), googleauth.Unavailable, 0, "500 Internal Server Error"},
		"an echo":              {echo, googleauth.Refused, 0, "400 Bad Request: did not understand"},
		"a redirect elsewhere": {answer(307, "", "Location: http://127.0.0.1:1/thief"), googleauth.Unavailable, 0, "a redirect, which is not followed"},
		"another protocol":     {func(w http.ResponseWriter, _ *http.Request) { pipenet.SwitchProtocols(t, w) }, googleauth.Unavailable, 0, "101"},
		"cut":                  {answer(200, "", "Content-Length: 100"), googleauth.Unavailable, 0, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			dir := t.TempDir()
			secret := readKey(t, s.KeyFile(t, filepath.Join(dir, "key.json")))
			for _, file := range []string{"key.json", "user.json", "pool.json"} {
				s.UserFile(t, filepath.Join(dir, "user.json"))
				s.WorkloadFile(t, filepath.Join(dir, "pool.json"), false)
				s.Misbehave(test.answer)
				token, err := source(filepath.Join(dir, file)).Token(t.Context())
				e, ok := errors.AsType[*googleauth.Error](err)
				if !ok {
					t.Fatalf("%s: the token is %v, the error %v", file, token, err)
				}
				if e.Result != test.result || e.RetryAfter != test.retryAfter || !strings.Contains(e.Error(), test.text) {
					t.Errorf("%s: %s, wait %v: %v; want %s, wait %v: %s", file, e.Result, e.RetryAfter, e, test.result, test.retryAfter, test.text)
				}
				for _, canary := range []string{"canary", secret, "eyJ", "PRIVATE"} {
					if strings.Contains(e.Error(), canary) {
						t.Errorf("%s: the error shows %q: %v", file, canary, e)
					}
				}
				if strings.Contains(e.Error(), "\n") || len(e.Error()) > 500 {
					t.Errorf("%s: the error is not one line: %q", file, e)
				}
			}
		})
	}
}

func readKey(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(string(text), `-----BEGIN PRIVATE KEY-----\n`)
	return key[:60]
}

// A token whose end has passed, or never comes.
func TestStrangeLifetimes(t *testing.T) {
	s := serve(t)
	file := s.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))
	s.Misbehave(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"access_token":"t","token_type":"Bearer"}`)
	})
	if token, err := source(file).Token(t.Context()); err != nil || !token.Expiry.IsZero() {
		t.Errorf("a token without an end: %+v, %v", token, err)
	}
	s.Misbehave(nil)
	s.Lifetime = -time.Minute
	as := s.ImpersonatedFile(t, filepath.Join(t.TempDir(), "as.json"))
	if token, err := source(as).Token(t.Context()); err == nil {
		t.Errorf("a token that has ended is taken: %+v", token)
	}
}

// A server that hangs is given up on after a while, for every kind.
func TestTokenServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipenet.Network
		s := &tokenserver.Server{URL: "http://127.0.0.1:80"}
		network.Serve(t, "127.0.0.1:80", s)
		s.Misbehave(tokenserver.Hang)
		dir := t.TempDir()
		for _, file := range []string{
			s.KeyFile(t, filepath.Join(dir, "key.json")), s.UserFile(t, filepath.Join(dir, "user.json")),
			s.WorkloadFile(t, filepath.Join(dir, "pool.json"), true), s.ImpersonatedFile(t, filepath.Join(dir, "as.json")),
		} {
			src, began := source(file), time.Now()
			src.Dial = network.DialContext
			_, err := src.Token(t.Context())
			e, ok := errors.AsType[*googleauth.Error](err)
			if took := time.Since(began); !ok || e.Result != googleauth.Unavailable || took > 16*time.Second || !strings.Contains(e.Error(), "has not answered for") {
				t.Errorf("%s: after %v: %v", filepath.Base(file), took, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		src, began := source(filepath.Join(dir, "key.json")), time.Now()
		src.Dial = network.DialContext
		if _, err := src.Token(ctx); err == nil || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A clock that is wrong says so.
func TestWrongClocks(t *testing.T) {
	for _, clock := range []time.Duration{-time.Hour, time.Hour} {
		s := serve(t)
		s.Clock = clock
		_, err := source(s.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))).Token(t.Context())
		want := "this machine's clock is 1h0m0s ahead of the server's"
		if clock > 0 {
			want = "this machine's clock is 1h0m0s behind the server's"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", clock, err, want)
		}
		// What ends at a time of day ends by the server's clock.
		token, err := source(s.ImpersonatedFile(t, filepath.Join(t.TempDir(), "as.json"))).Token(t.Context())
		if err != nil {
			t.Errorf("%v: %v", clock, err)
		} else if left := time.Until(token.Expiry); left < 59*time.Minute || left > 61*time.Minute {
			t.Errorf("%v: the token ends in %v, want an hour", clock, left)
		}
	}
}

// Secrets go to no address that others can listen to.
func TestNoPlainHTTP(t *testing.T) {
	s := &tokenserver.Server{URL: "http://tokens.example.com"}
	_, err := source(s.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))).Token(t.Context())
	e, ok := errors.AsType[*googleauth.Error](err)
	if !ok || e.Result != googleauth.Unusable || !strings.Contains(e.Error(), "plain http") {
		t.Errorf("%v, want it refused", err)
	}
}
