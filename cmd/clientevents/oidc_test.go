package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

// issuer is an OpenID Connect provider: it issues JWTs for client credentials and serves
// the key that verifies them.
type issuer struct {
	key    *rsa.PrivateKey
	tokens atomic.Int64
}

const (
	tokenLifetime = 20 * time.Second
	// loginLifetime is the time after which the brokers want a connection to log in
	// again.
	loginLifetime = 8 * time.Second
	oidcSecret    = "secret-of-the-oidc-client"
)

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	id, secret, _ := r.BasicAuth()
	switch {
	case r.URL.Path == "/jwks":
		encode := base64.RawURLEncoding.EncodeToString
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
			"n": encode(i.key.N.Bytes()), "e": encode(big.NewInt(int64(i.key.E)).Bytes()),
		}}})
	case r.PostFormValue("grant_type") != "client_credentials" || id != "talent" || secret != oidcSecret || r.PostFormValue("scope") != "kafka":
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": i.token(), "token_type": "Bearer", "expires_in": int(tokenLifetime.Seconds())})
	}
}

// token returns a JWT that is signed by RS256.
func (i *issuer) token() string {
	i.tokens.Add(1)
	now := time.Now().Unix()
	encode := base64.RawURLEncoding.EncodeToString
	claims, _ := json.Marshal(map[string]any{
		"iss": "https://issuer.example.com", "aud": "kafka", "sub": "talent", "scope": "kafka", "iat": now, "exp": now + int64(tokenLifetime.Seconds()),
	})
	signed := encode([]byte(`{"alg":"RS256","kid":"1","typ":"JWT"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + encode(signature)
}

// startOIDCBroker starts a broker that verifies JWTs by itself with the issuer's key, and
// wants each connection to log in again within 8 s.
func startOIDCBroker(t *testing.T, url string) *broker.Broker {
	t.Helper()
	const listener = "listener.name.oauth.oauthbearer."
	return startOAuthBroker(t, []string{"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + url + "/jwks"}, map[string]string{
		listener + "sasl.server.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
		listener + "sasl.jaas.config":                   `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
		"sasl.oauthbearer.jwks.endpoint.url":            url + "/jwks",
		"sasl.oauthbearer.expected.audience":            "kafka",
		"sasl.oauthbearer.expected.issuer":              "https://issuer.example.com",
		"connections.max.reauth.ms":                     fmt.Sprint(loginLifetime.Milliseconds()),
	})
}

// startOAuthBroker starts a broker of the test's own with more properties and options of
// Java.
func startOAuthBroker(t *testing.T, java []string, properties map[string]string) *broker.Broker {
	t.Helper()
	libraries := os.Getenv("KAFKA_LIBRARIES")
	if libraries == "" {
		t.Skip("not run with Apache Kafka, since KAFKA_LIBRARIES is unset: `make kafka-test` gets the libraries and runs this test")
	}
	b, err := broker.Start(t.Context(), broker.Options{Libraries: libraries, Dir: t.TempDir(), Heap: "256m", JavaOptions: java, Properties: properties})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	return b
}

// TestOAuthSessions: with each provider of JWTs, a replica stays logged in to a broker for
// three session lifetimes at 500 events/s: no rebalance, no failure, none lost and none
// repeated.
func TestOAuthSessions(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	b := startOIDCBroker(t, server.URL)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Error(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Error(err)
		}
		return path
	}
	logins := map[string]string{
		"oidc": fmt.Sprintf("provider: oidc, token_url: '%s/token', client_id: talent, client_secret_file: '%s', scopes: [kafka]", server.URL, write("secret", oidcSecret)),
		"file": fmt.Sprintf("provider: file, token_file: '%s'", write("token", i.token())),
	}
	written := time.Now()
	stayLoggedIn(t, b, logins, nil, func() {
		if time.Since(written) >= time.Second {
			write("token", i.token())
			written = time.Now()
		}
	})
	if i.tokens.Load() < 4 {
		t.Errorf("%d tokens were issued, expected renewals", i.tokens.Load())
	}
}

// stayLoggedIn runs a replica, a process with more variables of the environment, for each
// login (the keys of kafka.sasl.oauth, by name), for three session lifetimes of 8 s at
// 500 events/s. It expects no rebalance, no failure, and each event once. meanwhile is
// called at least every 100 ms.
func stayLoggedIn(t *testing.T, b *broker.Broker, logins map[string]string, environ []string, meanwhile func()) {
	t.Helper()
	c := kafkatest.At(t, b.Address(broker.Plaintext))
	stations := map[string]*station{}
	for provider, keys := range logins {
		s := newStation(t, c, "")
		s.through(t, []string{b.Address(broker.OAuth)}, "sasl: {mechanism: oauthbearer, oauth: {"+keys+"}}")
		replica(t, s, environ)
		kafkatest.WaitFor(t, time.Minute, provider+" to join", func() bool {
			meanwhile()
			code, _ := s.get(t, "/readyz")
			return code == http.StatusOK && rebalances(t, s) == "1"
		})
		stations[provider] = s
	}
	const portion, lifetimes = 50, 3
	sent := 0
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < lifetimes*loginLifetime+time.Second; <-tick.C {
		for _, s := range stations {
			var messages []kafka.Message
			for n := range portion {
				id := fmt.Sprint("e-", sent+n)
				messages = append(messages, kafka.Message{Partition: n % 3, Key: []byte(id), Value: fmt.Appendf(nil, goodEvent, id, id)})
			}
			s.Produce(t, s.topic, messages...)
		}
		sent += portion
		meanwhile()
	}
	for provider, s := range stations {
		wantStayed(t, s, provider, sent)
	}
}

// replica runs the program with a station's configuration until the test ends.
func replica(t *testing.T, s *station, environ []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "run", "--config", s.file)
	cmd.Env = append(append(os.Environ(), "BE_THE_PROGRAM=1"), environ...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program: %v", err)
		}
	})
}

// wantStayed expects each of the events once, the first rebalance alone, and no failure.
func wantStayed(t *testing.T, s *station, provider string, sent int) {
	t.Helper()
	kafkatest.WaitFor(t, 30*time.Second, provider+" to report all", func() bool { return s.api.Stats().Accepted >= int64(sent) })
	ids := map[string]int{}
	for _, a := range s.api.Events() {
		ids[a.Event.EventID]++
	}
	if n := len(s.api.Events()); n != sent || len(ids) != sent {
		t.Errorf("%s: %d events reported, of %d IDs, expected each of %d once", provider, n, len(ids), sent)
	}
	if n := rebalances(t, s); n != "1" {
		t.Errorf("%s: %s rebalances, expected the first alone", provider, n)
	}
	for _, failures := range []string{"clientevents_fetch_failures_total", "clientevents_commit_failures_total"} {
		if n := seriesOf(t, s, failures); n != "0" {
			t.Errorf("%s: %s is %s", provider, failures, n)
		}
	}
	t.Logf("%s: %d events", provider, sent)
}

func rebalances(t *testing.T, s *station) string {
	t.Helper()
	return seriesOf(t, s, "clientevents_rebalances_total")
}

// seriesOf returns the sum's text of a metric without labels, or the lines of one with.
func seriesOf(t *testing.T, s *station, name string) string {
	t.Helper()
	_, text := s.get(t, "/metrics")
	var values []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			values = append(values, strings.TrimSpace(rest))
		}
	}
	return strings.Join(values, "; ")
}
