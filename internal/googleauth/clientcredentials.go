package googleauth

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/clientevents/clientevents/internal/scrub"
)

// ClientCredentials gets tokens from an OAuth 2.0 server with the client credentials
// grant (RFC 6749, 4.4). It does not cache tokens.
type ClientCredentials struct {
	TokenURL, ClientID string
	Scopes             []string
	// Secret returns the client's secret.
	Secret func() string
	// Authorities returns the certificates to trust; nil trusts the system's.
	Authorities func() *x509.CertPool
	// UserAgent names the program to the token server.
	UserAgent string
	// Secrets learns the client's secret and the tokens; nil for none.
	Secrets *scrub.Scrubber
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Token gets a new token. The error is an [Error].
func (c *ClientCredentials) Token(ctx context.Context) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	source := Source{Scope: c.TokenURL, UserAgent: c.UserAgent, Secrets: c.Secrets, Dial: c.Dial}
	x := source.exchange(ctx, "")
	defer x.base.CloseIdleConnections()
	if c.Authorities != nil {
		x.base.TLSClientConfig.RootCAs = c.Authorities()
	}
	config := clientcredentials.Config{ClientID: c.ClientID, ClientSecret: c.Secret(), TokenURL: c.TokenURL, Scopes: c.Scopes}
	x.hide("client_secret", config.ClientSecret)
	token, err := config.Token(context.WithValue(x.ctx, oauth2.HTTPClient, x.client()))
	switch {
	case err != nil:
		return nil, x.explain(err)
	case !token.Expiry.IsZero() && !time.Now().Before(token.Expiry):
		return nil, x.explain(errors.New("the access token had expired when it arrived"))
	}
	return token, nil
}
