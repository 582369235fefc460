package emulator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Faults describes how the emulator misbehaves. The zero value has no faults.
//
// Faults apply to the requests whose handling begins after they were
// set; see [Emulator.SetFaults] and [Emulator.ChangeFaults].
type Faults struct {
	// Latency is the wait before each HTTP request is handled, once for a batch.
	// Jitter adds a random time below it, uniformly distributed.
	Latency, Jitter time.Duration

	// ErrorShares is, by HTTP status, the share (0 to 1) of events that are
	// answered with that status and not accepted. Each part of a batch is
	// an event of its own. If the sum of the shares exceeds 1, lower statuses
	// have precedence. The choice depends only on Options.Seed and the order of
	// the calls.
	ErrorShares map[int]float64

	// Quota bounds the calls; calls beyond it are answered 429.
	Quota Quota

	// Token, if not nil, reports whether a bearer token is valid. A call with a
	// bad one or none is answered 401. For a part of a batch, its own Authorization header counts,
	// or else that of the whole request.
	Token func(token string) bool

	// NoBatch answers 404 to /batch.
	NoBatch bool

	// All, if not nil, affects every HTTP request: an outage, or a refusal.
	All *Fault

	// Hook, if not nil, returns the fault of a request, or nil for none. It is
	// called before All for every HTTP request, then for every part of a batch,
	// and from many goroutines at once.
	Hook func(*Request) *Fault
}

// Request is the argument of a [Faults] Hook. It may be kept.
type Request struct {
	Method string
	// Path is the escaped path, without the query.
	Path string
	// Header of the request; of a part: its own lines over those of the whole
	// request. It must not be changed.
	Header http.Header
	// Body as it was received, decompressed; it must not be changed.
	Body []byte
	// Part is the number of the part within its batch, from 1. It is 0 for a
	// whole HTTP request, be it a batch or a single call.
	Part int
}

// Fault affects one request. Hang and Delay come first. Then, with a Status
// or a Cut, the client gets that, and the request is not handled. With neither,
// the request is handled late.
type Fault struct {
	// Hang holds the request until the channel is closed, the client
	// disconnects, or the emulator closes.
	Hang <-chan struct{}
	// Delay holds it for a time.
	Delay time.Duration

	// Status is the HTTP status to answer with.
	Status int
	// Message is the error's message; a usual one if empty.
	Message string
	// RetryAfter, if not 0, is sent in the header Retry-After (in whole
	// seconds, rounded up) and in a google.rpc.RetryInfo (exactly).
	RetryAfter time.Duration
	// Header is added to the answer that Status gives.
	Header http.Header
	// Body, if not nil, is sent in place of the google.rpc.Status.
	Body []byte

	// Cut breaks the connection during the answer: that of Status, by default
	// 503, or the request's real answer with AfterAccept and no Status. A part
	// of a batch has no connection of its own: any Cut omits its answer.
	Cut Cut

	// AfterAccept handles the request first, so that its events are accepted,
	// and then applies the fault to its answer.
	AfterAccept bool
}

// Cut is the point at which an answer is cut.
type Cut uint8

const (
	// NoCut gives the whole answer.
	NoCut Cut = iota
	// CutConnection closes the connection without a byte of an answer.
	CutConnection
	// CutHeaders closes it in the middle of the header (over HTTP/2: as
	// CutConnection does).
	CutHeaders
	// CutBody closes it after half of the body; the header announced all.
	CutBody
)

// Outage returns a [Fault] for Faults.All: every request is answered 503.
func Outage() *Fault { return Refuse(http.StatusServiceUnavailable, "") }

// Refuse returns a [Fault] that answers with the HTTP status and the message (if
// empty, a usual one).
func Refuse(status int, message string) *Fault {
	return &Fault{Status: status, Message: message}
}

// faultState is Faults ready for use; it does not change.
type faultState struct {
	Faults
	shares []share // by status
}

type share struct {
	status int
	upTo   float64
}

func newFaultState(f Faults) *faultState {
	f.ErrorShares = maps.Clone(f.ErrorShares)
	st := &faultState{Faults: f}
	sum := 0.0
	for _, status := range slices.Sorted(maps.Keys(f.ErrorShares)) {
		sum += f.ErrorShares[status]
		st.shares = append(st.shares, share{status, sum})
	}
	return st
}

// SetFaults replaces the faults. It is safe to call at any time, from any
// goroutine. A quota that stays the same keeps its count.
func (e *Emulator) SetFaults(f Faults) {
	e.ChangeFaults(func(old *Faults) { *old = f })
}

// ChangeFaults changes some of the faults and keeps the rest, as one step.
func (e *Emulator) ChangeFaults(change func(*Faults)) {
	e.changing.Lock()
	defer e.changing.Unlock()
	f := e.Faults()
	change(&f)
	e.faults.Store(newFaultState(f))
}

// Faults returns the current faults.
func (e *Emulator) Faults() Faults {
	f := e.faults.Load().Faults
	f.ErrorShares = maps.Clone(f.ErrorShares)
	return f
}

// random returns the next number in [0, 1). It depends on the seed and the number
// of earlier draws, and needs no lock.
func (e *Emulator) random() float64 {
	source := rand.NewPCG(e.seed, e.draws.Add(1))
	return float64(source.Uint64()>>11) / (1 << 53)
}

// latency returns the time that a request has to wait.
func (e *Emulator) latency(st *faultState) time.Duration {
	d := st.Latency
	if st.Jitter > 0 {
		d += time.Duration(e.random() * float64(st.Jitter))
	}
	return d
}

// drawError draws the status of an event's error, 0 for none.
func (e *Emulator) drawError(st *faultState) int {
	if len(st.shares) == 0 {
		return 0
	}
	x := e.random()
	for _, s := range st.shares {
		if x < s.upTo {
			return s.status
		}
	}
	return 0
}

// befalling returns the fault of the whole HTTP request, or nil.
func (st *faultState) befalling(r *Request) *Fault {
	if st.Hook != nil {
		if f := st.Hook(r); f != nil {
			return f
		}
	}
	return st.All
}

// under handles a request, or a part of one, with the fault f, which may be nil.
func (e *Emulator) under(ctx context.Context, f *Fault, p params, handle func() reply) reply {
	if f == nil {
		return handle()
	}
	e.store.countFault()
	var r reply
	if f.AfterAccept {
		r = handle()
	}
	if !e.wait(ctx, f.Hang, f.Delay) {
		return reply{cut: CutConnection}
	}
	switch {
	case f.Status != 0 || f.Cut != NoCut && !f.AfterAccept:
		r = f.error().reply(p)
		if f.Cut == NoCut && !f.AfterAccept {
			e.store.countRefusal(r.status)
		}
	case !f.AfterAccept:
		r = handle()
	}
	r.cut = f.Cut
	return r
}

func (f *Fault) error() *apiError {
	code := cmp.Or(f.Status, http.StatusServiceUnavailable)
	err := errorf(code, "%s", cmp.Or(f.Message, defaultMessage(code)))
	err.header, err.body = f.Header.Clone(), f.Body
	if f.RetryAfter > 0 {
		err.retryAfter(f.RetryAfter)
	}
	return err
}

// wait waits for the channel, then for the time. It returns false if the client
// disconnects or the emulator closes before.
func (e *Emulator) wait(ctx context.Context, hang <-chan struct{}, d time.Duration) bool {
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return false
		case <-e.closed:
			return false
		}
	}
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-e.closed:
		return false
	}
}

// authorize returns the 401 for a call without a good token.
func (st *faultState) authorize(c *call) *apiError {
	if st.Token == nil {
		return nil
	}
	token := c.params.token
	if h := c.header.Get("Authorization"); h != "" {
		scheme, rest, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return unauthorized("ACCESS_TOKEN_TYPE_UNSUPPORTED", "")
		}
		token = strings.TrimSpace(rest)
	}
	switch {
	case token == "":
		return unauthorized("CREDENTIALS_MISSING", "")
	case !st.Token(token):
		return unauthorized("ACCESS_TOKEN_EXPIRED", `, error="invalid_token"`)
	}
	return nil
}

func unauthorized(reason, challenge string) *apiError {
	err := errorf(http.StatusUnauthorized, "%s", defaultMessage(http.StatusUnauthorized))
	err.header = http.Header{"Www-Authenticate": {fmt.Sprintf(`Bearer realm="https://accounts.google.com/"%s`, challenge)}}
	err.details = []any{errorInfo{
		Type:     typeErrorInfo,
		Reason:   reason,
		Domain:   "googleapis.com",
		Metadata: map[string]string{"service": serviceName},
	}}
	return err
}
