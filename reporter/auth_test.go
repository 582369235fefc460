package reporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/googleauth"
)

// issuer issues the tokens t1, t2, … for an hour each.
type issuer struct {
	mu    sync.Mutex
	start time.Time
	asked []time.Duration
	// ask is called for each token; its error is why there is none.
	ask func(context.Context) error
}

func newIssuer() *issuer { return &issuer{start: time.Now()} }

// keeper keeps the issuer's tokens, until the test is over.
func (s *issuer) keeper(t *testing.T) *googleauth.Keeper {
	k := googleauth.NewKeeper(googleauth.KeeperConfig{Get: s.get})
	t.Cleanup(k.Close)
	return k
}

func (s *issuer) get(ctx context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Since(s.start))
	token := &oauth2.Token{AccessToken: fmt.Sprint("t", len(s.asked)), Expiry: time.Now().Add(time.Hour)}
	ask := s.ask
	s.mu.Unlock()
	if ask != nil {
		if err := ask(ctx); err != nil {
			return nil, err
		}
	}
	return token, nil
}

// secretToken keeps the one token "secret", until the test is over.
func secretToken(t *testing.T) *googleauth.Keeper {
	k := googleauth.NewKeeper(googleauth.KeeperConfig{Get: func(context.Context) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "secret"}, nil
	}})
	t.Cleanup(k.Close)
	return k
}

func (s *issuer) setAsk(ask func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask = ask
}

func (s *issuer) wantAsked(t *testing.T, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if fmt.Sprint(s.asked) != fmt.Sprint(want) {
		t.Errorf("tokens were asked for at %v, want %v", s.asked, want)
	}
}

// byToken answers 401 unless a request has the token.
func byToken(token string) func(http.ResponseWriter, received) {
	return func(w http.ResponseWriter, r received) {
		if r.header.Get("Authorization") != "Bearer "+token {
			refuse(401)(w, r)
			return
		}
		accept(w, r)
	}
}

// A refused token costs one more request, and no wait.
func TestUnauthenticatedGetsANewToken(t *testing.T) {
	for _, size := range []int{1, 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newIssuer()
				g := newRig(t, byToken("t2"), func(c *rigConfig) { oneWorker(c); c.Tokens, c.batch.Size = s.keeper(t), size })
				g.report("a", "b", "c")
				g.wantOutcomes(accepted(3))
				g.wantPaused()
				if want := 4; size == 1 && len(g.requests()) != want || size == 10 && len(g.requests()) != 2 {
					t.Errorf("requests are %q", g.requests())
				}
				s.wantAsked(t, 0, 0)
				if time.Since(g.start) != 0 {
					t.Errorf("it took %v", time.Since(g.start))
				}
				if !g.r.Status().TokenExpiry.Equal(g.start.Add(time.Hour)) {
					t.Errorf("the token ends at %v", g.r.Status().TokenExpiry)
				}
			})
		})
	}
}

// Parts may be refused for their token, too.
func TestUnauthenticatedParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		answer := func(w http.ResponseWriter, r received) {
			byID := map[string]int{}
			if r.header.Get("Authorization") == "Bearer t1" {
				byID = map[string]int{"a": 401, "b": 401}
			}
			answerEach(w, r, byID)
		}
		g := newRig(t, answer, func(c *rigConfig) { batches(c); c.Tokens = s.keeper(t) })
		g.report("a", "b")
		g.wantRequests("0s /batch a,b", "0s /batch a,b")
		g.wantOutcomes(accepted(2))
	})
}

func TestUnauthenticatedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		g := newRig(t, byToken("t5"), func(c *rigConfig) { oneWorker(c); c.Tokens = s.keeper(t) })
		g.report("a")
		g.wantRequests("0s "+alone+"a", "0s "+alone+"a")
		g.wantPaused("auth")
		time.Sleep(time.Minute)
		// 401 after 401, but no busier than any other outage.
		g.wantRequests("0s "+alone+"a", "0s "+alone+"a", "1s "+alone+"a", "3s "+alone+"a", "7s "+alone+"a")
		g.wantOutcomes(accepted(1))
		g.wantPaused()
		if strings.Contains(g.log.String(), "t1") {
			t.Error("the log has a token")
		}
	})
}

// While there is no token, no events are taken, and nothing is tried; when there
// is one, they go at once.
func TestNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } // it hangs
		g := newRig(t, nil, func(c *rigConfig) { oneWorker(c); c.Tokens = s.keeper(t) })
		g.report("a")
		time.Sleep(9 * time.Second)
		g.wantPaused()
		time.Sleep(30 * time.Second)
		g.wantRequests()
		g.wantPaused("auth")
		g.wantMetric("api_requests_total", "error", 0) // there was none
		g.wantMetric("retries_total", "unauthenticated", 0)
		if held := g.metric("throttled_seconds_total", ""); held < 38 || held > 40 {
			t.Errorf("events were held for %v s, want 39", held)
		}
	})
}

func TestEventsGoAsSoonAsThereIsAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(context.Context) error {
			return &googleauth.Error{Result: googleauth.Unavailable, Err: errors.New("down")}
		}
		g := newRig(t, nil, func(c *rigConfig) { oneWorker(c); c.Tokens = s.keeper(t) })
		g.report("a")
		time.Sleep(time.Hour)
		g.wantPaused("auth")
		if got := g.r.Status().TokenError; got != "down" {
			t.Errorf("the status says %q, want down", got)
		}
		s.setAsk(nil)
		up := time.Now()
		for g.outcome("a").Kind != event.Accepted || len(g.requests()) == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(up); took > 30*time.Second {
			t.Errorf("it took %v to resume", took)
		}
		g.wantPaused()
		g.wantOutcomes(accepted(1))
	})
}

// An event whose token ends between two looks waits for the next one; an abort
// ends the waiting.
func TestAbortWhileATokenIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(context.Context) error { time.Sleep(10 * time.Second); return nil }
		g := newRig(t, nil, func(c *rigConfig) { c.Tokens = s.keeper(t) })
		g.report("a")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if !g.drain(ctx) || time.Since(g.start) != 0 {
			t.Errorf("the drain took %v, want none: nothing was taken yet", time.Since(g.start))
		}
		g.term = event.NewTerm()
		time.Sleep(20 * time.Second)
		g.report("b")
		g.wantRequests("20s " + alone + "b")
		s.wantAsked(t, 0)
	})
}
