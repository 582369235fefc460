package discoverycli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/clientevents/clientevents/internal/netx"
)

// authorizer adds credentials to a request, if there are any.
type authorizer func(*http.Request) error

func anonymous(*http.Request) error { return nil }

const (
	defaultConfigDir = "~/.google-service-cli"

	// The values of --credentials besides the name of a file.
	credentialsDefault   = "default"
	credentialsInstalled = "installed"
	credentialsNone      = "none"
)

// hasSecretParam reports whether -p has a token or an API key.
func (r *request) hasSecretParam() bool {
	return slices.ContainsFunc(secretParams, r.query.Has)
}

// hasToken reports whether -p has a token, which alone authorizes the call. An API key
// only identifies the project.
func (r *request) hasToken() bool {
	return r.query.Has("access_token") || r.query.Has("oauth_token")
}

// checkPrivacy refuses requests that would send credentials unencrypted over a
// network.
func (r *request) checkPrivacy(in *invocation, endpoint *url.URL) error {
	if endpoint.Scheme == "https" || netx.IsLoopback(endpoint.Hostname()) {
		return nil
	}
	for _, name := range secretParams {
		if r.query.Has(name) {
			return faultf("Endpoint -> Credentials are not sent over plain http: use https with -p %s.", kebab(name))
		}
	}
	if in.get(credentialsOption) != credentialsNone {
		return faultf("Endpoint -> Credentials are not sent over plain http: use https, or --credentials none.")
	}
	return nil
}

// configDir returns the directory for the secret file and the token cache. It creates
// the directory of --config-dir, but not the default one.
func (p *Program) configDir(in *invocation) (string, error) {
	dir := in.get(configOption)
	if dir == "" {
		home := p.home()
		if home == "" {
			return "", nil
		}
		return expandHome(defaultConfigDir, home), nil
	}
	if dir == "~" || strings.HasPrefix(dir, "~/") {
		home := p.home()
		if home == "" {
			return "", exitWith(exitConfigDir, "Configuration -> Couldn't find HOME directory of current user, failed to expand '%s'.", dir)
		}
		dir = expandHome(dir, home)
	}
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir, nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", exitWith(exitConfigDir, "Configuration -> Directory '%s' could not be created with error: %w.", dir, err)
	}
	return dir, nil
}

func (p *Program) home() string {
	if home := p.Getenv("HOME"); home != "" {
		return home
	}
	return p.Getenv("USERPROFILE")
}

func expandHome(dir, home string) string {
	return filepath.Join(home, strings.TrimPrefix(dir, "~"))
}

// installedApp returns the application of the secret file in the configuration
// directory, or nil if there is none or if the command line names other credentials.
func (p *Program) installedApp(in *invocation, dir string) (*installedApp, error) {
	wanted := in.get(credentialsOption) == credentialsInstalled
	if !wanted && (dir == "" || in.has(credentialsOption)) {
		return nil, nil
	}
	path := p.secretFile(cmp.Or(dir, defaultConfigDir))
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if wanted {
			return nil, exitWith(exitSecret, "Configuration -> Secret -> There is no secret file. To get one, %s.", p.secretAdvice(path))
		}
		return nil, nil
	}
	if err != nil {
		return nil, exitWith(exitSecret, "Configuration -> IO operation failed on path '%s' with error: %w.", path, err)
	}
	config, err := readSecret(path, text)
	if err != nil {
		return nil, &exitError{exitSecret, err}
	}
	return &installedApp{
		config: config,
		cache:  filepath.Join(dir, p.Name+"-token.json"),
		prompt: p.Stderr,
		client: p.httpClient(),
	}, nil
}

func (p *Program) secretFile(dir string) string {
	return filepath.Join(dir, p.Name+"-secret.json")
}

// readSecret reads the JSON file of an OAuth client of the type "Desktop app" from
// Google's console.
func readSecret(path string, text []byte) (*oauth2.Config, error) {
	undecodable := func(err error) error {
		return fmt.Errorf("Configuration -> Secret -> Could not decode file at '%s' with error: %w.", path, err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, undecodable(err)
	}
	if len(parts["installed"]) == 0 {
		return nil, fmt.Errorf("Configuration -> Secret -> 'installed' field is unset in secret file at '%s'.", path)
	}
	config, err := google.ConfigFromJSON(text)
	if err != nil {
		return nil, undecodable(err)
	}
	// Set explicitly, since detecting it doubles failed requests.
	config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	for _, address := range []string{config.Endpoint.AuthURL, config.Endpoint.TokenURL} {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && !netx.IsLoopback(u.Hostname()) {
			return nil, undecodable(fmt.Errorf("'%s' is not an https address", address))
		}
	}
	return config, nil
}

// authorizer chooses the credentials of the call, in this order: a token of -p, those
// that the command line names, none for a loopback address, those of the installed
// application, Application Default Credentials.
func (p *Program) authorizer(ctx context.Context, in *invocation, r *request, app *installedApp) (authorizer, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.httpClient())
	switch chosen := in.get(credentialsOption); {
	case r.hasToken(), chosen == credentialsNone:
		return anonymous, nil
	case chosen == credentialsDefault:
		return p.applicationDefault(ctx, r, in)
	case chosen == credentialsInstalled:
		return app.authorizer(ctx, r), nil
	case chosen != "":
		return credentialsFile(ctx, chosen, r)
	case r.hasSecretParam(), netx.IsLoopback(r.url.Hostname()):
		return anonymous, nil
	case app != nil:
		return app.authorizer(ctx, r), nil
	}
	return p.applicationDefault(ctx, r, in)
}

// secretAdvice returns instructions for getting a secret file. The program has none: a
// published secret is not secret.
func (p *Program) secretAdvice(path string) string {
	return fmt.Sprintf("create an OAuth client of the type 'Desktop app' in the Google Cloud console (APIs & Services, Credentials), download its JSON and save it as '%s'", path)
}

func (p *Program) applicationDefault(ctx context.Context, r *request, in *invocation) (authorizer, error) {
	credentials, err := google.FindDefaultCredentials(ctx, r.scopes...)
	if err != nil {
		if ctx.Err() != nil {
			return nil, interrupted(ctx, err)
		}
		dir, dirErr := p.configDir(in)
		if dirErr != nil || dir == "" {
			dir = defaultConfigDir
		}
		return nil, exitWith(exitSecret, "Configuration -> Secret -> No credentials: %w. Name a file with --credentials, or log in with 'gcloud auth application-default login'; or %s.", err, p.secretAdvice(p.secretFile(dir)))
	}
	return bearer(credentials), nil
}

// credentialsTypes are the supported kinds of credential files.
var credentialsTypes = []google.CredentialsType{
	google.ServiceAccount, google.AuthorizedUser, google.ExternalAccount,
	google.ExternalAccountAuthorizedUser, google.ImpersonatedServiceAccount, google.GDCHServiceAccount,
}

func credentialsFile(ctx context.Context, path string, r *request) (authorizer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, exitWith(exitSecret, "Configuration -> IO operation failed on path '%s' with error: %w.", path, err)
	}
	var head struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, exitWith(exitSecret, "Configuration -> Secret -> Could not decode file at '%s' with error: %w.", path, err)
	}
	if !slices.Contains(credentialsTypes, head.Type) {
		return nil, exitWith(exitSecret, "Configuration -> Secret -> The credentials in '%s' are of the type '%s'; it must be one of %q.", path, head.Type, credentialsTypes)
	}
	credentials, err := google.CredentialsFromJSONWithType(ctx, text, head.Type, r.scopes...)
	if err != nil {
		return nil, exitWith(exitSecret, "Configuration -> Secret -> Could not decode file at '%s' with error: %w.", path, err)
	}
	return bearer(credentials), nil
}

// bearer authorizes with a token. For a user's credentials it also sends the quota
// project, without which the API refuses them.
func bearer(credentials *google.Credentials) authorizer {
	return func(req *http.Request) error {
		token, err := credentials.TokenSource.Token()
		if err != nil {
			return err
		}
		token.SetAuthHeader(req)
		var user struct {
			QuotaProject string `json:"quota_project_id"`
		}
		if len(credentials.JSON) > 0 && json.Unmarshal(credentials.JSON, &user) == nil && user.QuotaProject != "" {
			req.Header.Set("X-Goog-User-Project", user.QuotaProject)
		}
		return nil
	}
}
