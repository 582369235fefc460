package discoverycli

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// consentTimeout is the time to consent in the browser.
const consentTimeout = 5 * time.Minute

// installedApp gets tokens for the user of this machine. The user consents once in a
// browser; a file stores the tokens.
// See https://developers.google.com/identity/protocols/oauth2/native-app.
type installedApp struct {
	config *oauth2.Config
	// cache is the file of tokens.
	cache string
	// prompt receives the address for the browser.
	prompt io.Writer
	client *http.Client
}

// cachedToken is one token in the cache file.
type cachedToken struct {
	ClientID string        `json:"client_id"`
	Scopes   []string      `json:"scopes"`
	Token    *oauth2.Token `json:"token"`
}

func (c *cachedToken) is(clientID string, scopes []string) bool {
	return c.ClientID == clientID && slices.Equal(c.Scopes, scopes)
}

func (a *installedApp) authorizer(ctx context.Context, r *request) authorizer {
	return func(req *http.Request) error {
		token, err := a.token(ctx, r.scopes)
		if err != nil {
			return err
		}
		token.SetAuthHeader(req)
		return nil
	}
}

// token returns a valid token for the scopes: from the cache, renewed, or with the
// user's consent.
func (a *installedApp) token(ctx context.Context, scopes []string) (*oauth2.Token, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, a.client)
	config := *a.config
	config.Scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	cached, err := a.load()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(cached, func(c cachedToken) bool { return c.is(config.ClientID, config.Scopes) })
	if i < 0 {
		cached = append(cached, cachedToken{ClientID: config.ClientID, Scopes: config.Scopes})
		i = len(cached) - 1
	}
	token, err := a.renew(ctx, &config, cached[i].Token)
	if err != nil {
		return nil, err
	}
	if cached[i].Token != nil && token.AccessToken == cached[i].Token.AccessToken {
		return token, nil
	}
	cached[i].Token = token
	return token, a.save(cached)
}

// renew returns old while it is valid. Otherwise it gets a new token, with a valid
// refresh token or else with the user's consent.
func (a *installedApp) renew(ctx context.Context, config *oauth2.Config, old *oauth2.Token) (*oauth2.Token, error) {
	if old == nil || !old.Valid() && old.RefreshToken == "" {
		return a.consent(ctx, config)
	}
	token, err := config.TokenSource(ctx, old).Token()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.ErrorCode == "invalid_grant" {
		return a.consent(ctx, config)
	}
	return token, err
}

// consent asks the user. The browser sends the answer to a port of this machine that
// is open only for that time. PKCE makes an intercepted answer useless.
func (a *installedApp) consent(ctx context.Context, config *oauth2.Config) (*oauth2.Token, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config.RedirectURL = "http://" + listener.Addr().String()
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	answer := &consentAnswer{state: state, codes: make(chan string, 1), refusals: make(chan error, 1)}
	server := &http.Server{Handler: answer, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until Shutdown
	}()
	defer func() {
		// Shutdown waits until the browser has the last page.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
		<-served
	}()
	fmt.Fprintf(a.prompt, "Please direct your browser to\n%s\nand follow the instructions displayed there.\n",
		config.AuthCodeURL(state, oauth2.AccessTypeOffline, oauth2.S256ChallengeOption(verifier)))
	waiting, cancel := context.WithTimeout(ctx, consentTimeout)
	defer cancel()
	select {
	case code := <-answer.codes:
		return config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	case err := <-answer.refusals:
		return nil, err
	case <-waiting.Done():
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("no consent in the browser within %v", consentTimeout)
	}
}

// consentAnswer serves the browser's request with the answer.
type consentAnswer struct {
	state    string
	codes    chan string
	refusals chan error
}

func (a *consentAnswer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if r.URL.Path != "/" || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(a.state)) != 1 {
		http.Error(w, "This is not the answer that was waited for.", http.StatusNotFound)
		return
	}
	code := query.Get("code")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if code == "" {
		offer(a.refusals, fmt.Errorf("the authorization was refused: %s", strings.TrimSpace(query.Get("error")+" "+query.Get("error_description"))))
		fmt.Fprintln(w, "The authorization was refused. You can close this window.")
		return
	}
	offer(a.codes, code)
	fmt.Fprintln(w, "The authorization was received. You can close this window.")
}

// offer sends the result, unless another one was sent.
func offer[T any](to chan<- T, v T) {
	select {
	case to <- v:
	default:
	}
}

// load reads the cache, which is empty if there is no file.
func (a *installedApp) load() ([]cachedToken, error) {
	text, err := os.ReadFile(a.cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var cached []cachedToken
	if err := json.Unmarshal(text, &cached); err != nil {
		return nil, fmt.Errorf("the token cache '%s' cannot be read (delete it to log in again): %w", a.cache, err)
	}
	return cached, nil
}

// save replaces the whole cache. Only its owner can read it.
func (a *installedApp) save(cached []cachedToken) error {
	text, err := json.MarshalIndent(cached, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(a.cache), filepath.Base(a.cache)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), a.cache)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
