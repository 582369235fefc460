// Package reporter creates events at the API.
//
// Its workers (worker.go) take batches from a [Source], as many as the lease,
// the gate (gate.go), the judge (judge.go) and the rate limit (limiter.go)
// allow, and send each as one request (attempt.go): a POST for a single event, a
// multipart HTTP batch (multipart.go) for more. What an answer means is decided
// once, in errors.go; refusals pass the judge before they are told.
package reporter

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/reporter/wire"
)

// Source is where batches come from: a batcher.
type Source interface {
	// Next waits for the next batch, of which admit allows a part or the whole.
	Next(ctx context.Context, dst []*event.Delivery, admit func(n int, now time.Time) (allowed int, wait time.Duration)) ([]*event.Delivery, error)
	// Accept takes deliveries that were taken out with Settle.
	Accept([]*event.Delivery)
	// Return takes deliveries back, to be tried again after the delay.
	Return(ds []*event.Delivery, delay time.Duration)
	// Settle says that n deliveries are in flight no more. The reporter settles
	// those that the API did not accept; whoever is told Accepted settles it.
	Settle(n int)
	// Ready counts what could be sent now.
	Ready() int
	// Poke lets a worker look again, because what admit answers has changed.
	Poke()
	// SetSize changes how many events a batch has at the most, as far as the
	// source allows, and returns how many that are.
	SetSize(n int) int
}

// Config is what a reporter needs. Fields without a default are required.
type Config struct {
	// Endpoint is the API's base URL, such as https://jobs.googleapis.com.
	Endpoint string
	Version  event.Version
	Parent   string
	// Concurrency is how many requests are in flight at the most.
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
	// TLS is what to trust and to present; nil is the system's certificates.
	// Versions before 1.2 are not spoken in any case.
	TLS *tls.Config
	// QuotaProject is the project that quota and billing are counted for; ""
	// leaves it to the credentials.
	QuotaProject string
	// UserAgent names the program and its version.
	UserAgent string
	// Lease says whether the partitions are still ours; nil is always. No
	// request starts where it says no.
	Lease func(time.Time) bool
	// Tracer makes a span for each request that has a traced event; nil makes
	// none.
	Tracer     trace.Tracer
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	// wait is waitAfter, but in tests.
	wait func(failures int) time.Duration
	// burst is firstBurst, but in tests.
	burst float64
}

// Reporter sends batches.
type Reporter struct {
	cfg       Config
	log       *slog.Logger
	source    Source
	create    *url.URL              // where single events go
	header    http.Header           // of all requests, as far as it is always the same
	heads     atomic.Pointer[heads] // of the last token
	singles   *wire.Client          // for single events
	transport *http.Transport       // for batches
	batches   *http.Request         // without a body and headers
	batchID   string
	gate      *gate
	judge     *judge
	limiter   *limiter
	tokens    *googleauth.Keeper
	tokenless stopwatch
	metrics   *metrics
	alone     atomic.Bool  // the endpoint knows no batches
	paused    atomic.Bool  // an operator wants nothing to be sent
	requests  atomic.Int64 // in flight

	sizes struct { // of batches, see shrink
		mu    sync.Mutex
		limit int // 0 where there is none but the configuration's
		good  int
	}

	mu    sync.Mutex
	ctx   context.Context // of the requests in flight
	abort context.CancelCauseFunc
}

// New makes a reporter. It refuses an endpoint to which credentials must not be
// sent.
func New(cfg Config, source Source) (*Reporter, error) {
	cfg.setDefaults()
	base, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if err := checkEndpoint(base, cfg.Tokens != nil); err != nil {
		return nil, err
	}
	r := &Reporter{
		cfg:       cfg,
		log:       cfg.Logger,
		source:    source,
		transport: newTransport(cfg),
		batchID:   strings.ToLower(rand.Text()[:12]),
		limiter:   newLimiter(cfg.Rate, cfg.burst),
		judge:     &judge{log: cfg.Logger, source: source, wait: cfg.wait},
	}
	r.gate = &gate{log: cfg.Logger, poke: source.Poke, wait: cfg.wait, renews: cfg.Tokens != nil, restless: r.limiter.restless}
	if err := r.setTargets(base); err != nil {
		return nil, err
	}
	r.metrics = newMetrics(cfg.Registerer, r)
	if r.tokens = cfg.Tokens; r.tokens != nil {
		r.tokens.Notify(source.Poke)
	}
	r.ctx, r.abort = context.WithCancelCause(context.Background())
	return r, nil
}

func (c *Config) setDefaults() {
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.UserAgent == "" {
		c.UserAgent = "clientevents"
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.TLS = c.TLS.Clone()
	c.TLS.MinVersion = max(c.TLS.MinVersion, tls.VersionTLS12)
	if c.wait == nil {
		c.wait = waitAfter
	}
	if c.burst == 0 {
		c.burst = firstBurst
	}
	c.Concurrency = max(1, c.Concurrency)
}

// checkEndpoint keeps credentials from networks that anybody can listen to.
func checkEndpoint(base *url.URL, credentials bool) error {
	switch {
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return fmt.Errorf("endpoint %q: want an http or https URL, such as https://jobs.googleapis.com", base.Redacted())
	case base.User != nil:
		return fmt.Errorf("endpoint %q: want no user name or password in it", base.Redacted())
	case credentials && base.Scheme == "http" && !loopback(base.Hostname()):
		return fmt.Errorf("endpoint %q: credentials are not sent over plain http, except to a loopback address: use https, or credentials none", base)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// setTargets makes the requests as far as they are always the same.
func (r *Reporter) setTargets(base *url.URL) (err error) {
	if base.Path == "" {
		base.Path = "/" // what is joined to it would be relative otherwise
	}
	r.create = base.JoinPath(r.cfg.Version.String(), r.cfg.Parent, "clientEvents")
	r.header = http.Header{}
	SetHeaders(r.header, r.cfg.UserAgent, r.cfg.QuotaProject)
	r.batches = &http.Request{Method: http.MethodPost, URL: base.JoinPath("batch"), Host: base.Host}
	r.singles, err = wire.NewClient(wire.Config{URL: r.create, Dial: r.cfg.Dial, TLS: r.cfg.TLS, Proxy: http.ProxyFromEnvironment})
	return err
}

// SetHeaders sets what every request to the API says of the program and of whose
// quota it is for: X-Goog-Api-Client is where Google asks clients to name
// themselves.
func SetHeaders(header http.Header, userAgent, quotaProject string) {
	header.Set("User-Agent", userAgent)
	header.Set("X-Goog-Api-Client", apiClient(runtime.Version(), userAgent))
	if quotaProject != "" {
		header.Set("X-Goog-User-Project", quotaProject)
	}
}

// SetRate changes the rate, in events a second; 0 is no limit.
func (r *Reporter) SetRate(perSecond float64) {
	r.limiter.set(perSecond)
	r.source.Poke()
}

// OverrideRate lets another rate hold than what SetRate says, in events a
// second; 0 ends that.
func (r *Reporter) OverrideRate(perSecond float64) {
	r.limiter.overrule(perSecond)
	r.source.Poke()
}

// Pause lets no request start, or lets them start again. Those in flight go on
// to their end.
func (r *Reporter) Pause(paused bool) {
	r.paused.Store(paused)
	r.source.Poke()
}

// Standing says whether a pause has become true: no request is in flight, and
// none starts.
func (r *Reporter) Standing() bool { return r.paused.Load() && r.requests.Load() == 0 }

// Run sends until ctx ends. Requests in flight go on to their end; Abort cuts
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
	r.singles.Close()
	r.transport.CloseIdleConnections()
}

func (r *Reporter) requestContext() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

// Abort cuts the requests in flight. What they were sending comes back to the
// source; whether the API has it, nobody knows. Requests that are admitted later
// are not concerned.
func (r *Reporter) Abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abort(errAborted)
	r.ctx, r.abort = context.WithCancelCause(context.Background())
}

// Release lets go of the refusals that are still held back: a drain is over.
func (r *Reporter) Release() { r.judge.giveUp() }

// sendSingly gives up HTTP batches.
func (r *Reporter) sendSingly(status int) {
	if !r.alone.Swap(true) {
		r.log.Warn("the endpoint does not know HTTP batches: events go one a request from now on",
			"endpoint", r.batches.URL.Redacted(), "status", status)
	}
	r.source.SetSize(1)
}

// shrink halves the batches, since one of n events was refused as a whole. They
// grow again (see grow), as it may have been the size of its events.
func (r *Reporter) shrink(n int, err *Error) {
	s := &r.sizes
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = 0
	if half := max(1, n/2); s.limit == 0 || half < s.limit {
		s.limit = r.source.SetSize(half)
		r.log.Info("a batch was refused as a whole: smaller ones from now on", "events", n, "now", s.limit, "status", err.Status, "error", err.Err)
	}
}

// growAfter is how many batches go well before they are made larger again.
const growAfter = 64

// grow notes that a batch of n events was taken as a whole.
func (r *Reporter) grow(n int) {
	s := &r.sizes
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit == 0 || n < s.limit || r.alone.Load() {
		return
	}
	if s.good++; s.good < growAfter {
		return
	}
	s.good = 0
	want := 2 * s.limit
	if s.limit = r.source.SetSize(want); s.limit < want {
		s.limit = 0 // as many as the source allows
	}
}

// throttled is the time in which something was held back.
func (r *Reporter) throttled(now time.Time) time.Duration {
	return r.gate.held.read(now) + r.limiter.held.read(now) + r.tokenless.read(now)
}

// Throttled is for how long events have waited for the rate limit or the API.
func (r *Reporter) Throttled() time.Duration { return r.throttled(time.Now()) }

// Status is what the status page says of the reporter.
type Status struct {
	Gate GateStatus `json:"gate"`
	// Rate is the limit in force, the configured one or what was learned of the
	// API's quota, in events a second; 0 where there is none.
	Rate    float64 `json:"rate_events_per_second,omitempty"`
	Learned float64 `json:"learned_events_per_second,omitempty"`
	// Configured is this replica's share of the configured rate, in events a
	// second; 0 where none is.
	Configured float64 `json:"configured_events_per_second,omitempty"`
	// Throttled is for how long events have waited for the rate limit or the API,
	// in seconds since the start, and Answers counts what the API said to events,
	// by the HTTP status or "error" for none; those that there were.
	Throttled float64           `json:"throttled_seconds"`
	Answers   map[string]uint64 `json:"answers"`
	Paused    []string          `json:"paused,omitempty"`
	// Held counts the refusals that are held back.
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
		return r.gate.paused(now, Unauthenticated) || (r.tokens != nil && r.tokens.Status().Paused)
	}},
	{"forbidden", func(r *Reporter, now time.Time) bool { return r.gate.paused(now, Forbidden) }},
	{"throttled", func(r *Reporter, now time.Time) bool { return r.gate.paused(now, Throttled) }},
	{"unavailable", func(r *Reporter, now time.Time) bool {
		return r.gate.paused(now, Unavailable, ServerError, Timeout, Network, BadAnswer)
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
