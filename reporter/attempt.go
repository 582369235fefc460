package reporter

import (
	"bytes"
	"context"
	"crypto/tls"
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

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/exemplar"
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

func newTransport(cfg Config) *http.Transport {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	roots := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		roots = cfg.TLS.Clone()
		roots.MinVersion = max(roots.MinVersion, tls.VersionTLS12)
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSClientConfig:     roots,
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

// payload is the body of a request. The transport may read it even after it has
// answered, so its memory is used again only when all its readers are closed.
type payload struct {
	data []byte
	// once: the memory is not used again. The transport knows that a plain
	// bytes.Reader never blocks, and writes it together with the headers: one
	// write a request and one packet instead of two, which is worth more than
	// the memory of a small body.
	once bool
	open atomic.Int32
}

func (p *payload) reader() io.ReadCloser {
	if p.once {
		return io.NopCloser(bytes.NewReader(p.data))
	}
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

// payloadOf is the request of one event.
func (w *worker) payloadOf(d *event.Delivery) *payload {
	const wrapper = len(`{"clientEvent":}`)
	return &payload{data: d.AppendRequest(make([]byte, 0, d.Size()+wrapper), w.r.cfg.Version), once: true}
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

// exchange sends a payload. read gets an answer that says that it went well, and
// may find that it did not.
//
// It goes by the transport and not by a client, since redirects are not
// followed: one would take the credentials along.
func (w *worker) exchange(to *target, p *payload, read func(context.Context, *http.Response) *Error) (status int, failure *Error) {
	ctx := w.deadline.begin(w.ctx, w.r.cfg.Timeout)
	defer func() {
		if failure != nil {
			w.deadline.drop()
			return
		}
		w.deadline.end()
	}()
	token, failure := w.authorize(ctx)
	if failure != nil {
		return 0, failure
	}
	if lease := w.r.cfg.Lease; lease != nil && !lease(time.Now()) {
		return 0, &Error{Reason: recalled, Err: errNotOurs, unsent: true}
	}
	req := w.request(ctx, to, p)
	began := time.Now()
	resp, err := w.r.transport.RoundTrip(req)
	if err != nil {
		return 0, networkError(ctx, err)
	}
	defer resp.Body.Close()
	failure = readAnswer(ctx, resp, read)
	failure.hide(token, w.batch)
	if failure != nil && failure.Status == 0 {
		return 0, failure // it was cut
	}
	exemplar.Observe(w.r.metrics.duration, time.Since(began).Seconds(), w.span)
	if resp.StatusCode == http.StatusUnauthorized {
		w.refusedToken(token)
	}
	return resp.StatusCode, failure
}

// request is made once for as long as the context is the same: a request may be
// used again when its answer is closed, and after a failure there is another
// context.
func (w *worker) request(ctx context.Context, to *target, p *payload) *http.Request {
	w.sending = p
	req := w.requests[to.kind]
	if req == nil || req.Context() != ctx {
		req = to.request.WithContext(ctx)
		// A connection that was closed while it was idle lets the request be
		// sent again: it was not read.
		req.GetBody = func() (io.ReadCloser, error) { return w.sending.reader(), nil }
		w.requests[to.kind] = req
	}
	req.Header = w.headers[to.kind]
	req.Body = p.reader()
	req.ContentLength = int64(len(p.data))
	return req
}

func readAnswer(ctx context.Context, resp *http.Response, read func(context.Context, *http.Response) *Error) *Error {
	if reasonOf(resp.StatusCode) == "" {
		return read(ctx, resp)
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode < 400 {
		text = fmt.Appendf(nil, "a redirect to %s, which is not followed", location)
	}
	return classify(resp.StatusCode, resp.Header.Get("Retry-After"), text, time.Now())
}

// readAccepted reads the answer to one event, which is the event. An answer that
// was cut is not one, and a web page is not the API's.
func readAccepted(ctx context.Context, resp *http.Response) *Error {
	if isWebPage(resp.Header.Get("Content-Type")) {
		return &Error{Reason: BadAnswer, Status: resp.StatusCode, Err: errors.New("the answer is a web page and not an event")}
	}
	return discard(ctx, resp.Body)
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

// authorize sees to it that the headers have a valid access token.
func (w *worker) authorize(ctx context.Context) (token string, failure *Error) {
	if w.r.tokens != nil {
		var err error
		if token, err = w.r.tokens.Get(ctx); err != nil {
			if errors.Is(err, errAborted) {
				return "", &Error{Reason: recalled, Err: err, unsent: true}
			}
			return "", &Error{Reason: Unauthenticated, Err: fmt.Errorf("no access token: %w", err), unsent: true}
		}
	}
	if w.headers[single] != nil && token == w.token {
		return token, nil
	}
	// Requests may share them, since nobody changes them any more.
	w.token = token
	for kind, to := range w.r.targets {
		header := to.request.Header.Clone()
		if token != "" {
			header.Set("Authorization", "Bearer "+token)
		}
		w.headers[kind] = header
	}
	return token, nil
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
