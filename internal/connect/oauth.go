package connect

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go/sasl"
	"golang.org/x/oauth2"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/version"
)

// oauthLogin logs in to brokers with a token (RFC 7628).
type oauthLogin struct {
	keeper *googleauth.Keeper
	// form returns the text that the broker expects for a token.
	form func(context.Context, *oauth2.Token) (string, error)
	// extensions are name=value, each after a separator.
	extensions string
}

// newOAuthLogin returns the login by the configured provider.
func newOAuthLogin(c config.OAuth, o Options) (*oauthLogin, error) {
	login := &oauthLogin{form: asIs}
	for _, e := range c.Extensions {
		login.extensions += "\x01" + e
	}
	keeper := googleauth.KeeperConfig{Logger: o.Logger, Broker: true}
	replaced := func() { login.keeper.Replace() }
	var err error
	switch c.Provider {
	case config.OIDC:
		keeper.Get, err = oidc(c, o, replaced)
	case config.TokenFile:
		keeper.Get, err = tokenFile(c, o, replaced)
	case config.MSKIAM:
		keeper.Get = mskToken(c.Region)
	default:
		g := newGoogleTokens(o.secrets)
		keeper.Get, keeper.Changed, login.form = g.source.Token, g.source.Changed, g.form
	}
	if err != nil {
		return nil, err
	}
	if o.Registerer != nil {
		keeper.Registerer = prometheus.WrapRegistererWith(prometheus.Labels{"provider": string(c.Provider)}, o.Registerer)
	}
	keeper.Get = hiding(keeper.Get, o)
	login.keeper = googleauth.NewKeeper(keeper)
	return login, nil
}

// hiding has the scrubber learn each token.
func hiding(get getToken, o Options) getToken {
	return func(ctx context.Context) (*oauth2.Token, error) {
		token, err := get(ctx)
		if err == nil {
			o.secrets.Add("kafka.sasl.oauth token", token.AccessToken)
		}
		return token, err
	}
}

func asIs(_ context.Context, token *oauth2.Token) (string, error) { return token.AccessToken, nil }

// Name returns the mechanism's name.
func (*oauthLogin) Name() string { return "OAUTHBEARER" }

// Start returns the mechanism's one message.
func (l *oauthLogin) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	token, err := l.keeper.Token(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("kafka.sasl: no access token: %w", err)
	}
	text, err := l.form(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	return oauthDone{}, []byte("n,,\x01auth=Bearer " + text + l.extensions + "\x01\x01"), nil
}

type oauthDone struct{}

// Next ends the exchange: a broker that accepts the token answers nothing.
func (oauthDone) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) > 0 {
		return false, nil, fmt.Errorf("the broker refused the access token: %s", challenge)
	}
	return true, nil, nil
}

type getToken = func(context.Context) (*oauth2.Token, error)

// oidc returns a source of tokens by the client credentials grant.
func oidc(c config.OAuth, o Options, replaced func()) (getToken, error) {
	secret, err := filewatch.Watch(o.Files, filewatch.Files[string]{
		Name: "kafka.sasl.oauth.client_secret_file", Paths: []string{c.ClientSecretFile},
		Parse: func(contents [][]byte) (string, error) {
			return o.oneSecret("kafka.sasl.oauth.client_secret_file", contents[0])
		},
		OnChange: func(string) { replaced() },
	})
	if err != nil {
		return nil, err
	}
	source := &googleauth.ClientCredentials{
		TokenURL: c.TokenURL, ClientID: c.ClientID, Scopes: c.Scopes, Secret: secret.Get, UserAgent: version.UserAgent(),
		Secrets: o.secrets,
	}
	if c.CAFile != "" {
		pool, err := o.Certificates.Pool("kafka.sasl.oauth.ca_file", c.CAFile)
		if err != nil {
			return nil, err
		}
		source.Authorities = pool
	}
	return source.Token, nil
}

// oneSecret reads the secret of a key from its file, without the line's end.
func (o Options) oneSecret(key string, content []byte) (string, error) {
	secret := string(bytes.TrimRight(content, "\r\n"))
	if secret == "" {
		return "", errors.New("the file is empty")
	}
	o.secrets.Add(key, secret)
	return secret, nil
}

// tokenFile returns a source that reads a file, which another program renews.
func tokenFile(c config.OAuth, o Options, replaced func()) (getToken, error) {
	file, err := filewatch.Watch(o.Files, filewatch.Files[*oauth2.Token]{
		Name: "kafka.sasl.oauth.token_file", Paths: []string{c.TokenFile},
		Parse:    func(contents [][]byte) (*oauth2.Token, error) { return parseToken(contents[0]) },
		OnChange: func(*oauth2.Token) { replaced() },
	})
	if err != nil {
		return nil, err
	}
	return func(context.Context) (*oauth2.Token, error) {
		token := file.Get()
		if !token.Expiry.IsZero() && !time.Now().Before(token.Expiry) {
			return nil, &googleauth.Error{Result: googleauth.Unusable, Err: fmt.Errorf(
				"kafka.sasl.oauth.token_file: the token expired at %s: renew the file", token.Expiry.UTC().Format(time.RFC3339))}
		}
		return token, nil
	}, nil
}

// parseToken reads a token. The expiry is that of a JWT (RFC 7519, exp); that of
// another token is unknown.
func parseToken(content []byte) (*oauth2.Token, error) {
	token := &oauth2.Token{AccessToken: string(bytes.TrimSpace(content))}
	if token.AccessToken == "" || strings.ContainsFunc(token.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("expected one token")
	}
	parts := strings.Split(token.AccessToken, ".")
	if len(parts) != 3 {
		return token, nil
	}
	var claims struct{ Exp float64 }
	if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(text, &claims) == nil && claims.Exp > 0 {
		token.Expiry = time.Unix(int64(claims.Exp), 0)
	}
	return token, nil
}
