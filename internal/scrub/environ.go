package scrub

import (
	"fmt"
	"net/url"
	"strings"
)

// AddEnviron makes the secrets of environment variables that libraries read secret: the
// passwords of proxies and collectors in their URLs, and the headers for a collector of
// traces. environ has the form of os.Environ.
func (s *Scrubber) AddEnviron(environ []string) {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
			s.addUserinfo(name, value)
		case "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS":
			s.addHeaders(name, value)
		}
	}
}

// addUserinfo adds the password of a URL, as written and decoded.
func (s *Scrubber) addUserinfo(name, text string) {
	authority := text
	if _, after, ok := strings.Cut(text, "://"); ok {
		authority = after
	}
	authority, _, _ = strings.Cut(authority, "/")
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return
	}
	if _, password, ok := strings.Cut(authority[:at], ":"); ok {
		s.Add(name+" as written", password)
		if decoded, err := url.PathUnescape(password); err == nil {
			s.Add(name, decoded)
		}
	}
}

// addHeaders adds the values of headers: NAME=VALUE,…, with the value percent-encoded.
// "Bearer" and "Basic" before a value are no secret.
func (s *Scrubber) addHeaders(name, text string) {
	for i, header := range strings.Split(text, ",") {
		_, value, _ := strings.Cut(header, "=")
		if decoded, err := url.PathUnescape(value); err == nil {
			value = decoded
		}
		value = strings.TrimSpace(value)
		if scheme, credentials, ok := strings.Cut(value, " "); ok && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Basic")) {
			value = strings.TrimSpace(credentials)
		}
		s.Add(fmt.Sprintf("%s, header %d", name, i), value)
	}
}
