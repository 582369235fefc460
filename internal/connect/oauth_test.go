package connect

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
)

// start returns the message of a login.
func start(t *testing.T, l *oauthLogin) (string, error) {
	t.Helper()
	_, message, err := l.Start(t.Context())
	return string(message), err
}

func oauth(t *testing.T, c config.OAuth) *oauthLogin {
	t.Helper()
	files := filewatch.New(slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
	t.Cleanup(files.Close)
	l, err := newOAuthLogin(c, Options{Files: files, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.keeper.Close)
	return l
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOIDC gets tokens by client credentials from a server whose authority only the
// configured file names.
func TestOIDC(t *testing.T) {
	tokens := &tokenserver.Server{}
	server := httptest.NewTLSServer(tokens)
	t.Cleanup(server.Close)
	ca := file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	c := config.OAuth{
		Provider: config.OIDC, TokenURL: server.URL + "/token", ClientID: tokenserver.ClientID, CAFile: ca,
		ClientSecretFile: file(t, "secret", tokenserver.ClientSecret+"\n"), Scopes: []string{"kafka", "other"},
		Extensions: []string{"logicalCluster=lkc-1", "identityPoolId=pool-1"},
	}
	got, err := start(t, oauth(t, c))
	const first = "token-canary-1-Zz9_Q.7T/k+x~0123456789AbCd"
	if want := "n,,\x01auth=Bearer " + first + "\x01logicalCluster=lkc-1\x01identityPoolId=pool-1\x01\x01"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+first)
	if err := tokens.Check(r, "other"); err != nil {
		t.Error(err)
	}
	c.ClientSecretFile = file(t, "wrong", "wrong-canary")
	if _, err := start(t, oauth(t, c)); err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("a wrong secret: %v", err)
	}
	c.CAFile = ""
	if _, err := start(t, oauth(t, c)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
}

// TestTokenFile follows a file that another program renews.
func TestTokenFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jwt := func(name string, life time.Duration) string {
			return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(life).Unix())) + "." + name
		}
		first := jwt("first", time.Hour)
		path := file(t, "token", first+"\n")
		l := oauth(t, config.OAuth{Provider: config.TokenFile, TokenFile: path})
		expect := func(token string) {
			t.Helper()
			if got, err := start(t, l); err != nil || got != "n,,\x01auth=Bearer "+token+"\x01\x01" {
				t.Errorf("got %q, %v, want %s", got, err, token)
			}
		}
		expect(first)
		second := jwt("second", 2*time.Hour)
		for _, text := range []string{"", "half a"} { // half-written
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * filewatch.Every)
			synctest.Wait()
			expect(first)
		}
		if err := os.WriteFile(path, []byte(second), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * filewatch.Every)
		synctest.Wait()
		expect(second)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if _, err := start(t, l); err == nil || !strings.Contains(err.Error(), "renew the file") {
			t.Errorf("an expired token: %v", err)
		}
	})
}

// TestMSKToken compares a token's parts with the form that the signer's README and the
// Java library document; there is no AWS here to log in to.
func TestMSKToken(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-canary")
	t.Setenv("AWS_SESSION_TOKEN", "session")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	l := oauth(t, config.OAuth{Provider: config.MSKIAM, Region: "eu-central-1"})
	message, err := start(t, l)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSuffix(strings.TrimPrefix(message, "n,,\x01auth=Bearer "), "\x01\x01")
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Scheme != "https" || u.Host != "kafka.eu-central-1.amazonaws.com" || u.Path != "/" {
		t.Errorf("the URL is %s", u)
	}
	for name, want := range map[string]string{
		"Action": "kafka-cluster:Connect", "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Expires": "900",
		"X-Amz-SignedHeaders": "host", "X-Amz-Security-Token": "session",
		"X-Amz-Credential": "AKIDEXAMPLE/" + time.Now().UTC().Format("20060102") + "/eu-central-1/kafka-cluster/aws4_request",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(q.Get("X-Amz-Signature")) != 64 || q.Get("User-Agent") == "" || strings.Contains(string(text), "canary") {
		t.Errorf("the URL is %s", u)
	}
	if end := time.Until(l.keeper.Status().Expiry); end < 14*time.Minute || end > 15*time.Minute {
		t.Errorf("the token lasts %v", end)
	}
}
