package reporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// TokenSourceFunc makes a source of access tokens from credentials. It is called
// for each token, so a source that keeps its tokens does not keep a refused one,
// and credentials that were replaced are found.
type TokenSourceFunc func() (oauth2.TokenSource, error)

const (
	// renewBefore is how long before its end a token is replaced. The old one
	// is used until the new one is there.
	renewBefore = 5 * time.Minute
	// renewPause is the least time between two tokens that are not refused:
	// metadata servers give the same token again until shortly before its end.
	renewPause = 10 * time.Second
	// fetchTimeout is how long the token endpoint may take.
	fetchTimeout = 30 * time.Second
	// maxHanging is how many fetches that take longer may go on at a time.
	maxHanging = 3
)

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
	wait func(failures int) time.Duration

	mu       sync.Mutex
	token    *oauth2.Token
	renewAt  time.Time // from when on the token is replaced; zero for never
	stale    bool      // the API refused the token
	failures int
	retryAt  time.Time
	err      error  // of the last fetch
	fetching *fetch // the one under way
	hanging  int    // fetches that took too long and go on
}

// fetch is one attempt at a token.
type fetch struct{ over chan struct{} }

func newTokens(source TokenSourceFunc, log *slog.Logger, wait func(int) time.Duration) *tokens {
	return &tokens{make: source, log: log, wait: wait}
}

// get returns a valid token, waiting for one until ctx ends.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for first := true; ; first = false {
		now := time.Now()
		usable := t.usable(now)
		due := !usable || t.stale || (!t.renewAt.IsZero() && !now.Before(t.renewAt))
		if due && !now.Before(t.retryAt) && t.hanging < maxHanging {
			t.fetch()
		}
		switch {
		case usable && !t.stale:
			return t.token.AccessToken, nil
		case t.fetching == nil && usable:
			// It was refused, and there is no other: maybe it was not its fault.
			return t.token.AccessToken, nil
		case t.err != nil && (t.fetching == nil || !first):
			return "", t.err
		case t.fetching == nil:
			return "", errors.New("the token endpoint does not answer")
		}
		if err := t.await(ctx, t.fetching); err != nil {
			return "", err
		}
	}
}

// await waits until the fetch is over or ctx ends. The caller holds mu, which
// is released meanwhile.
func (t *tokens) await(ctx context.Context, f *fetch) error {
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-f.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the token endpoint does not answer: %w", context.Cause(ctx))
	}
}

func (t *tokens) usable(now time.Time) bool {
	return t.token != nil && (t.token.Expiry.IsZero() || now.Before(t.token.Expiry))
}

// fetch starts a fetch unless one is under way. The caller holds mu.
func (t *tokens) fetch() {
	if t.fetching != nil {
		return
	}
	f := &fetch{over: make(chan struct{})}
	t.fetching = f
	timeout := time.AfterFunc(fetchTimeout, func() { t.abandon(f) })
	go func() {
		token, err := t.ask()
		timeout.Stop()
		t.done(f, token, err)
	}()
}

// ask gets a token. It takes as long as it takes.
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

// abandon waits for a fetch no longer.
func (t *tokens) abandon(f *fetch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fetching != f {
		return
	}
	t.hanging++
	t.failed(fmt.Errorf("the token endpoint has not answered for %v", fetchTimeout))
	t.end(f)
}

// done takes what came of a fetch, also of one that was abandoned.
func (t *tokens) done(f *fetch, token *oauth2.Token, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	abandoned := t.fetching != f
	if abandoned {
		t.hanging--
	}
	switch {
	case err == nil:
		t.keep(token)
	case !abandoned:
		t.failed(err)
	}
	if !abandoned {
		t.end(f)
	}
}

func (t *tokens) end(f *fetch) {
	t.fetching = nil
	close(f.over)
}

func (t *tokens) failed(err error) {
	t.failures++
	t.err = err
	t.retryAt = time.Now().Add(t.wait(t.failures))
	t.stale = false // there is no other for now
	t.log.Warn("could not get an access token; trying again", "failures", t.failures, "error", err)
}

func (t *tokens) keep(token *oauth2.Token) {
	now := time.Now()
	t.token, t.stale = token, false
	t.err, t.failures, t.retryAt = nil, 0, time.Time{}
	t.renewAt = time.Time{}
	if !token.Expiry.IsZero() {
		before := min(renewBefore, token.Expiry.Sub(now)/2)
		t.renewAt = now.Add(max(renewPause, token.Expiry.Sub(now)-before))
	}
}

// refused: the API did not take the token, so the next request waits for
// another.
func (t *tokens) refused(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != nil && t.token.AccessToken == token {
		t.stale, t.retryAt = true, time.Time{}
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
