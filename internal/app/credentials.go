package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/reporter"
)

// jobsScope is the narrower of the two scopes that the API takes (jobs/v4
// discovery document).
const jobsScope = "https://www.googleapis.com/auth/jobs"

// tokenTimeout bounds one request for a token. The library has no bound of its
// own, and takes no notice of the request that waits.
const tokenTimeout = 15 * time.Second

// tokenContext carries the HTTP client for tokens. It is not the context of the
// program: a token may have to be renewed while it drains.
func tokenContext() context.Context {
	return context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Timeout: tokenTimeout})
}

// tokenSource makes access tokens as configured; nil for credentials "none". It
// fails where the credentials can't be used at all.
func tokenSource(_ context.Context, c *config.Config) (reporter.TokenSourceFunc, error) {
	if c.API.Credentials == "none" {
		return nil, nil
	}
	find := func() (oauth2.TokenSource, error) {
		creds, err := findCredentials(c.API.Credentials, jobsScope)
		if err != nil {
			return nil, err
		}
		return creds.TokenSource, nil
	}
	if _, err := find(); err != nil {
		return nil, fmt.Errorf("api.credentials: %q: %w", c.API.Credentials, err)
	}
	return find, nil
}

// findCredentials reads a file, or looks where Application Default Credentials
// are to be found.
func findCredentials(from, scope string) (*google.Credentials, error) {
	if from == "default" {
		return google.FindDefaultCredentials(tokenContext(), scope)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return nil, err
	}
	kind, err := credentialsType(data)
	if err != nil {
		return nil, err
	}
	return google.CredentialsFromJSONWithType(tokenContext(), data, kind, scope)
}

// credentialsType reads what kind of credentials a file holds. The library
// wants it said, since some kinds name addresses that it then sends secrets to;
// the file is the operator's own choice here.
func credentialsType(data []byte) (google.CredentialsType, error) {
	var head struct{ Type google.CredentialsType }
	if err := json.Unmarshal(data, &head); err != nil {
		return "", fmt.Errorf("not a credentials file: %w", err)
	}
	switch head.Type {
	case google.ServiceAccount, google.AuthorizedUser, google.ExternalAccount,
		google.ExternalAccountAuthorizedUser, google.ImpersonatedServiceAccount:
		return head.Type, nil
	}
	return "", fmt.Errorf("not a credentials file: its type is %q; want service_account, authorized_user, external_account, "+
		"external_account_authorized_user or impersonated_service_account", head.Type)
}

// cloudScope is what Google's Managed Service for Apache Kafka asks for.
const cloudScope = "https://www.googleapis.com/auth/cloud-platform"

// googleLogin logs in to brokers with a Google access token, in the form that
// Google's Managed Service for Apache Kafka takes: an unsigned JWT header and
// claims with the token as the signature.
type googleLogin struct {
	mu     sync.Mutex
	source oauth2.TokenSource
	email  string
}

func newGoogleLogin() *googleLogin { return &googleLogin{} }

// Name is the mechanism's.
func (*googleLogin) Name() string { return "OAUTHBEARER" }

// Start makes the one message that the mechanism has (RFC 7628).
func (g *googleLogin) Start(context.Context) (sasl.StateMachine, []byte, error) {
	token, subject, err := g.token()
	if err != nil {
		return nil, nil, fmt.Errorf("kafka.sasl: no Google access token: %w", err)
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"exp": token.Expiry.Unix(), "iat": now.Unix(), "iss": "Google", "sub": subject, "scope": "kafka",
	})
	if err != nil {
		return nil, nil, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	jwt := encode([]byte(`{"typ":"JWT","alg":"GOOG_OAUTH2_TOKEN"}`)) + "." + encode(claims) + "." + encode([]byte(token.AccessToken))
	return googleLoginDone{}, []byte("n,,\x01auth=Bearer " + jwt + "\x01\x01"), nil
}

func (g *googleLogin) token() (*oauth2.Token, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.source == nil {
		creds, err := findCredentials("default", cloudScope)
		if err != nil {
			return nil, "", err
		}
		g.source = creds.TokenSource
		var key struct {
			ClientEmail string `json:"client_email"`
		}
		_ = json.Unmarshal(creds.JSON, &key) // there is none for some kinds
		g.email = key.ClientEmail
		if g.email == "" {
			g.email = "clientevents"
		}
	}
	token, err := g.source.Token()
	return token, g.email, err
}

type googleLoginDone struct{}

// Next ends the exchange: the broker answers nothing where it accepts.
func (googleLoginDone) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) > 0 {
		return false, nil, fmt.Errorf("the broker refused the Google access token: %s", challenge)
	}
	return true, nil, nil
}
