package talent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/oneline"
)

// MaxEvent is the size in bytes of the largest single event that is sent. The API
// names no limit; this is far above an event within its other limits.
const MaxEvent = 1 << 20

const (
	// maxErrorBody bounds what is read of an answer that is an error.
	maxErrorBody = 64 << 10
	// maxDiscard bounds what is read of an answer only to keep its connection.
	maxDiscard = 256 << 10
)

// Answer is the result of one attempt.
type Answer struct {
	// Status is the HTTP status; 0 if the attempt was not answered.
	Status int
	// Took is the time from the request to the end of the answer; 0 if the
	// attempt was not answered.
	Took time.Duration
	// Err is nil if the request was accepted as a whole. The events of a batch
	// still have their own results.
	Err *Error
	// Singly reports that the endpoint does not support batches: it said so, or
	// its answer can't be matched to the events. To send batches again would
	// repeat events that it may have accepted.
	Singly bool
}

// Result is the answer to one event of a batch.
type Result struct {
	// Status is the HTTP status of the event's part; 0 if there was none.
	Status int
	// Err is nil if the event was accepted.
	Err *Error
}

// Sender makes one attempt at a time. Its buffers live as long as it does. It is
// not safe for concurrent use.
type Sender struct {
	client        *Client
	headers       *headers
	deadline      deadline
	single, batch poster
	writer        *batchWriter
	parts         matcher
	discarded     []byte
	own           ownConn
}

// NewSender makes a sender.
func (c *Client) NewSender() *Sender {
	return &Sender{
		client: c,
		single: poster{template: c.single},
		batch:  poster{template: c.batch},
		writer: newBatchWriter(c.single.URL.EscapedPath(), c.batchID, c.cfg.Version),
		parts:  matcher{id: c.batchID, reader: newPartReader()},
		own:    ownConn{conns: c.conns},
	}
}

// Close releases the sender's timer and its connection.
func (s *Sender) Close() {
	s.deadline.drop()
	s.own.close()
}

// Token returns the access token of the latest attempt; "" if it had none.
func (s *Sender) Token() string {
	if s.headers == nil {
		return ""
	}
	return s.headers.token
}

// Send makes one attempt at a single event. Every 2xx status line counts as
// accepted, even if the body is cut off. The attempt ends with ctx.
func (s *Sender) Send(ctx context.Context, d *event.Delivery) Answer {
	ctx, answer := s.begin(ctx)
	if answer.Err != nil {
		return answer
	}
	body := s.single.begin(ctx)
	body.data = s.client.cfg.Privacy().Apply(d.Event).AppendRequest(body.data, s.client.cfg.Version)
	s.exchange(ctx, &s.single, s.headers.single, &answer, func(resp *http.Response) {
		s.discard(resp.Body)
	})
	answer.Err.hide(s.client.cfg.Secrets, d)
	s.end(answer.Err)
	return answer
}

// SendBatch makes one attempt at a batch. It returns a result for each event if
// the answer has no error; the slice is valid until the next call.
func (s *Sender) SendBatch(ctx context.Context, batch []*event.Delivery) (Answer, []Result) {
	ctx, answer := s.begin(ctx)
	if answer.Err != nil {
		return answer, nil
	}
	body := s.batch.begin(ctx)
	body.data = s.writer.appendBatch(body.data, batch, s.client.cfg.Privacy())
	s.exchange(ctx, &s.batch, s.headers.batch, &answer, func(resp *http.Response) {
		s.readBatch(ctx, resp, batch, &answer)
	})
	answer.Singly = answer.Singly || noBatches(answer.Status)
	answer.Err.hide(s.client.cfg.Secrets, batch...)
	s.end(answer.Err)
	if answer.Err != nil {
		return answer, nil
	}
	return answer, s.parts.results
}

// begin starts the time of an attempt and gets its token.
func (s *Sender) begin(parent context.Context) (context.Context, Answer) {
	ctx := s.deadline.begin(parent, s.client.cfg.Timeout)
	token := ""
	if authorize := s.client.cfg.Authorize; authorize != nil {
		var failure *Error
		if token, failure = authorize(ctx); failure != nil {
			failure.Unsent = true
			s.end(failure)
			return ctx, Answer{Err: failure}
		}
	}
	if s.headers == nil || s.headers.token != token {
		s.headers = s.client.headers(token)
	}
	return ctx, Answer{}
}

// end ends the time of an attempt. A failed one may have left something that
// still uses its context.
func (s *Sender) end(failure *Error) {
	if failure != nil {
		s.deadline.drop()
		return
	}
	s.deadline.end()
}

// exchange sends a request and reads its answer; accepted reads the body of one
// whose status counts as accepted, and may still find a fault in it.
//
// It uses the transport and not an http.Client, which would follow redirects and
// take the credentials along.
func (s *Sender) exchange(ctx context.Context, p *poster, header http.Header, answer *Answer, accepted func(*http.Response)) {
	conns := s.client.conns
	began := time.Now()
	resp, conn, err := s.roundTrip(ctx, p, header)
	if err != nil {
		answer.Err = unanswered(ctx, err, p.payload.conn.Load())
		switch {
		case answer.Err.Reason == Timeout:
			conns.timedOut(conn)
		case answer.Err.Lost:
			conns.lost(conn)
		}
		return
	}
	defer resp.Body.Close()
	conns.answered(conn)
	if resp.StatusCode == http.StatusMisdirectedRequest {
		conns.replace(conn) // RFC 9110, 15.5.20: try another connection
	}
	answer.Status = resp.StatusCode
	if reasonOf(resp.StatusCode) == "" {
		accepted(resp)
	} else {
		answer.Err = failureOf(resp)
	}
	answer.Took = time.Since(began)
}

func (s *Sender) roundTrip(ctx context.Context, p *poster, header http.Header) (*http.Response, *connection, error) {
	if s.client.conns.address != "" {
		return s.own.roundTrip(ctx, p, header)
	}
	return s.client.conns.roundTrip(func(onlyHTTP2 bool) *http.Request { return p.request(header, onlyHTTP2) })
}

// unanswered classifies the error of an attempt without an answer.
func unanswered(ctx context.Context, err error, conn int32) *Error {
	failure := networkError(ctx, err)
	failure.Unknown = conn != connNone
	failure.Lost = failure.Reason == Network && conn == connReused
	if said := notProcessed(err); said != nil && failure.Reason == Network {
		failure.Err, failure.Unknown, failure.Lost = said, false, true
	}
	return failure
}

// failureOf classifies an answer that is an error.
func failureOf(resp *http.Response) *Error {
	var said []byte
	to, encoding := resp.Header.Get("Location"), encodingOf(resp)
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		// Its body is the connection itself, which no deadline of ours ends.
	case to != "" && resp.StatusCode < 400:
		said = fmt.Appendf(nil, "a redirect to %s, which is not followed", to)
	case encoding != "":
		said = fmt.Appendf(nil, "an answer in the encoding %q, which was not asked for", encoding)
	default:
		said, _ = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	}
	return classify(resp.StatusCode, resp.Header.Get("Retry-After"), said, time.Now())
}

// encodingOf returns the encoding of an answer's body; "" if it has none.
func encodingOf(resp *http.Response) string {
	if encoding := resp.Header.Get("Content-Encoding"); !strings.EqualFold(encoding, "identity") {
		return encoding
	}
	return ""
}

// endsWithConnection reports whether nothing but the end of the connection marks the
// end of an answer (RFC 9112, 6.3). Such an answer may be cut off without a trace.
func endsWithConnection(resp *http.Response) bool {
	return resp.ProtoMajor == 1 && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
}

// readBatch reads the results of a batch. An answer that is not a multipart one
// has none: the endpoint took the request for something else, unless a web page
// shows that it is not the endpoint at all.
func (s *Sender) readBatch(ctx context.Context, resp *http.Response, batch []*event.Delivery, answer *Answer) {
	contentType := resp.Header.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
		answer.Singly = kind != "text/html"
		answer.Err = &Error{Reason: BadAnswer, Status: resp.StatusCode, Unknown: true, Err: fmt.Errorf(
			"the answer to a batch is %q: expected multipart/mixed", shorten(oneline.Of(contentType)))}
		return
	}
	if encoding := encodingOf(resp); encoding != "" {
		answer.Err = &Error{Reason: BadAnswer, Status: resp.StatusCode, Unknown: true, Err: fmt.Errorf(
			"%w: its encoding is %q, which was not asked for", errMalformed, shorten(oneline.Of(encoding)))}
		answer.Singly = true
		return
	}
	cut := s.parts.read(resp.Body, params["boundary"], len(batch))
	switch {
	case cut == nil:
		s.discard(resp.Body)
	case errors.Is(cut, errEndless) && endsWithConnection(resp):
		cut = io.ErrUnexpectedEOF
	}
	for i := range s.parts.results {
		s.parts.results[i].Err.hide(s.client.cfg.Secrets, batch[i])
	}
	switch missing := s.parts.missing(); {
	case missing == 0:
	case cut != nil && !errors.Is(cut, errMalformed):
		failure := networkError(ctx, cut)
		failure.Unknown, failure.Lost = true, failure.Reason == Network
		s.parts.fail(failure)
	case missing == len(batch):
		answer.Singly = true
		answer.Err = &Error{Reason: BadAnswer, Status: resp.StatusCode, Unknown: true, Err: fmt.Errorf("%w: no part of it can be matched to an event", errMalformed)}
	default:
		answer.Singly = true
		s.parts.fail(&Error{Reason: BadAnswer, Unknown: true, Err: fmt.Errorf("%w: no part of it can be matched to this event", errMalformed)})
	}
}

// discard reads an answer to its end, so that its connection can be reused. An
// error does not matter: the status line has decided.
func (s *Sender) discard(body io.Reader) {
	if s.discarded == nil {
		s.discarded = make([]byte, 4<<10)
	}
	for n := 0; n < maxDiscard; {
		read, err := body.Read(s.discarded)
		if n += read; err != nil {
			return
		}
	}
}
