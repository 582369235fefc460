package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// introspector is the server that a broker asks about tokens. It accepts what
// Google's Managed Service for Apache Kafka accepts.
type introspector struct {
	tokens *tokenserver.Server

	mu     sync.Mutex
	logins int
	faults []string
}

func (i *introspector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	subject, end, err := i.check(r.PostFormValue("token"))
	i.mu.Lock()
	i.logins++
	if err != nil {
		i.faults = append(i.faults, err.Error())
	}
	i.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"active": err == nil, "sub": subject, "scope": "kafka", "token_type": "bearer", "exp": end, "iat": time.Now().Unix(),
	})
}

// check takes the three parts apart: a header that names the form, the claims,
// and the access token itself.
func (i *introspector) check(login string) (subject string, end int64, err error) {
	parts := strings.Split(login, ".")
	if len(parts) != 3 {
		return "", 0, fmt.Errorf("%d parts", len(parts))
	}
	var header struct{ Typ, Alg string }
	var claims struct {
		Iss, Sub, Scope string
		Iat, Exp        int64
	}
	for part, into := range map[string]any{parts[0]: &header, parts[1]: &claims} {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return "", 0, err
		}
	}
	token, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", 0, err
	}
	now := time.Now().Unix()
	if header.Typ != "JWT" || header.Alg != "GOOG_OAUTH2_TOKEN" || claims.Iss != "Google" || claims.Sub != tokenserver.Email || claims.Scope != "kafka" ||
		claims.Iat < now-60 || claims.Iat > now+1 || claims.Exp <= now || claims.Exp > now+3600 {
		return "", 0, fmt.Errorf("header %+v, claims %+v", header, claims)
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+string(token))
	return claims.Sub, claims.Exp, i.tokens.Check(r, googleauth.CloudScope)
}

// newIntrospector answers a broker at address, about the tokens of a server of its own.
func newIntrospector(t *testing.T, address string) *introspector {
	t.Helper()
	i := &introspector{tokens: &tokenserver.Server{}}
	server := httptest.NewServer(i.tokens)
	t.Cleanup(server.Close)
	i.tokens.URL = server.URL
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	answers := &http.Server{Handler: i}
	go func() { _ = answers.Serve(listener) }()
	t.Cleanup(func() { answers.Close() })
	return i
}

// wantLogins expects at least n logins, and that none was refused.
func (i *introspector) wantLogins(t *testing.T, n int) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.logins < n || len(i.faults) > 0 {
		t.Errorf("%d logins, expected at least %d, and these were refused: %q", i.logins, n, i.faults)
	}
}

// TestGoogleSessions: with Google credentials, a replica stays logged in to a broker for
// three session lifetimes at 500 events/s. The tokens are renewed meanwhile.
func TestGoogleSessions(t *testing.T) {
	t.Parallel()
	b := startOAuthBroker(t, nil, map[string]string{"connections.max.reauth.ms": fmt.Sprint(loginLifetime.Milliseconds())})
	i := newIntrospector(t, b.Introspection())
	i.tokens.Lifetime = tokenLifetime
	key := i.tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))
	stayLoggedIn(t, b, map[string]string{"google": "provider: google"}, []string{"GOOGLE_APPLICATION_CREDENTIALS=" + key}, func() {})
	i.wantLogins(t, 10)
}

// TestGoogleLogin logs in to a real broker with Google credentials, for each of
// the two places that a program on Google Cloud has them in.
func TestGoogleLogin(t *testing.T) {
	secure := kafkatest.RealSecure(t)
	c := kafkatest.Real(t)
	t.Setenv("HOME", t.TempDir()) // where there are no other credentials
	i := newIntrospector(t, secure.Introspection)
	tokens := i.tokens
	for name, set := range map[string]func(t *testing.T){
		"key": func(t *testing.T) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json")))
		},
		"metadata server": func(t *testing.T) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
			t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(tokens.URL, "http://"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			set(t)
			s := newStation(t, c, "")
			s.through(t, secure.OAuth, "sasl: {mechanism: oauthbearer}")
			if code, out, _ := command(t, "", "check", "--config", s.file); code != exitDone {
				t.Fatalf("check: exit code %d\n%s", code, out)
			}
			s.Produce(t, s.topic, kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, goodEvent, "a", "a")})
			stop := background(t, "run", "--config", s.file)
			kafkatest.WaitFor(t, time.Minute, "the event to be reported", func() bool { return s.api.Stats().Accepted == 1 })
			if code := stop(); code != exitDone {
				t.Errorf("run: exit code %d", code)
			}
		})
	}
	i.wantLogins(t, 1)
	t.Run("a token that is refused", func(t *testing.T) {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json")))
		tokens.Misbehave(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"access_token":"forged-canary","token_type":"Bearer","expires_in":3600}`)
		})
		s := newStation(t, c, "")
		s.through(t, secure.OAuth, "sasl: {mechanism: oauthbearer}")
		code, out, errs := command(t, "", "check", "--config", s.file)
		if code != exitFailed || !strings.Contains(out, "FAIL  broker ") || strings.Contains(out+errs, "canary") {
			t.Errorf("check: exit code %d\n%s%s", code, out, errs)
		}
		code, out, errs = command(t, "", "run", "--config", s.file)
		if code != exitFailed || strings.Contains(out+errs, "canary") {
			t.Errorf("run: exit code %d\n%s%s", code, out, errs)
		}
	})
}
