// Package emulator is a local Cloud Talent Solution, as far as client events go:
// it takes what Google's clients send, refuses what Google refuses, and answers
// in the form in which Google answers, without an account or a network.
//
// It is for rehearsals and for tests, ours and others'. An [Emulator] is an
// http.Handler, so a test serves it like any other:
//
//	e := emulator.New(emulator.Options{})
//	server := httptest.NewServer(e)
//
// It can be told to misbehave, see [Faults], and remembers what it accepted.
package emulator

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options are how an emulator begins.
type Options struct {
	// Keep is how many of the latest accepted events are remembered; default
	// 1000. Less than 0 is all of them.
	Keep int
	// Faults are the first misbehaviour; it can be changed with SetFaults.
	Faults Faults
	// Authorize says whether an access token is good; nil takes requests
	// without one.
	Authorize func(token string) bool
	// OnAccept is told of each accepted event before it is answered.
	OnAccept func(Accepted)
	// Seed is what chances are drawn from.
	Seed uint64
}

// Emulator serves the API. It is safe for concurrent use.
type Emulator struct {
	o      Options
	faults atomic.Pointer[Faults]
	quota  quota
	store  store

	mu  sync.Mutex
	rng *rand.Rand
}

// New makes an emulator.
func New(o Options) *Emulator {
	if o.Keep == 0 {
		o.Keep = 1000
	}
	e := &Emulator{o: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), store: store{keep: o.Keep}}
	e.store.reset()
	e.SetFaults(o.Faults)
	return e
}

// Serve serves until ctx ends, and then lets the requests in flight finish.
func (e *Emulator) Serve(ctx context.Context, l net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second, Protocols: protocols}
	stopped := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(late) != nil {
			_ = s.Close()
		}
	})
	defer stopped()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// maxBody bounds a request.
const maxBody = 32 << 20

// request is one call, by itself or as a part of a batch.
type request struct {
	method string
	path   string // without the query, unescaped
	params params
	header http.Header
	body   []byte
}

// reply is what is answered to one.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP answers one request.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/emulator/") {
		e.serveOwn(w, r)
		return
	}
	f := e.Faults()
	e.store.request()
	if !e.delay(r.Context(), f) {
		return
	}
	if f.Outage != Healthy && !e.outage(w, r, f) {
		return
	}
	body, err := readBody(r)
	if err != nil {
		write(w, err.reply(false))
		return
	}
	if r.URL.Path == "/batch" {
		e.serveBatch(w, r, body)
		return
	}
	p, err := params{}.with(r.URL.RawQuery)
	if err != nil {
		write(w, err.reply(false))
		return
	}
	answer := e.answer(request{r.Method, r.URL.Path, p, r.Header, body})
	if f.Outage == CutAfter {
		cut(w)
		return
	}
	write(w, answer)
}

func readBody(r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, errorf(http.StatusBadRequest, "The request's body could not be read: %v", err)
	case len(body) > maxBody:
		return nil, errorf(http.StatusRequestEntityTooLarge, "Request payload size exceeds the limit: %d bytes.", maxBody)
	}
	return body, nil
}

func write(w http.ResponseWriter, r reply) {
	maps.Copy(w.Header(), r.header)
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body)
}

// answer answers one call.
func (e *Emulator) answer(req request) reply {
	answer, err := e.call(req)
	if err == nil {
		return answer
	}
	e.store.refused(err.code)
	return err.reply(req.params.compact)
}

func (e *Emulator) call(req request) (reply, *apiError) {
	f := e.Faults()
	if err := e.authorize(req); err != nil {
		return reply{}, err
	}
	if err := e.quota.take(f.Quota, time.Now()); err != nil {
		return reply{}, err
	}
	if f.Refuse != 0 {
		message := f.RefuseMessage
		if message == "" {
			message = defaultMessage(f.Refuse)
		}
		return reply{}, errorf(f.Refuse, "%s", message)
	}
	if code := e.chance(f.Errors); code != 0 {
		return reply{}, errorf(code, "%s", defaultMessage(code))
	}
	return route(e, req)
}

func (e *Emulator) authorize(req request) *apiError {
	if e.o.Authorize == nil {
		return nil
	}
	token := req.params.token
	if scheme, rest, ok := strings.Cut(req.header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = rest
	}
	if token == "" || !e.o.Authorize(token) {
		err := errorf(http.StatusUnauthorized, "%s", defaultMessage(http.StatusUnauthorized))
		err.header = http.Header{"Www-Authenticate": {`Bearer realm="https://accounts.google.com/"`}}
		return err
	}
	return nil
}

// chance draws one of the errors by their shares; 0 for none.
func (e *Emulator) chance(shares map[int]float64) int {
	if len(shares) == 0 {
		return 0
	}
	e.mu.Lock()
	x := e.rng.Float64()
	e.mu.Unlock()
	for _, code := range sortedKeys(shares) {
		if x -= shares[code]; x < 0 {
			return code
		}
	}
	return 0
}
