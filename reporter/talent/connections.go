package talent

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// timeoutsUntilReplaced is the number of attempts that must time out, without an
// answer between them, before the connections are replaced.
const timeoutsUntilReplaced = 2

// connections holds the transport of all requests, and replaces it when requests
// time out: an HTTP/2 connection that still answers PINGs while the backend behind
// it hangs would be kept for ever, though new connections work.
type connections struct {
	cfg     Config
	http2   atomic.Bool // new connections are made by onlyHTTP2
	address string      // each sender has an ownConn to it; "" for none
	current atomic.Pointer[connection]
}

// connection is a transport with the connections that it opened.
type connection struct {
	*http.Transport
	onlyHTTP2 bool
	timeouts  atomic.Int32 // since the last answer
}

func newConnections(cfg Config) *connections {
	c := &connections{cfg: cfg, address: directAddress(cfg.Endpoint)}
	c.http2.Store(mayTryHTTP2(cfg.Endpoint))
	c.current.Store(c.open())
	return c
}

// open returns a connection for later requests.
func (c *connections) open() *connection {
	if c.http2.Load() {
		return &connection{Transport: onlyHTTP2(c.cfg), onlyHTTP2: true}
	}
	return &connection{Transport: newTransport(c.cfg)}
}

// roundTrip sends the request that next returns, and also returns its connection. Where
// the server does not speak HTTP/2, it sends another one over HTTP/1.1, as are all later
// requests.
func (c *connections) roundTrip(next func(onlyHTTP2 bool) *http.Request) (*http.Response, *connection, error) {
	conn := c.current.Load()
	resp, err := conn.RoundTrip(next(conn.onlyHTTP2))
	if errors.Is(err, errNoHTTP2) {
		c.http2.Store(false)
		c.replace(conn)
		conn = c.current.Load()
		resp, err = conn.RoundTrip(next(conn.onlyHTTP2))
	}
	return resp, conn, err
}

// newTransport makes a transport that speaks HTTP/2 or HTTP/1.1.
//
// HTTP/1.1 takes a connection for each request in flight; Go's default of two
// idle ones would open one for nearly every request. HTTP/2 carries all requests
// on one connection, and opens another when the server's limit of streams is
// reached: to wait for a stream would leave report.concurrency unused. PINGs find
// a connection whose peer is gone. Over TLS, connections combine writes, and bound
// their time (coalesce.go).
func newTransport(cfg Config) *http.Transport {
	dial := cfg.Dial
	if strings.HasPrefix(cfg.Endpoint, "https:") {
		dial = coalesce(dial)
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSClientConfig:        cfg.TLS,
		TLSHandshakeTimeout:    tlsTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           cfg.Concurrency,
		MaxIdleConnsPerHost:    cfg.Concurrency,
		IdleConnTimeout:        idleTimeout,
		WriteBufferSize:        64 << 10, // a request is one write
		ReadBufferSize:         16 << 10,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // answers are small and not kept
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 15 * time.Second,
			PingTimeout:     15 * time.Second,
		},
	}
}

// answered records that a request over the connection was answered.
func (c *connections) answered(conn *connection) {
	if conn.timeouts.Load() != 0 { // all senders share it: write seldom
		conn.timeouts.Store(0)
	}
}

// timedOut records that a request over the connection timed out.
func (c *connections) timedOut(conn *connection) {
	if conn.timeouts.Add(1) >= timeoutsUntilReplaced {
		c.replace(conn)
	}
}

// lost records that a connection broke. The server may have closed the other idle
// connections, too.
func (c *connections) lost(conn *connection) {
	if c.address != "" {
		c.replace(conn)
		return
	}
	conn.CloseIdleConnections()
}

// replace makes later requests use new connections. Requests in flight finish on
// the old ones, which close as they become idle.
func (c *connections) replace(old *connection) {
	if c.current.CompareAndSwap(old, c.open()) {
		old.CloseIdleConnections()
	}
}

func (c *connections) close() { c.current.Load().CloseIdleConnections() }
