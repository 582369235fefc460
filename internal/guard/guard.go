// Package guard protects the program's own HTTP servers from clients that take
// connections and give nothing, and from web pages of other sites.
package guard

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a server. A scrape, a probe or a person needs far less.
const (
	// MaxConnections is how many connections a server has open at the same time.
	MaxConnections = 256

	headerTime     = 5 * time.Second
	readTime       = 10 * time.Second
	writeTime      = 30 * time.Second
	idleTime       = time.Minute
	maxHeaderBytes = 16 << 10
	refusalTime    = time.Second
)

// Server returns a server of handler with limits of time and size, which answers only
// requests for the names of hosts, see [Hosts].
func Server(handler http.Handler, hosts []string) *http.Server {
	return &http.Server{
		Handler:           Hosts(handler, hosts),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
	}
}

// Hosts returns a handler that answers a request only if its Host is an address,
// localhost, or one of names; the port does not matter. A web page whose name was
// pointed at this server (DNS rebinding) carries its own name, and is refused.
func Hosts(next http.Handler, names []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowed(r.Host, names) {
			http.Error(w, fmt.Sprintf("host %.100q is not served: use an address or localhost, or add the name to admin.hosts", r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowed reports whether a Host header is fit. HTTP/1.0 has none, and no browser
// speaks it.
func allowed(host string, names []string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if name == "" || strings.EqualFold(name, "localhost") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSuffix(n, "."), name) })
}

// Listener returns a listener that has at most n connections open at the same time. The
// connections beyond get the answer 503 and are closed.
func Listener(l net.Listener, n int) net.Listener { return &listener{Listener: l, most: int64(n)} }

type listener struct {
	net.Listener
	most int64
	open atomic.Int64
}

// Accept returns the next connection below the limit.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &conn{Conn: c, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		refuse(c)
	}
}

// refuse must not wait for the client: the next one may be welcome.
func refuse(c net.Conn) {
	const answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nRetry-After: 1\r\n\r\ntoo many connections\n"
	_ = c.SetDeadline(time.Now().Add(refusalTime))
	go func() {
		_, _ = c.Write([]byte(answer))
		_ = c.Close()
	}()
}

type conn struct {
	net.Conn
	closed func()
}

// Close closes the connection and makes room for another.
func (c *conn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
