// Package tokenserver is a small Google for access tokens, for tests: OAuth 2.0
// (JWT bearer and refresh token grants), the Security Token Service, the IAM
// Credentials API and the metadata server, on one address. What it is sent it
// checks as the real ones do; it can be told to misbehave.
package tokenserver

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Who the credentials of this server are for.
const (
	Email        = "reporter@test-project.iam.gserviceaccount.com"
	Impersonated = "other@test-project.iam.gserviceaccount.com"
	ClientID     = "client-id"
	ClientSecret = "client-secret-canary"
	RefreshToken = "refresh-token-canary"
	SubjectToken = "subject-token-canary"
	Audience     = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider"
	QuotaProject = "quota-project"
	keyID        = "key-1"
)

// Server issues the tokens "token-canary-1", "token-canary-2" and so on.
type Server struct {
	// URL is where it can be reached, without a slash at its end.
	URL string
	// Lifetime of tokens; 0 is an hour.
	Lifetime time.Duration
	// Clock is how far this server's clock is ahead.
	Clock time.Duration

	mu      sync.Mutex
	keys    map[string]*rsa.PublicKey
	issued  int
	scopes  map[string][]string // of tokens
	refused map[string]bool
	answer  http.HandlerFunc
	// Requests is what was asked, in order, and how much of it at a time.
	requests []Request
	inFlight int
	most     int
}

// Request is one request that came.
type Request struct {
	At        time.Time
	Path      string
	UserAgent string
	// Fault is why it was refused; "" where it was not.
	Fault string
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	answer := s.answer
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	i := len(s.requests)
	s.requests = append(s.requests, Request{At: time.Now(), Path: r.URL.Path, UserAgent: r.UserAgent()})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inFlight--
		s.mu.Unlock()
	}()
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := s.serve(w, r); err != nil {
		s.mu.Lock()
		s.requests[i].Fault = err.Error()
		s.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": err.Error()})
	}
}

func (s *Server) now() time.Time { return time.Now().Add(s.Clock) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	switch path := r.URL.Path; {
	case path == "/token":
		return s.oauth(w, r)
	case path == "/sts":
		return s.exchange(w, r)
	case strings.HasSuffix(path, ":generateAccessToken"):
		return s.impersonate(w, r)
	case strings.HasPrefix(path, "/computeMetadata/v1/"):
		return s.metadata(w, r)
	}
	return errors.New("there is nothing at " + r.URL.Path)
}

func (s *Server) oauth(w http.ResponseWriter, r *http.Request) error {
	var scope string
	switch grant := r.PostFormValue("grant_type"); grant {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		claims, err := s.verify(r.PostFormValue("assertion"))
		if err != nil {
			return err
		}
		scope = claims.Scope
	case "refresh_token":
		if r.PostFormValue("client_id") != ClientID || r.PostFormValue("client_secret") != ClientSecret || r.PostFormValue("refresh_token") != RefreshToken {
			return errors.New("token has been expired or revoked")
		}
		scope = "https://www.googleapis.com/auth/cloud-platform"
	case "client_credentials":
		id, secret, ok := r.BasicAuth()
		if !ok {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		if id != ClientID || secret != ClientSecret {
			return errors.New("invalid_client")
		}
		scope = r.PostFormValue("scope")
	default:
		return fmt.Errorf("grant_type %q", grant)
	}
	return s.reply(w, scope)
}

type claims struct {
	Iss, Aud, Scope string
	Iat, Exp        int64
}

// verify checks a JWT as RFC 7523 and Google's rules for service accounts have
// it: signed by the account's key, for this server, within an hour of now.
func (s *Server) verify(jwt string) (c claims, err error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return c, errors.New("not a JWT")
	}
	var header struct{ Alg, Typ, Kid string }
	if err := decode(parts[0], &header); err != nil {
		return c, err
	}
	if err := decode(parts[1], &c); err != nil {
		return c, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return c, err
	}
	s.mu.Lock()
	key := s.keys[header.Kid]
	s.mu.Unlock()
	if key == nil || header.Alg != "RS256" || header.Typ != "JWT" {
		return c, errors.New("invalid JWT Signature")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return c, errors.New("invalid JWT Signature")
	}
	issued, end, now := time.Unix(c.Iat, 0), time.Unix(c.Exp, 0), s.now()
	const slack = time.Minute
	switch {
	case c.Iss != Email:
		return c, fmt.Errorf("iss %q", c.Iss)
	case c.Aud != s.URL+"/token":
		return c, fmt.Errorf("aud %q", c.Aud)
	case end.Sub(issued) > time.Hour+slack, issued.After(now.Add(slack)), end.Before(now):
		return c, errors.New("invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim")
	case c.Scope == "":
		return c, errors.New("no scope")
	}
	return c, nil
}

func decode(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (s *Server) exchange(w http.ResponseWriter, r *http.Request) error {
	for field, want := range map[string]string{
		"grant_type":           "urn:ietf:params:oauth:grant-type:token-exchange",
		"requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"audience":             Audience,
		"subject_token":        SubjectToken,
		"subject_token_type":   "urn:ietf:params:oauth:token-type:jwt",
	} {
		if got := r.PostFormValue(field); got != want {
			return fmt.Errorf("%s %q, want %q", field, got, want)
		}
	}
	return s.reply(w, r.PostFormValue("scope"))
}

func (s *Server) impersonate(w http.ResponseWriter, r *http.Request) error {
	if err := s.Check(r, ""); err != nil {
		return err
	}
	var asked struct {
		Scope    []string
		Lifetime string
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return err
	}
	if want := "/v1/projects/-/serviceAccounts/" + Impersonated + ":generateAccessToken"; r.URL.Path != want {
		return fmt.Errorf("path %s, want %s", r.URL.Path, want)
	}
	return json.NewEncoder(w).Encode(map[string]string{
		"accessToken": s.issue(strings.Join(asked.Scope, " ")),
		"expireTime":  s.now().Add(s.lifetime()).UTC().Format(time.RFC3339),
	})
}

func (s *Server) metadata(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		return errors.New("no Metadata-Flavor: Google")
	}
	w.Header().Set("Metadata-Flavor", "Google")
	const account = "/computeMetadata/v1/instance/service-accounts/default/"
	switch strings.TrimPrefix(r.URL.Path, account) {
	case "token":
		return s.reply(w, r.FormValue("scopes"))
	case "email":
		_, err := fmt.Fprint(w, Email)
		return err
	case "scopes":
		_, err := fmt.Fprintln(w, "https://www.googleapis.com/auth/cloud-platform")
		return err
	}
	return errors.New("there is nothing at " + r.URL.Path)
}

func (s *Server) lifetime() time.Duration {
	if s.Lifetime != 0 {
		return s.Lifetime
	}
	return time.Hour
}

func (s *Server) issue(scope string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued++
	token := fmt.Sprintf("token-canary-%d-Zz9_Q.7T/k+x~0123456789AbCd", s.issued)
	if s.scopes == nil {
		s.scopes = map[string][]string{}
	}
	s.scopes[token] = strings.Fields(scope)
	return token
}

func (s *Server) reply(w http.ResponseWriter, scope string) error {
	return json.NewEncoder(w).Encode(map[string]any{
		"access_token": s.issue(scope), "token_type": "Bearer", "expires_in": int(s.lifetime().Seconds()), "scope": scope,
		"issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
	})
}

// Check reports whether a request has a token of this server for the scope, and "a"
// token at all where scope is "".
func (s *Server) Check(r *http.Request, scope string) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	scopes, known := s.scopes[token]
	switch {
	case !ok, !known, s.refused[token]:
		return errors.New("no valid access token")
	case scope != "" && !slices.Contains(scopes, scope) && !slices.Contains(scopes, "https://www.googleapis.com/auth/cloud-platform"):
		return fmt.Errorf("the token is for %q, want %s", scopes, scope)
	}
	return nil
}

// RevokeAll makes the tokens invalid that were issued so far.
func (s *Server) RevokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil {
		s.refused = map[string]bool{}
	}
	for token := range s.scopes {
		s.refused[token] = true
	}
}

// Misbehave answers everything with answer, until it is called with nil.
func (s *Server) Misbehave(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// Hang is an answer that never comes.
func Hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then it is noticed that the caller has gone
	<-r.Context().Done()
}

// Requests are those that came, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// MostInFlight is the maximum number of concurrent requests.
func (s *Server) MostInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// KeyFile writes a service account's key file, with a new key each time.
func (s *Server) KeyFile(t testing.TB, path string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.keys = map[string]*rsa.PublicKey{keyID: &key.PublicKey}
	s.mu.Unlock()
	return write(t, path, s.account(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))))
}

func (s *Server) account(privateKey string) map[string]any {
	return map[string]any{
		"type": "service_account", "client_email": Email, "private_key_id": keyID, "private_key": privateKey,
		"token_uri": s.URL + "/token", "project_id": "test-project",
	}
}

func (s *Server) user() map[string]any {
	return map[string]any{
		"type": "authorized_user", "client_id": ClientID, "client_secret": ClientSecret, "refresh_token": RefreshToken,
		"token_uri": s.URL + "/token", "quota_project_id": QuotaProject,
	}
}

// UserFile writes what `gcloud auth application-default login` writes, but for
// the token server's address.
func (s *Server) UserFile(t testing.TB, path string) string { return write(t, path, s.user()) }

// WorkloadFile writes the configuration of a workload identity federation whose
// subject token is in a file; impersonate reports whether it is for a service
// account's tokens.
func (s *Server) WorkloadFile(t testing.TB, path string, impersonate bool) string {
	t.Helper()
	subject := path + ".subject"
	if err := os.WriteFile(subject, []byte(SubjectToken), 0o600); err != nil {
		t.Fatal(err)
	}
	config := map[string]any{
		"type": "external_account", "audience": Audience, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": s.URL + "/sts", "credential_source": map[string]any{"file": subject},
	}
	if impersonate {
		config["service_account_impersonation_url"] = s.impersonation()
	}
	return write(t, path, config)
}

func (s *Server) impersonation() string {
	return s.URL + "/v1/projects/-/serviceAccounts/" + Impersonated + ":generateAccessToken"
}

// ImpersonatedFile writes credentials of a user who impersonates a service
// account.
func (s *Server) ImpersonatedFile(t testing.TB, path string) string {
	return write(t, path, map[string]any{
		"type": "impersonated_service_account", "service_account_impersonation_url": s.impersonation(), "source_credentials": s.user(),
	})
}

func write(t testing.TB, path string, content any) string {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	// As a secret's volume does it: never half a file.
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}
