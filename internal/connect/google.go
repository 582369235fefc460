package connect

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"golang.org/x/oauth2"

	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/scrub"
	"github.com/clientevents/clientevents/internal/version"
)

// googleTokens are access tokens in the form that Google's Managed Service for Apache
// Kafka accepts: an unsigned JWT header and claims with the token as the signature
// (https://github.com/googleapis/managedkafka, kafka-auth-local-server).
type googleTokens struct {
	source *googleauth.Source
}

func newGoogleTokens(secrets *scrub.Scrubber) googleTokens {
	return googleTokens{&googleauth.Source{From: googleauth.Default, Scope: googleauth.CloudScope, UserAgent: version.UserAgent(), Secrets: secrets}}
}

func (g googleTokens) form(ctx context.Context, token *oauth2.Token) (string, error) {
	now := time.Now()
	end := token.Expiry
	if end.IsZero() {
		end = now.Add(time.Hour)
	}
	claims, err := json.Marshal(map[string]any{
		"exp": end.Unix(), "iat": now.Unix(), "iss": "Google", "sub": g.account(ctx), "scope": "kafka",
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"typ":"JWT","alg":"GOOG_OAUTH2_TOKEN"}`)) + "." + encode(claims) + "." + encode([]byte(token.AccessToken)), nil
}

// account returns the account of the token. The service decides by the token; its own
// clients state the service account here.
func (g googleTokens) account(ctx context.Context) string {
	found, err := googleauth.Find(googleauth.Default)
	switch {
	case err != nil:
	case found.Account != "":
		return found.Account
	case found.Kind == googleauth.Metadata:
		if email, _, err := g.source.MetadataAccount(ctx); err == nil {
			return email
		}
	}
	return "clientevents"
}
