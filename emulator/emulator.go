package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
	"github.com/clientevents/clientevents/internal/quality"
)

// Options configure an emulator. The zero value is valid.
type Options struct {
	// Keep is the number of accepted events to keep, the latest; 1000 if 0,
	// none if negative.
	Keep int
	// KeepAll keeps every accepted event, for tests: memory grows with each
	// event.
	KeepAll bool
	// OnAccept, if not nil, is called with each accepted event before its answer,
	// which waits for it, and from many goroutines at once.
	OnAccept func(Accepted)
	// Faults to begin with; see SetFaults.
	Faults Faults
	// Seed of the random choices (Faults.ErrorShares and Faults.Jitter).
	Seed uint64
	// DataDir, if not empty, is the folder that keeps tenants, companies, jobs
	// and the latest events from one run to the next. See Open.
	DataDir string
	// Now is the clock for timestamps and expiry; time.Now if nil. Latencies and
	// quotas always use package time.
	Now func() time.Time
	// SeedFile, if not empty, is a file with tenants, companies and jobs that the
	// emulator holds from the beginning and after each Restart. See LoadSeed.
	SeedFile string
	// MaxBodyBytes bounds the body of an HTTP request, before and after
	// decompression; 10 MiB if 0.
	MaxBodyBytes int64
	// MaxBodiesBytes bounds the bodies of all requests in progress; further
	// requests wait. 32 MiB if 0.
	MaxBodiesBytes int64
	// KeepBytes bounds the memory of the kept events; the oldest are evicted,
	// and larger ones are not kept. 64 MiB if 0.
	KeepBytes int64
	// MaxBytes bounds the memory of all tenants, companies, jobs and operations;
	// requests beyond it are answered 429. 512 MiB if 0.
	MaxBytes int64
	// Hosts are the names under which the page and the paths below /emulator/
	// are served, besides addresses and localhost.
	Hosts []string
}

// Emulator is a local Talent Solution. It is an [http.Handler], and safe for
// concurrent use.
type Emulator struct {
	onAccept func(Accepted)
	maxBody  int64
	bodies   *budget
	hosts    []string
	seed     uint64
	routes   []route
	catalog  *talent.Catalog
	inspect  http.Handler
	store    *store
	quality  atomic.Pointer[quality.Tracker]
	seedFile []byte    // "" for none
	calls    sync.Pool // of *call

	changing sync.Mutex // held while faults are replaced
	faults   atomic.Pointer[faultState]
	quota    quotaMeter
	draws    atomic.Uint64 // random numbers drawn
	batches  atomic.Uint64 // batches answered

	closing sync.Once
	closed  chan struct{}
}

// New returns an emulator that has accepted nothing yet. It panics if the
// DataDir of the options can't be used; with one, call Open.
func New(o Options) *Emulator {
	e, err := Open(o)
	if err != nil {
		panic(err)
	}
	return e
}

// Open returns an emulator with the content of the DataDir of the options. It
// returns an error if that can't be read, or if another process uses it. Call Close when
// the emulator is no longer needed.
func Open(o Options) (*Emulator, error) {
	catalog, err := talent.Open(talent.Options{Now: o.Now, Dir: o.DataDir, MaxBytes: cmp.Or(o.MaxBytes, 512<<20)})
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	e := &Emulator{
		onAccept: o.OnAccept,
		maxBody:  cmp.Or(o.MaxBodyBytes, 10<<20),
		bodies:   newBudget(cmp.Or(o.MaxBodiesBytes, 32<<20)),
		hosts:    o.Hosts,
		seed:     o.Seed,
		routes:   append(clientEventRoutes(), resourceRoutes()...),
		catalog:  catalog,
		store:    newStore(max(cmp.Or(o.Keep, 1000), 0), cmp.Or(o.KeepBytes, 64<<20), o.KeepAll),
		closed:   make(chan struct{}),
	}
	e.calls.New = func() any { return &call{dec: protojson.NewDecoder()} }
	e.quality.Store(quality.NewTracker(quality.DefaultPairs))
	e.inspect = e.inspector()
	e.faults.Store(newFaultState(o.Faults))
	if err := e.begin(o); err != nil {
		return nil, errors.Join(fmt.Errorf("emulator: %w", err), catalog.Close())
	}
	return e, nil
}

// begin reads the events of the DataDir, and the SeedFile.
func (e *Emulator) begin(o Options) error {
	if o.DataDir != "" {
		if err := e.restore(); err != nil {
			return err
		}
	}
	if o.SeedFile == "" {
		return nil
	}
	seed, err := os.ReadFile(o.SeedFile)
	if err != nil {
		return err
	}
	if err := e.LoadSeed(seed); err != nil {
		return fmt.Errorf("%s: %w", o.SeedFile, err)
	}
	e.seedFile = seed
	return nil
}

// Events returns the kept events in the order they were accepted: the latest
// Options.Keep within Options.KeepBytes, or all with Options.KeepAll.
func (e *Emulator) Events() []Accepted { return e.store.accepted() }

// EventsAfter returns the kept events with a Number above the given one, the oldest
// first, and the number of the latest event, which is the next cursor. Begin
// with 0. A gap in the numbers means that the events in between are no longer kept.
func (e *Emulator) EventsAfter(number int64) (events []Accepted, latest int64) {
	return e.store.after(number, nil)
}

// AwaitEventsAfter waits until there is such an event, then returns EventsAfter. If
// the context is done before, it returns the context's error.
func (e *Emulator) AwaitEventsAfter(ctx context.Context, number int64) (events []Accepted, latest int64, err error) {
	events, latest, err = e.store.awaitAfter(ctx, number, nil, 1)
	if err != nil {
		events = nil
	}
	return events, latest, err
}

// Stats returns the counts since the start or the latest Reset.
func (e *Emulator) Stats() Stats { return e.store.counts() }

// Reset deletes the accepted events and all counts. Faults stay.
func (e *Emulator) Reset() {
	e.store.reset()
	e.quality.Store(quality.NewTracker(quality.DefaultPairs))
}

// Restart deletes everything that the emulator holds, and reads the SeedFile
// again. Faults stay.
func (e *Emulator) Restart() error {
	e.Reset()
	e.catalog.Reset()
	if e.seedFile == nil {
		return nil
	}
	return e.LoadSeed(e.seedFile)
}

// WaitAccepted waits until Stats.Accepted is n or more, or returns the context's
// error.
func (e *Emulator) WaitAccepted(ctx context.Context, n int64) error { return e.store.await(ctx, n) }

// Close cuts the requests that wait for a latency or a fault, now and later,
// and closes the DataDir, whose error it returns. A program that runs the emulator
// in its own server calls Close, and closes the server.
func (e *Emulator) Close() error {
	var err error
	e.closing.Do(func() {
		close(e.closed)
		err = e.catalog.Close()
	})
	return err
}

// shutdownGrace is the time that Serve gives requests in progress to finish.
const shutdownGrace = 5 * time.Second

// Serve answers HTTP/1.1 and HTTP/2, also without TLS, on ln until ctx is done; it
// then lets requests in progress finish for up to 5 s, cuts the rest, and
// returns nil. It closes ln. It returns only errors of the listener.
func (e *Emulator) Serve(ctx context.Context, ln net.Listener) error {
	return e.ServeHandler(ctx, ln, e)
}

// ServeHandler is Serve with a handler that passes requests on to the emulator.
func (e *Emulator) ServeHandler(ctx context.Context, ln net.Listener, handler http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       10 * time.Minute,
		// A connection that the client closed is not an error of the emulator.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("emulator: serving on %v: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // the listener is closed already; only connections are left
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("emulator: serving on %v: %w", ln.Addr(), err)
	}
	return nil
}

// ServeHTTP answers the API's calls, /batch, and the emulator's own pages:
// the one at / and those below /emulator/.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := foreign(r); err != nil {
		send(w, err.reply(params{}))
		return
	}
	if strings.HasPrefix(r.URL.Path, inspectPath) || (r.URL.Path == "/" && r.Method == http.MethodGet) {
		if err := e.unknownHost(r); err != nil {
			send(w, err.reply(params{}))
			return
		}
		e.inspect.ServeHTTP(w, r)
		return
	}
	e.store.countRequest()
	c := e.calls.Get().(*call)
	defer func() {
		e.bodies.give(c.held)
		c.release()
		e.calls.Put(c)
	}()
	c.method, c.path, c.header, c.arrived = methodOf(r), r.URL.EscapedPath(), r.Header, time.Now()
	answer := e.request(w, r, c)
	if err := e.catalog.Sync(); err != nil {
		// Only what is on disk may be acknowledged.
		answer = e.refuse(c, errorf(http.StatusServiceUnavailable, "%v", err))
	}
	give(w, answer)
}

// request handles a whole HTTP request.
func (e *Emulator) request(w http.ResponseWriter, r *http.Request, c *call) reply {
	var bad, badQuery *apiError
	if bad = e.readBody(w, r, c); bad != nil {
		return e.refuse(c, bad)
	}
	if !e.wait(r.Context(), nil, e.latency(e.faults.Load())) {
		return reply{cut: CutConnection}
	}
	st := e.faults.Load()
	var fault *Fault
	if st.Hook != nil || st.All != nil {
		fault = st.befalling(&Request{Method: c.method, Path: c.path, Header: r.Header, Body: c.body})
	}
	c.params, badQuery = params{}.with(c.takeQuery(r))
	return e.under(r.Context(), fault, c.params, func() reply {
		switch {
		case badQuery != nil:
			return e.refuse(c, badQuery)
		case c.path == "/batch" && !st.NoBatch:
			if err := c.params.check(&route{}); err != nil {
				return e.refuse(c, err)
			}
			answer, err := e.serveBatch(r.Context(), st, c, r)
			if err != nil {
				return e.refuse(c, err)
			}
			return answer
		}
		return e.call(st, c)
	})
}

// call calls an API method.
func (e *Emulator) call(st *faultState, c *call) reply {
	body, err := e.method(st, c)
	if err != nil {
		return e.refuse(c, err)
	}
	return c.params.jsonp(reply{status: http.StatusOK, body: body})
}

func (e *Emulator) method(st *faultState, c *call) ([]byte, *apiError) {
	r, err := e.find(c)
	if err != nil {
		return nil, err
	}
	if err := st.authorize(c); err != nil {
		return nil, err
	}
	if status := e.drawError(st); status != 0 {
		return nil, Refuse(status, "").error()
	}
	if !st.Quota.EventsOnly || strings.HasSuffix(c.path, "/clientEvents") {
		if wait, ok := e.quota.take(st.Quota, time.Now()); !ok {
			return nil, quotaExceeded(st.Quota, c.project(), wait)
		}
	}
	if err := c.params.check(r); err != nil {
		return nil, err
	}
	if err := c.checkContent(); err != nil {
		return nil, err
	}
	return r.handle(e, c)
}

// refuse counts and writes an error.
func (e *Emulator) refuse(c *call, err *apiError) reply {
	e.store.countRefusal(err.code)
	return c.params.jsonp(err.reply(c.params))
}

// give sends the answer, up to the point in reply.cut.
func give(w http.ResponseWriter, answer reply) {
	switch answer.cut {
	case CutConnection:
		panic(http.ErrAbortHandler)
	case CutHeaders:
		cutHeaders(w, answer)
		return
	case CutBody:
		w.Header().Set("Content-Length", strconv.Itoa(len(answer.body)))
		answer.body = answer.body[:len(answer.body)/2]
		send(w, answer)
		_ = http.NewResponseController(w).Flush() // without it nothing would be sent
		panic(http.ErrAbortHandler)
	}
	send(w, answer)
}

// cutHeaders sends the beginning of a header and closes the connection.
func cutHeaders(w http.ResponseWriter, answer reply) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2 has no header to cut
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/js", answer.status, http.StatusText(answer.status))
}

// jsonType is shared by all answers, and not to be changed.
var jsonType = []string{"application/json; charset=UTF-8"}

func send(w http.ResponseWriter, answer reply) {
	h := w.Header()
	h["Content-Type"] = jsonType
	for name, values := range answer.header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body) // the client may have disconnected
}
