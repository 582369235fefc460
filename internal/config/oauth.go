package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// OAuth configures the tokens for logging in by oauthbearer.
type OAuth struct {
	// Provider is the source of tokens.
	Provider Provider
	// TokenURL, ClientID and ClientSecretFile are those of [OIDC]: the client
	// credentials grant (RFC 6749, 4.4). CAFile has PEM certificates to trust
	// instead of the system's for TokenURL.
	TokenURL, ClientID, ClientSecretFile, CAFile string
	Scopes                                       []string
	// Extensions are the SASL extensions of the login (RFC 7628, 3.1), as name=value.
	Extensions []string
	// TokenFile is the file of [TokenFile], which another program renews.
	TokenFile string
	// Region is the AWS region of [MSKIAM].
	Region string
}

// Provider is a source of tokens for logging in by oauthbearer.
type Provider string

// The providers.
const (
	Google    Provider = "google"
	OIDC      Provider = "oidc"
	TokenFile Provider = "file"
	MSKIAM    Provider = "msk-iam"
)

// Providers lists every provider.
func Providers() []Provider { return []Provider{Google, OIDC, TokenFile, MSKIAM} }

func scope(c *Config, s string) error {
	if s == "" || strings.ContainsAny(s, " \"\\") {
		return errors.New("expected scopes without blanks, such as [kafka]")
	}
	c.Kafka.SASL.OAuth.Scopes = append(c.Kafka.SASL.OAuth.Scopes, s)
	return nil
}

// extension accepts what RFC 7628 (3.1) does: names are letters, values printable.
func extension(c *Config, s string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	unprintable := func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) || r > '~' }
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" || name == "auth" || strings.Trim(name, letters) != "" || value == "" || strings.ContainsFunc(value, unprintable) {
		return errors.New("expected name: value, such as logicalCluster: lkc-1, or name=value in an environment variable; the name has letters only and is not auth")
	}
	c.Kafka.SASL.OAuth.Extensions = append(c.Kafka.SASL.OAuth.Extensions, s)
	return nil
}

func tokenURL(c *Config, s string) error {
	c.Kafka.SASL.OAuth.TokenURL = s
	if s == "" {
		return nil
	}
	if err := checkURL(s, "https://login.example.com/oauth2/token", "kafka.sasl.oauth.client_id"); err != nil {
		return err
	}
	if strings.HasPrefix(s, "http://") && !loopbackURL(s) {
		return errors.New("expected https: the client secret is not sent over plain http, except to a loopback address")
	}
	return nil
}

// checkOAuth checks that a provider has its keys, and only those.
func (l *loader) checkOAuth(s SASL) {
	o := s.OAuth
	set := map[string]bool{
		"token_url": o.TokenURL != "", "client_id": o.ClientID != "", "client_secret_file": o.ClientSecretFile != "",
		"ca_file": o.CAFile != "", "scopes": len(o.Scopes) > 0, "extensions": len(o.Extensions) > 0,
		"token_file": o.TokenFile != "", "region": o.Region != "",
	}
	required := map[Provider][]string{
		OIDC: {"token_url", "client_id", "client_secret_file"}, TokenFile: {"token_file"}, MSKIAM: {"region"},
	}[o.Provider]
	allowed := slices.Concat(required, map[Provider][]string{OIDC: {"ca_file", "scopes", "extensions"}, TokenFile: {"extensions"}}[o.Provider])
	const prefix = "kafka.sasl.oauth."
	for _, key := range slices.Sorted(maps.Keys(set)) {
		switch {
		case !set[key] && s.Mechanism == OAuthBearer && slices.Contains(required, key):
			l.check(prefix+key, "is required for the provider "+string(o.Provider))
		case set[key] && s.Mechanism != OAuthBearer:
			l.check(prefix+key, "has no effect: expected kafka.sasl.mechanism: oauthbearer")
		case set[key] && !slices.Contains(allowed, key):
			l.check(prefix+key, "has no effect with the provider "+string(o.Provider))
		}
	}
}
