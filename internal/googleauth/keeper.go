package googleauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/oauth2"
)

const (
	// renewBefore is how long before its end a token is replaced. The old one
	// is used until the new one is there.
	renewBefore = 5 * time.Minute
	// renewPause is the least time between two tokens that are not refused:
	// metadata servers give the same token again until shortly before its end.
	renewPause = 10 * time.Second
	// firstWait and maxWait are how long to wait after a try that failed. The
	// longest, and the time of a try, are what it takes to go on after an outage.
	firstWait = 500 * time.Millisecond
	maxWait   = 10 * time.Second
	// lookAgain is how often to look whether the credentials were replaced.
	lookAgain = 10 * time.Second
	// pausedAfter is how long a program may be without a token before that is
	// called a pause.
	pausedAfter = 10 * time.Second
)

// KeeperConfig is what a keeper needs. Get is required.
type KeeperConfig struct {
	// Get gets a new token. It has to end with its context.
	Get func(context.Context) (*oauth2.Token, error)
	// Changed says whether there are other credentials than those of the last
	// token; nil is never.
	Changed func() bool
	Logger  *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Broker says that the token is for logging in to brokers and not for the API,
	// which metrics and log tell apart.
	Broker bool

	// wait is waitAfter, but in tests.
	wait func(failures int) time.Duration
}

// Keeper keeps an access token.
//
// It asks for one at a time, and renews it before its end, be it used or not,
// while the old one goes on. Tokens are fetched aside: whoever needs one waits for it no longer than
// it may itself. Nor does a fetch end when the program is told to stop, since
// what is in flight may still need one; Close ends it.
type Keeper struct {
	cfg     KeeperConfig
	results map[Result]prometheus.Counter
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	poke     func() // there is a token, or there is none
	token    *oauth2.Token
	renewAt  time.Time // from when on the token is replaced; zero for never
	lookAt   time.Time // when to look at the credentials again
	stale    bool      // the API refused the token
	failures int
	retryAt  time.Time
	err      error         // of the last try
	fetching chan struct{} // closed when the try that is under way is over; nil for none
	without  time.Time     // since when a token is missed; zero while it is not
	alarm    *time.Timer   // for what is due next
}

// NewKeeper makes a keeper, which has no token yet.
func NewKeeper(cfg KeeperConfig) *Keeper {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.wait == nil {
		cfg.wait = waitAfter
	}
	if cfg.Broker {
		cfg.Logger = cfg.Logger.With("for", "brokers")
	}
	k := &Keeper{cfg: cfg, results: map[Result]prometheus.Counter{}, poke: func() {}}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.registerMetrics(cfg.Registerer)
	return k
}

// waitAfter is how long to wait after so many failures in a row.
func waitAfter(failures int) time.Duration {
	wait := min(maxWait, firstWait<<min(failures-1, 10))
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(wait), backoff.WithMaxElapsedTime(0))
	return min(maxWait, b.NextBackOff())
}

func (k *Keeper) registerMetrics(reg prometheus.Registerer) {
	name, purpose := "clientevents_token", "the API"
	if k.cfg.Broker {
		name, purpose = "clientevents_kafka_token", "logging in to brokers"
	}
	refreshes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: name + "_refreshes_total",
		Help: "Tries to get an access token for " + purpose + ", by what came of them: ok, or why not.",
	}, []string{"result"})
	for _, result := range Results() {
		k.results[result] = refreshes.WithLabelValues(string(result))
	}
	if reg == nil {
		return
	}
	reg.MustRegister(refreshes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: name + "_expiry_timestamp_seconds",
		Help: "When the access token for " + purpose + " ends; 0 while there is none, or none that ends. It is renewed 5 min before.",
	}, func() float64 {
		if end := k.Status().Expiry; !end.IsZero() {
			return float64(end.UnixMilli()) / 1000
		}
		return 0
	}))
}

// Notify has poke called when there is a token, or none any more, so that
// whoever waits asks again.
func (k *Keeper) Notify(poke func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.poke = poke
}

// Close ends a try that is under way. Afterwards there are no new tokens.
func (k *Keeper) Close() {
	k.cancel()
	k.mu.Lock()
	if k.alarm != nil {
		k.alarm.Stop()
	}
	k.mu.Unlock()
	k.running.Wait()
}

// Ready says whether there is a token to go with, and sees to it that there will
// be one. Whoever gets no is notified.
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

// Get returns a valid token, waiting for one until ctx ends.
func (k *Keeper) Get(ctx context.Context) (string, error) {
	token, err := k.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

// Token is Get, with the token's end.
func (k *Keeper) Token(ctx context.Context) (*oauth2.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for first := true; ; first = false {
		now := time.Now()
		k.renew(now, true)
		switch usable := k.usable(now); {
		case usable && (!k.stale || k.fetching == nil):
			// A token that was refused is used again where there is no other:
			// maybe it was not its fault.
			return k.token, nil
		case k.err != nil && (k.fetching == nil || !first):
			return nil, k.err
		case k.fetching == nil:
			return nil, errors.New("there are no new access tokens any more")
		}
		if err := k.await(ctx); err != nil {
			return nil, err
		}
	}
}

// await waits until the try is over or ctx ends. The caller holds mu, which is
// released meanwhile.
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

// renew starts a try for a new token where one is due. wanted says that somebody
// is about to use the token: one that was refused is replaced only then, so that
// what comes is fresh. The caller holds mu.
func (k *Keeper) renew(now time.Time, wanted bool) {
	if k.fetching != nil || k.ctx.Err() != nil {
		return
	}
	due := !k.usable(now) || (wanted && k.stale) || (!k.renewAt.IsZero() && !now.Before(k.renewAt))
	if k.changed(now) {
		due, k.retryAt, k.failures = true, time.Time{}, 0
	}
	if !due || now.Before(k.retryAt) {
		k.schedule(now)
		return
	}
	over := make(chan struct{})
	k.fetching = over
	k.running.Go(func() {
		token, err := k.cfg.Get(k.ctx)
		poke := k.done(token, err)
		close(over)
		poke()
	})
}

// schedule sets the alarm for the next try, or the next look at the
// credentials. The caller holds mu.
func (k *Keeper) schedule(now time.Time) {
	next := k.renewAt
	if now.Before(k.retryAt) {
		next = k.retryAt
	}
	if k.cfg.Changed != nil && (next.IsZero() || k.lookAt.Before(next)) {
		next = k.lookAt
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

// changed looks now and then whether the credentials were replaced.
func (k *Keeper) changed(now time.Time) bool {
	if k.cfg.Changed == nil || now.Before(k.lookAt) {
		return false
	}
	first := k.lookAt.IsZero()
	k.lookAt = now.Add(lookAgain)
	return !first && k.cfg.Changed()
}

// done takes what came of a try, and returns whom to tell.
func (k *Keeper) done(token *oauth2.Token, err error) (poke func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetching = nil
	if k.ctx.Err() != nil {
		return func() {}
	}
	if err != nil {
		k.failed(err)
	} else {
		k.keep(token)
	}
	k.schedule(time.Now())
	return k.poke
}

func (k *Keeper) failed(err error) {
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
	if k.failures == 1 || k.failures%10 == 0 {
		k.cfg.Logger.Warn("could not get an access token; trying again", "failures", k.failures, "result", result,
			"error", err, "next_try", wait.Round(time.Millisecond), "token_ends", k.end())
	}
}

func (k *Keeper) keep(token *oauth2.Token) {
	now := time.Now()
	k.results[Got].Inc()
	if k.failures > 0 {
		k.cfg.Logger.Info("there is an access token again", "failures", k.failures)
	}
	k.token, k.stale = token, false
	k.err, k.failures, k.retryAt = nil, 0, time.Time{}
	k.renewAt = time.Time{}
	if !token.Expiry.IsZero() {
		before := min(renewBefore, token.Expiry.Sub(now)/2)
		k.renewAt = now.Add(max(renewPause, token.Expiry.Sub(now)-before))
	}
}

// Refused says that the API did not take the token, so that the next request
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

// Status is what the status page says of a token.
type Status struct {
	// Expiry is when the token ends; zero for no token, or one that does not.
	Expiry time.Time
	// LastError is why the last try for a new one failed; "" where it did not.
	LastError string
	// NextTry is when the next one is made.
	NextTry time.Time
	// Paused: a token has been missed for a while.
	Paused bool
}

// Status describes the token at the moment.
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
