package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// http1Conn is a connection that speaks HTTP/1.1, for one lane.
type http1Conn struct {
	conn net.Conn // what is spoken on
	raw  net.Conn // the same, or what is below TLS
	r    *bufio.Reader
	head headLimit
	body io.LimitedReader
	out  []byte

	// phase is in its low bits what the connection is at, and above them counts
	// the contexts that it went by: whoever ends it at a context's end must not
	// do so while it goes by the next.
	phase  atomic.Uint64
	ctx    context.Context
	forget func() bool
	used   atomic.Int64 // when the last answer was read, Unix nanoseconds
}

// What a connection is at.
const (
	idle = iota
	busy
	closed
	phases
)

func newHTTP1(conn, raw net.Conn) *http1Conn {
	c := &http1Conn{conn: conn, raw: raw}
	c.head.r = conn
	c.r = bufio.NewReaderSize(&c.head, 4<<10)
	c.body.R = c.r
	c.used.Store(time.Now().UnixNano())
	return c
}

// closeIf ends the connection when it is at a phase, such as idle.
func (c *http1Conn) closeIf(at uint64) bool {
	now := c.phase.Load()
	if now%phases != at || !c.phase.CompareAndSwap(now, now-at+closed) {
		return false
	}
	c.conn.Close()
	return true
}

// close ends the connection in any case.
func (c *http1Conn) close() {
	if now := c.phase.Load(); now%phases != closed {
		c.phase.Store(now - now%phases + closed)
	}
	c.conn.Close()
	if c.forget != nil {
		c.forget()
	}
}

// freshFor is how long a connection is trusted without a look at whether the peer
// has closed it.
const freshFor = 10 * time.Millisecond

// begin takes the connection for a request, which ends with ctx; false where it
// can't be used any more.
func (c *http1Conn) begin(ctx context.Context) bool {
	now := c.phase.Load()
	if now%phases != idle {
		return false
	}
	turn := now - idle + busy
	if c.ctx != ctx {
		turn += phases
	}
	if !c.phase.CompareAndSwap(now, turn) {
		return false
	}
	if c.ctx != ctx {
		if c.forget != nil {
			c.forget()
		}
		c.ctx = ctx
		c.forget = context.AfterFunc(ctx, func() {
			if c.phase.CompareAndSwap(turn, turn-busy+closed) {
				c.conn.Close()
			}
		})
	}
	if ctx.Err() != nil { // before the connection was taken, so that nobody ended it
		return false
	}
	return time.Since(time.Unix(0, c.used.Load())) < freshFor || quiet(c.raw)
}

// end lets go of the connection after a whole answer.
func (c *http1Conn) end() {
	c.used.Store(time.Now().UnixNano())
	now := c.phase.Load()
	if now%phases == busy {
		c.phase.CompareAndSwap(now, now-busy+idle)
	}
}

// do sends a request and reads its answer. again says that the connection can be
// used again.
func (c *http1Conn) do(h *Head, body []byte, got *Answer) (again bool, err error) {
	c.out = append(c.out[:0], h.text...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(c.out, body...)
	n, err := c.conn.Write(c.out)
	if err != nil && n == 0 {
		return false, fmt.Errorf("%w: %w", errUnprocessed, err)
	}
	// A peer may answer and close before it has read a body that it refuses.
	again, readErr := c.read(got)
	switch {
	case err != nil && got.Status == 0:
		return false, err
	case err != nil:
		return false, readErr
	}
	return again && c.r.Buffered() == 0, readErr
}

// read reads an answer.
func (c *http1Conn) read(got *Answer) (again bool, err error) {
	c.head.left = maxAnswerHead
	length, ok, err := c.readHead(got)
	if err != nil {
		return false, err
	}
	if !ok {
		return c.readUnusual(got)
	}
	c.head.left = unlimited
	c.body.N = length
	return readBody(got, &c.body, length)
}

// readHead reads the head of an answer that is as they usually are. With others
// ok is false and nothing is taken out of the reader.
func (c *http1Conn) readHead(got *Answer) (length int64, ok bool, err error) {
	text, err := c.peekHead()
	if err != nil || text == nil {
		return 0, false, err
	}
	line, rest, _ := bytes.Cut(text, crlf)
	status, ok := statusOf(line)
	if !ok {
		return 0, false, nil
	}
	length = -1
	for len(rest) > len(crlf) {
		line, rest, _ = bytes.Cut(rest, crlf)
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !plain(name, value) {
			return 0, false, nil // a folded line, say, or none at all
		}
		value = bytes.Trim(value, " \t")
		switch {
		case got.set(name, value):
		case bytes.EqualFold(name, []byte("content-length")):
			n, err := strconv.ParseUint(string(value), 10, 62)
			if err != nil || length >= 0 {
				return 0, false, nil
			}
			length = int64(n)
		case bytes.EqualFold(name, []byte("transfer-encoding")), bytes.EqualFold(name, []byte("connection")), bytes.EqualFold(name, []byte("trailer")):
			return 0, false, nil
		}
	}
	if length < 0 {
		return 0, false, nil
	}
	_, _ = c.r.Discard(len(text)) // they are in its buffer
	got.Status = status
	return length, true, nil
}

// plain says whether a header is as nearly all are. net/http has to tell which of
// the others are headers at all.
func plain(name, value []byte) bool {
	for _, c := range name {
		if letter := c | 0x20; (letter < 'a' || letter > 'z') && c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	for _, c := range value {
		if (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return len(name) > 0
}

var (
	crlf     = []byte("\r\n")
	headEnds = []byte("\n\r\n")
	bareEnds = []byte("\n\n")
)

// peekHead returns a whole head without taking it out of the reader; nil for one
// that does not fit in its buffer or ends otherwise.
func (c *http1Conn) peekHead() ([]byte, error) {
	for seen := 0; ; {
		text, err := c.r.Peek(max(1, c.r.Buffered()))
		if err == nil && len(text) == seen {
			text, err = c.r.Peek(seen + 1)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, nil
		case errors.Is(err, io.EOF) && len(text) > 0:
			return nil, nil
		case errors.Is(err, io.EOF):
			return nil, errClosedUnanswered
		case err != nil:
			return nil, err
		}
		at, bare := bytes.Index(text, headEnds), bytes.Index(text, bareEnds)
		if bare >= 0 && (at < 0 || bare < at) {
			return nil, nil
		}
		if at >= 0 {
			return text[:at+len(headEnds)], nil
		}
		seen = len(text)
	}
}

// errClosedUnanswered leaves open whether the request was read.
var errClosedUnanswered = fmt.Errorf("the connection was closed before an answer: %w", io.ErrUnexpectedEOF)

var anyName = []byte("x")

// statusOf reads a status line of HTTP/1.1 whose answer has a body.
func statusOf(line []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 || (len(rest) > 3 && rest[3] != ' ') || !plain(anyName, rest) {
		return 0, false
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil || status < http.StatusOK || status == http.StatusNoContent || status == http.StatusNotModified {
		return 0, false
	}
	return status, true
}

// posted is whose answer net/http reads: how long it is depends on the method.
var posted = &http.Request{Method: http.MethodPost}

// readUnusual leaves an answer to net/http.
func (c *http1Conn) readUnusual(got *Answer) (again bool, err error) {
	for {
		resp, err := http.ReadResponse(c.r, posted)
		if err != nil {
			return false, fmt.Errorf("the answer's head: %w", err)
		}
		if resp.StatusCode < http.StatusOK && resp.StatusCode != http.StatusSwitchingProtocols {
			continue // it announces the answer, within the limit of all heads
		}
		c.head.left = unlimited
		defer resp.Body.Close()
		again, err = got.readFrom(resp)
		return again && !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols, err
	}
}

// readFrom takes over what net/http has read.
func (a *Answer) readFrom(resp *http.Response) (again bool, err error) {
	a.Status = resp.StatusCode
	a.ContentType = resp.Header.Get("Content-Type")
	a.RetryAfter = resp.Header.Get("Retry-After")
	a.Location = resp.Header.Get("Location")
	return readBody(a, resp.Body, resp.ContentLength)
}

// readBody reads an answer's body, of which length says how long it is, or that
// nobody knows. What is too long is not read to its end.
func readBody(got *Answer, body io.Reader, length int64) (again bool, err error) {
	for keep := int64(maxBody); ; {
		if len(got.Body) == cap(got.Body) {
			got.Body = append(got.Body, 0)[:len(got.Body)]
		}
		room := got.Body[len(got.Body):min(int64(cap(got.Body)), keep)]
		if len(room) == 0 {
			break
		}
		n, err := body.Read(room)
		got.Body = got.Body[:len(got.Body)+n]
		if errors.Is(err, io.EOF) {
			return wholeBody(int64(len(got.Body)), length)
		}
		if err != nil {
			return false, err
		}
	}
	n, err := io.Copy(io.Discard, io.LimitReader(body, maxDiscard))
	if err != nil {
		return false, err
	}
	if n == maxDiscard {
		return false, nil
	}
	return wholeBody(int64(len(got.Body))+n, length)
}

func wholeBody(n, length int64) (again bool, err error) {
	if length >= 0 && n < length {
		return false, io.ErrUnexpectedEOF
	}
	return true, nil
}

// unlimited is for a headLimit that lets everything pass.
const unlimited = int64(1) << 62

// headLimit bounds how much is read for a head.
type headLimit struct {
	r    io.Reader
	left int64
}

func (l *headLimit) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("the answer's head has more than %d bytes", maxAnswerHead)
	}
	n, err := l.r.Read(b)
	l.left -= int64(n)
	return n, err
}
