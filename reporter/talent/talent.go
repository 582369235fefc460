// Package talent is the client of the Talent Solution API: it encodes client
// events as HTTP requests and classifies the answers.
//
// A [Client] keeps the connections to one endpoint (connections.go). Each
// goroutine that sends has a [Sender], which makes one attempt at a time: a POST
// for a single event, a multipart HTTP batch (batch.go, parts.go) for several.
// The meaning of an answer is decided once, in errors.go. The package never
// retries and keeps no queue; package reporter does.
package talent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/scrub"
)

// Config describes an endpoint and the requests to it. Fields without a default
// are required.
type Config struct {
	// Endpoint is the API's base URL, such as https://jobs.googleapis.com.
	Endpoint string
	Version  event.Version
	// Parent is the resource that the events belong to, such as projects/p.
	Parent string
	// Concurrency is the number of Senders; so many idle connections are kept.
	Concurrency int
	// Timeout bounds one attempt; default 30 s.
	Timeout time.Duration
	// Authorize returns the access token of an attempt, or the reason not to
	// start it. It is called right before each request with the attempt's
	// context. nil starts all attempts, without a token.
	Authorize func(context.Context) (token string, failure *Error)
	// Credentials reports that Authorize returns tokens. They are sent over plain
	// http only to a loopback address.
	Credentials bool
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS holds the certificates to trust and to present; nil trusts the
	// system's. Versions before 1.2 are never used.
	TLS *tls.Config
	// QuotaProject is the project that is charged for quota; "" leaves it to the
	// credentials.
	QuotaProject string
	// UserAgent names the program and its version; default clientevents.
	UserAgent string
	// Privacy returns which extra info is sent; nil sends all as it is. It is called
	// for each attempt.
	Privacy func() *event.Privacy
	// Secrets removes secrets from the texts of answers; nil removes only
	// the access token.
	Secrets *scrub.Scrubber
}

// Client creates events at one endpoint. It is safe for concurrent use; its
// Senders are not.
type Client struct {
	cfg           Config
	single, batch *http.Request // templates, without bodies and headers
	header        http.Header   // of all requests, without the token
	withToken     atomic.Pointer[headers]
	batchID       string
	conns         *connections
}

// New makes a client. It rejects an endpoint to which credentials must not be
// sent.
func New(cfg Config) (*Client, error) {
	cfg.setDefaults()
	base, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if err := checkEndpoint(base, cfg.Credentials); err != nil {
		return nil, err
	}
	if base.Path == "" {
		base.Path = "/" // JoinPath would return a relative path otherwise
	}
	c := &Client{
		cfg:     cfg,
		single:  post(base.JoinPath(cfg.Version.String(), cfg.Parent, "clientEvents")),
		batch:   post(base.JoinPath("batch")),
		header:  http.Header{},
		batchID: strings.ToLower(rand.Text()[:12]),
		conns:   newConnections(cfg),
	}
	SetHeaders(c.header, cfg.UserAgent, cfg.QuotaProject)
	return c, nil
}

func (c *Config) setDefaults() {
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.UserAgent == "" {
		c.UserAgent = "clientevents"
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	if c.Secrets == nil {
		c.Secrets = &scrub.Scrubber{}
	}
	if c.Privacy == nil {
		c.Privacy = func() *event.Privacy { return nil }
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.TLS = c.TLS.Clone()
	c.TLS.MinVersion = max(c.TLS.MinVersion, tls.VersionTLS12)
	c.Concurrency = max(1, c.Concurrency)
}

// checkEndpoint keeps credentials off networks that others can listen to.
func checkEndpoint(base *url.URL, credentials bool) error {
	switch {
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return fmt.Errorf("endpoint %q: expected an http or https URL, such as https://jobs.googleapis.com", base.Redacted())
	case base.User != nil:
		return fmt.Errorf("endpoint %q: expected no user name or password in it", base.Redacted())
	case credentials && base.Scheme == "http" && !netx.IsLoopback(base.Hostname()):
		return fmt.Errorf("endpoint %q: credentials are not sent over plain http, except to a loopback address: use https, or credentials none", base)
	}
	return nil
}

func post(to *url.URL) *http.Request {
	return &http.Request{Method: http.MethodPost, URL: to, Host: to.Host}
}

// Close closes idle connections. Requests in flight finish.
func (c *Client) Close() { c.conns.close() }

// URL returns where single events are posted to.
func (c *Client) URL() *url.URL { return c.single.URL }

// BatchURL returns where batches are posted to.
func (c *Client) BatchURL() *url.URL { return c.batch.URL }

// headers are those of all requests with one access token. They are immutable.
type headers struct {
	token         string
	single, batch http.Header
}

// headers returns the headers for a token, nearly always those of the previous
// call.
func (c *Client) headers(token string) *headers {
	if h := c.withToken.Load(); h != nil && h.token == token {
		return h
	}
	c.cfg.Secrets.Add("access token for the API", token)
	h := &headers{
		token:  token,
		single: c.headerOf("application/json", token),
		batch:  c.headerOf("multipart/mixed; boundary="+boundary, token),
	}
	c.withToken.Store(h)
	return h
}

func (c *Client) headerOf(contentType, token string) http.Header {
	header := c.header.Clone()
	header.Set("Content-Type", contentType)
	// Without it any encoding of the answer would be acceptable (RFC 9110, 12.5.3).
	header.Set("Accept-Encoding", "identity")
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header
}

// SetHeaders sets the headers that name the program and the project that is
// charged for quota. X-Goog-Api-Client is where Google asks clients to name
// themselves.
func SetHeaders(header http.Header, userAgent, quotaProject string) {
	header.Set("User-Agent", userAgent)
	header.Set("X-Goog-Api-Client", apiClient(runtime.Version(), userAgent))
	if quotaProject != "" {
		header.Set("X-Goog-User-Project", quotaProject)
	}
}

func apiClient(goVersion, userAgent string) string {
	return "gl-go/" + strings.TrimPrefix(goVersion, "go") + " " + strings.ReplaceAll(userAgent, " ", "-")
}
