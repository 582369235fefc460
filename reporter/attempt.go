package reporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/internal/exemplar"
	"github.com/clientevents/clientevents/reporter/wire"
)

// Bounds of what is read and sent.
const (
	// maxBody is the largest request of one event. The API names no limit;
	// this is far above what an event within the other limits can be.
	maxBody = 1 << 20
	// maxErrorBody is how much of an answer that is an error is read.
	maxErrorBody = 64 << 10
	// maxDiscard is how much of an answer that does not matter is read to keep
	// its connection.
	maxDiscard = 256 << 10
)

// newTransport is for batches.
func newTransport(cfg Config) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         cfg.Dial,
		TLSClientConfig:     cfg.TLS,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        cfg.Concurrency,
		MaxIdleConnsPerHost: cfg.Concurrency, // Go's default of two would open one a request
		IdleConnTimeout:     90 * time.Second,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      16 << 10,
		DisableCompression:  true, // the answers are small and not kept
	}
}

// payload is the body of a batch. The transport may read it even after it has
// answered, so its memory is used again only when all its readers are closed.
type payload struct {
	data []byte
	open atomic.Int32
}

func (p *payload) reader() io.ReadCloser {
	p.open.Add(1)
	r := &payloadReader{payload: p}
	r.Reset(p.data)
	return r
}

type payloadReader struct {
	bytes.Reader
	payload *payload
	closed  atomic.Bool
}

func (r *payloadReader) Close() error {
	if !r.closed.Swap(true) {
		r.payload.open.Add(-1)
	}
	return nil
}

// emptyPayload is where the next batch is written to.
func (w *worker) emptyPayload() *payload {
	if w.payload == nil || w.payload.open.Load() != 0 {
		w.payload = &payload{}
	}
	w.payload.data = w.payload.data[:0]
	return w.payload
}

// Why an attempt was given up on our side.
var (
	errAborted  = errors.New("the request was cut off by us")
	errNotOurs  = errors.New("the partitions may be another replica's by now")
	errTimedOut = errors.New("no answer in time")
)

// exchange sends one event in a request of its own.
func (w *worker) exchange(body []byte) (status int, failure *Error) {
	ctx := w.deadline.begin(w.ctx, w.r.cfg.Timeout)
	defer func() { w.endAttempt(failure) }()
	if failure = w.mayStart(ctx); failure != nil {
		return 0, failure
	}
	began := time.Now()
	answer, err := w.lane.Do(ctx, w.heads.one, body)
	return w.answered(began, answer.Status, readAlone(ctx, answer, err))
}

// exchangeBatch sends the payload of a batch. read gets an answer that says that
// it went well, and may find that it did not.
//
// It goes by the transport and not by a client, since redirects are not
// followed: one would take the credentials along. What net/http costs is shared
// by the events of the batch, whose answer it hands out while it comes in.
func (w *worker) exchangeBatch(p *payload, read func(context.Context, *http.Response) *Error) (status int, failure *Error) {
	ctx := w.deadline.begin(w.ctx, w.r.cfg.Timeout)
	defer func() { w.endAttempt(failure) }()
	if failure = w.mayStart(ctx); failure != nil {
		return 0, failure
	}
	began := time.Now()
	resp, err := w.r.transport.RoundTrip(w.request(ctx, p))
	if err != nil {
		return w.answered(began, 0, networkError(ctx, err))
	}
	defer resp.Body.Close()
	return w.answered(began, resp.StatusCode, readAnswer(ctx, resp, read))
}

// mayStart sees to it that the heads have a valid access token, and that the
// events are still ours to send.
func (w *worker) mayStart(ctx context.Context) *Error {
	if failure := w.authorize(ctx); failure != nil {
		return failure
	}
	if lease := w.r.cfg.Lease; lease != nil && !lease(time.Now()) {
		return &Error{Reason: recalled, Err: errNotOurs, unsent: true}
	}
	return nil
}

func (w *worker) endAttempt(failure *Error) {
	if failure != nil {
		w.deadline.drop()
		return
	}
	w.deadline.end()
}

// answered notes an answer. One that was cut is none.
func (w *worker) answered(began time.Time, status int, failure *Error) (int, *Error) {
	failure.hide(w.heads.token, w.batch)
	if status == 0 || failure != nil && failure.Status == 0 {
		return 0, failure
	}
	exemplar.Observe(w.r.metrics.duration, time.Since(began).Seconds(), w.span)
	if status == http.StatusUnauthorized {
		w.refusedToken(w.heads.token)
	}
	return status, failure
}

// request is made once for as long as the context is the same: a request may be
// used again when its answer is closed, and after a failure there is another
// context.
func (w *worker) request(ctx context.Context, p *payload) *http.Request {
	w.sending = p
	if w.req == nil || w.req.Context() != ctx {
		w.req = w.r.batches.WithContext(ctx)
		// A connection that was closed while it was idle lets the request be
		// sent again: it was not read.
		w.req.GetBody = func() (io.ReadCloser, error) { return w.sending.reader(), nil }
	}
	w.req.Header = w.heads.batch
	w.req.Body = p.reader()
	w.req.ContentLength = int64(len(p.data))
	return w.req
}

// readAlone reads the answer to one event, which is the event. An answer that
// was cut is not one, unless it is an error's, and a web page is not the API's.
func readAlone(ctx context.Context, answer *wire.Answer, err error) *Error {
	switch {
	case reasonOf(answer.Status) != "" && answer.Status != 0:
		return failureOf(answer.Status, answer.RetryAfter, answer.Location, answer.Body)
	case err != nil:
		return networkError(ctx, err)
	case isWebPage(answer.ContentType):
		return &Error{Reason: BadAnswer, Status: answer.Status, Err: errors.New("the answer is a web page and not an event")}
	}
	return nil
}

func readAnswer(ctx context.Context, resp *http.Response, read func(context.Context, *http.Response) *Error) *Error {
	if reasonOf(resp.StatusCode) == "" {
		return read(ctx, resp)
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	return failureOf(resp.StatusCode, resp.Header.Get("Retry-After"), resp.Header.Get("Location"), text)
}

// failureOf is what an answer means that is not the one that was wanted.
func failureOf(status int, retryAfter, location string, text []byte) *Error {
	if location != "" && status < 400 {
		text = fmt.Appendf(nil, "a redirect to %s, which is not followed", location)
	}
	return classify(status, retryAfter, text, time.Now())
}

func isWebPage(contentType string) bool {
	if strings.HasPrefix(contentType, "application/json") { // as nearly all are
		return false
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "text/html"
}

// discard reads an answer to its end, so that its connection can be used again.
func discard(ctx context.Context, body io.Reader) *Error {
	if _, err := io.Copy(io.Discard, io.LimitReader(body, maxDiscard)); err != nil {
		return networkError(ctx, err)
	}
	return nil
}

// authorize sees to it that the heads have a valid access token.
func (w *worker) authorize(ctx context.Context) *Error {
	token := ""
	if w.r.tokens != nil {
		var err error
		if token, err = w.r.tokens.Get(ctx); err != nil {
			if errors.Is(err, errAborted) {
				return &Error{Reason: recalled, Err: err, unsent: true}
			}
			return &Error{Reason: Unauthenticated, Err: fmt.Errorf("no access token: %w", err), unsent: true}
		}
	}
	if w.heads != nil && token == w.heads.token {
		return nil
	}
	heads, err := w.r.headsFor(token)
	if err != nil {
		return &Error{Reason: Unauthenticated, Err: err, unsent: true}
	}
	w.heads = heads
	return nil
}

// heads are what all requests with one access token begin with. Nobody changes
// them.
type heads struct {
	token string
	one   *wire.Head  // of an event by itself
	batch http.Header // of a batch
}

// headsFor returns the heads with a token, which is nearly always the one that was
// asked for last.
func (r *Reporter) headsFor(token string) (*heads, error) {
	if h := r.heads.Load(); h != nil && h.token == token {
		return h, nil
	}
	one, err := wire.NewHead(r.create, r.withToken("application/json", token))
	if err != nil {
		return nil, err
	}
	h := &heads{token: token, one: one, batch: r.withToken("multipart/mixed; boundary="+boundary, token)}
	r.heads.Store(h)
	return h, nil
}

func (r *Reporter) withToken(contentType, token string) http.Header {
	header := r.header.Clone()
	header.Set("Content-Type", contentType)
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header
}

func (w *worker) refusedToken(token string) {
	if w.r.tokens != nil {
		w.r.tokens.Refused(token)
	}
}

// networkError classifies what went wrong on the way.
func networkError(ctx context.Context, err error) *Error {
	var timeout net.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errAborted):
		return &Error{Reason: recalled, Err: cause}
	case errors.Is(cause, errTimedOut):
		return &Error{Reason: Timeout, Err: cause}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Reason: Timeout, Err: err}
	case errors.Is(err, errMalformed):
		return &Error{Reason: BadAnswer, Err: err}
	}
	return &Error{Reason: Network, Err: err}
}

// apiClient is the header in which Google asks clients to name themselves.
func apiClient(goVersion, userAgent string) string {
	return "gl-go/" + strings.TrimPrefix(goVersion, "go") + " " + strings.ReplaceAll(userAgent, " ", "-")
}
