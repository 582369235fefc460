// Package reporter creates events at the API.
//
// Its workers (worker.go) take batches from a [Source], as many as the lease,
// the gate (gate.go), the judge (judge.go) and the rate limit (limiter.go)
// allow, and send each as one request by package talent, which also decides the
// meaning of each answer. Rejections pass the judge before they become outcomes.
package reporter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/ownership"
	"github.com/clientevents/clientevents/internal/scrub"
	"github.com/clientevents/clientevents/reporter/talent"
)

// Permit is asked before a batch is handed out; see package batcher.
type Permit = interface {
	Ask(n int, now time.Time) (allowed int, wait time.Duration)
	Wake() <-chan struct{}
}

// Source is where batches come from: a batcher.
type Source interface {
	// Next waits for the next batch, of which the permit allows a part or the
	// whole.
	Next(ctx context.Context, dst []*event.Delivery, permit Permit) ([]*event.Delivery, error)
	// Return takes deliveries back, for another attempt after the delay.
	Return(ds []*event.Delivery, delay time.Duration)
	// Ready returns the number of deliveries that could be sent now.
	Ready() int
	// Pending also counts those that wait for the time of another attempt.
	Pending() int
	// SetSize changes the largest number of events in a batch, as far as the
	// source allows. It returns the number in force.
	SetSize(n int) int
}

// Config configures a reporter. Fields without a default are required.
type Config struct {
	// Endpoint is the API's base URL, such as https://jobs.googleapis.com.
	Endpoint string
	Version  event.Version
	Parent   string
	// Concurrency is how many requests are in flight at most.
	Concurrency int
	// Rate is events a second, first sends and retries together; 0 is no limit
	// but the API's own quota, which is learned.
	Rate float64
	// Timeout is for one attempt; default 30 s.
	Timeout time.Duration
	// Tokens keeps the access token; nil sends none.
	Tokens *googleauth.Keeper
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS holds the certificates to trust and to present; nil trusts the system's.
	// Versions before 1.2 are not spoken in any case.
	TLS *tls.Config
	// QuotaProject is the project that quota and billing are counted for; ""
	// leaves it to the credentials.
	QuotaProject string
	// UserAgent names the program and its version.
	UserAgent string
	// Privacy returns which extra info is sent; nil sends all as it is.
	Privacy func() *event.Privacy
	// Secrets removes secrets from the texts of answers; nil removes only the access
	// token.
	Secrets *scrub.Scrubber
	// Ownership is of this replica's partitions: no request starts without a
	// lease, and Rate is multiplied by the share. nil owns all partitions.
	Ownership *ownership.Ownership
	// Tracer makes a span for each request that has a traced event; nil makes
	// none.
	Tracer     trace.Tracer
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	// wait is apiBackoff.After, but in tests.
	wait func(failures int) time.Duration
	// burst is firstBurst, but in tests.
	burst float64
}

// Reporter sends batches.
type Reporter struct {
	cfg       Config
	log       *slog.Logger
	source    Source
	client    *talent.Client
	gate      *gate
	wake      wake // to ask for a permit again
	judge     *judge
	limiter   *limiter
	tokens    *googleauth.Keeper
	tokenless stopwatch
	metrics   *metrics
	alone     atomic.Bool  // each event is a request, since the endpoint knows no batches
	paused    atomic.Bool  // an operator wants nothing to be sent
	requests  atomic.Int64 // in flight
	lost      atomic.Int64 // attempts since the last answer whose connection broke

	sizes struct { // of batches, see shrink
		mu    sync.Mutex
		limit int // 0 where there is none but the configuration's
		good  int
		again time.Time     // when batches are tried again, see sendSingly
		rest  time.Duration // until then
	}

	mu    sync.Mutex
	ctx   context.Context // of the requests in flight
	abort context.CancelCauseFunc
}

// New makes a reporter. It rejects an endpoint to which credentials must not be
// sent.
func New(cfg Config, source Source) (*Reporter, error) {
	cfg.setDefaults()
	r := &Reporter{
		cfg:     cfg,
		log:     cfg.Logger,
		source:  source,
		wake:    newWake(),
		limiter: newLimiter(cfg.Rate, cfg.burst, cfg.Ownership.Share),
		tokens:  cfg.Tokens,
	}
	r.judge = &judge{log: cfg.Logger, source: source, wake: r.wake, wait: cfg.wait, unproven: cfg.Ownership.Unproven()}
	var err error
	if r.client, err = talent.New(r.destination()); err != nil {
		return nil, err
	}
	r.gate = &gate{wake: r.wake, wait: cfg.wait, renews: cfg.Tokens != nil}
	r.metrics = newMetrics(cfg.Registerer, r)
	if r.tokens != nil {
		r.tokens.Notify(r.wake)
	}
	r.ctx, r.abort = context.WithCancelCause(context.Background())
	return r, nil
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.wait == nil {
		c.wait = apiBackoff.After
	}
	if c.burst == 0 {
		c.burst = firstBurst
	}
	c.Concurrency = max(1, c.Concurrency)
}

// destination configures the client of the API.
func (r *Reporter) destination() talent.Config {
	cfg := r.cfg
	return talent.Config{
		Endpoint: cfg.Endpoint, Version: cfg.Version, Parent: cfg.Parent, Concurrency: cfg.Concurrency, Timeout: cfg.Timeout,
		Authorize: r.authorize, Credentials: r.tokens != nil,
		Dial: cfg.Dial, TLS: cfg.TLS, QuotaProject: cfg.QuotaProject, UserAgent: cfg.UserAgent,
		Privacy: cfg.Privacy, Secrets: cfg.Secrets,
	}
}

// Why an attempt was given up on our side.
var (
	errAborted = errors.New("the request was cut off by us")
	errNotOurs = errors.New("the partitions may be another replica's by now")
)

// authorize returns the access token of an attempt, unless the events may be
// another replica's by now.
func (r *Reporter) authorize(ctx context.Context) (token string, failure *talent.Error) {
	if r.tokens != nil {
		var err error
		if token, err = r.tokens.Get(ctx); err != nil {
			if errors.Is(err, errAborted) {
				return "", &talent.Error{Reason: talent.Recalled, Err: err}
			}
			return "", &talent.Error{Reason: talent.Unauthenticated, Err: fmt.Errorf("no access token: %w", err)}
		}
	}
	if !r.cfg.Ownership.Leased(time.Now()) {
		return "", &talent.Error{Reason: talent.Recalled, Err: errNotOurs}
	}
	return token, nil
}

// SetRate changes the configured rate of all replicas together, in events a second; 0 is
// no limit. An override stays in force.
func (r *Reporter) SetRate(perSecond float64) {
	r.limiter.configure(perSecond)
	r.wake.up()
}

// OverrideRate sets a rate for this replica in the place of the configured one, in
// events a second; 0 ends that.
func (r *Reporter) OverrideRate(perSecond float64) {
	r.limiter.overrule(perSecond)
	r.wake.up()
}

// Pause has no request start, or has them start again. Requests in flight are
// finished.
func (r *Reporter) Pause(paused bool) {
	r.paused.Store(paused)
	r.wake.up()
}

// Standing reports whether a pause is complete: no request is in flight, and none
// starts.
func (r *Reporter) Standing() bool { return r.paused.Load() && r.requests.Load() == 0 }

// Run sends until ctx ends. Requests in flight continue to their end; Abort cuts
// them.
func (r *Reporter) Run(ctx context.Context) {
	if r.tokens != nil {
		r.tokens.Ready(time.Now()) // so that one is there when it is needed
	}
	var workers sync.WaitGroup
	for range r.cfg.Concurrency {
		workers.Go(func() { r.newWorker().run(ctx) })
	}
	workers.Wait()
	r.judge.close()
	r.client.Close()
}

func (r *Reporter) requestContext() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

// Abort cuts the requests in flight. Their events return to the source; the API may
// have them or not. Later requests are not affected.
func (r *Reporter) Abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abort(errAborted)
	r.ctx, r.abort = context.WithCancelCause(context.Background())
}

// Release releases the held events of terms that are over. Those that
// arrive later are released at once.
func (r *Reporter) Release() { r.judge.release() }

// A batch that had an answer without results is tried again after firstRest. The time
// doubles, up to longRest: each attempt may repeat its events.
const firstRest, longRest = 10 * time.Minute, 24 * time.Hour

// sendSingly stops sending HTTP batches. An endpoint that says that it has none is not asked
// again; one that answered 2xx may have had another server's answer for a moment.
func (r *Reporter) sendSingly(answer talent.Answer) {
	s := &r.sizes
	s.mu.Lock()
	defer s.mu.Unlock()
	r.source.SetSize(1)
	if r.alone.Swap(true) {
		return
	}
	attrs := []any{"endpoint", r.client.BatchURL().Redacted(), "status", answer.Status}
	if answer.Err != nil {
		attrs = append(attrs, "error", answer.Err.Err)
	}
	s.again = time.Time{}
	if answer.Status/100 == 2 {
		s.rest = min(max(firstRest, 2*s.rest), longRest)
		s.again = time.Now().Add(s.rest)
		attrs = append(attrs, "tried_again_in", s.rest)
	}
	r.log.Warn("the endpoint does not support HTTP batches: each event is a request from now on", attrs...)
}

// tryBatches sends batches again, small ones at first, when it is time for it. The caller
// holds the mutex of the sizes.
func (r *Reporter) tryBatches() {
	s := &r.sizes
	if s.again.IsZero() || time.Now().Before(s.again) {
		return
	}
	s.good, s.limit = 0, r.source.SetSize(2)
	r.alone.Store(false)
	r.log.Info("trying HTTP batches again", "events", s.limit)
}

// shrink halves the batches, since one of n events was rejected as a whole. They
// grow again (see grow), since the cause may have been the size of its events.
func (r *Reporter) shrink(n int, err *talent.Error) {
	if limit, smaller := r.halve(n); smaller {
		r.log.Info("batch rejected as a whole; sending smaller ones", "events", n, "limit", limit, "status", err.Status, "error", err.Err)
	}
}

func (r *Reporter) halve(n int) (limit int, smaller bool) {
	s := &r.sizes
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = 0
	half := max(1, n/2)
	if s.limit != 0 && half >= s.limit {
		return s.limit, false
	}
	s.limit = r.source.SetSize(half)
	return s.limit, true
}

// growAfter is the number of accepted batches after which they grow again.
const growAfter = 64

// grow notes that a batch of n events was accepted as a whole.
func (r *Reporter) grow(n int) {
	s := &r.sizes
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.alone.Load() {
		r.tryBatches()
		return
	}
	if s.limit == 0 || n < s.limit {
		return
	}
	if s.good++; s.good < growAfter {
		return
	}
	s.good = 0
	want := 2 * s.limit
	if s.limit = r.source.SetSize(want); s.limit < want {
		s.limit, s.rest = 0, 0 // as many as the source allows
	}
}

// throttled is the time in which events had to wait.
func (r *Reporter) throttled(now time.Time) time.Duration {
	return r.gate.closed.read(now) + r.limiter.waited.read(now) + r.tokenless.read(now)
}

// Throttled is for how long events have waited for the rate limit or the API.
func (r *Reporter) Throttled() time.Duration { return r.throttled(time.Now()) }

// Status is the reporter on the status page.
type Status struct {
	Gate GateStatus `json:"gate"`
	// Rate is the limit in force, the configured one or the one learned of the
	// API's quota, in events a second; 0 where there is none.
	Rate    float64 `json:"rate_events_per_second,omitempty"`
	Learned float64 `json:"learned_events_per_second,omitempty"`
	// Configured is this replica's share of the configured rate, in events a
	// second; 0 where none is.
	Configured float64 `json:"configured_events_per_second,omitempty"`
	// Throttled is for how long events have waited for the rate limit or the API,
	// in seconds since the start, and Answers counts the API's answers to events,
	// by the HTTP status or "error" for none; those that there were.
	Throttled float64           `json:"throttled_seconds"`
	Answers   map[string]uint64 `json:"answers"`
	Paused    []string          `json:"paused,omitempty"`
	// Held counts the held events: rejected, without evidence whose fault that is.
	Held        int       `json:"refusals_held,omitempty"`
	Batches     bool      `json:"batches"`
	TokenExpiry time.Time `json:"token_expiry,omitzero"`
	// TokenError is why there is no new access token.
	TokenError string `json:"token_error,omitempty"`
}

// Status describes the reporter at the moment.
func (r *Reporter) Status() Status {
	s := Status{Gate: r.gate.status(), Batches: !r.alone.Load()}
	s.Rate, s.Learned = r.limiter.rates()
	s.Configured = r.limiter.ceiling()
	_, s.Held = r.judge.status()
	now := time.Now()
	s.Throttled, s.Answers = r.throttled(now).Seconds(), r.metrics.counts()
	for _, p := range pauses {
		if p.holds(r, now) {
			s.Paused = append(s.Paused, p.name)
		}
	}
	if r.tokens != nil {
		token := r.tokens.Status()
		s.TokenExpiry, s.TokenError = token.Expiry, token.LastError
	}
	return s
}

// pause is a value of the label of clientevents_paused, and when it is 1.
type pause struct {
	name  string
	holds func(*Reporter, time.Time) bool
}

var pauses = []pause{
	{"operator", func(r *Reporter, _ time.Time) bool { return r.Standing() }},
	{"rejections", func(r *Reporter, _ time.Time) bool { paused, _ := r.judge.status(); return paused }},
	{"auth", func(r *Reporter, now time.Time) bool {
		return r.gate.paused(now, talent.Unauthenticated) || (r.tokens != nil && r.tokens.Status().Paused)
	}},
	{"forbidden", func(r *Reporter, now time.Time) bool { return r.gate.paused(now, talent.Forbidden) }},
	{"throttled", func(r *Reporter, now time.Time) bool { return r.gate.paused(now, talent.Throttled) }},
	{"unavailable", func(r *Reporter, now time.Time) bool {
		return r.gate.paused(now, talent.Unavailable, talent.ServerError, talent.Timeout, talent.Network, talent.BadAnswer)
	}},
}

// Pauses lists the values of the label of clientevents_paused.
func Pauses() []string {
	names := make([]string, len(pauses))
	for i, p := range pauses {
		names[i] = p.name
	}
	return names
}
