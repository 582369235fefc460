package discoverycli

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// identity is a token server. It needs no consent, and issues numbered tokens.
type identity struct {
	*httptest.Server
	mu sync.Mutex
	// challenges are the PKCE challenges by code.
	challenges map[string]string
	// refuse is the error that the consent page answers with.
	refuse string
	// forget makes refresh tokens invalid.
	forget bool
	// lifetime of access tokens in seconds.
	lifetime int
	tokens   int
	// log has the calls: consent, code, refresh_token, or a JWT's scope.
	log []string
}

func newIdentity(t *testing.T) *identity {
	id := &identity{challenges: map[string]string{}, lifetime: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth", id.consent)
	mux.HandleFunc("POST /token", id.token)
	id.Server = httptest.NewServer(mux)
	t.Cleanup(id.Close)
	return id
}

func (id *identity) consent(w http.ResponseWriter, r *http.Request) {
	id.mu.Lock()
	defer id.mu.Unlock()
	q := r.URL.Query()
	id.log = append(id.log, "consent to "+q.Get("scope"))
	back := url.Values{"state": q["state"]}
	if id.refuse != "" {
		back.Set("error", id.refuse)
	} else {
		code := fmt.Sprint("code", len(id.log))
		id.challenges[code] = q.Get("code_challenge")
		back.Set("code", code)
	}
	if q.Get("code_challenge_method") != "S256" || q.Get("access_type") != "offline" || q.Get("client_id") != "client" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (id *identity) token(w http.ResponseWriter, r *http.Request) {
	id.mu.Lock()
	defer id.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	grant := r.FormValue("grant_type")
	switch grant {
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if id.challenges[r.FormValue("code")] != base64.RawURLEncoding.EncodeToString(sum[:]) {
			grant = "invalid"
		}
	case "refresh_token":
		if id.forget || r.FormValue("refresh_token") != "refresh" {
			grant = "invalid"
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		claims, err := base64.RawURLEncoding.DecodeString(strings.Split(r.FormValue("assertion"), ".")[1])
		var c struct{ Scope string }
		grant = "invalid"
		if err == nil && json.Unmarshal(claims, &c) == nil {
			grant = "jwt for " + c.Scope
		}
	}
	id.log = append(id.log, grant)
	if grant == "invalid" {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	id.tokens++
	fmt.Fprintf(w, `{"access_token":"token%d","token_type":"Bearer","expires_in":%d,"refresh_token":"refresh"}`, id.tokens, id.lifetime)
}

func (id *identity) happened() string {
	id.mu.Lock()
	defer id.mu.Unlock()
	return strings.Join(id.log, ", ")
}

// serviceAccount writes a service account's key file.
func (id *identity) serviceAccount(t *testing.T, extra string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, filepath.Join(t.TempDir(), "account.json"),
		fmt.Sprintf(`{"type":"service_account","client_email":"a@b","private_key":%s,"token_uri":"%s/token"%s}`, private, id.URL, extra))
}

// secret writes the installed application's secret file.
func (id *identity) secret(t *testing.T, dir string) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "jobs3-secret.json"),
		fmt.Sprintf(`{"installed":{"client_id":"client","client_secret":"s","auth_uri":"%[1]s/auth","token_uri":"%[1]s/token","redirect_uris":["http://localhost"]}}`, id.URL))
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// browser is a standard error that opens every printed address, like a user.
type browser struct {
	bytes.Buffer
	visits sync.WaitGroup
	t      *testing.T
	// stray is also visited before the address itself.
	stray bool
}

var address = regexp.MustCompile(`http://\S+`)

func (b *browser) Write(text []byte) (int, error) {
	if strings.HasPrefix(string(text), "Please direct your browser to\n") {
		to := address.FindString(string(text))
		b.visits.Go(func() { b.visit(to) })
	}
	return b.Buffer.Write(text)
}

func (b *browser) visit(to string) {
	if b.stray {
		u, err := url.Parse(to)
		if err != nil {
			b.t.Error(err)
			return
		}
		b.get(u.Query().Get("redirect_uri")+"/?code=forged&state=wrong", http.StatusNotFound)
	}
	b.get(to, http.StatusOK)
}

func (b *browser) get(to string, want int) {
	resp, err := http.Get(to)
	if err != nil {
		b.t.Error(err)
		return
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		b.t.Errorf("the browser sees %s at %s, want %d", resp.Status, resp.Request.URL.Path, want)
	}
}

// runWithBrowser runs the program for a user who consents.
func (r *runner) runWithBrowser(t *testing.T, stray bool, args ...string) result {
	t.Helper()
	var out bytes.Buffer
	b := &browser{t: t, stray: stray}
	r.program.Stdout, r.program.Stderr = &out, b
	code := r.program.Run(t.Context(), args)
	b.visits.Wait()
	return result{code, out.String(), b.String()}
}

const platformScope = "https://www.googleapis.com/auth/cloud-platform"

func TestInstalledApplication(t *testing.T) {
	const other = "https://www.googleapis.com/auth/jobs"
	id := newIdentity(t)
	r := jobs3(t)
	dir := filepath.Join(r.home, ".google-service-cli")
	id.secret(t, dir)
	call := func(t *testing.T, wantToken, wantLog string, global ...string) {
		t.Helper()
		id.mu.Lock()
		id.log = nil
		id.mu.Unlock()
		server := newAPIServer(t, 200, "{}")
		args := append(global, "--endpoint", server.URL, "--credentials", "installed", "projects", "jobs-get", "projects/p/jobs/j")
		got := r.runWithBrowser(t, true, args...)
		if got.code != 0 || got.stdout != "{}" {
			t.Fatalf("%+v", got)
		}
		if got := server.only(t).header.Get("Authorization"); got != "Bearer "+wantToken {
			t.Errorf("Authorization %q, want %s", got, wantToken)
		}
		if got := id.happened(); got != wantLog {
			t.Errorf("happened: %q, want %q", got, wantLog)
		}
	}
	call(t, "token1", "consent to "+platformScope+", authorization_code")
	call(t, "token1", "") // from the cache
	id.lifetime = 1       // which counts as expired at once
	call(t, "token2", "consent to "+other+", authorization_code", "--scope", other)
	id.lifetime = 3600
	call(t, "token1", "")
	call(t, "token3", "refresh_token", "--scope", other)
	call(t, "token3", "", "--scope", other)
	call(t, "token4", "consent to "+platformScope+" "+other+", authorization_code", "--scope", platformScope, "--scope", other)
	call(t, "token4", "", "--scope", other, "--scope", platformScope)

	cache := filepath.Join(dir, "jobs3-token.json")
	info, err := os.Stat(cache)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token cache: %v, mode %v", err, info.Mode())
	}
	t.Run("refresh token taken back", func(t *testing.T) {
		expireTokens(t, cache)
		id.forget = true
		defer func() { id.forget = false }()
		call(t, "token5", "invalid, consent to "+platformScope+", authorization_code")
	})
	t.Run("consent refused", func(t *testing.T) {
		if err := os.Remove(cache); err != nil {
			t.Fatal(err)
		}
		id.refuse = "access_denied"
		defer func() { id.refuse = "" }()
		got := r.runWithBrowser(t, false, "--credentials", "installed", "--endpoint", id.URL, "projects", "jobs-get", "projects/p/jobs/j")
		if got.code != 1 || !strings.HasSuffix(got.stderr, "\nToken retrieval failed with error: the authorization was refused: access_denied\n") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r.program.Stdout = io.Discard
		var errs bytes.Buffer
		r.program.Stderr = writerFunc(func(text []byte) (int, error) {
			cancel() // as soon as the address is there
			return errs.Write(text)
		})
		code := r.program.Run(ctx, []string{"--credentials", "installed", "--endpoint", id.URL, "projects", "jobs-get", "projects/p/jobs/j"})
		if code != 1 || !strings.HasSuffix(errs.String(), "\nInterrupted\n") {
			t.Errorf("exit code %d: %s", code, &errs)
		}
	})
	t.Run("unreadable cache", func(t *testing.T) {
		writeFile(t, cache, "{")
		got := r.run(t, "--credentials", "installed", "--endpoint", id.URL, "projects", "jobs-get", "projects/p/jobs/j")
		if got.code != 1 || !strings.HasPrefix(got.stderr, "Token retrieval failed with error: the token cache '"+cache+"' cannot be read") {
			t.Errorf("%+v", got)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// expireTokens lets time pass for the token cache.
func expireTokens(t *testing.T, cache string) {
	t.Helper()
	text, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	expired := regexp.MustCompile(`"expiry": "[^"]*"`).ReplaceAll(text, []byte(`"expiry": "2020-01-01T00:00:00Z"`))
	if bytes.Equal(expired, text) {
		t.Fatal("no expiry in the cache")
	}
	writeFile(t, cache, string(expired))
}

func TestCredentials(t *testing.T) {
	id := newIdentity(t)
	account := id.serviceAccount(t, "")
	withProject := id.serviceAccount(t, `,"quota_project_id":"quota-project"`)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", account)
	tests := []struct {
		name         string
		args         []string
		authorized   bool
		quotaProject string
		log          string
	}{
		{name: "nothing to a loopback address"},
		{name: "none", args: []string{"--credentials", "none"}},
		{name: "a file", args: []string{"--credentials", account}, authorized: true, log: "jwt for " + platformScope},
		{name: "a file, another scope", args: []string{"--credentials", account, "--scope", "https://s"}, authorized: true, log: "jwt for https://s"},
		{name: "a file with a quota project", args: []string{"--credentials", withProject}, authorized: true, quotaProject: "quota-project", log: "jwt for " + platformScope},
		{name: "default", args: []string{"--credentials", "default"}, authorized: true, log: "jwt for " + platformScope},
		{name: "a token of the user's own", args: []string{"-p", "access-token=t"}},
		{name: "a token of the user's own and a file", args: []string{"--credentials", account, "-p", "access-token=t"}},
		{name: "a token of the user's own and a missing file", args: []string{"--credentials", "missing.json", "-p", "oauth-token=t"}},
		{name: "a token of the user's own and default", args: []string{"--credentials", "default", "-p", "access-token=t"}},
		{name: "an API key and a file", args: []string{"--credentials", account, "-p", "key=k"}, authorized: true, log: "jwt for " + platformScope},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id.mu.Lock()
			id.log = nil
			id.mu.Unlock()
			server := newAPIServer(t, 200, "{}")
			args := append([]string{"--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j"}, tt.args...)
			if got := jobs3(t).run(t, args...); got != (result{0, "{}", ""}) {
				t.Fatalf("%+v", got)
			}
			sent := server.only(t)
			authorization := sent.header.Get("Authorization")
			if got := strings.HasPrefix(authorization, "Bearer token"); got != tt.authorized || !got && authorization != "" {
				t.Errorf("Authorization %q", authorization)
			}
			if got := sent.header.Get("X-Goog-User-Project"); got != tt.quotaProject {
				t.Errorf("X-Goog-User-Project %q, want %q", got, tt.quotaProject)
			}
			if got := id.happened(); got != tt.log {
				t.Errorf("happened: %q, want %q", got, tt.log)
			}
		})
	}
}

// TestCredentialsForGoogle checks the headers of calls to Google, without making them.
func TestCredentialsForGoogle(t *testing.T) {
	id := newIdentity(t)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", id.serviceAccount(t, ""))
	authorization := func(t *testing.T, r *runner, args ...string) string {
		t.Helper()
		in, err := r.program.parse(append([]string{"projects", "jobs-get", "projects/p/jobs/j"}, args...))
		if err != nil {
			t.Fatal(err)
		}
		dir, err := r.program.configDir(in)
		if err != nil {
			t.Fatal(err)
		}
		app, err := r.program.installedApp(in, dir)
		if err != nil {
			t.Fatal(err)
		}
		call, faults := r.program.request(in)
		if faults != nil {
			t.Fatal(faults)
		}
		authorize, err := r.program.authorizer(t.Context(), in, call, app)
		if err != nil {
			t.Fatal(err)
		}
		req, err := r.program.httpRequest(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		if got := req.URL.Scheme + "://" + req.URL.Host; got != "https://jobs.googleapis.com" {
			t.Errorf("the request goes to %s", got)
		}
		if err := authorize(req); err != nil {
			t.Fatal(err)
		}
		return req.Header.Get("Authorization")
	}
	r := jobs3(t)
	if got := authorization(t, r); got != "Bearer token1" || id.happened() != "jwt for "+platformScope {
		t.Errorf("by default: %q after %q, want Application Default Credentials", got, id.happened())
	}
	if got := authorization(t, r, "--credentials", "none"); got != "" {
		t.Errorf("none: %q", got)
	}
	for _, p := range []string{"access-token=t", "oauth-token=t", "key=k"} {
		if got := authorization(t, r, "-p", p); got != "" {
			t.Errorf("%s: %q", p, got)
		}
	}
	dir := filepath.Join(r.home, "config")
	id.secret(t, dir)
	cached, err := json.Marshal([]any{map[string]any{
		"client_id": "client", "scopes": []string{platformScope},
		"token": map[string]any{"access_token": "mine", "token_type": "Bearer", "expiry": time.Now().Add(time.Hour)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "jobs3-token.json"), string(cached))
	if got := authorization(t, r, "--config-dir", dir); got != "Bearer mine" {
		t.Errorf("with a secret file: %q, want the installed application's token", got)
	}
	if got := authorization(t, r, "--config-dir", dir, "--credentials", "default"); got != "Bearer token2" {
		t.Errorf("with a secret file, but --credentials default: %q", got)
	}
}

func TestPlainHTTP(t *testing.T) {
	const refusal = "Endpoint -> Credentials are not sent over plain http: use https"
	tests := []struct {
		endpoint string
		args     []string
		want     string
	}{
		{"http://example.com", nil, refusal + ", or --credentials none."},
		{"http://example.com", []string{"--credentials", "default"}, refusal + ", or --credentials none."},
		{"http://localhost.example.com", nil, refusal + ", or --credentials none."},
		{"http://10.0.0.1", nil, refusal + ", or --credentials none."},
		{"http://example.com", []string{"--credentials", "none", "-p", "access-token=t"}, refusal + " with -p access-token."},
		{"http://example.com", []string{"--credentials", "none", "-p", "oauth-token=t"}, refusal + " with -p oauth-token."},
		{"http://example.com", []string{"-p", "key=t"}, refusal + " with -p key."},
		{"http://example.com", []string{"--credentials", "none"}, ""},
		{"https://example.com", []string{"-p", "key=t"}, ""},
		{"http://localhost", []string{"-p", "key=t"}, ""},
		{"http://[::1]:8080", nil, ""},
		{"http://127.8.9.10", []string{"--credentials", "default"}, ""},
	}
	for _, tt := range tests {
		in, err := jobs3(t).program.parse(append([]string{"--endpoint", tt.endpoint, "projects", "jobs-get", "projects/p/jobs/j"}, tt.args...))
		if err != nil {
			t.Fatal(err)
		}
		_, faults := jobs3(t).program.request(in)
		got := ""
		if len(faults) > 0 {
			got = faultList(faults).Error()
		}
		if got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.endpoint, tt.args, got, tt.want)
		}
	}
}

func TestConfigurationFaults(t *testing.T) {
	temp := t.TempDir()
	file := writeFile(t, filepath.Join(temp, "file"), "")
	secret := func(name, text string) string {
		dir := filepath.Join(temp, name)
		writeFile(t, filepath.Join(dir, "jobs3-secret.json"), text)
		return dir
	}
	credentials := func(name, text string) string { return writeFile(t, filepath.Join(temp, name), text) }
	const installed = `{"installed":{"client_id":"c","client_secret":"s","auth_uri":"%s","token_uri":"%s","redirect_uris":["http://localhost"]}}`
	tests := []struct {
		name   string
		args   []string
		noHome bool
		code   int
		want   string
	}{
		{
			name: "directory in none", args: []string{"--config-dir", filepath.Join(temp, "a", "b")}, code: 3,
			want: "Configuration -> Directory '" + filepath.Join(temp, "a", "b") + "' could not be created with error: mkdir ",
		},
		{name: "directory is a file", args: []string{"--config-dir", file}, code: 3, want: "Configuration -> Directory '" + file + "' could not be created with error: "},
		{
			name: "no home", args: []string{"--config-dir", "~/x"}, noHome: true, code: 3,
			want: "Configuration -> Couldn't find HOME directory of current user, failed to expand '~/x'.",
		},
		{name: "the directory comes before the values", args: []string{"--config-dir", file, "-p", "nonsense=1"}, code: 3, want: "Configuration -> Directory"},
		{
			name: "secret is no JSON", args: []string{"--config-dir", secret("s1", "{")}, code: 4,
			want: "Configuration -> Secret -> Could not decode file at '" + filepath.Join(temp, "s1", "jobs3-secret.json") + "' with error: unexpected end of JSON input.",
		},
		{
			name: "secret of a web application", args: []string{"--config-dir", secret("s2", `{"web":{}}`)}, code: 4,
			want: "Configuration -> Secret -> 'installed' field is unset in secret file at '" + filepath.Join(temp, "s2", "jobs3-secret.json") + "'.",
		},
		{name: "secret without addresses", args: []string{"--config-dir", secret("s3", `{"installed":{}}`)}, code: 4, want: "Configuration -> Secret -> Could not decode file at "},
		{
			name: "secret over plain http", args: []string{"--config-dir", secret("s4", fmt.Sprintf(installed, "https://example.com/auth", "http://example.com/token"))}, code: 4,
			want: "Configuration -> Secret -> Could not decode file at '" + filepath.Join(temp, "s4", "jobs3-secret.json") + "' with error: 'http://example.com/token' is not an https address.",
		},
		{name: "the secret comes before the values", args: []string{"--config-dir", filepath.Join(temp, "s1"), "-p", "nonsense=1"}, code: 4, want: "Configuration -> Secret"},
		{
			name: "secret is a directory", args: []string{"--config-dir", filepath.Dir(filepath.Dir(writeFile(t, filepath.Join(temp, "s5", "jobs3-secret.json", "x"), "")))}, code: 4,
			want: "Configuration -> IO operation failed on path '" + filepath.Join(temp, "s5", "jobs3-secret.json") + "' with error: ",
		},
		{
			name: "no secret file", args: []string{"--credentials", "installed"}, code: 4,
			want: "Configuration -> Secret -> There is no secret file. To get one, create an OAuth client of the type 'Desktop app' in the Google Cloud console",
		},
		{
			name: "no secret file and no home", args: []string{"--credentials", "installed"}, noHome: true, code: 4,
			want: "Configuration -> Secret -> There is no secret file.",
		},
		{name: "values come before the credentials", args: []string{"--credentials", "/nowhere", "-p", "nonsense=1"}, code: 1, want: "Parameter 'nonsense' is unknown."},
		{
			name: "no such credentials", args: []string{"--credentials", filepath.Join(temp, "nowhere")}, code: 4,
			want: "Configuration -> IO operation failed on path '" + filepath.Join(temp, "nowhere") + "' with error: ",
		},
		{name: "credentials are no JSON", args: []string{"--credentials", file}, code: 4, want: "Configuration -> Secret -> Could not decode file at '" + file + "' with error: "},
		{
			name: "credentials of no type", args: []string{"--credentials", credentials("c1", `{"installed":{}}`)}, code: 4,
			want: "Configuration -> Secret -> The credentials in '" + filepath.Join(temp, "c1") + "' are of the type ''; it must be one of [\"service_account\" ",
		},
		{
			name: "credentials without content", args: []string{"--credentials", credentials("c2", `{"type":"external_account"}`)}, code: 4,
			want: "Configuration -> Secret -> Could not decode file at '" + filepath.Join(temp, "c2") + "' with error: ",
		},
		{
			name: "credentials with a broken key", args: []string{"--credentials", credentials("c3", `{"type":"service_account","private_key":"x"}`)}, code: 1,
			want: "Token retrieval failed with error: ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := newAPIServer(t, 200, "{}")
			r := jobs3(t)
			if tt.noHome {
				r.home = ""
			}
			got := r.run(t, append([]string{"--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j"}, tt.args...)...)
			if got.code != tt.code || got.stdout != "" || !strings.HasPrefix(got.stderr, tt.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d and %q", got.code, got.stdout, got.stderr, tt.code, tt.want)
			}
			if len(server.requests) != 0 {
				t.Error("the call was made")
			}
		})
	}
}

func TestNoDefaultCredentials(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "nowhere.json"))
	r := jobs3(t)
	got := r.run(t, "projects", "jobs-get", "projects/p/jobs/j")
	if got.code != 4 || !strings.HasPrefix(got.stderr, "Configuration -> Secret -> No credentials: ") ||
		!strings.Contains(got.stderr, "save it as '"+filepath.Join(r.home, ".google-service-cli", "jobs3-secret.json")+"'") {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(filepath.Join(r.home, ".google-service-cli")); !os.IsNotExist(err) {
		t.Errorf("the default directory was made: %v", err)
	}
}

func TestConfigDirIsMade(t *testing.T) {
	server := newAPIServer(t, 200, "{}")
	r := jobs3(t)
	if got := r.run(t, "--config-dir", "~/mine", "--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if info, err := os.Stat(filepath.Join(r.home, "mine")); err != nil || !info.IsDir() {
		t.Errorf("%v", err)
	}
}
