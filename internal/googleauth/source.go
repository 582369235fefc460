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

	"github.com/clientevents/clientevents/internal/scrub"
)

// fetchTimeout bounds getting a token, including all requests
// for it.
const fetchTimeout = 15 * time.Second

// Source gets tokens. It caches none and reads the credentials again for each, so
// that it finds replaced credentials and never returns a refused token.
type Source struct {
	// From is a credentials file, or [Default].
	From string
	// Scope is the scope of the tokens.
	Scope string
	// UserAgent names the program to the token server.
	UserAgent string
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Secrets receives all secrets that are used to get tokens, and the tokens; nil for
	// none.
	Secrets *scrub.Scrubber
	// Stat replaces os.Stat, for tests.
	Stat func(name string) (os.FileInfo, error)

	mu   sync.Mutex  // not held during I/O
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

// TokenOf gets a new token with these credentials.
func (s *Source) TokenOf(ctx context.Context, c *Credentials) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	x := s.exchange(ctx, c.Kind)
	c.hide(x.secrets)
	defer x.base.CloseIdleConnections()
	token, err := x.token(c, s.Scope)
	if err != nil {
		return nil, x.explain(err)
	}
	if token.AccessToken == "" {
		return nil, x.explain(errors.New("the answer has no access token"))
	}
	x.hide("access_token", token.AccessToken)
	// An expiry time in the answer refers to the server's clock.
	if c.impersonates && !token.Expiry.IsZero() {
		token.Expiry = token.Expiry.Add(x.skew())
	}
	if !token.Expiry.IsZero() && !time.Now().Before(token.Expiry) {
		return nil, x.explain(errors.New("the access token had expired when it arrived"))
	}
	return token, nil
}

// find finds the credentials and remembers the file as it was.
func (s *Source) find() (*Credentials, error) {
	c, err := Find(s.From)
	file := ""
	switch {
	case err == nil:
		file = c.File
	case s.From != Default:
		file = s.From // an unreadable file is not read again until it changes
	}
	var seen os.FileInfo
	if file != "" {
		seen, _ = s.stat(file)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.seen = file, seen
	return c, err
}

// Changed reports whether the credentials file differs from that of the last
// token. It takes as long as the file system does.
func (s *Source) Changed() bool {
	s.mu.Lock()
	file, seen := s.file, s.seen
	s.mu.Unlock()
	if file == "" {
		return false
	}
	now, err := s.stat(file)
	if err != nil {
		return false // until there is one again
	}
	return seen == nil || !os.SameFile(seen, now) || seen.Size() != now.Size() || !seen.ModTime().Equal(now.ModTime())
}

func (s *Source) stat(name string) (os.FileInfo, error) {
	if s.Stat != nil {
		return s.Stat(name)
	}
	return os.Stat(name)
}

func (s *Source) exchange(ctx context.Context, kind google.CredentialsType) *exchange {
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	secrets := s.Secrets
	if secrets == nil {
		secrets = &scrub.Scrubber{}
	}
	x := &exchange{ctx: ctx, userAgent: s.UserAgent, scope: s.Scope, secrets: secrets, base: &http.Transport{
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

// token asks the library, which sends its requests through x.
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
// library's own source for it has no timeout and takes no context.
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
