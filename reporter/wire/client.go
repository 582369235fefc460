package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a client needs.
type Config struct {
	// URL names the host: its scheme is http or https.
	URL *url.URL
	// Dial makes connections.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is for https: what to trust and to present, and the versions to speak.
	TLS *tls.Config
	// Proxy is asked once whether the way to the host goes by one; nil is none.
	Proxy func(*http.Request) (*url.URL, error)
}

const (
	// handshakeTimeout bounds the TLS handshake of a connection.
	handshakeTimeout = 10 * time.Second
	// idleFor is how long a connection is kept without a request.
	idleFor = 90 * time.Second
)

// Client keeps the connections to one host.
type Client struct {
	cfg     Config
	address string
	tls     *tls.Config     // nil for http
	proxied *http.Transport // where the way goes by a proxy

	ctx   context.Context // of what is dialed for all
	close context.CancelFunc

	// http1Only says that the host spoke HTTP/1.1 when asked, so that each lane
	// dials for itself.
	http1Only atomic.Bool

	mu     sync.Mutex
	shared []*http2Conn
	dial   *sharedDial // that is going on
	lanes  map[*Lane]struct{}
	sweep  *time.Timer
}

// sharedDial is a dial that lanes wait for.
type sharedDial struct {
	done chan struct{}
	own  *http1Conn // for the first who takes it, where the host speaks HTTP/1.1
	err  error
}

// NewClient makes a client, and connects nowhere yet.
func NewClient(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, address: addressOf(cfg.URL), lanes: map[*Lane]struct{}{}}
	if cfg.URL.Scheme == "https" {
		c.tls = c.tlsConfig()
	}
	if cfg.Proxy != nil {
		proxy, err := cfg.Proxy(&http.Request{URL: cfg.URL})
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		if proxy != nil {
			c.proxied = newProxied(c.cfg, proxy)
		}
	}
	c.ctx, c.close = context.WithCancel(context.Background())
	return c, nil
}

func addressOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c *Client) tlsConfig() *tls.Config {
	config := c.cfg.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName = c.cfg.URL.Hostname()
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	return config
}

// Close closes the connections. Lanes are closed by whoever has them.
func (c *Client) Close() {
	c.close()
	c.mu.Lock()
	shared := c.shared
	c.shared = nil
	if c.sweep != nil {
		c.sweep.Stop()
	}
	c.mu.Unlock()
	for _, conn := range shared {
		conn.close(net.ErrClosed)
	}
	if c.proxied != nil {
		c.proxied.CloseIdleConnections()
	}
}

// Lane sends one request after another. It is not for several goroutines at once.
type Lane struct {
	client *Client
	own    atomic.Pointer[http1Conn]
	stream http2Stream
	answer Answer
}

// NewLane makes a lane.
func (c *Client) NewLane() *Lane { return &Lane{client: c} }

// Close closes the connection that is the lane's own.
func (l *Lane) Close() {
	if own := l.own.Swap(nil); own != nil {
		own.close()
	}
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	delete(l.client.lanes, l)
}

// maxTries bounds how often a request goes out whose connection was gone before
// it was read.
const maxTries = 4

// Do posts a body and waits for the answer, which is valid until the next Do.
// When the answer was cut, there is an error and the answer has what was read. A
// request that ends with its context has an error of any kind.
func (l *Lane) Do(ctx context.Context, h *Head, body []byte) (*Answer, error) {
	for try := 1; ; try++ {
		l.answer.reset()
		err := l.try(ctx, h, body)
		if !errors.Is(err, errUnprocessed) || try == maxTries || ctx.Err() != nil {
			return &l.answer, err
		}
	}
}

func (l *Lane) try(ctx context.Context, h *Head, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.client.proxied != nil {
		return doProxied(ctx, l.client.proxied, h, body, &l.answer)
	}
	own := l.own.Load()
	if own == nil || !own.begin(ctx) {
		if own != nil {
			own.close()
			l.own.Store(nil)
		}
		var conn *http2Conn
		var err error
		if own, conn, err = l.client.connect(ctx); err != nil {
			return err
		}
		if conn != nil {
			return conn.do(ctx, h, body, &l.stream, &l.answer)
		}
		if !own.begin(ctx) {
			own.close()
			return errors.Join(ctx.Err(), errUnprocessed)
		}
		l.keep(own)
	}
	again, err := own.do(h, body, &l.answer)
	if again {
		own.end()
		return err
	}
	own.close()
	l.own.Store(nil)
	return err
}

// keep notes a lane's connection, so that it is closed when it was idle for long.
func (l *Lane) keep(own *http1Conn) {
	l.own.Store(own)
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lanes[l] = struct{}{}
	if c.sweep == nil {
		c.sweep = time.AfterFunc(idleFor, c.closeIdle)
	}
}

// closeIdle closes what no lane has used for long. Lanes find out with their next
// request.
func (c *Client) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := time.Now().Add(-idleFor).UnixNano()
	for l := range c.lanes {
		if own := l.own.Load(); own == nil || (own.used.Load() <= before && own.closeIf(idle)) {
			delete(c.lanes, l)
		}
	}
	c.sweep = nil
	if len(c.lanes) > 0 && c.ctx.Err() == nil {
		c.sweep = time.AfterFunc(idleFor/2, c.closeIdle)
	}
}

// connect returns a connection of the lane's own, or a slot of a shared one.
func (c *Client) connect(ctx context.Context) (*http1Conn, *http2Conn, error) {
	if c.tls == nil {
		raw, err := c.cfg.Dial(ctx, "tcp", c.address)
		if err != nil {
			return nil, nil, err
		}
		return newHTTP1(raw, raw), nil, nil
	}
	for dials := 0; ; dials++ {
		conn, dial := c.join()
		switch {
		case conn != nil:
			return nil, conn, nil
		case dials == maxTries:
			return nil, nil, errors.New("the host takes connections, and no requests on them")
		case dial == nil:
			own, err := c.dialTLS(ctx)
			if own != nil || err != nil {
				return own, nil, err
			}
			continue // it speaks HTTP/2 by now
		}
		select {
		case <-dial.done:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		if dial.err != nil {
			return nil, nil, dial.err
		}
		if own := c.takeOwn(dial); own != nil {
			return own, nil, nil
		}
	}
}

// join takes a slot of a shared connection, or returns the dial to wait for; both
// are nil where lanes dial for themselves.
func (c *Client) join() (*http2Conn, *sharedDial) {
	c.mu.Lock()
	defer c.mu.Unlock()
	usable := c.shared[:0]
	var found *http2Conn
	for _, conn := range c.shared {
		if !conn.usable() {
			continue
		}
		usable = append(usable, conn)
		if found == nil && conn.acquire() {
			found = conn
		}
	}
	clear(c.shared[len(usable):])
	c.shared = usable
	if found != nil || (c.http1Only.Load() && len(usable) == 0) {
		return found, nil
	}
	if c.dial == nil {
		c.dial = &sharedDial{done: make(chan struct{})}
		go c.dialShared(c.dial)
	}
	return nil, c.dial
}

// dialShared dials for all lanes. It outlives the request that it was begun for.
func (c *Client) dialShared(d *sharedDial) {
	own, err := c.dialTLS(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	d.own, d.err = own, err
	c.dial = nil
	close(d.done)
}

func (c *Client) takeOwn(d *sharedDial) *http1Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := d.own
	d.own = nil
	return own
}

// dialTLS dials. A connection that speaks HTTP/2 is shared, and then both results
// are nil.
func (c *Client) dialTLS(ctx context.Context) (*http1Conn, error) {
	raw, err := c.cfg.Dial(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, c.tls)
	handshake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(handshake); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		c.http1Only.Store(true)
		return newHTTP1(conn, raw), nil
	}
	c.http1Only.Store(false)
	shared, err := newHTTP2(conn)
	if err != nil {
		raw.Close()
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		shared.close(net.ErrClosed)
		return nil, net.ErrClosed
	}
	c.shared = append(c.shared, shared)
	return nil, nil
}
