package googleauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/oauth2"

	"github.com/clientevents/clientevents/internal/backoff"
	"github.com/clientevents/clientevents/internal/metric"
)

// tokenBackoff is for requests for a token that failed. Its maximum and the time
// of a request bound the time to resume after an outage.
var tokenBackoff = backoff.Policy{First: 500 * time.Millisecond, Max: 10 * time.Second}

const (
	// RenewBefore is the time before its expiry at which a token is replaced. The old one
	// is used until the new one has arrived.
	RenewBefore = 5 * time.Minute
	// renewPause is the least time between two tokens that are not refused:
	// metadata servers return the same token until shortly before its end.
	renewPause = 10 * time.Second
	// watchEvery is the interval at which the keeper checks whether the credentials were
	// replaced.
	watchEvery = 10 * time.Second
	// pausedAfter is the time for which a token may be missing before it is reported as a
	// pause.
	pausedAfter = 10 * time.Second
)

// KeeperConfig configures a keeper. Get is required.
type KeeperConfig struct {
	// Get gets a new token. It must return when its context ends.
	Get func(context.Context) (*oauth2.Token, error)
	// Changed reports whether the credentials differ from those of the last
	// token; nil is never. It may take long: the keeper calls it in a goroutine
	// of its own.
	Changed func() bool
	Logger  *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Broker marks a token for brokers, not for the API: metrics and
	// log distinguish them.
	Broker bool

	// wait is tokenBackoff.After, but in tests.
	wait func(failures int) time.Duration
}

// Keeper keeps an access token.
//
// It fetches one at a time and renews it before it expires, used or not, while the
// old one remains valid. Goroutines of its own fetch tokens and watch the
// credentials; no I/O happens under its lock, so Ready, Refused and Status never
// wait for a disk or a server. A fetch does not end when the program is told to
// stop, since requests in flight may still need a token; Close ends it.
type Keeper struct {
	cfg     KeeperConfig
	results map[Result]prometheus.Counter
	ctx     context.Context
	cancel  context.CancelFunc

	mu       sync.Mutex
	notify   chan<- struct{}
	token    *oauth2.Token
	renewAt  time.Time // the time to replace the token; zero for never
	replaced bool      // the credentials were replaced since the last fetch began
	stale    bool      // the API refused the token
	failures int
	retryAt  time.Time
	err      error         // of the last try
	fetching chan struct{} // closed at the end of the current fetch; nil without one
	without  time.Time     // the time since which a token is missing; zero if there is one
	alarm    *time.Timer   // for the next renewal or retry
}

// NewKeeper returns a keeper without a token; the first call of Ready or Token
// fetches one. The keeper watches the credentials until Close.
func NewKeeper(cfg KeeperConfig) *Keeper {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.wait == nil {
		cfg.wait = tokenBackoff.After
	}
	if cfg.Broker {
		cfg.Logger = cfg.Logger.With("for", "brokers")
	}
	k := &Keeper{cfg: cfg}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.registerMetrics(cfg.Registerer)
	if cfg.Changed != nil {
		go k.watch()
	}
	return k
}

func (k *Keeper) registerMetrics(reg prometheus.Registerer) {
	name, purpose := "clientevents_token", "the API"
	if k.cfg.Broker {
		name, purpose = "clientevents_kafka_token", "logging in to brokers"
	}
	s := metric.Set{Registerer: reg}
	k.results = metric.Each(s.Counters(name+"_refreshes_total",
		"Attempts to get an access token for "+purpose+", by result: ok or the cause of the failure.", "result"),
		Results(), func(r Result) string { return string(r) })
	s.GaugeFunc(name+"_expiry_timestamp_seconds",
		"Expiry time of the access token for "+purpose+", which is renewed 5 min earlier; 0 if there is no token or it does not expire.",
		func() float64 {
			if end := k.Status().Expiry; !end.IsZero() {
				return float64(end.UnixMilli()) / 1000
			}
			return 0
		})
}

// Notify makes the keeper send to c, without blocking, whenever the result of Ready
// may have changed. c needs room for one value.
func (k *Keeper) Notify(c chan<- struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notify = c
}

// watch fetches a token immediately when the credentials were replaced.
func (k *Keeper) watch() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-ticker.C:
		}
		if k.ctx.Err() != nil {
			return // a tick that waited during a long check came with the end
		}
		if k.cfg.Changed() {
			k.Replace()
		}
	}
}

// Close cancels the current fetch. Afterwards there are no new tokens. Close does
// not wait for a file system that hangs.
func (k *Keeper) Close() {
	k.cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.alarm != nil {
		k.alarm.Stop()
	}
}

// Replace fetches a new token at once, because the credentials changed.
func (k *Keeper) Replace() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.replaced, k.retryAt, k.failures = true, time.Time{}, 0
	k.renew(time.Now(), false)
}

// Ready reports whether there is a token. Without one, it
// starts a fetch and returns immediately; Notify signals when to ask again.
func (k *Keeper) Ready(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.renew(now, true)
	ready := k.usable(now) && (!k.stale || k.fetching == nil)
	switch {
	case ready:
		k.without = time.Time{}
	case k.without.IsZero():
		k.without = now
	}
	return ready
}

// Get returns a valid token; it waits for one until ctx ends.
func (k *Keeper) Get(ctx context.Context) (string, error) {
	token, err := k.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

// Token is Get with the token's expiry time.
func (k *Keeper) Token(ctx context.Context) (*oauth2.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for first := true; ; first = false {
		now := time.Now()
		k.renew(now, true)
		switch usable := k.usable(now); {
		case usable && (!k.stale || k.fetching == nil):
			// A refused token is used again if there is no other: the cause may
			// have been elsewhere.
			return k.token, nil
		case k.err != nil && (k.fetching == nil || !first):
			return nil, k.err
		case k.fetching == nil:
			return nil, errors.New("the token source is closed")
		}
		if err := k.await(ctx); err != nil {
			return nil, err
		}
	}
}

// await waits until the fetch is over or ctx ends. The caller holds mu, which is
// unlocked meanwhile.
func (k *Keeper) await(ctx context.Context) error {
	over := k.fetching
	k.mu.Unlock()
	defer k.mu.Lock()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the token server has not answered yet: %w", context.Cause(ctx))
	}
}

func (k *Keeper) usable(now time.Time) bool {
	return k.token != nil && (k.token.Expiry.IsZero() || now.Before(k.token.Expiry))
}

// renew starts a fetch if a new token is due. wanted is for a token that is
// about to be used: a refused token is replaced only then, so that the new one is
// fresh. The caller holds mu.
func (k *Keeper) renew(now time.Time, wanted bool) {
	if k.fetching != nil || k.ctx.Err() != nil {
		return
	}
	due := !k.usable(now) || k.replaced || (wanted && k.stale) || (!k.renewAt.IsZero() && !now.Before(k.renewAt))
	if !due || now.Before(k.retryAt) {
		k.schedule(now)
		return
	}
	over := make(chan struct{})
	k.fetching, k.replaced = over, false
	go func() {
		report := k.fetched(k.cfg.Get(k.ctx))
		close(over)
		report() // a log may block
	}()
}

// schedule sets the alarm for the next renewal or retry. The caller holds mu.
func (k *Keeper) schedule(now time.Time) {
	next := k.renewAt
	if now.Before(k.retryAt) {
		next = k.retryAt
	}
	if next.IsZero() {
		return
	}
	if k.alarm == nil {
		k.alarm = time.AfterFunc(next.Sub(now), k.wake)
		return
	}
	k.alarm.Reset(next.Sub(now))
}

func (k *Keeper) wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.renew(time.Now(), false)
}

// fetched handles the result of a fetch. It returns the function that logs it.
func (k *Keeper) fetched(token *oauth2.Token, err error) (report func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetching = nil
	if k.ctx.Err() != nil {
		return func() {}
	}
	if err != nil {
		report = k.failed(err)
	} else {
		report = k.keep(token)
	}
	select {
	case k.notify <- struct{}{}:
	default:
	}
	if k.replaced { // during the fetch, whose credentials are the old ones
		k.retryAt = time.Time{}
		k.renew(time.Now(), false)
		return report
	}
	k.schedule(time.Now())
	return report
}

// failed records a failed fetch. It returns the function that logs it. The
// caller holds mu.
func (k *Keeper) failed(err error) (report func()) {
	result := Invalid
	var asked time.Duration
	if e, ok := errors.AsType[*Error](err); ok {
		result, asked = e.Result, e.RetryAfter
	}
	k.results[result].Inc()
	k.failures++
	k.err = err
	wait := max(asked, k.cfg.wait(k.failures))
	k.retryAt = time.Now().Add(wait)
	k.stale = false // there is no other for now
	failures, end := k.failures, k.end()
	return func() {
		if failures == 1 || failures%10 == 0 {
			k.cfg.Logger.Warn("could not get an access token; trying again", "failures", failures, "result", result,
				"error", err, "next_try", wait.Round(time.Millisecond), "token_ends", end)
		}
	}
}

// keep stores a new token. It returns the function that logs the end of an outage.
// The caller holds mu.
func (k *Keeper) keep(token *oauth2.Token) (report func()) {
	now, failures := time.Now(), k.failures
	k.results[Got].Inc()
	k.token, k.stale = token, false
	k.err, k.failures, k.retryAt = nil, 0, time.Time{}
	k.renewAt = time.Time{}
	if !token.Expiry.IsZero() {
		before := min(RenewBefore, token.Expiry.Sub(now)/2)
		k.renewAt = now.Add(max(renewPause, token.Expiry.Sub(now)-before))
	}
	return func() {
		if failures > 0 {
			k.cfg.Logger.Info("access token received again", "failures", failures)
		}
	}
}

// Refused records that the API did not accept the token, so that the next request
// waits for another.
func (k *Keeper) Refused(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.token != nil && k.token.AccessToken == token {
		k.stale, k.retryAt = true, time.Time{}
	}
}

func (k *Keeper) end() time.Time {
	if k.token == nil {
		return time.Time{}
	}
	return k.token.Expiry
}

// Status describes a token for the status page.
type Status struct {
	// Expiry is the token's expiry time; zero without a token or an expiry time.
	Expiry time.Time
	// LastError is the error of the last attempt to get a token; "" if it succeeded.
	LastError string
	// NextTry is the time of the next attempt.
	NextTry time.Time
	// Paused reports whether a token has been missing for pausedAfter.
	Paused bool
}

// Status describes the token.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{Expiry: k.end(), NextTry: k.retryAt}
	if k.err != nil {
		s.LastError = k.err.Error()
	}
	s.Paused = !k.without.IsZero() && time.Since(k.without) > pausedAfter
	return s
}
