package emulator

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
)

// Options are what an emulator starts with. The zero value is good.
type Options struct {
	// Keep is how many accepted events are kept, the latest; 1000 if 0, none
	// if negative.
	Keep int
	// KeepAll keeps every accepted event. It is for tests: the memory grows
	// with each event.
	KeepAll bool
	// OnAccept, if not nil, is told of each accepted event before its answer
	// is given. It is called from many goroutines at once, and the answer
	// waits for it.
	OnAccept func(Accepted)
	// Faults to begin with; see SetFaults.
	Faults Faults
	// Seed of the random choices (Faults.ErrorShares and Faults.Jitter).
	Seed uint64
	// DataDir, if not empty, is the folder that keeps tenants, companies, jobs
	// and the latest events from one run to the next. See Open.
	DataDir string
	// Now is the clock of what the emulator dates and lets expire; time.Now if
	// nil. Latencies and quotas always go by package time.
	Now func() time.Time
	// MaxBodyBytes bounds the body of an HTTP request, before and after
	// decompression; 10 MiB if 0.
	MaxBodyBytes int64
}

// Emulator is a local Talent Solution. It is an [http.Handler], and safe for
// concurrent use.
type Emulator struct {
	onAccept func(Accepted)
	maxBody  int64
	seed     uint64
	routes   []route
	catalog  *talent.Catalog
	inspect  http.Handler
	store    *store
	calls    sync.Pool // of *call

	changing sync.Mutex // held by who replaces faults
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

// Open returns an emulator with what the DataDir of the options holds. An error
// says why that can't be read, or that another process uses it. Call Close when
// the emulator is no longer needed.
func Open(o Options) (*Emulator, error) {
	catalog, err := talent.Open(talent.Options{Now: o.Now, Dir: o.DataDir})
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	e := &Emulator{
		onAccept: o.OnAccept,
		maxBody:  cmp.Or(o.MaxBodyBytes, 10<<20),
		seed:     o.Seed,
		routes:   append(clientEventRoutes(), resourceRoutes()...),
		catalog:  catalog,
		store:    newStore(max(cmp.Or(o.Keep, 1000), 0), o.KeepAll),
		closed:   make(chan struct{}),
	}
	e.calls.New = func() any { return &call{dec: protojson.NewDecoder()} }
	e.inspect = e.inspector()
	e.faults.Store(newFaultState(o.Faults))
	if o.DataDir != "" {
		if err := e.restore(); err != nil {
			return nil, errors.Join(fmt.Errorf("emulator: %w", err), catalog.Close())
		}
	}
	return e, nil
}

// Events are the kept events in the order they were accepted: the latest
// Options.Keep, or all with Options.KeepAll.
func (e *Emulator) Events() []Accepted { return e.store.accepted() }

// EventsAfter are the kept events with a Number above the given one, the oldest
// first, and the number of the latest event, which is the next cursor. Begin
// with 0. Where the numbers leave a gap, events came faster than they were
// asked for, and are no longer kept.
func (e *Emulator) EventsAfter(number int64) (events []Accepted, latest int64) {
	return e.store.after(number)
}

// AwaitEventsAfter is EventsAfter once there is such an event. When the context
// is done before, it returns its error.
func (e *Emulator) AwaitEventsAfter(ctx context.Context, number int64) (events []Accepted, latest int64, err error) {
	return e.store.awaitAfter(ctx, number)
}

// Stats are the counts since the start or the latest Reset.
func (e *Emulator) Stats() Stats { return e.store.counts() }

// Reset forgets what was accepted and counted. Faults stay.
func (e *Emulator) Reset() { e.store.reset() }

// WaitAccepted returns once n events or more are accepted (counted as
// Stats.Accepted is), or with the context's error.
func (e *Emulator) WaitAccepted(ctx context.Context, n int64) error { return e.store.await(ctx, n) }

// Close cuts the requests that wait for a latency or a fault, now and later,
// and closes the DataDir, of which it returns the error. It is for those who
// run the emulator in a server of their own; the server is theirs to close.
func (e *Emulator) Close() error {
	var err error
	e.closing.Do(func() {
		close(e.closed)
		err = e.catalog.Close()
	})
	return err
}

// shutdownGrace is how long Serve lets requests in course finish.
const shutdownGrace = 5 * time.Second

// Serve answers HTTP/1.1 and, without TLS, HTTP/2 on ln until ctx is done; it
// then lets requests in course finish for up to 5 s, cuts the rest, and
// returns nil. It closes ln. An error is that of the listener.
func (e *Emulator) Serve(ctx context.Context, ln net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           e,
		Protocols:         protocols,
		ReadHeaderTimeout: time.Minute,
		// Clients that go away are their own business.
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
		_ = server.Close() // the listener is closed already; what is left are connections
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("emulator: serving on %v: %w", ln.Addr(), err)
	}
	return nil
}

// ServeHTTP answers the API's calls, /batch, and the emulator's own pages:
// the one at / and those below /emulator/.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, inspectPath) || (r.URL.Path == "/" && r.Method == http.MethodGet) {
		e.inspect.ServeHTTP(w, r)
		return
	}
	e.store.countRequest()
	c := e.calls.Get().(*call)
	defer func() {
		c.release()
		e.calls.Put(c)
	}()
	c.method, c.path, c.header, c.arrived = r.Method, r.URL.EscapedPath(), r.Header, time.Now()
	answer := e.request(w, r, c)
	if err := e.catalog.Sync(); err != nil {
		// What is not on disk must not be acknowledged.
		answer = e.refuse(c, errorf(http.StatusServiceUnavailable, "%v", err))
	}
	give(w, answer)
}

// request handles a whole HTTP request.
func (e *Emulator) request(w http.ResponseWriter, r *http.Request, c *call) reply {
	var bad, badQuery *apiError
	if c.body, bad = e.readBody(w, r); bad != nil {
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
	c.params, badQuery = params{}.with(r.URL.RawQuery)
	return e.under(r.Context(), fault, c.params, func() reply {
		switch {
		case badQuery != nil:
			return e.refuse(c, badQuery)
		case c.path == "/batch" && !st.NoBatch:
			if err := c.params.checkOwn(nil); err != nil {
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
	return reply{status: http.StatusOK, body: body}
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
	if err := c.params.checkOwn(r.query); err != nil {
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
	return err.reply(c.params.compact)
}

// readBody reads all of the body, decompressed.
func (e *Emulator) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	limited := http.MaxBytesReader(w, r.Body, e.maxBody)
	var body []byte
	var err error
	if n := r.ContentLength; n >= 0 && n <= e.maxBody {
		body = make([]byte, n)
		_, err = io.ReadFull(limited, body)
	} else {
		body, err = io.ReadAll(limited)
	}
	if err == nil && r.Header.Get("Content-Encoding") != "" {
		body, err = e.decompress(r.Header.Get("Content-Encoding"), body)
	}
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case err == nil:
		return body, nil
	case tooLarge:
		return nil, errorf(http.StatusRequestEntityTooLarge, "Request payload size exceeds the limit: %d bytes.", e.maxBody)
	}
	return nil, errorf(http.StatusBadRequest, "The request's body could not be read: %v.", err)
}

func (e *Emulator) decompress(encoding string, body []byte) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "identity":
		return body, nil
	case "gzip":
	default:
		return nil, fmt.Errorf("Content-Encoding %q is not known, want gzip", protojson.Clip(encoding))
	}
	zipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(zipped, e.maxBody+1))
	if int64(len(plain)) > e.maxBody {
		return nil, &http.MaxBytesError{Limit: e.maxBody}
	}
	return plain, err
}

// give answers, or breaks off where the reply says so.
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
	_, _ = w.Write(answer.body) // a client that has gone is none of ours
}
