package reporter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// TokenSourceFunc makes a source of access tokens from credentials.
type TokenSourceFunc func() (oauth2.TokenSource, error)

// refreshBefore is how long before its end a token is replaced. The old one is
// used until the new one is there.
const refreshBefore = 5 * time.Minute

// tokens keeps the access token.
//
// The library's sources know nothing of the request that waits for them: a
// token endpoint that hangs would hang every request for as long as it likes. So
// tokens are fetched aside, one fetch at a time, and a request waits for one no
// longer than it may itself. Nor do fetches end when the program is told to
// stop: what is in flight may still need one.
type tokens struct {
	make TokenSourceFunc
	log  *slog.Logger

	mu       sync.Mutex
	token    *oauth2.Token
	failures int
	retryAt  time.Time
	err      error
	fetching chan struct{} // closed when the fetch under way is over; nil without
}

func newTokens(source TokenSourceFunc, log *slog.Logger) *tokens {
	return &tokens{make: source, log: log}
}

// get returns a valid token, waiting for one until ctx ends.
func (t *tokens) get(ctx context.Context) (string, error) {
	for {
		t.mu.Lock()
		now := time.Now()
		if t.usable(now) {
			if t.fresh(now) || now.Before(t.retryAt) {
				defer t.mu.Unlock()
				return t.token.AccessToken, nil
			}
			t.fetch() // aside; the old one will do meanwhile
			defer t.mu.Unlock()
			return t.token.AccessToken, nil
		}
		if now.Before(t.retryAt) {
			defer t.mu.Unlock()
			return "", t.err
		}
		done := t.fetch()
		t.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return "", errors.Join(errors.New("the token endpoint does not answer"), ctx.Err())
		}
	}
}

func (t *tokens) usable(now time.Time) bool {
	return t.token != nil && t.token.AccessToken != "" && (t.token.Expiry.IsZero() || now.Before(t.token.Expiry))
}

func (t *tokens) fresh(now time.Time) bool {
	return t.token.Expiry.IsZero() || now.Before(t.token.Expiry.Add(-refreshBefore))
}

// fetch starts a fetch unless one is under way, and returns what is closed when
// it is over. The caller holds mu.
func (t *tokens) fetch() <-chan struct{} {
	if t.fetching != nil {
		return t.fetching
	}
	done := make(chan struct{})
	t.fetching = done
	go func() {
		token, err := t.ask()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.fetching = nil
		defer close(done)
		if err != nil {
			t.failures++
			t.err = err
			t.retryAt = time.Now().Add(waitAfter(t.failures))
			t.log.Warn("could not get an access token; trying again", "failures", t.failures, "error", err)
			return
		}
		t.token, t.err, t.failures, t.retryAt = token, nil, 0, time.Time{}
	}()
	return done
}

func (t *tokens) ask() (*oauth2.Token, error) {
	source, err := t.make()
	if err != nil {
		return nil, err
	}
	token, err := source.Token()
	if err != nil {
		return nil, err
	}
	if token.AccessToken == "" || (!token.Expiry.IsZero() && !time.Now().Before(token.Expiry)) {
		return nil, errors.New("the token endpoint gave a token that is not valid")
	}
	return token, nil
}

// refused forgets a token that the API did not take, so that the next request
// gets another.
func (t *tokens) refused(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != nil && t.token.AccessToken == token {
		t.token = nil
	}
}

func (t *tokens) expiry() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == nil {
		return time.Time{}
	}
	return t.token.Expiry
}
