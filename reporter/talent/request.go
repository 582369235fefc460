package talent

import (
	"bytes"
	"context"
	"errors"
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
	whole   atomic.Bool  // the latest request was written to its end
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
		p.whole.Store(true)
		p.sending.Add(-1)
	}
}

// errTakenBack is the failure of a request that the transport would send again.
var errTakenBack = errors.New("the server reset the request, or closed its connection, before it answered (HTTP/2)")

// again returns the body once more, for a transport that sends a request again. Over
// HTTP/1.1 it does where it had written nothing. Over HTTP/2 it also sends a request again
// that the server reset with PROTOCOL_ERROR, which the server may have accepted before: a
// request that was written to its end is not sent again unseen.
func (p *payload) again() (io.ReadCloser, error) {
	if p.whole.Load() {
		return nil, errTakenBack
	}
	return p.reader(), nil
}

// poster makes requests to one URL, one after another.
type poster struct {
	template *http.Request // without a body and headers; shared
	ctx      context.Context
	req      *http.Request                 // for ctx
	payload  *payload                      // of req
	again    func() (io.ReadCloser, error) // of payload
}

// begin returns the empty payload of a request, for the body to be appended. The
// http.Request is reused as long as the context is the same: net/http allows that
// when the answer's body is closed, and a failed attempt ends its context.
func (p *poster) begin(ctx context.Context) *payload {
	if p.payload == nil || p.payload.sending.Load() != 0 {
		p.payload, p.ctx = &payload{}, nil
		p.again = p.payload.again
	}
	if p.ctx != ctx {
		body := p.payload
		p.ctx = ctx
		p.req = p.template.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: body.connected, WroteRequest: body.written,
		}))
	}
	p.payload.data = p.payload.data[:0]
	return p.payload
}

// request returns the request that sends the payload. Over a transport that speaks only
// HTTP/2 it has no GetBody, so that the error says what the server did, see notProcessed.
func (p *poster) request(header http.Header, onlyHTTP2 bool) *http.Request {
	p.payload.conn.Store(connNone)
	p.payload.whole.Store(false)
	if p.req.GetBody = p.again; onlyHTTP2 {
		p.req.GetBody = nil
	}
	p.req.Header = header
	p.req.Body = p.payload.reader()
	p.req.ContentLength = int64(len(p.payload.data))
	return p.req
}
