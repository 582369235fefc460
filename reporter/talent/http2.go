package talent

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// tlsTimeout bounds the handshake of a connection.
const tlsTimeout = 10 * time.Second

// errNoHTTP2 is the failure to open a connection to a server that does not speak HTTP/2.
var errNoHTTP2 = errors.New("the server does not support HTTP/2")

// onlyHTTP2 returns a transport that speaks nothing but HTTP/2, for endpoints that are
// reached directly. Its requests fail with errNoHTTP2 where the server does not.
//
// The transport believes that its connections are not encrypted, so that they combine
// the requests of all senders before they encrypt them. net/http alone would encrypt
// the headers and the body of each request in a goroutine of its own, whose small
// stack has to grow for that: a tenth of a request's CPU.
func onlyHTTP2(cfg Config) *http.Transport {
	t := newTransport(cfg)
	t.Proxy = nil
	t.DialTLSContext = dialHTTP2(cfg)
	t.Protocols = new(http.Protocols)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// dialHTTP2 returns a dialer of encrypted connections that combine writes.
func dialHTTP2(cfg Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	common := cfg.TLS.Clone()
	common.NextProtos = []string{"h2", "http/1.1"}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := cfg.Dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, forServer(common, addr))
		ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
		defer cancel()
		if err = secure.HandshakeContext(ctx); err == nil && secure.ConnectionState().NegotiatedProtocol != "h2" {
			err = errNoHTTP2
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		return newCoalescer(secure), nil
	}
}

// forServer returns the configuration of a connection to an address.
func forServer(common *tls.Config, addr string) *tls.Config {
	if common.ServerName != "" {
		return common
	}
	cfg := common.Clone()
	cfg.ServerName, _, _ = net.SplitHostPort(addr)
	return cfg
}

// mayTryHTTP2 reports whether onlyHTTP2 may be tried: without a proxy, and unless HTTP/2
// is switched off for the process.
func mayTryHTTP2(endpoint string) bool {
	to, err := url.Parse(endpoint)
	if err != nil || to.Scheme != "https" || strings.Contains(os.Getenv("GODEBUG"), "http2client=0") {
		return false
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: to})
	return proxy == nil && err == nil
}

// notProcessed returns what a server did that has not processed a request (RFC 9113, 8.7):
// it refused the stream, or closed the connection gracefully before it; nil for any other
// error. net/http would send such a request again by itself, for half a minute, and does
// not export the errors. It has them in the text of the error for a request that it could
// not send again.
func notProcessed(err error) error {
	_, text, found := strings.Cut(err.Error(), "cannot retry err [")
	text, _, _ = strings.Cut(text, "] after Request.Body was written")
	if found && (strings.Contains(text, "GOAWAY") || strings.Contains(text, "REFUSED_STREAM")) {
		return errors.New(text)
	}
	return nil
}
