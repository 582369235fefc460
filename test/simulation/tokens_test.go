package simulation

import (
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/internal/scrub"
)

const (
	tokenAddress  = "127.0.0.1:8081"
	tokenLifetime = 10 * time.Minute
)

// TestTokenServerAway: for long there are no tokens, for one reason or
// another. Everything waits, nothing is lost, given up or repeated, and half a
// minute afterwards it resumes.
func TestTokenServerAway(t *testing.T) {
	t.Parallel()
	traffic := traffic
	traffic.Late = 0 // a parent that comes an hour after its child is rightly given up
	answer := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for i, c := range []struct {
		name       string
		misbehaves http.HandlerFunc
	}{
		{"refuses connections", nil},
		{"fails", answer(http.StatusServiceUnavailable, "no")},
		{"hangs", tokenserver.Hang},
		{"is garbled", answer(http.StatusOK, "<html>")},
		{"says 200 and an error", answer(http.StatusOK, `{"error":"temporarily_unavailable"}`)},
		{"refuses the key", answer(http.StatusBadRequest, `{"error":"invalid_grant"}`)},
		{"throttles", answer(http.StatusTooManyRequests, "", "Retry-After", "20")},
		{"throttles by 403", answer(http.StatusForbidden, `{"error":"rate_limit"}`, "Retry-After", "5")},
		{"gives tokens that the API refuses", answer(http.StatusOK, `{"access_token":"forged","token_type":"Bearer","expires_in":3600}`)},
		{"gives forged tokens without an end", answer(http.StatusOK, `{"access_token":"forged","token_type":"Bearer"}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			// One of each kind lasts an hour with -all: no connection, no answer, no good
			// one. The others last longer than two tokens and any backoff.
			kind := c.name == "refuses connections" || c.name == "hangs" || c.name == "gives tokens that the API refuses"
			seldom(t, !kind || testing.Short() && c.name == "refuses connections")
			outage := 22 * time.Minute
			if kind && *all {
				outage = time.Hour
			}
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, *first+1+uint64(i), traffic)
				w.withoutTokens(outage, c.misbehaves)
			})
		})
	}
}

func (w *world) withoutTokens(outage time.Duration, misbehaves http.HandlerFunc) {
	s := w.serveTokens()
	var server *http.Server
	listen := func() {
		l, err := w.network.Listen("tcp", tokenAddress)
		if err != nil {
			w.t.Fatal(err)
		}
		server = &http.Server{Handler: s}
		go func(on *http.Server) { _ = on.Serve(l) }(server)
	}
	listen()
	defer func() { server.Close() }()
	w.start()
	var down time.Time
	portion, accepted := 0, int64(0)
	w.publish(func() {
		switch portion++; portion {
		case 3:
			time.Sleep(5 * time.Second)
			down = time.Now()
			if misbehaves == nil {
				server.Close()
			}
			s.Misbehave(misbehaves)
		case 6:
			time.Sleep(2 * tokenLifetime)
			accepted = w.api.Stats().Accepted
		case 9:
			time.Sleep(time.Until(down.Add(outage)))
			if n := w.api.Stats().Accepted; n != accepted {
				w.t.Errorf("%d events were accepted without a token", n-accepted)
			}
			if misbehaves == nil {
				listen()
			}
			s.Misbehave(nil)
			up := time.Now()
			for w.api.Stats().Accepted == accepted && time.Since(up) < time.Hour {
				time.Sleep(100 * time.Millisecond)
			}
			took := time.Since(up)
			w.t.Logf("resumed after %v", took)
			if took > 30*time.Second {
				w.t.Errorf("it took %v to resume", took)
			}
		}
	})
	w.settle()
	w.judge(0)
	if most := s.MostInFlight(); most != 1 {
		w.t.Errorf("%d requests for tokens were made at a time", most)
	}
	good := slices.DeleteFunc(s.Requests(), func(r tokenserver.Request) bool { return r.Fault != "" })
	w.t.Logf("%d requests for tokens", len(good))
}

// serveTokens puts a token server into the network, and has the API ask for its
// tokens.
func (w *world) serveTokens() *tokenserver.Server {
	s := &tokenserver.Server{URL: "http://" + tokenAddress, Lifetime: tokenLifetime}
	file := s.KeyFile(w.t, filepath.Join(w.t.TempDir(), "key.json"))
	w.tokens = func(r *replica) *googleauth.Keeper {
		source := &googleauth.Source{
			From: file, Scope: googleauth.JobsScope, Dial: r.dial(apiNetwork, w.network.DialContext), Secrets: &scrub.Scrubber{},
		}
		return googleauth.NewKeeper(googleauth.KeeperConfig{Get: source.Token, Changed: source.Changed, Logger: w.log})
	}
	w.guard = func(rw http.ResponseWriter, r *http.Request) bool {
		if err := s.Check(r, googleauth.JobsScope); err != nil {
			http.Error(rw, err.Error(), http.StatusUnauthorized)
			return false
		}
		return true
	}
	return s
}
