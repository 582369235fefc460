package talent

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// idleTimeout is how long a connection is kept without a request.
const idleTimeout = 90 * time.Second

// ownConn is a sender's own connection to an endpoint over plain http. A sender makes
// one request at a time, so it needs no pool, which all senders would share and lock.
type ownConn struct {
	conns   *connections
	of      *connection // what conn was opened for
	conn    *http.ClientConn
	counted *countingConn // the network under conn
	used    time.Time     // when the latest request began
	last    bool          // the server announced that it closes conn after the latest answer
}

// countingConn counts the bytes that it sent.
type countingConn struct {
	net.Conn
	sent atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// roundTrip sends a request of the poster. It sends it again over a new connection where
// the server had closed the old one before anything was sent.
func (o *ownConn) roundTrip(ctx context.Context, p *poster, header http.Header) (*http.Response, *connection, error) {
	for {
		state, err := o.open(ctx)
		if err != nil {
			p.payload.conn.Store(connNone)
			return nil, o.of, err
		}
		req, before := p.request(header, false), o.counted.sent.Load()
		p.payload.conn.Store(state)
		resp, err := o.conn.RoundTrip(req)
		if err == nil {
			o.last = resp.Close
			return resp, o.of, nil
		}
		unsent := o.counted.sent.Load() == before
		o.close()
		if state == connFresh || !unsent || ctx.Err() != nil {
			return nil, o.of, err
		}
	}
}

// open makes sure that there is a connection, and returns whether it is connFresh or
// connReused.
func (o *ownConn) open(ctx context.Context) (state int32, err error) {
	of, now := o.conns.current.Load(), time.Now()
	idle := now.Sub(o.used)
	o.used = now
	if o.conn != nil && o.of == of && idle < idleTimeout && !o.last {
		return connReused, nil
	}
	o.close()
	o.of = of
	transport := of.Clone()
	transport.Proxy = nil
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		o.counted = &countingConn{Conn: conn}
		return o.counted, nil
	}
	o.conn, err = transport.NewClientConn(ctx, "http", o.conns.address)
	return connFresh, err
}

// close closes the connection, if there is one.
func (o *ownConn) close() {
	if o.conn != nil {
		_ = o.conn.Close()
		o.conn, o.last = nil, false
	}
}

// directAddress returns the address of an endpoint to which senders have connections of
// their own: over plain http, without a proxy. It returns "" for others.
func directAddress(endpoint string) string {
	to, err := url.Parse(endpoint)
	if err != nil || to.Scheme != "http" || !isASCII(to.Host) {
		return "" // net/http converts international names only for its pool
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: to}); proxy != nil || err != nil {
		return ""
	}
	port := to.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(to.Hostname(), port)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
