package googleauth

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// fetchTimeout is how long it may take to get a token, with all the requests
// that it needs.
const fetchTimeout = 15 * time.Second

// Source gets tokens. It keeps none, and reads the credentials anew for each:
// those that were replaced are found, and a token that the API refused does not
// come back.
type Source struct {
	// From is a credentials file, or [Default].
	From string
	// Scope is what the tokens are for.
	Scope string
	// UserAgent names the program to the token server.
	UserAgent string
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu   sync.Mutex
	seen os.FileInfo // of the file, when it was last read
	file string
}

// Token gets a new token. The error is an [Error].
func (s *Source) Token(ctx context.Context) (*oauth2.Token, error) {
	c, err := s.find()
	if err != nil {
		return nil, &Error{Result: Unusable, Err: err}
	}
	return s.TokenOf(ctx, c)
}

// TokenOf gets a new token by these credentials.
func (s *Source) TokenOf(ctx context.Context, c *Credentials) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	x := s.exchange(ctx, c.Kind)
	defer x.base.CloseIdleConnections()
	token, err := x.token(c, s.Scope)
	if err != nil {
		return nil, x.explain(err)
	}
	if token.AccessToken == "" {
		return nil, x.explain(errors.New("the answer has no access token"))
	}
	// A time of day that the server names counts by the server's clock.
	if c.impersonates && !token.Expiry.IsZero() {
		token.Expiry = token.Expiry.Add(x.skew())
	}
	if !token.Expiry.IsZero() && !time.Now().Before(token.Expiry) {
		return nil, x.explain(errors.New("the access token has ended before it came"))
	}
	return token, nil
}

// find finds the credentials and remembers the file as it was.
func (s *Source) find() (*Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := Find(s.From)
	if err != nil {
		s.file, s.seen = "", nil
		if s.From != Default {
			s.file = s.From
			s.seen, _ = os.Stat(s.file) // what can't be read is not read again until it changes
		}
		return nil, err
	}
	s.file = c.File
	s.seen, _ = os.Stat(c.File)
	return c, nil
}

// Changed says whether the credentials file is another one than that of the
// last token.
func (s *Source) Changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" {
		return false
	}
	now, err := os.Stat(s.file)
	if err != nil {
		return false // until there is one again
	}
	return s.seen == nil || !os.SameFile(s.seen, now) || s.seen.Size() != now.Size() || !s.seen.ModTime().Equal(now.ModTime())
}

func (s *Source) exchange(ctx context.Context, kind google.CredentialsType) *exchange {
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	x := &exchange{ctx: ctx, userAgent: s.UserAgent, base: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableKeepAlives:   true, // there is one request an hour
	}}
	if kind == Metadata {
		x.base.Proxy, x.local = nil, true
	}
	return x
}

// token asks the library, which in turn asks the server by x.
func (x *exchange) token(c *Credentials, scope string) (*oauth2.Token, error) {
	if c.Kind == Metadata {
		return x.metadataToken(scope)
	}
	found, err := google.CredentialsFromJSONWithType(context.WithValue(x.ctx, oauth2.HTTPClient, x.client()), c.text, c.Kind, scope)
	if err != nil {
		return nil, err
	}
	return found.TokenSource.Token()
}

// metadataToken is the token of the machine's or the pod's service account. The
// library's own source for it has no end, and knows no context.
func (x *exchange) metadataToken(scope string) (*oauth2.Token, error) {
	const account = "instance/service-accounts/default/"
	text, err := metadata.NewClient(x.client()).GetWithContext(x.ctx, account+"token?"+url.Values{"scopes": {scope}}.Encode())
	if err != nil {
		return nil, err
	}
	token := &oauth2.Token{}
	if err := json.Unmarshal([]byte(text), token); err != nil {
		return nil, fmt.Errorf("the answer is not a token: %w", err)
	}
	if token.ExpiresIn != 0 {
		token.Expiry = time.Now().Add(time.Duration(token.ExpiresIn) * time.Second)
	}
	return token, nil
}

// MetadataAccount asks the metadata server for the email of the service account
// that tokens are for, and for the scopes that the machine may have tokens for.
func (s *Source) MetadataAccount(ctx context.Context) (email string, scopes []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	x := s.exchange(ctx, Metadata)
	client := metadata.NewClient(x.client())
	email, err = client.GetWithContext(ctx, "instance/service-accounts/default/email")
	if err != nil {
		return "", nil, x.explain(err)
	}
	text, err := client.GetWithContext(ctx, "instance/service-accounts/default/scopes")
	if err != nil {
		return email, nil, x.explain(err)
	}
	return strings.TrimSpace(email), strings.Fields(text), nil
}
