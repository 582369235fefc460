package reporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

// issuer issues the tokens t1, t2, ….
type issuer struct {
	mu     sync.Mutex
	issued int
	asked  []time.Duration
	start  time.Time
	// ask makes a token; by default one for an hour.
	ask func(n int) (*oauth2.Token, error)
}

func newIssuer() *issuer { return &issuer{start: time.Now()} }

func (s *issuer) source() (oauth2.TokenSource, error) { return s, nil }

func (s *issuer) Token() (*oauth2.Token, error) {
	s.mu.Lock()
	s.issued++
	n, ask := s.issued, s.ask
	s.asked = append(s.asked, time.Since(s.start))
	s.mu.Unlock()
	if ask != nil {
		return ask(n)
	}
	return lasting(n, time.Hour), nil
}

func (s *issuer) setAsk(ask func(int) (*oauth2.Token, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask = ask
}

func lasting(n int, d time.Duration) *oauth2.Token {
	return &oauth2.Token{AccessToken: fmt.Sprint("t", n), Expiry: time.Now().Add(d)}
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

func (s *issuer) tokens() *tokens { return newTokens(s.source, slog.New(slog.DiscardHandler), exact) }

func wantToken(t *testing.T, tk *tokens, want string) {
	t.Helper()
	if got, err := tk.get(t.Context()); got != want || err != nil {
		t.Errorf("the token is %q, %v; want %q", got, err, want)
	}
	synctest.Wait()
}

func TestTokenIsReplacedBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		tk := s.tokens()
		wantToken(t, tk, "t1")
		time.Sleep(55*time.Minute - 1)
		wantToken(t, tk, "t1")
		time.Sleep(time.Nanosecond)
		wantToken(t, tk, "t1") // the old one is used while the new one comes
		wantToken(t, tk, "t2")
		s.wantAsked(t, 0, 55*time.Minute)
		if got := tk.expiry().Sub(s.start); got != 115*time.Minute {
			t.Errorf("the token ends at %v, want 1h55m", got)
		}
	})
}

// Metadata servers give the same token until shortly before its end.
func TestTokenSourceThatGivesTheSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		end := time.Now().Add(time.Hour)
		s.ask = func(int) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "t", Expiry: end}, nil }
		tk := s.tokens()
		for range 3599 {
			wantToken(t, tk, "t")
			time.Sleep(time.Second)
		}
		if s.issued > 8 {
			t.Errorf("%d tokens were asked for in an hour", s.issued)
		}
	})
}

func TestTokenWithoutAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(n int) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "t"}, nil }
		tk := s.tokens()
		wantToken(t, tk, "t")
		time.Sleep(1000 * time.Hour)
		wantToken(t, tk, "t")
		s.wantAsked(t, 0)
	})
}

func TestTokensAreFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(n int) (*oauth2.Token, error) {
			time.Sleep(time.Second)
			return lasting(n, time.Hour), nil
		}
		tk := s.tokens()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got, err := tk.get(t.Context()); got != "t1" || err != nil {
					t.Errorf("the token is %q, %v; want t1", got, err)
				}
			})
		}
		wg.Wait()
		s.wantAsked(t, 0)
	})
}

// While no new token is to be had, the old one is used until it ends.
func TestTokenEndpointFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		tk := s.tokens()
		wantToken(t, tk, "t1")
		s.setAsk(func(int) (*oauth2.Token, error) { return nil, errors.New("down") })
		time.Sleep(55 * time.Minute)
		wantToken(t, tk, "t1")
		wantToken(t, tk, "t1")
		s.wantAsked(t, 0, 55*time.Minute)
		time.Sleep(500 * time.Millisecond)
		wantToken(t, tk, "t1")
		s.wantAsked(t, 0, 55*time.Minute, 55*time.Minute+500*time.Millisecond)
		time.Sleep(10 * time.Minute)
		if _, err := tk.get(t.Context()); err == nil || err.Error() != "down" {
			t.Errorf("the error is %v, want down", err)
		}
		s.setAsk(nil)
		time.Sleep(time.Minute)
		wantToken(t, tk, "t5")
	})
}

func TestInvalidTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, invalid := range []*oauth2.Token{{}, {AccessToken: "t", Expiry: time.Now()}} {
			s := newIssuer()
			s.ask = func(int) (*oauth2.Token, error) { return invalid, nil }
			if token, err := s.tokens().get(t.Context()); err == nil {
				t.Errorf("the token is %q", token)
			}
		}
		broken := newTokens(func() (oauth2.TokenSource, error) { return nil, errors.New("no such file") }, slog.New(slog.DiscardHandler), exact)
		if _, err := broken.get(t.Context()); err == nil || err.Error() != "no such file" {
			t.Errorf("the error is %v", err)
		}
	})
}

// A token endpoint that hangs holds a request no longer than it may take, and is
// asked again.
func TestTokenEndpointHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		s := newIssuer()
		s.ask = func(int) (*oauth2.Token, error) { <-over; return nil, errors.New("at last") }
		defer func() { close(over); synctest.Wait() }()
		tk := s.tokens()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errTimedOut)
		defer cancel()
		if _, err := tk.get(ctx); !errors.Is(err, errTimedOut) || time.Since(s.start) != 10*time.Second {
			t.Errorf("after %v the error is %v, want a timeout after 10s", time.Since(s.start), err)
		}
		if _, err := tk.get(t.Context()); err == nil || time.Since(s.start) != fetchTimeout {
			t.Errorf("after %v the error is %v, want one after %v", time.Since(s.start), err, fetchTimeout)
		}
		for range 10 {
			time.Sleep(time.Minute)
			if _, err := tk.get(t.Context()); err == nil {
				t.Error("there is a token")
			}
		}
		// No more than three hang at a time.
		s.wantAsked(t, 0, 90*time.Second, 3*time.Minute)
	})
}

// A fetch that took too long is not in vain.
func TestLateToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(n int) (*oauth2.Token, error) {
			if n == 1 {
				time.Sleep(fetchTimeout + 10*time.Second)
			} else {
				time.Sleep(time.Hour)
			}
			return lasting(n, time.Hour), nil
		}
		tk := s.tokens()
		if _, err := tk.get(t.Context()); err == nil {
			t.Error("there is a token already")
		}
		time.Sleep(11 * time.Second)
		wantToken(t, tk, "t1")
		time.Sleep(2 * time.Hour)
	})
}

func TestRefusedTokenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		tk := s.tokens()
		wantToken(t, tk, "t1")
		tk.refused("t0") // long gone
		wantToken(t, tk, "t1")
		tk.refused("t1")
		wantToken(t, tk, "t2")
		// It may not have been the token's fault.
		s.setAsk(func(int) (*oauth2.Token, error) { return nil, errors.New("down") })
		tk.refused("t2")
		wantToken(t, tk, "t2")
		s.wantAsked(t, 0, 0, 0)
	})
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
				g := newRig(t, byToken("t2"), func(c *rigConfig) { oneWorker(c); c.Tokens, c.batch.Size = s.source, size })
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
		g := newRig(t, answer, func(c *rigConfig) { batches(c); c.Tokens = s.source })
		g.report("a", "b")
		g.wantRequests("0s /batch a,b", "0s /batch a,b")
		g.wantOutcomes(accepted(2))
	})
}

func TestUnauthenticatedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		g := newRig(t, byToken("t5"), func(c *rigConfig) { oneWorker(c); c.Tokens = s.source })
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

// A token endpoint that hangs does not hang requests, nor does it make them
// dead letters.
func TestRequestsWhileTheTokenEndpointHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		s := newIssuer()
		s.ask = func(n int) (*oauth2.Token, error) { <-over; return lasting(n, time.Hour), nil }
		g := newRig(t, nil, func(c *rigConfig) { oneWorker(c); c.Tokens, c.Timeout = s.source, 10*time.Second })
		g.report("a")
		time.Sleep(9 * time.Second)
		g.wantPaused()
		time.Sleep(30 * time.Second)
		g.wantRequests()
		g.wantPaused("auth")
		g.wantMetric("api_requests_total", "error", 0) // there was none
		close(over)
		time.Sleep(time.Minute)
		g.wantOutcomes(accepted(1))
		g.wantPaused()
	})
}

// Tokens have a life of their own: an abort ends the waiting, not the fetching.
func TestAbortWhileATokenIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(n int) (*oauth2.Token, error) {
			time.Sleep(20 * time.Second)
			return lasting(n, time.Hour), nil
		}
		g := newRig(t, nil, func(c *rigConfig) { c.Tokens = s.source })
		g.report("a")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g.b.Drain(ctx)
		g.r.Abort()
		if !g.b.Drain(t.Context()) || time.Since(g.start) != time.Second {
			t.Errorf("the drain took %v, want 1s", time.Since(g.start))
		}
		g.b.Resume()
		time.Sleep(20 * time.Second)
		g.report("b")
		synctest.Wait()
		if got := g.requests(); len(got) != 1 || got[0] != "21s "+alone+"b" {
			t.Errorf("requests are %q, want b at 21s", got)
		}
		s.wantAsked(t, 0)
	})
}
