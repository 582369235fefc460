package talent

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// payload is the body of a request. The transport may read it even after it
// answered, so its memory is reused only when nothing of it is being sent.
type payload struct {
	data    []byte
	sending atomic.Int32 // requests made of it that were not written to their end
	conn    atomic.Int32 // the connection of the latest request: a connState
}

// connState is how far an attempt has come with its connection.
const (
	connNone   int32 = iota // there was none: nothing was sent
	connFresh               // it was opened for this attempt
	connReused              // it has carried requests before
)

// connected is called by the transport when it has a connection for a request.
func (p *payload) connected(info httptrace.GotConnInfo) {
	if info.Reused {
		p.conn.Store(connReused)
	} else {
		p.conn.Store(connFresh)
	}
}

// reader returns a new body. It is of a type that net/http knows to be in memory:
// with any other, headers and body would be two writes.
func (p *payload) reader() io.ReadCloser {
	p.sending.Add(1)
	return io.NopCloser(bytes.NewReader(p.data))
}

// written is called by the transport after it wrote a request, or gave up. After
// an error the transport may still write the same body over another connection.
func (p *payload) written(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		p.sending.Add(-1)
	}
}

// poster makes requests to one URL, one after another.
type poster struct {
	template *http.Request // without a body and headers; shared
	ctx      context.Context
	req      *http.Request // for ctx
	payload  *payload      // of req
}

// begin returns the empty payload of a request, for the body to be appended. The
// http.Request is reused as long as the context is the same: net/http allows that
// when the answer's body is closed, and a failed attempt ends its context.
func (p *poster) begin(ctx context.Context) *payload {
	if p.payload == nil || p.payload.sending.Load() != 0 {
		p.payload, p.ctx = &payload{}, nil
	}
	if p.ctx != ctx {
		body := p.payload
		p.ctx = ctx
		p.req = p.template.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: body.connected, WroteRequest: body.written,
		}))
		// The transport sends a request again if its connection was closed before
		// anything was written.
		p.req.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
	}
	p.payload.data = p.payload.data[:0]
	return p.payload
}

// request returns the request that sends the payload.
func (p *poster) request(header http.Header) *http.Request {
	p.payload.conn.Store(connNone)
	p.req.Header = header
	p.req.Body = p.payload.reader()
	p.req.ContentLength = int64(len(p.payload.data))
	return p.req
}
