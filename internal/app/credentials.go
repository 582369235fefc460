package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/version"
)

// tokenSource gets access tokens for the API as configured; nil for credentials
// "none".
func tokenSource(c *config.Config, dial network) *googleauth.Source {
	if c.API.Credentials == "none" {
		return nil
	}
	return &googleauth.Source{From: c.API.Credentials, Scope: googleauth.JobsScope, UserAgent: version.UserAgent(), Dial: dial}
}

// tokens keeps the access token for the API; nil for credentials "none". It
// fails where the credentials can't be read: with [config.Faults] where the
// configuration names the file.
func tokens(c *config.Config, dial network, log *slog.Logger, reg prometheus.Registerer) (*googleauth.Keeper, error) {
	source := tokenSource(c, dial)
	if source == nil {
		return nil, nil
	}
	found, err := googleauth.Find(source.From)
	if err != nil && source.From != googleauth.Default {
		return nil, config.Faults{{Key: "api.credentials", Value: source.From, Want: err.Error()}}
	}
	if err != nil {
		return nil, fmt.Errorf("api.credentials: %q: %w", source.From, err)
	}
	if c.API.QuotaProject == "" {
		c.API.QuotaProject = found.QuotaProject
	}
	log.Info("credentials", "kind", string(found.Kind), "account", found.Account, "quota_project", c.API.QuotaProject)
	return googleauth.NewKeeper(googleauth.KeeperConfig{Get: source.Token, Changed: source.Changed, Logger: log, Registerer: reg}), nil
}

// googleLogin logs in to brokers with a Google access token, in the form that
// Google's Managed Service for Apache Kafka takes: an unsigned JWT header and
// claims with the token as the signature
// (https://github.com/googleapis/managedkafka, kafka-auth-local-server).
type googleLogin struct {
	source *googleauth.Source
	keeper *googleauth.Keeper
}

func newGoogleLogin(log *slog.Logger, reg prometheus.Registerer) *googleLogin {
	source := &googleauth.Source{From: googleauth.Default, Scope: googleauth.CloudScope, UserAgent: version.UserAgent()}
	return &googleLogin{source, googleauth.NewKeeper(googleauth.KeeperConfig{
		Get: source.Token, Changed: source.Changed, Logger: log, Registerer: reg, Broker: true,
	})}
}

// Name is the mechanism's.
func (*googleLogin) Name() string { return "OAUTHBEARER" }

// Start makes the one message that the mechanism has (RFC 7628).
func (g *googleLogin) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	token, err := g.keeper.Token(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("kafka.sasl: no Google access token: %w", err)
	}
	now := time.Now()
	end := token.Expiry
	if end.IsZero() {
		end = now.Add(time.Hour)
	}
	claims, err := json.Marshal(map[string]any{
		"exp": end.Unix(), "iat": now.Unix(), "iss": "Google", "sub": g.account(ctx), "scope": "kafka",
	})
	if err != nil {
		return nil, nil, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	jwt := encode([]byte(`{"typ":"JWT","alg":"GOOG_OAUTH2_TOKEN"}`)) + "." + encode(claims) + "." + encode([]byte(token.AccessToken))
	return googleLoginDone{}, []byte("n,,\x01auth=Bearer " + jwt + "\x01\x01"), nil
}

// account is whose token it is. The service goes by the token; its own clients
// name the service account here.
func (g *googleLogin) account(ctx context.Context) string {
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

type googleLoginDone struct{}

// Next ends the exchange: the broker answers nothing where it accepts.
func (googleLoginDone) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) > 0 {
		return false, nil, fmt.Errorf("the broker refused the Google access token: %s", challenge)
	}
	return true, nil, nil
}
