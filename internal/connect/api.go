package connect

import (
	"cmp"
	"fmt"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/version"
)

// API holds the credentials for the API.
type API struct {
	// Tokens keeps the access token; nil for api.credentials: none.
	Tokens *googleauth.Keeper
	// QuotaProject is the project whose quota is used: api.quota_project, or else
	// the credentials' own; "" for none.
	QuotaProject string
}

// TokenSource gets access tokens for the API; nil for api.credentials: none.
func TokenSource(c *config.Config, dial DialFunc) *googleauth.Source {
	if c.API.Credentials == "none" {
		return nil
	}
	return &googleauth.Source{From: c.API.Credentials, Scope: googleauth.JobsScope, UserAgent: version.UserAgent(), Dial: dial, Secrets: c.Secrets}
}

// NewAPI reads the credentials for the API. It fails where they can't be read:
// with [config.Faults] where the configuration names the file.
func NewAPI(c *config.Config, o Options) (*API, error) {
	source := TokenSource(c, o.Dial)
	if source == nil {
		return &API{QuotaProject: c.API.QuotaProject}, nil
	}
	source.Stat = o.Stat
	found, err := googleauth.Find(source.From)
	if err != nil && source.From != googleauth.Default {
		return nil, config.Faults{{Key: "api.credentials", Value: source.From, Want: err.Error()}}
	}
	if err != nil {
		return nil, fmt.Errorf("api.credentials: %q: %w", source.From, err)
	}
	quotaProject := cmp.Or(c.API.QuotaProject, found.QuotaProject)
	if o.Logger != nil {
		o.Logger.Info("credentials", "kind", string(found.Kind), "account", found.Account, "quota_project", quotaProject)
	}
	keeper := googleauth.NewKeeper(googleauth.KeeperConfig{
		Get: source.Token, Changed: source.Changed, Logger: o.Logger, Registerer: o.Registerer,
	})
	return &API{keeper, quotaProject}, nil
}

// Close ends the refresh of the access token.
func (a *API) Close() {
	if a.Tokens != nil {
		a.Tokens.Close()
	}
}
