package googleauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/oauth2"
)

// exact is the backoff without the jitter.
func exact(failures int) time.Duration { return tokenBackoff.Exact(failures) }

// issuer issues the tokens t1, t2, ….
type issuer struct {
	mu     sync.Mutex
	issued int
	asked  []time.Duration
	asking atomic.Int32
	start  time.Time
	// ask makes a token; by default one for an hour.
	ask func(ctx context.Context, n int) (*oauth2.Token, error)
}

func newIssuer() *issuer { return &issuer{start: time.Now()} }

func (s *issuer) get(ctx context.Context) (*oauth2.Token, error) {
	if s.asking.Add(1) > 1 {
		panic("two tokens are asked for at a time")
	}
	defer s.asking.Add(-1)
	s.mu.Lock()
	s.issued++
	n, ask := s.issued, s.ask
	s.asked = append(s.asked, time.Since(s.start))
	s.mu.Unlock()
	if ask != nil {
		return ask(ctx, n)
	}
	return lasting(n, time.Hour), nil
}

func (s *issuer) setAsk(ask func(context.Context, int) (*oauth2.Token, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask = ask
}

func lasting(n int, d time.Duration) *oauth2.Token {
	return &oauth2.Token{AccessToken: fmt.Sprint("t", n), Expiry: time.Now().Add(d)}
}

func failing(result Result, retryAfter time.Duration) func(context.Context, int) (*oauth2.Token, error) {
	return func(context.Context, int) (*oauth2.Token, error) {
		return nil, &Error{Result: result, RetryAfter: retryAfter, Err: errors.New("down")}
	}
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

// keeper keeps the issuer's tokens until the test is over; adjust changes how.
func (s *issuer) keeper(t *testing.T, adjust ...func(*KeeperConfig)) *Keeper {
	cfg := KeeperConfig{Get: s.get, wait: exact}
	for _, a := range adjust {
		a(&cfg)
	}
	k := NewKeeper(cfg)
	t.Cleanup(k.Close)
	return k
}

func wantToken(t *testing.T, k *Keeper, want string) {
	t.Helper()
	synctest.Wait()
	if got, err := k.Get(t.Context()); got != want || err != nil {
		t.Errorf("the token is %q, %v; want %q", got, err, want)
	}
}

// A token is replaced before its end, also while nobody wants one.
func TestTokenIsReplacedBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		k := s.keeper(t)
		wantToken(t, k, "t1")
		time.Sleep(55*time.Minute - 1)
		wantToken(t, k, "t1")
		s.wantAsked(t, 0)
		time.Sleep(56 * time.Minute)
		s.wantAsked(t, 0, 55*time.Minute, 110*time.Minute)
		wantToken(t, k, "t3")
		if got := k.Status().Expiry.Sub(s.start); got != 170*time.Minute {
			t.Errorf("the token ends at %v, want 2h50m", got)
		}
	})
}

// While the new one is fetched, the old one is used.
func TestOldTokenIsUsedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		k := s.keeper(t)
		wantToken(t, k, "t1")
		s.setAsk(func(_ context.Context, n int) (*oauth2.Token, error) {
			time.Sleep(10 * time.Second)
			return lasting(n, time.Hour), nil
		})
		time.Sleep(55*time.Minute + 9*time.Second)
		wantToken(t, k, "t1")
		if !k.Ready(time.Now()) {
			t.Error("the keeper is not ready although its token is good")
		}
		time.Sleep(2 * time.Second)
		wantToken(t, k, "t2")
	})
}

// Metadata servers give the same token until shortly before its end.
func TestTokenSourceThatGivesTheSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		end := time.Now().Add(time.Hour)
		s.ask = func(context.Context, int) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "t", Expiry: end}, nil
		}
		k := s.keeper(t)
		for range 3599 {
			wantToken(t, k, "t")
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
		s.ask = func(context.Context, int) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "t"}, nil }
		k := s.keeper(t)
		wantToken(t, k, "t")
		time.Sleep(1000 * time.Hour)
		wantToken(t, k, "t")
		s.wantAsked(t, 0)
	})
}

func TestTokensAreFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(_ context.Context, n int) (*oauth2.Token, error) {
			time.Sleep(time.Second)
			return lasting(n, time.Hour), nil
		}
		k := s.keeper(t)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got, err := k.Get(t.Context()); got != "t1" || err != nil {
					t.Errorf("the token is %q, %v; want t1", got, err)
				}
			})
		}
		wg.Wait()
		s.wantAsked(t, 0)
	})
}

// While no new token is available, the old one is used until it ends; after an
// outage there is a token within 30 s.
func TestTokenServerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		var log bytes.Buffer
		k := s.keeper(t, func(c *KeeperConfig) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		told := make(chan struct{}, 1)
		k.Notify(told)
		wantToken(t, k, "t1")
		s.setAsk(failing(Unavailable, 0))
		time.Sleep(55*time.Minute + 400*time.Millisecond)
		s.wantAsked(t, 0, 55*time.Minute)
		time.Sleep(5*time.Minute - 400*time.Millisecond - 1)
		wantToken(t, k, "t1")
		if !k.Ready(time.Now()) {
			t.Error("the keeper is not ready although its token is good")
		}
		time.Sleep(time.Nanosecond)
		if k.Ready(time.Now()) {
			t.Error("the keeper is ready with a token that has ended")
		}
		if _, err := k.Get(t.Context()); err == nil || err.Error() != "down" {
			t.Errorf("the error is %v, want down", err)
		}
		time.Sleep(time.Hour)
		if k.Ready(time.Now()) || !k.Status().Paused {
			t.Error("no pause without a token for an hour")
		}
		if n := s.issued; n < 120 || n > 500 {
			t.Errorf("%d tries in an hour, want one every ten seconds or so", n)
		}
		synctest.Wait() // the last line of the log
		if n := strings.Count(log.String(), "\n"); n > 60 {
			t.Errorf("%d log lines in an hour", n)
		}
		select {
		case <-told:
		default:
		}
		s.setAsk(nil)
		up := time.Now()
		<-told
		if took := time.Since(up); took > 30*time.Second {
			t.Errorf("it took %v to have a token again", took)
		}
		if !k.Ready(time.Now()) || k.Status().Paused || k.Status().LastError != "" {
			t.Errorf("with a token again the status is %+v", k.Status())
		}
	})
}

// The server says how long to wait.
func TestTokenServerThrottles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(_ context.Context, n int) (*oauth2.Token, error) {
			if n < 3 {
				return failing(Throttled, time.Minute)(t.Context(), n)
			}
			return lasting(n, time.Hour), nil
		}
		k := s.keeper(t)
		k.Ready(time.Now())
		time.Sleep(10 * time.Minute)
		s.wantAsked(t, 0, time.Minute, 2*time.Minute)
	})
}

// A file system that hangs keeps no caller waiting: Ready reads, renewals
// continue, and Close returns.
func TestCredentialsFileHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		mounted := make(chan struct{})
		defer close(mounted)
		source := &Source{Stat: func(string) (os.FileInfo, error) {
			<-mounted
			return nil, os.ErrNotExist
		}, file: "/mnt/credentials.json"}
		k := s.keeper(t, func(c *KeeperConfig) { c.Changed = source.Changed })
		at := func(want time.Duration) {
			t.Helper()
			if got := time.Since(s.start); got != want {
				t.Errorf("the call returned at %v, want %v", got, want)
			}
		}
		wantToken(t, k, "t1")
		time.Sleep(30 * time.Second) // the stat hangs since 10 s
		if !k.Ready(time.Now()) || k.Status().Paused {
			t.Error("the keeper is not ready although its token is good")
		}
		k.Refused("t1")
		k.Ready(time.Now())
		wantToken(t, k, "t2")
		at(30 * time.Second)
		time.Sleep(time.Hour)
		wantToken(t, k, "t3")
		at(time.Hour + 30*time.Second)
		k.Close()
		at(time.Hour + 30*time.Second)
	})
}

// Credentials that were replaced during a fetch are used right after it.
func TestCredentialsThatChangedDuringAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = func(_ context.Context, n int) (*oauth2.Token, error) {
			if time.Sleep(15 * time.Second); n == 1 {
				return nil, errors.New("the old credentials are refused")
			}
			return lasting(n, time.Hour), nil
		}
		var changed atomic.Bool
		changed.Store(true)
		k := s.keeper(t, func(c *KeeperConfig) { c.Changed = func() bool { return changed.Swap(false) } })
		k.Ready(time.Now())
		time.Sleep(time.Minute)
		s.wantAsked(t, 0, 15*time.Second)
		wantToken(t, k, "t2")
	})
}

// Corrected credentials are tried at once, and new ones soon.
func TestCredentialsThatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		s.ask = failing(Refused, time.Hour)
		var changed atomic.Bool
		k := s.keeper(t, func(c *KeeperConfig) { c.Changed = func() bool { return changed.Swap(false) } })
		k.Ready(time.Now())
		time.Sleep(25 * time.Second)
		s.wantAsked(t, 0)
		s.setAsk(nil)
		changed.Store(true)
		time.Sleep(10 * time.Second)
		s.wantAsked(t, 0, 30*time.Second)
		wantToken(t, k, "t2")
		changed.Store(true)
		time.Sleep(10 * time.Second)
		wantToken(t, k, "t3")
	})
}

// A caller waits for a token no longer than its context allows.
func TestTokenServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errLate := errors.New("late")
		s := newIssuer()
		s.ask = func(ctx context.Context, _ int) (*oauth2.Token, error) {
			ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
			defer cancel()
			<-ctx.Done()
			return nil, errors.New("at last")
		}
		k := s.keeper(t)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errLate)
		defer cancel()
		if _, err := k.Get(ctx); !errors.Is(err, errLate) || time.Since(s.start) != 10*time.Second {
			t.Errorf("after %v the error is %v, want %v after 10s", time.Since(s.start), err, errLate)
		}
		if _, err := k.Get(t.Context()); err == nil || err.Error() != "at last" || time.Since(s.start) != fetchTimeout {
			t.Errorf("after %v the error is %v, want one after %v", time.Since(s.start), err, fetchTimeout)
		}
		k.Close()
		if _, err := k.Get(t.Context()); err == nil {
			t.Error("there is a token after the end")
		}
	})
}

func TestRefusedTokenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer()
		k := s.keeper(t)
		wantToken(t, k, "t1")
		k.Refused("t0") // long gone
		wantToken(t, k, "t1")
		k.Refused("t1")
		if k.Ready(time.Now()) {
			t.Error("the keeper is ready with a token that was refused")
		}
		wantToken(t, k, "t2")
		// It may not have been the token's fault.
		s.setAsk(failing(Unavailable, 0))
		k.Refused("t2")
		wantToken(t, k, "t2")
		s.wantAsked(t, 0, 0, 0)
	})
}

func TestTokenMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := newIssuer()
		results := []Result{Unavailable, Throttled, Refused, Invalid, Unusable}
		s.ask = func(_ context.Context, n int) (*oauth2.Token, error) {
			if n <= len(results) {
				return failing(results[n-1], 0)(t.Context(), n)
			}
			return lasting(n, time.Hour), nil
		}
		k := s.keeper(t, func(c *KeeperConfig) { c.Registerer = registry })
		want := func(expiry float64, each float64) {
			t.Helper()
			families, err := registry.Gather()
			if err != nil || len(families) != 2 {
				t.Fatalf("%d metrics, %v: want two", len(families), err)
			}
			if got := families[0].GetMetric()[0].GetGauge().GetValue(); families[0].GetName() != "clientevents_token_expiry_timestamp_seconds" || got != expiry {
				t.Errorf("%s is %v, want %v", families[0].GetName(), got, expiry)
			}
			if got := families[1].GetMetric(); families[1].GetName() != "clientevents_token_refreshes_total" || len(got) != len(Results()) {
				t.Errorf("%s has %d results, want %d from the start", families[1].GetName(), len(got), len(Results()))
			}
			for _, m := range families[1].GetMetric() {
				if m.GetCounter().GetValue() != each {
					t.Errorf("%v: want %v", m, each)
				}
			}
		}
		want(0, 0)
		k.Ready(time.Now())
		time.Sleep(time.Minute)
		wantToken(t, k, "t6")
		want(float64(k.Status().Expiry.UnixMilli())/1000, 1)
	})
}
