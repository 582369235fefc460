package reporter

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/ownership"
	"github.com/clientevents/clientevents/reporter/talent"
	"github.com/clientevents/clientevents/test/pipenet"
)

// exact is the backoff without the jitter.
func exact(failures int) time.Duration { return apiBackoff.Exact(failures) }

// received is a request that reached the API.
type received struct {
	at     time.Duration // since the rig was made
	path   string
	header http.Header
	ids    []string // of the events
	parts  []string // the Content-IDs of a batch
}

func (r received) String() string {
	return fmt.Sprintf("%v %s %s", r.at.Round(time.Microsecond), r.path, strings.Join(r.ids, ","))
}

// rig is a reporter with a batcher before it and an API behind it, in a bubble.
type rig struct {
	t        *testing.T
	b        *batcher.Batcher
	r        *Reporter
	registry *prometheus.Registry
	log      *bytes.Buffer
	start    time.Time
	stop     func()
	handlers sync.WaitGroup
	term     *event.Term // of the deliveries that are reported

	mu       sync.Mutex
	received []received
	// answer answers a request, by default with 200 to everything.
	answer   func(http.ResponseWriter, received)
	outcomes map[string]event.Outcome
	toldAt   map[string]time.Duration
	twice    []string
}

type rigConfig struct {
	Config
	batch batcher.Config
}

// newRig starts a reporter; adjust changes the configuration before.
func newRig(t *testing.T, answer func(http.ResponseWriter, received), adjust func(*rigConfig)) *rig {
	t.Helper()
	g := &rig{
		term: event.NewTerm(),
		t:    t, start: time.Now(), answer: answer, registry: prometheus.NewRegistry(), log: &bytes.Buffer{},
		outcomes: map[string]event.Outcome{}, toldAt: map[string]time.Duration{},
	}
	var network pipenet.Network
	network.Serve(t, "127.0.0.1:80", g)
	cfg := rigConfig{
		Config: Config{
			Endpoint: "http://127.0.0.1", Version: event.V3, Parent: "projects/p", Concurrency: 4,
			Dial: network.DialContext, UserAgent: "clientevents/test", Registerer: g.registry,
			Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: g.log}, nil)), wait: exact, burst: 1000,
		},
		batch: batcher.Config{Size: 1, Concurrency: 4},
	}
	if adjust != nil {
		adjust(&cfg)
	}
	g.b = batcher.New(cfg.batch)
	var err error
	if g.r, err = New(cfg.Config, g.b); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { g.r.Run(ctx) })
	g.stop = func() {
		cancel()
		g.r.Abort()
		running.Wait()
	}
	t.Cleanup(func() {
		g.stop()
		g.handlers.Wait() // of slow ones, nothing may be left in the bubble
		if len(g.twice) > 0 {
			t.Errorf("events %v have more than one outcome", g.twice)
		}
		if t.Failed() && g.log.Len() > 0 {
			t.Logf("log:\n%s", g.log)
		}
	})
	return g
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// ServeHTTP notes a request and answers it.
func (g *rig) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.handlers.Add(1)
	defer g.handlers.Done()
	got := received{at: time.Since(g.start), path: r.URL.Path, header: r.Header}
	if r.URL.Path == "/batch" {
		got.ids, got.parts = readBatch(g.t, r)
	} else {
		got.ids = []string{eventID(g.t, r.Body)}
	}
	g.mu.Lock()
	g.received = append(g.received, got)
	answer := g.answer
	g.mu.Unlock()
	if answer == nil {
		answer = accept
	}
	answer(w, got)
}

func eventID(t *testing.T, body io.Reader) string {
	var v struct{ ClientEvent struct{ EventID string } }
	if err := json.NewDecoder(body).Decode(&v); err != nil || v.ClientEvent.EventID == "" {
		t.Errorf("the body of a request is not an event: %v", err)
	}
	return v.ClientEvent.EventID
}

// accept answers 200 to all that a request holds.
func accept(w http.ResponseWriter, r received) { answerEach(w, r, nil) }

// answerEach answers the events of a request with what is said for their id,
// and with 200 where nothing is.
func answerEach(w http.ResponseWriter, r received, byID map[string]int) {
	status := func(id string) int {
		if s := byID[id]; s != 0 {
			return s
		}
		return http.StatusOK
	}
	if r.path != "/batch" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status(r.ids[0]))
		fmt.Fprintf(w, `{"eventId":%q}`, r.ids[0])
		return
	}
	w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
	for i, id := range r.ids {
		fmt.Fprint(w, answerPart(r.parts[i], status(id), "", `{"eventId":"`+id+`"}`))
	}
	fmt.Fprint(w, "--b--\r\n")
}

// answerPart is a part of an answer whose boundary is b.
func answerPart(id string, status int, headers, body string) string {
	id = strings.Replace(id, "<", "<response-", 1)
	return fmt.Sprintf("--b\r\nContent-Type: application/http\r\nContent-ID: %s\r\n\r\nHTTP/1.1 %d %s\r\n%s\r\n%s\r\n", id, status, http.StatusText(status), headers, body)
}

// refuse answers status to everything, with headers ("Name: value").
func refuse(status int, headers ...string) func(http.ResponseWriter, received) {
	return func(w http.ResponseWriter, _ received) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":"no","status":"X"}}`, status)
	}
}

// slowly answers after a while, so that other requests are in flight by then.
func slowly(latency time.Duration, answer func(http.ResponseWriter, received)) func(http.ResponseWriter, received) {
	return func(w http.ResponseWriter, r received) {
		time.Sleep(latency)
		answer(w, r)
	}
}

// script answers the first requests as listed, and the rest as the last.
func script(steps ...func(http.ResponseWriter, received)) func(http.ResponseWriter, received) {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r received) {
		mu.Lock()
		step := steps[0]
		if len(steps) > 1 {
			steps = steps[1:]
		}
		mu.Unlock()
		step(w, r)
	}
}

func (g *rig) setAnswer(answer func(http.ResponseWriter, received)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = answer
}

// done plays the consumer: what was accepted is durable at once.
func (g *rig) done(d *event.Delivery, o event.Outcome) (keep bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, again := g.outcomes[d.ID]; again {
		g.twice = append(g.twice, d.ID)
	}
	g.outcomes[d.ID] = o
	g.toldAt[d.ID] = time.Since(g.start)
	return false
}

// drain ends the term, as a revocation does.
func (g *rig) drain(ctx context.Context) bool {
	g.term.End()
	g.r.Release()
	return g.b.Drain(ctx, g.term)
}

func (g *rig) delivery(id string) *event.Delivery {
	d := &event.Delivery{
		Term: g.term,
		Event: &event.Event{
			ID: id, RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/p/jobs/j"},
		},
	}
	d.OnDone(g.done)
	return d
}

// report hands events over.
func (g *rig) report(ids ...string) {
	var ds []*event.Delivery
	for _, id := range ids {
		ds = append(ds, g.delivery(id))
	}
	g.b.Accept(ds)
}

// sequence is prefix1 … prefixN.
func sequence(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = prefix + strconv.Itoa(i+1)
	}
	return ids
}

// requests are the requests received so far, as text.
func (g *rig) requests() []string {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, r := range g.received {
		all = append(all, r.String())
	}
	return all
}

func (g *rig) wantRequests(want ...string) {
	g.t.Helper()
	if got := g.requests(); !slices.Equal(got, want) {
		g.t.Fatalf("requests are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (g *rig) outcome(id string) event.Outcome {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.outcomes[id]
}

// requestsReceived are the requests so far.
func (g *rig) requestsReceived() []received {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.received)
}

// wantOutcomes checks how many events have which outcome.
func (g *rig) wantOutcomes(want map[event.OutcomeKind]int) {
	g.t.Helper()
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	got := map[event.OutcomeKind]int{}
	for _, o := range g.outcomes {
		got[o.Kind]++
	}
	if !maps.Equal(got, want) {
		g.t.Fatalf("outcomes are %v, want %v", got, want)
	}
}

// metric is the value of a metric with the value of its one label, or "".
func (g *rig) metric(name, label string) float64 {
	g.t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "clientevents_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if (label == "") == (len(m.GetLabel()) == 0) && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	g.t.Fatalf("there is no metric %s of %q", name, label)
	return 0
}

func (g *rig) wantMetric(name, label string, want float64) {
	g.t.Helper()
	if got := g.metric(name, label); got != want {
		g.t.Errorf("%s{%s} is %v, want %v", name, label, got, want)
	}
}

func (g *rig) wantPaused(want ...string) {
	g.t.Helper()
	if got := g.r.Status().Paused; !slices.Equal(got, want) {
		g.t.Errorf("paused for %q, want %q", got, want)
	}
	for _, p := range pauses {
		value := 0.0
		if slices.Contains(want, p.name) {
			value = 1
		}
		g.wantMetric("paused", p.name, value)
	}
}

func accepted(n int) map[event.OutcomeKind]int { return map[event.OutcomeKind]int{event.Accepted: n} }

func TestOneEventARequest(t *testing.T) {
	for _, test := range []struct {
		version event.Version
		parent  string
		path    string
	}{
		{event.V3, "projects/p", "/v3/projects/p/clientEvents"},
		{event.V4Beta1, "projects/p/tenants/t", "/v4beta1/projects/p/tenants/t/clientEvents"},
	} {
		t.Run(test.version.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil, func(c *rigConfig) {
					c.Version, c.Parent, c.QuotaProject = test.version, test.parent, "payer"
					c.Tokens = secretToken(t)
				})
				g.report("a")
				g.wantRequests("0s " + test.path + " a")
				g.wantOutcomes(accepted(1))
				for name, want := range map[string]string{
					"Content-Type": "application/json", "Authorization": "Bearer secret", "User-Agent": "clientevents/test",
					"X-Goog-User-Project": "payer",
				} {
					if got := g.requestsReceived()[0].header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				if got := g.requestsReceived()[0].header.Get("X-Goog-Api-Client"); !strings.HasPrefix(got, "gl-go/") || !strings.HasSuffix(got, " clientevents/test") {
					t.Errorf("X-Goog-Api-Client is %q", got)
				}
				g.wantMetric("api_requests_total", "200", 1)
				g.wantMetric("api_request_duration_seconds", "", 1)
				if strings.Contains(g.log.String(), "secret") {
					t.Error("the log has the access token")
				}
			})
		})
	}
}

func TestEndpointHasAPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil, func(c *rigConfig) { c.Endpoint += "/talent/" })
		g.report("a")
		g.wantRequests("0s /talent/v3/projects/p/clientEvents a")
	})
}

func TestNewRefusesEndpoints(t *testing.T) {
	tokens := googleauth.NewKeeper(googleauth.KeeperConfig{})
	for _, test := range []struct {
		endpoint string
		tokens   *googleauth.Keeper
		fault    string // "" where it is fine
	}{
		{"https://jobs.googleapis.com", tokens, ""},
		{"http://localhost:8080", tokens, ""},
		{"http://127.0.0.1", tokens, ""},
		{"http://[::1]:8080", tokens, ""},
		{"http://jobs.internal", nil, ""},
		{"http://jobs.internal", tokens, "plain http"},
		{"http://127.0.0.1.example.com", tokens, "plain http"},
		{"ftp://jobs.googleapis.com", nil, "expected an http or https URL"},
		{"jobs.googleapis.com", nil, "expected an http or https URL"},
		{"https://", nil, "expected an http or https URL"},
		{"https://u:secret@jobs.googleapis.com", nil, "no user name"},
		{"https://jobs.googleapis.com:port", nil, "invalid port"},
	} {
		_, err := New(Config{Endpoint: test.endpoint, Version: event.V3, Parent: "projects/p", Tokens: test.tokens}, batcher.New(batcher.Config{}))
		switch {
		case test.fault == "" && err != nil:
			t.Errorf("%s: %v", test.endpoint, err)
		case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
			t.Errorf("%s: the error is %v, want one that says %q", test.endpoint, err, test.fault)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error has the password: %v", test.endpoint, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(refuse(http.StatusTemporaryRedirect, "Location: http://127.0.0.1/elsewhere"), accept), nil)
		g.report("a")
		g.wantRequests("0s /v3/projects/p/clientEvents a")
		if last := g.r.Status().Gate.LastError; !strings.Contains(last, "redirect") {
			t.Errorf("the last error is %q, want it to speak of a redirect", last)
		}
		time.Sleep(time.Second)
		g.wantRequests("0s /v3/projects/p/clientEvents a", "500ms /v3/projects/p/clientEvents a")
		g.wantOutcomes(accepted(1))
		g.wantMetric("retries_total", "bad_answer", 1)
		g.wantMetric("api_requests_total", "307", 1)
	})
}

// An outage costs one request a wait, not one a worker.
func TestOutageIsProbedByOneRequest(t *testing.T) {
	const latency = 10 * time.Millisecond
	after := func(answer func(http.ResponseWriter, received)) func(http.ResponseWriter, received) {
		return slowly(latency, answer)
	}
	for name, outage := range map[string]struct {
		answer  func(http.ResponseWriter, received) // nil for none
		reason  talent.Reason
		paused  string
		attempt time.Duration // how long one takes
	}{
		"503":     {after(refuse(503)), talent.Unavailable, "unavailable", latency},
		"500":     {after(refuse(500)), talent.ServerError, "unavailable", latency},
		"cut":     {after(func(http.ResponseWriter, received) { panic(http.ErrAbortHandler) }), talent.Network, "unavailable", latency},
		"401":     {after(refuse(401)), talent.Unauthenticated, "auth", latency},
		"403":     {after(refuse(403)), talent.Forbidden, "forbidden", latency},
		"hanging": {nil, talent.Timeout, "unavailable", 3 * time.Second},
		"307":     {after(refuse(307)), talent.BadAnswer, "unavailable", latency},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				defer close(over)
				answer := outage.answer
				if answer == nil {
					answer = func(http.ResponseWriter, received) { <-over }
				}
				g := newRig(t, answer, func(c *rigConfig) { c.Timeout = 3 * time.Second })
				g.report(sequence("e", 20)...)
				g.wantPaused()
				// Four are in flight when it begins; then one at a time.
				want := 4
				wantNow := func() {
					t.Helper()
					if got := len(g.requests()); got != want {
						t.Fatalf("%d requests after %v, want %d", got, time.Since(g.start), want)
					}
				}
				time.Sleep(outage.attempt)
				closed := time.Duration(0)
				for _, wait := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, maxOutageWait} {
					wantNow()
					time.Sleep(wait - 1)
					wantNow()
					time.Sleep(time.Nanosecond)
					want++
					wantNow()
					time.Sleep(outage.attempt)
					closed += wait + outage.attempt
				}
				wantNow()
				g.wantPaused(outage.paused)
				g.wantMetric("retries_total", string(outage.reason), float64(want))
				g.wantMetric("throttled_seconds_total", "", closed.Seconds())

				g.setAnswer(accept)
				time.Sleep(maxOutageWait - 1)
				wantNow()
				time.Sleep(time.Nanosecond)
				g.wantOutcomes(accepted(20))
				g.wantPaused()
			})
		})
	}
}

// An endpoint that refuses everything for its quota is asked by one request at a
// time, seldom, and the log says so once.
// wantQuotaTries compares tries during four minutes of refusals with the time that was
// named, and with two thirds of the time passed, give or take a half.
func wantQuotaTries(t *testing.T, tries []time.Duration, named time.Duration) {
	t.Helper()
	const slack = 100 * time.Millisecond
	before := time.Duration(0)
	for i, at := range tries {
		least, longest := max(named, time.Second), max(named, time.Second)
		if i > 0 {
			least, longest = max(least, min(time.Minute, before*2/3)/2), max(longest, min(time.Minute, before))
		}
		if wait := at - before; wait < least-slack || wait > longest+slack {
			t.Errorf("try %d is %v after the one before: want %v to %v", i, wait, least, longest)
		}
		before = at
	}
	if left := 4*time.Minute - before; left > max(named, time.Minute)+slack {
		t.Errorf("the last try is %v before the end", left)
	}
}

func TestThrottledForLong(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, received)
		named  time.Duration
	}{
		"no time named":  {refuse(429), 0},
		"a short time":   {refuse(429, "Retry-After: 2"), 2 * time.Second},
		"a long time":    {refuse(429, "Retry-After: 90"), 90 * time.Second},
		"parts, no time": {func(w http.ResponseWriter, r received) { answerEach(w, r, refuseAll(r)) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, test.answer, func(c *rigConfig) {
					if strings.HasPrefix(name, "parts") {
						batches(c)
					}
				})
				g.report(sequence("e", 2000)...)
				time.Sleep(time.Second / 2)
				began := len(g.requests())
				if began > 4 {
					t.Errorf("%d requests before the first answer, want at most one a worker", began)
				}
				time.Sleep(239*time.Second + time.Second/2)
				g.wantPaused("throttled")
				var tries []time.Duration
				for _, r := range g.requestsReceived()[began:] {
					tries = append(tries, r.at)
				}
				wantQuotaTries(t, tries, test.named)
				if held := g.metric("throttled_seconds_total", ""); held < 239 {
					t.Errorf("throttled for %v s, want all the time", held)
				}
				g.setAnswer(accept)
				time.Sleep(10 * time.Minute)
				g.wantOutcomes(accepted(2000))
				g.wantPaused()
			})
		})
	}
}

func refuseAll(r received) map[string]int {
	all := map[string]int{}
	for _, id := range r.ids {
		all[id] = http.StatusTooManyRequests
	}
	return all
}

const ms = time.Millisecond

// A destination that fails now and then is not left alone: what is taken
// meanwhile opens the gate again.
func TestSuccessOpensTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(slowly(ms, refuse(503)), slowly(100*ms, accept)), func(c *rigConfig) { c.Concurrency, c.batch.Concurrency = 2, 2 })
		g.report("a", "b", "c")
		time.Sleep(time.Minute)
		got := g.requests()
		// c waited for the slow answer, not for the backoff of the failure.
		if len(got) != 4 || !strings.HasPrefix(got[2], "100ms ") || !strings.HasPrefix(got[3], "501ms ") {
			t.Errorf("requests are %q, want the third at 100ms and the fourth at 501ms", got)
		}
		g.wantOutcomes(accepted(3))
	})
}

// But one that asks to be left alone is.
func TestStragglerDoesNotOutvoteRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(slowly(ms, refuse(429, "Retry-After: 20")), slowly(100*ms, accept)), func(c *rigConfig) { c.Concurrency, c.batch.Concurrency = 2, 2 })
		g.report("a", "b", "c", "d")
		time.Sleep(19 * time.Second)
		g.wantPaused("throttled")
		if got := g.requests(); len(got) != 2 {
			t.Errorf("requests are %q, want two", got)
		}
		time.Sleep(2 * time.Second)
		got := g.requests()
		if len(got) != 5 || !strings.HasPrefix(got[2], "20.001s ") || !strings.HasPrefix(got[3], "20.101s ") {
			t.Errorf("requests are %q, want a probe at 20.001s, and the others after it", got)
		}
		g.wantOutcomes(accepted(4))
	})
}

// Nor is one that asks for it when the gate is closed already.
func TestStragglerProlongsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(slowly(ms, refuse(503)), slowly(100*ms, refuse(429, "Retry-After: 20")), accept), func(c *rigConfig) { c.Concurrency, c.batch.Concurrency = 2, 2 })
		g.report("a", "b")
		time.Sleep(20 * time.Second)
		if got := g.requests(); len(got) != 2 {
			t.Errorf("requests are %q, want two", got)
		}
		time.Sleep(time.Second)
		if got := g.requests(); len(got) != 4 || !strings.HasPrefix(got[2], "20.1s ") {
			t.Errorf("requests are %q, want the third at 20.1s", got)
		}
		g.wantOutcomes(accepted(2))
	})
}

func TestRetryAfter(t *testing.T) {
	retryInfo := func(delay string) string {
		return `{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.Help"},` +
			`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + delay + `"}]}}`
	}
	for _, test := range []struct {
		name, header, body string
		wait               time.Duration
	}{
		{"neither", "", "{}", 30500 * time.Millisecond},
		{"seconds", "7", "", 7 * time.Second},
		{"date", "DATE", "", 90 * time.Second},
		{"date gone by", "Mon, 02 Jan 1995 15:04:05 GMT", "", 30500 * time.Millisecond},
		{"nonsense", "soon", "not JSON", 30500 * time.Millisecond},
		{"negative", "-5", "", 30500 * time.Millisecond},
		{"RetryInfo", "", retryInfo("1.250s"), 1250 * time.Millisecond},
		{"header is larger", "3", retryInfo("2s"), 3 * time.Second},
		{"RetryInfo is larger", "3", retryInfo("4s"), 4 * time.Second},
		{"RetryInfo alone", "", `{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"4s"}]}}`, 4 * time.Second},
		{"a day", "86400", retryInfo("80000s"), 24 * time.Hour},
		{"too long", "99999999999999999", "", 7 * 24 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, script(func(w http.ResponseWriter, _ received) {
					header := test.header
					if header == "DATE" {
						header = time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
					}
					w.Header().Set("Retry-After", header)
					w.WriteHeader(429)
					io.WriteString(w, test.body)
				}, accept), nil)
				g.report("a")
				time.Sleep(8 * 24 * time.Hour)
				g.wantRequests("0s /v3/projects/p/clientEvents a", test.wait.String()+" /v3/projects/p/clientEvents a")
				g.wantMetric("retries_total", "throttled", 1)
				g.wantMetric("throttled_seconds_total", "", test.wait.Seconds())
			})
		})
	}
}

func TestEachStatusAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for status := 200; status <= 599; status++ {
			want, requests := wantStatus(status)
			permanent := want == event.Rejected || want == event.TooLarge
			g := newRig(t, script(refuse(status), accept), func(c *rigConfig) { c.Registerer = nil })
			g.report("a")
			synctest.Wait()
			if permanent { // and nothing else was accepted
				g.wantOutcomes(map[event.OutcomeKind]int{})
				g.setAnswer(refuse(status))
				g.r.judge.acquit(g.r.judge.arrived.Load())
			}
			time.Sleep(time.Minute)
			g.wantOutcomes(map[event.OutcomeKind]int{want: 1})
			if got := len(g.requests()); got != requests {
				t.Errorf("%d: %d requests, want %d", status, got, requests)
			}
			if o := g.outcome("a"); permanent && (o.HTTPStatus != status || o.Detail != "X: no") {
				t.Errorf("%d: the outcome is %+v", status, o)
			}
			g.stop()
		}
	})
}

// wantStatus is what the contract says of a status: the outcome in the end, and
// after how many requests.
func wantStatus(status int) (event.OutcomeKind, int) {
	switch {
	case status < 300, status == 409:
		return event.Accepted, 1
	case status == 413:
		return event.TooLarge, 2
	case status >= 400 && status < 500 && !slices.Contains([]int{401, 403, 407, 408, 421, 425, 429}, status):
		return event.Rejected, 2
	}
	return event.Accepted, 2
}

// The status line decides, wherever the body is cut. net/http returns it with the
// headers, so an answer that is cut within those is none.
func TestCutAnswer(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
	whole := head + `{"eventId":"a"}`
	synctest.Test(t, func(t *testing.T) {
		for at := range len(whole) + 1 {
			g := newRig(t, script(raw(t, whole[:at]), accept), func(c *rigConfig) { c.Registerer = nil })
			g.report("a")
			time.Sleep(time.Minute)
			g.wantOutcomes(accepted(1))
			want := 2
			if at >= len(head) {
				want = 1
			}
			if got := len(g.requests()); got != want {
				t.Errorf("cut after %d bytes: %d requests, want %d", at, got, want)
			}
			g.stop()
		}
	})
}

// raw answers with text, and hangs up.
func raw(t *testing.T, text string) func(http.ResponseWriter, received) {
	return func(w http.ResponseWriter, _ received) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, text)
	}
}

// The connection of an answer 101 stays open, and belongs to nobody's protocol.
func TestAnswerThatSwitchesProtocols(t *testing.T) {
	for name, adjust := range map[string]func(*rigConfig){"single": nil, "batch": batches} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				switches := func(w http.ResponseWriter, _ received) {
					pipenet.SwitchProtocols(t, w)
					close(ended)
				}
				g := newRig(t, script(switches, accept), adjust)
				g.report("a", "b")
				time.Sleep(time.Second)
				g.wantOutcomes(accepted(2))
				select {
				case <-ended:
				default:
					t.Error("the connection is kept")
				}
			})
		})
	}
}

// Compressed data is not shown as the text of an error.
func TestCompressedError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(func(w http.ResponseWriter, r received) {
			if got := r.header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("the encodings %q are asked for, want identity", got)
			}
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusForbidden)
			zip := gzip.NewWriter(w)
			io.WriteString(zip, "secret")
			zip.Close()
		}), nil)
		g.report("a")
		synctest.Wait()
		if got := g.r.Status().Gate.LastError; !strings.Contains(got, `encoding "gzip"`) {
			t.Errorf("the error is %q, want one that names the encoding", got)
		}
	})
}

func TestTooLargeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil, func(c *rigConfig) { c.batch.Size = 10 })
		large := g.delivery("large")
		large.ExtraInfo = event.InfoOf(map[string]string{"k": strings.Repeat("x", talent.MaxEvent)})
		seems := g.delivery("seems") // its estimate is near the bound, itself is not
		seems.ExtraInfo = event.InfoOf(map[string]string{"k": strings.Repeat("x", talent.MaxEvent/2)})
		g.b.Accept([]*event.Delivery{large, g.delivery("a"), seems})
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 2, event.TooLarge: 1})
		g.wantRequests("0s /batch a,seems")
		if d := g.outcome("large").Detail; !strings.Contains(d, "the limit is 1048576") {
			t.Errorf("the detail is %q", d)
		}
		if n := g.b.InFlight(); n != 0 {
			t.Errorf("%d in flight, want none", n)
		}
	})
}

// An event that no request can hold says nothing about the destination.
func TestTooLargeDoesNotOpenTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(refuse(503, "Retry-After: 10"), refuse(503, "Retry-After: 10"), accept), nil)
		g.report("a")
		time.Sleep(time.Second)
		large := g.delivery("large")
		large.ExtraInfo = event.InfoOf(map[string]string{"k": strings.Repeat("x", talent.MaxEvent)})
		g.b.Accept([]*event.Delivery{large})
		time.Sleep(time.Minute)
		g.wantRequests("0s /v3/projects/p/clientEvents a", "10s /v3/projects/p/clientEvents a", "20s /v3/projects/p/clientEvents a")
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1, event.TooLarge: 1})
	})
}

// As a probe, it leaves that to another.
func TestTooLargeProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(refuse(503, "Retry-After: 10"), accept), nil)
		g.report("a")
		synctest.Wait()
		g.drain(t.Context())
		g.term = event.NewTerm()
		large := g.delivery("large")
		large.ExtraInfo = event.InfoOf(map[string]string{"k": strings.Repeat("x", talent.MaxEvent)})
		g.b.Accept([]*event.Delivery{large, g.delivery("b")})
		time.Sleep(time.Minute)
		g.wantRequests("0s /v3/projects/p/clientEvents a", "10s /v3/projects/p/clientEvents b")
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 1, event.TooLarge: 1, event.Accepted: 1})
	})
}

func TestRate(t *testing.T) {
	for _, test := range []struct {
		name        string
		rate        float64
		size        int
		events      int
		last        time.Duration // when the last request starts
		requests    int
		largest     int
		throttledTo float64
	}{
		{"slow", 2, 1, 5, 2 * time.Second, 5, 1, 2},
		{"burst", 100, 1, 12, 110 * time.Millisecond, 12, 1, 0.11},
		// A burst is 10 ms of the rate, and batches don't crumble.
		{"batches", 1000, 100, 500, 490 * time.Millisecond, 50, 10, 0.49},
		{"no limit", 0, 100, 500, 0, 5, 100, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil, func(c *rigConfig) {
					c.Rate = test.rate
					c.batch.Size = test.size
				})
				time.Sleep(time.Second) // fills the burst
				began := time.Since(g.start)
				g.report(sequence("e", test.events)...)
				time.Sleep(time.Minute)
				g.wantOutcomes(accepted(test.events))
				last, largest := time.Duration(0), 0
				got := g.requestsReceived()
				for _, r := range got {
					last, largest = max(last, r.at-began), max(largest, len(r.ids))
				}
				if last.Round(time.Millisecond) != test.last || len(got) != test.requests || largest != test.largest {
					t.Errorf("%d requests of up to %d events, the last after %v; want %d, %d, %v", len(got), largest, last, test.requests, test.largest, test.last)
				}
				if got := g.metric("throttled_seconds_total", ""); got < test.throttledTo || got > test.throttledTo+0.001 {
					t.Errorf("throttled for %v s, want %v", got, test.throttledTo)
				}
			})
		})
	}
}

// A change of the share is noticed within a moment, however long a worker has to
// wait at the old rate; an override, at once.
func TestRateFollowsTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := &ownership.Ownership{}
		own.Extend(time.Now().Add(time.Hour))
		own.SetShare(1, 1000)
		g := newRig(t, nil, func(c *rigConfig) { oneWorker(c); c.Rate, c.batch.Size, c.Ownership = 1, 1, own })
		g.report("a", "b", "c", "d")
		time.Sleep(10 * time.Second)
		if got := len(g.requests()); got != 1 {
			t.Errorf("%d requests, want one", got)
		}
		if got := g.r.Status(); got.Rate != 0.001 || got.Configured != 0.001 {
			t.Errorf("the rate is %v of %v, want 0.001", got.Rate, got.Configured)
		}
		own.SetShare(1000, 1000)
		time.Sleep(1500 * time.Millisecond)
		if got := len(g.requests()); got != 2 {
			t.Errorf("%d requests, want two", got)
		}
		g.r.OverrideRate(1e9)
		time.Sleep(time.Millisecond)
		if got := len(g.requests()); got != 4 {
			t.Errorf("%d requests, want four", got)
		}
	})
}

// Events that did not fit into a batch's bytes do not count for the rate.
func TestRateCountsSentEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil, func(c *rigConfig) {
			oneWorker(c)
			c.Rate, c.batch.Size, c.batch.Bytes = 1000, 10, 1 // each event alone
		})
		g.report(sequence("e", 3000)...)
		time.Sleep(2500 * time.Millisecond)
		if got := len(g.requests()); got < 2450 || got > 2600 {
			t.Errorf("%d events in 2.5 s at 1000 a second", got)
		}
	})
}

// Retries are counted by the rate limit, too.
func TestRetriesKeepToTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := func(w http.ResponseWriter, r received) { answerEach(w, r, map[string]int{"a": 500}) }
		g := newRig(t, failing, func(c *rigConfig) { c.Rate, c.batch.Size = 0.1, 1 })
		g.report("a")
		time.Sleep(25 * time.Second)
		g.wantRequests("0s /v3/projects/p/clientEvents a", "10s /v3/projects/p/clientEvents a", "20s /v3/projects/p/clientEvents a")
	})
}

func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := &ownership.Ownership{}
		g := newRig(t, nil, func(c *rigConfig) { c.Ownership = own })
		g.report("a")
		time.Sleep(250 * time.Millisecond)
		own.Extend(time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		g.wantRequests("300ms /v3/projects/p/clientEvents a")
		g.wantOutcomes(accepted(1))
	})
}

// The lease may end between the permit and the request.
func TestLeaseIsLookedAtRightBeforeTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := &ownership.Ownership{}
		g := newRig(t, nil, func(c *rigConfig) { oneWorker(c); c.Ownership = own })
		g.report("a")
		synctest.Wait()
		w := g.r.newWorker()
		own.Extend(time.Now().Add(time.Hour))
		batch, err := g.b.Next(t.Context(), nil, &w.permit)
		if err != nil || len(batch) != 1 {
			t.Fatalf("the permit allowed %d events: %v", len(batch), err)
		}
		own.End()
		w.send(batch)
		w.end(len(batch))
		g.wantRequests()
		if g.b.Pending() != 1 || g.b.InFlight() != 0 {
			t.Errorf("%d pending and %d in flight, want the event pending", g.b.Pending(), g.b.InFlight())
		}
	})
}

func TestDrainWithAnAPIThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		g := newRig(t, func(http.ResponseWriter, received) { <-over }, func(c *rigConfig) { c.Timeout = time.Hour })
		g.report(sequence("e", 10)...)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if g.drain(ctx) {
			t.Error("the drain says that nothing is left")
		}
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 6})
		g.r.Abort()
		if !g.drain(t.Context()) {
			t.Error("the drain says that something is left")
		}
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 10})
		if got := time.Since(g.start); got != 10*time.Second {
			t.Errorf("it took %v, want 10s", got)
		}
		// We gave up, which says nothing about the destination.
		if s := g.r.Status(); !s.Gate.Open {
			t.Errorf("the gate is closed: %+v", s.Gate)
		}
		g.wantMetric("retries_total", "network", 0)
		g.wantMetric("api_requests_total", "error", 0)

		g.setAnswer(accept)
		g.term = event.NewTerm()
		g.report("next")
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 10, event.Accepted: 1})
	})
}

func TestDrainReleasesWhatTheGateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, refuse(503), nil)
		g.report(sequence("e", 10)...)
		synctest.Wait()
		if !g.drain(t.Context()) {
			t.Error("the drain says that something is left")
		}
		g.wantOutcomes(map[event.OutcomeKind]int{event.Released: 10})
		if got := time.Since(g.start); got != 0 {
			t.Errorf("it took %v, want no time", got)
		}
	})
}

func TestNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil, func(c *rigConfig) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		})
		g.report("a")
		time.Sleep(time.Second)
		g.wantMetric("api_requests_total", "error", 2)
		g.wantMetric("retries_total", "network", 2)
		g.wantMetric("api_request_duration_seconds", "", 0)
		if last := g.r.Status().Gate.LastError; !strings.Contains(last, "connection refused") {
			t.Errorf("the last error is %q", last)
		}
	})
}

// Everything that a dashboard may ask for is there before anything happened.
func TestMetricsFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil, nil)
		for _, code := range expectedCodes {
			g.wantMetric("api_requests_total", strconv.Itoa(code), 0)
		}
		g.wantMetric("api_requests_total", "error", 0)
		for _, reason := range talent.Reasons() {
			g.wantMetric("retries_total", string(reason), 0)
		}
		for _, reason := range []string{"rejections", "auth", "forbidden", "throttled", "unavailable"} {
			g.wantMetric("paused", reason, 0)
		}
		g.wantMetric("throttled_seconds_total", "", 0)
		g.wantMetric("api_request_duration_seconds", "", 0)
	})
}
