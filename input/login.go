package input

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/netx"
)

// login adds a login to requests.
type login struct {
	scheme string // "" for no login
	text   func() (string, error)
}

// newLogin returns the login with the token or the password that its file holds at the
// moment.
func newLogin(c Config) (login, error) {
	r := c.Registry
	switch {
	case r.BearerTokenFile != "":
		token, err := c.secret("input.registry.bearer_token_file", r.BearerTokenFile)
		return login{"Bearer", token}, err
	case r.Username != "":
		password, err := c.secret("input.registry.password_file", r.PasswordFile)
		return login{"Basic", func() (string, error) {
			text, err := password()
			return base64.StdEncoding.EncodeToString([]byte(r.Username + ":" + text)), err
		}}, err
	}
	return login{}, nil
}

// authorize adds the login to a request.
func (l login) authorize(req *http.Request) error {
	if l.scheme == "" {
		return nil
	}
	text, err := l.text()
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", l.scheme+" "+text)
	return nil
}

// secret returns a function that returns the secret of a key: the last usable content of
// its file where files are watched, and otherwise the content at each call.
func (c *Config) secret(key, path string) (func() (string, error), error) {
	parse := func(content []byte) (string, error) {
		text := string(bytes.TrimRight(content, "\r\n"))
		if text == "" {
			return "", errors.New("the file is empty")
		}
		c.Secrets.Add(key, text)
		return text, nil
	}
	switch {
	case path == "":
		return func() (string, error) { return "", nil }, nil
	case c.Files == nil:
		return func() (string, error) {
			content, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			return parse(content)
		}, nil
	}
	v, err := filewatch.Watch(c.Files, filewatch.Files[string]{
		Name: key, Paths: []string{path}, Parse: func(contents [][]byte) (string, error) { return parse(contents[0]) },
	})
	if err != nil {
		return nil, &KeyError{key, withoutKey(err)}
	}
	return func() (string, error) { return v.Get(), nil }, nil
}

// withoutKey removes the name of a file's key, which a [KeyError] states.
func withoutKey(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

// transport connects with the certificates of the moment. A transport of net/http keeps
// the authorities that it began with, so that there is a new one when they change.
type transport struct {
	base  *http.Transport
	roots func() *x509.CertPool // nil for the system's

	mu      sync.Mutex
	used    *x509.CertPool
	current *http.Transport
}

func newTransport(c Config) (*transport, error) {
	t := &transport{base: http.DefaultTransport.(*http.Transport).Clone()}
	t.base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Dial != nil {
		t.base.DialContext = c.Dial
	}
	r := c.Registry
	var err error
	if r.CAFile != "" {
		if t.roots, err = c.Certificates.Pool("input.registry.ca_file", r.CAFile); err != nil {
			return nil, &KeyError{"input.registry.ca_file", withoutKey(err)}
		}
	}
	if r.CertFile != "" {
		pair, err := c.Certificates.Pair("input.registry.cert_file", r.CertFile, "input.registry.key_file", r.KeyFile)
		if err != nil {
			return nil, &KeyError{"input.registry.cert_file", withoutKey(err)}
		}
		t.base.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair(), nil }
	}
	return t, nil
}

// RoundTrip implements [http.RoundTripper]. It cuts answers that are too long to be a
// schema.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.now().RoundTrip(req)
	if err = netx.Final(resp, err); err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// now returns the transport with the authorities of the moment.
func (t *transport) now() *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	var roots *x509.CertPool
	if t.roots != nil {
		roots = t.roots()
	}
	if t.current == nil || roots != t.used {
		t.closeIdle()
		t.current, t.used = t.base.Clone(), roots
		t.current.TLSClientConfig.RootCAs = roots
	}
	return t.current
}

func (t *transport) closeIdle() {
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
}

// CloseIdleConnections closes those of the transport.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeIdle()
}
