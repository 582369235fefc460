package config

import "github.com/clientevents/clientevents/internal/scrub"

// Hide sets the scrubber for all users of this configuration and
// adds the secrets that the configuration holds or names. Tokens and credentials
// files, which change, are added where they are read.
func (c *Config) Hide(s *scrub.Scrubber) {
	c.Secrets = s
	s.Add("kafka.sasl.password", string(c.Kafka.SASL.Password))
	for key, file := range map[string]string{
		"kafka.tls.key_file":               c.Kafka.TLS.KeyFile,
		"input.registry.password_file":     c.Input.Registry.PasswordFile,
		"input.registry.bearer_token_file": c.Input.Registry.BearerTokenFile,
		"input.registry.key_file":          c.Input.Registry.KeyFile,
		"privacy.extra_info.hash_key_file": c.Privacy.ExtraInfo.HashKeyFile,
		"admin.token_file":                 c.Admin.TokenFile,
	} {
		s.AddFile(key, file)
	}
}
