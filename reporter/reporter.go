// Package reporter creates events at the API.
//
// Its workers take batches from a [Source], as many as the rate limit and the
// gate (gate.go) allow, and send each as one request (attempt.go): a POST for a
// single event, a multipart HTTP batch (multipart.go) for more. What an answer
// means is decided once, in errors.go; refusals pass the judge (judge.go) before
// they are told.
package reporter

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/event"
)

// Source is where batches come from: a batcher.
type Source interface {
	// Next waits for the next batch, of which admit allows a part or the whole.
	Next(ctx context.Context, dst []*event.Delivery, admit batcher.Admit) ([]*event.Delivery, error)
	// Accept takes deliveries that were taken out with Settle.
	Accept([]*event.Delivery)
	// Return takes a delivery back, to be tried again after the delay.
	Return(d *event.Delivery, delay time.Duration)
	// Settle says that n deliveries are in flight no more.
	Settle(n int)
	// Pending counts what waits to be sent.
	Pending() int
	// Poke lets a worker look again, because what admit answers has changed.
	Poke()
	// SetSize changes how many events a batch has at the most.
	SetSize(n int)
}

// Config is what a reporter needs. Fields without a default are required.
type Config struct {
	// Endpoint is the API's base URL, without a path.
	Endpoint string
	Version  event.Version
	Parent   string
	// Concurrency is how many requests are in flight at the most.
	Concurrency int
	// Rate is events a second, first sends and retries together; 0 is no limit.
	Rate float64
	// Timeout is for one attempt; default 30 s.
	Timeout time.Duration
	// Tokens makes sources of access tokens; nil sends none. It is called anew
	// when a token is refused, so it should read its credentials anew.
	Tokens TokenSourceFunc
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// QuotaProject is the project that quota and billing are counted for; ""
	// leaves it to the credentials.
	QuotaProject string
	// UserAgent names the program and its version.
	UserAgent string
	// Lease says whether the partitions are still ours; nil is always. No
	// request starts where it says no.
	Lease      func(time.Time) bool
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Reporter sends batches.
type Reporter struct {
	cfg     Config
	log     *slog.Logger
	source  Source
	client  *http.Client
	gate    *gate
	judge   *judge
	tokens  *tokens
	metrics *metrics

	single *url.URL // clientEvents.create
	batch  *url.URL // the HTTP batch
	header http.Header
	alone  atomic.Bool // the endpoint knows no batches

	mu    sync.Mutex
	ctx   context.Context // of the requests in flight
	abort context.CancelFunc
}

// New makes a reporter. It refuses an endpoint to which credentials must not be
// sent.
func New(cfg Config, source Source) (*Reporter, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Concurrency = max(1, cfg.Concurrency)
	base, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", cfg.Endpoint, err)
	}
	if err := checkEndpoint(base, cfg.Tokens != nil); err != nil {
		return nil, err
	}
	if base.Path == "" {
		base.Path = "/" // what is joined to it would be relative otherwise
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "clientevents"
	}
	r := &Reporter{
		cfg:    cfg,
		log:    cfg.Logger,
		source: source,
		client: newClient(cfg),
		single: base.JoinPath(cfg.Version.String(), cfg.Parent, "clientEvents"),
		batch:  base.JoinPath("batch"),
		header: http.Header{"User-Agent": {cfg.UserAgent}, "X-Goog-Api-Client": {apiClient(cfg.UserAgent)}},
	}
	if cfg.QuotaProject != "" {
		r.header.Set("X-Goog-User-Project", cfg.QuotaProject)
	}
	r.judge = &judge{log: r.log, source: source}
	r.gate = &gate{log: r.log, limiter: newLimiter(cfg.Rate), lease: cfg.Lease, judge: r.judge, poke: source.Poke}
	r.metrics = newMetrics(cfg.Registerer, r)
	r.gate.throttled = func(d time.Duration) { r.metrics.throttled.Add(d.Seconds()) }
	if cfg.Tokens != nil {
		r.tokens = newTokens(cfg.Tokens, r.log)
	}
	r.ctx, r.abort = context.WithCancel(context.Background())
	return r, nil
}

// checkEndpoint keeps credentials from networks that anybody can listen to.
func checkEndpoint(base *url.URL, credentials bool) error {
	switch {
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return fmt.Errorf("endpoint %q: want an http or https URL, such as https://jobs.googleapis.com", base)
	case credentials && base.Scheme == "http" && !loopback(base.Hostname()):
		return fmt.Errorf("endpoint %q: credentials are not sent over plain http, except to a loopback address: use https, or credentials none", base)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// newLimiter allows small bursts only: quotas are counted by the minute, and a
// burst is spent on top of the rate.
func newLimiter(perSecond float64) *rate.Limiter {
	l := rate.NewLimiter(rate.Inf, 1)
	setRate(l, perSecond)
	return l
}

func setRate(l *rate.Limiter, perSecond float64) {
	if perSecond <= 0 {
		l.SetLimit(rate.Inf)
		return
	}
	const burst = 0.05 // seconds
	l.SetBurst(max(1, int(perSecond*burst)))
	l.SetLimit(rate.Limit(perSecond))
}

// SetRate changes the rate, in events a second; 0 is no limit.
func (r *Reporter) SetRate(perSecond float64) {
	setRate(r.gate.limiter, perSecond)
	r.source.Poke()
}

// Run sends until ctx ends. Requests in flight go on to their end; Abort cuts
// them.
func (r *Reporter) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range r.cfg.Concurrency {
		workers.Go(func() { r.work(ctx) })
	}
	workers.Wait()
	r.judge.close()
	r.client.CloseIdleConnections()
}

func (r *Reporter) work(ctx context.Context) {
	var batch []*event.Delivery
	for {
		var err error
		if batch, err = r.source.Next(ctx, batch[:0], r.gate.admit); err != nil {
			return
		}
		r.send(r.requestContext(), batch)
	}
}

func (r *Reporter) requestContext() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

// Abort cuts the requests in flight. What they were sending comes back to the
// source; whether the API has it, nobody knows.
func (r *Reporter) Abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abort()
	r.ctx, r.abort = context.WithCancel(context.Background())
}

// Release lets go of the refusals that are still held back.
func (r *Reporter) Release() { r.judge.giveUp() }

// send makes one attempt at a batch and deals with what came of it.
func (r *Reporter) send(ctx context.Context, batch []*event.Delivery) {
	if len(batch) == 1 || r.alone.Load() {
		for _, d := range batch {
			r.sendAlone(ctx, d)
		}
		return
	}
	r.sendTogether(ctx, batch)
}

func (r *Reporter) sendAlone(ctx context.Context, d *event.Delivery) {
	epoch := r.gate.attempt()
	d.Attempts++
	err := r.post(ctx, d)
	r.settle(d, err)
	r.tellGate(epoch, err)
}

// tellGate says what an attempt says about the destination.
func (r *Reporter) tellGate(epoch int, err *Error) {
	if err == nil || err.permanent() {
		r.gate.open()
		return
	}
	r.gate.fail(epoch, err, time.Now())
}

// settle tells one event's outcome, or puts it back.
func (r *Reporter) settle(d *event.Delivery, err *Error) {
	switch {
	case err == nil:
		r.judge.accepted()
		d.Done(d, event.Outcome{Kind: event.Accepted})
	case err.Reason == TooLarge:
		r.source.Settle(1)
		r.judge.inconclusive()
		d.Done(d, event.Outcome{Kind: event.TooLarge, HTTPStatus: err.Status, Detail: err.Err.Error()})
	case err.Reason == Refused:
		r.source.Settle(1)
		r.judge.refused(d, event.Outcome{Kind: event.Rejected, HTTPStatus: err.Status, Detail: err.Err.Error()})
	default:
		r.metrics.retries[err.Reason].Inc()
		r.judge.inconclusive()
		r.source.Return(d, max(err.RetryAfter, waitAfter(d.Attempts)))
	}
}

func (r *Reporter) sendTogether(ctx context.Context, batch []*event.Delivery) {
	epoch := r.gate.attempt()
	for _, d := range batch {
		d.Attempts++
	}
	results, whole := r.postBatch(ctx, batch)
	switch {
	case whole == nil:
		r.settleParts(epoch, batch, results)
	case noBatches(whole.Status):
		if !r.alone.Swap(true) {
			r.log.Warn("the endpoint does not know HTTP batches: events go one a request from now on", "endpoint", r.batch.Redacted(), "status", whole.Status)
			r.source.SetSize(1)
		}
		r.sendEach(ctx, batch)
	case whole.Reason == TooLarge:
		half := len(batch) / 2
		r.send(ctx, batch[:half])
		r.send(ctx, batch[half:])
	case whole.permanent():
		// Something about the request as a whole: each event by itself will
		// say what.
		r.sendEach(ctx, batch)
	default:
		for _, d := range batch {
			r.metrics.retries[whole.Reason].Inc()
			r.source.Return(d, 0) // the gate makes it wait
		}
		r.judge.inconclusive()
		r.gate.fail(epoch, whole, time.Now())
	}
}

func (r *Reporter) sendEach(ctx context.Context, batch []*event.Delivery) {
	for _, d := range batch {
		d.Attempts--
		r.sendAlone(ctx, d)
	}
}

// noBatches says whether an answer to a batch means that there is no such
// thing.
func noBatches(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

// settleParts tells the outcome of each part. When a part was throttled, or no
// part was taken and some failed for now, that is about the destination.
func (r *Reporter) settleParts(epoch int, batch []*event.Delivery, results []*Error) {
	var worst *Error
	taken := false
	for i, d := range batch {
		err := results[i]
		r.settle(d, err)
		switch {
		case err == nil || err.permanent():
			taken = true
		case worst == nil || err.Reason == Throttled && worst.Reason != Throttled || err.RetryAfter > worst.RetryAfter:
			worst = err
		}
	}
	if worst != nil && (!taken || worst.Reason == Throttled) {
		r.gate.fail(epoch, worst, time.Now())
		return
	}
	r.gate.open()
}

// Status is what the status page says of the reporter.
type Status struct {
	Gate        GateStatus `json:"gate"`
	Rate        float64    `json:"rate_events_per_second,omitempty"`
	Paused      []string   `json:"paused,omitempty"`
	Batches     bool       `json:"batches"`
	TokenExpiry time.Time  `json:"token_expiry,omitzero"`
}

// Status describes the reporter at the moment.
func (r *Reporter) Status() Status {
	s := Status{Gate: r.gate.status(), Batches: !r.alone.Load()}
	if limit := r.gate.limiter.Limit(); limit != rate.Inf {
		s.Rate = float64(limit)
	}
	now := time.Now()
	for _, p := range pauses {
		if p.holds(r, now) {
			s.Paused = append(s.Paused, p.name)
		}
	}
	if r.tokens != nil {
		s.TokenExpiry = r.tokens.expiry()
	}
	return s
}

// pause is a value of the label of clientevents_paused, and when it is 1.
type pause struct {
	name  string
	holds func(*Reporter, time.Time) bool
}

var pauses = []pause{
	{"rejections", func(r *Reporter, _ time.Time) bool { return r.judge.isPaused() }},
	{"auth", func(r *Reporter, now time.Time) bool { return r.gate.paused(now, Unauthenticated) }},
	{"forbidden", func(r *Reporter, now time.Time) bool { return r.gate.paused(now, Forbidden) }},
	{"throttled", func(r *Reporter, now time.Time) bool { return r.gate.paused(now, Throttled) }},
	{"unavailable", func(r *Reporter, now time.Time) bool {
		return r.gate.paused(now, Unavailable, ServerError, Timeout, Network, BadAnswer)
	}},
}
