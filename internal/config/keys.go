package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
)

// Key describes one key of the configuration.
type Key struct {
	// Path is the key's full path, such as "report.rate".
	Path string
	// Default is the value of a key that is not set; "" without a default,
	// and with <…> if it derives from another key's value.
	Default string
	// Required keys have no default and must be given.
	Required bool
	// Type describes the form of values, such as "a duration".
	Type string
	// Help describes the key in half a line.
	Help string
	// Reload keys take effect while the program runs; a change to another one needs a
	// restart.
	Reload bool

	list bool
	// pairs keys are lists of name=value that a file states as a mapping.
	pairs bool
	// none sets an empty list; nil where a list has at least one value.
	none func(*Config)
	// secret keys come from the environment alone, and are not shown.
	secret bool
	// set sets a value, or appends one to a list; its error describes the
	// expected value.
	set setter
}

// Env is the environment variable that overrides the key.
func (k Key) Env() string {
	return "CLIENTEVENTS_" + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
}

// derived reports whether the default derives from another key's value.
func (k Key) derived() bool { return strings.Contains(k.Default, "<") }

type setter func(*Config, string) error

// Keys lists every key, in the order in which they are documented. It is the
// only definition of keys: the loader, the variables' names and the
// documents' tables derive from it.
func Keys() []Key {
	return []Key{
		{Path: "kafka.brokers", Type: "a list of host:port", Required: true, list: true, Help: "list of host:port", set: broker},
		{Path: "kafka.topic", Type: "a topic's name", Required: true, Help: "source topic", set: topic(func(c *Config) *string { return &c.Kafka.Topic })},
		{Path: "kafka.group", Type: "a text", Required: true, Help: "consumer group", set: name(func(c *Config) *string { return &c.Kafka.Group })},
		{Path: "kafka.dead_letter_topic", Type: "a topic's name", Default: "<topic>.dead-letter", Help: "topic for records that can't be delivered", set: topic(func(c *Config) *string { return &c.Kafka.DeadLetterTopic })},
		{Path: "kafka.state_topic", Type: "a topic's name", Default: "<topic>.reported", Help: "topic that records the reported event IDs", set: topic(func(c *Config) *string { return &c.Kafka.StateTopic })},
		{Path: "kafka.start", Type: "one of a few words", Default: "earliest", Help: "`earliest` or `latest`, for a group without offsets", set: oneOf(func(c *Config) *Start { return &c.Kafka.Start }, Earliest, Latest)},
		{Path: "kafka.tls.enabled", Type: "true or false", Default: "false", Help: "TLS to the brokers", set: boolean(func(c *Config) *bool { return &c.Kafka.TLS.Enabled })},
		{Path: "kafka.tls.ca_file", Type: "a path", Help: "PEM certificates to trust instead of the system's", set: file(func(c *Config) *string { return &c.Kafka.TLS.CAFile })},
		{Path: "kafka.tls.cert_file", Type: "a path", Help: "PEM client certificate", set: file(func(c *Config) *string { return &c.Kafka.TLS.CertFile })},
		{Path: "kafka.tls.key_file", Type: "a path", Help: "PEM key of the client certificate", set: file(func(c *Config) *string { return &c.Kafka.TLS.KeyFile })},
		{Path: "kafka.sasl.mechanism", Type: "one of a few words", Help: "`plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer`", set: oneOf(func(c *Config) *Mechanism { return &c.Kafka.SASL.Mechanism }, append(Mechanisms(), NoLogin)...)},
		{Path: "kafka.sasl.username", Type: "a text", Help: "login name", set: text(func(c *Config) *string { return &c.Kafka.SASL.Username })},
		{Path: "kafka.sasl.password_file", Type: "a path", Help: "file that holds the password", set: file(func(c *Config) *string { return &c.Kafka.SASL.PasswordFile })},
		{Path: "kafka.sasl.password", Type: "a text", secret: true, Help: "the password; only as an environment variable", set: secret(func(c *Config) *Secret { return &c.Kafka.SASL.Password })},
		{Path: "kafka.sasl.oauth.provider", Type: "one of a few words", Default: "google", Help: "source of tokens for `oauthbearer`: `google` (Google credentials), `oidc` (client credentials), `file` (a token that another program renews) or `msk-iam` (the AWS default credential chain)", set: oneOf(func(c *Config) *Provider { return &c.Kafka.SASL.OAuth.Provider }, Providers()...)},
		{Path: "kafka.sasl.oauth.token_url", Type: "a URL", Help: "for `oidc`: the token endpoint", set: tokenURL},
		{Path: "kafka.sasl.oauth.client_id", Type: "a text", Help: "for `oidc`: the client's ID", set: text(func(c *Config) *string { return &c.Kafka.SASL.OAuth.ClientID })},
		{Path: "kafka.sasl.oauth.client_secret_file", Type: "a path", Help: "for `oidc`: file that holds the client's secret", set: file(func(c *Config) *string { return &c.Kafka.SASL.OAuth.ClientSecretFile })},
		{Path: "kafka.sasl.oauth.ca_file", Type: "a path", Help: "for `oidc`: PEM certificates to trust instead of the system's", set: file(func(c *Config) *string { return &c.Kafka.SASL.OAuth.CAFile })},
		{Path: "kafka.sasl.oauth.scopes", Type: "a list of texts", list: true, Help: "for `oidc`: scopes to request", set: scope},
		{Path: "kafka.sasl.oauth.extensions", Type: "names with values", list: true, pairs: true, Help: "for `oidc` and `file`: SASL extensions, such as `{logicalCluster: lkc-1, identityPoolId: pool-1}`", set: extension},
		{Path: "kafka.sasl.oauth.token_file", Type: "a path", Help: "for `file`: file that holds the token", set: file(func(c *Config) *string { return &c.Kafka.SASL.OAuth.TokenFile })},
		{Path: "kafka.sasl.oauth.region", Type: "a text", Help: "for `msk-iam`: the cluster's AWS region", set: text(func(c *Config) *string { return &c.Kafka.SASL.OAuth.Region })},
		{Path: "kafka.state_replication_factor", Type: "a whole number", Default: "0", Help: "replication factor of topics that are created; 0 = the broker's default", set: integer(func(c *Config) *int { return &c.Kafka.StateReplication }, 0, 32767)},
		{Path: "kafka.instance_id", Type: "a text", Help: "static membership: a replica that returns within `kafka.session_timeout` under the same ID causes no rebalance; each replica needs its own", set: text(func(c *Config) *string { return &c.Kafka.InstanceID })},
		{Path: "kafka.session_timeout", Type: "a duration", Default: "8s", Help: "time without a heartbeat after which other replicas take over", set: duration(func(c *Config) *time.Duration { return &c.Kafka.SessionTimeout }, time.Second, 30*time.Minute)},
		{Path: "kafka.max_in_flight_bytes", Type: "a size", Help: "memory for records between fetch and outcome, for all partitions; default a twelfth of the process's memory limit, or 32 MiB without a limit", set: size(func(c *Config) *int64 { return &c.Kafka.MaxInFlightBytes }, 1<<20)},
		{Path: "kafka.max_in_flight_records", Type: "a whole number", Default: "10000", Help: "records between fetch and outcome, for all partitions", set: integer64(func(c *Config) *int64 { return &c.Kafka.MaxInFlightRecords }, 1, 100_000_000)},
		{Path: "input.format", Type: "one of a few words", Default: "json", Help: "`json`, `avro`, `protobuf`, `json-schema` (these three with a schema registry), `protobuf-file` (a descriptor set) or `cloudevents`", set: oneOf(func(c *Config) *input.Format { return &c.Input.Format }, input.Formats()...)},
		{Path: "input.registry.url", Type: "a URL", Help: "schema registry that speaks Confluent's API", set: registryURL},
		{Path: "input.registry.username", Type: "a text", Help: "login name", set: text(func(c *Config) *string { return &c.Input.Registry.Username })},
		{Path: "input.registry.password_file", Type: "a path", Help: "file that holds the password", set: file(func(c *Config) *string { return &c.Input.Registry.PasswordFile })},
		{Path: "input.registry.bearer_token_file", Type: "a path", Help: "file that holds a token", set: file(func(c *Config) *string { return &c.Input.Registry.BearerTokenFile })},
		{Path: "input.registry.ca_file", Type: "a path", Help: "PEM certificates to trust instead of the system's", set: file(func(c *Config) *string { return &c.Input.Registry.CAFile })},
		{Path: "input.registry.cert_file", Type: "a path", Help: "PEM client certificate", set: file(func(c *Config) *string { return &c.Input.Registry.CertFile })},
		{Path: "input.registry.key_file", Type: "a path", Help: "PEM key of the client certificate", set: file(func(c *Config) *string { return &c.Input.Registry.KeyFile })},
		{Path: "input.descriptor_file", Type: "a path", Help: "for `protobuf-file`: a FileDescriptorSet", set: file(func(c *Config) *string { return &c.Input.DescriptorFile })},
		{Path: "input.message", Type: "a text", Help: "for `protobuf-file`: the full name of the records' message", set: text(func(c *Config) *string { return &c.Input.Message })},
		{Path: "input.mapping", Type: "a text", Reload: true, Help: "jq program that turns a decoded record into events, see [docs/mapping](docs/mapping/README.md)", set: text(func(c *Config) *string { return &c.Input.Mapping })},
		{Path: "input.mapping_file", Type: "a path", Reload: true, Help: "file that holds the jq program", set: file(func(c *Config) *string { return &c.Input.MappingFile })},
		{Path: "input.rekey", Type: "true or false", Default: "false", Help: "for a source topic that is not keyed by journey: events pass through an internal topic, `<topic>.by-request`, keyed by request ID", set: boolean(func(c *Config) *bool { return &c.Input.Rekey })},
		{Path: "privacy.extra_info.keep", Type: "a list of texts", Reload: true, list: true, none: func(c *Config) { c.Privacy.ExtraInfo.KeepOnly = true }, Help: "the only extra-info keys that are sent to the API, besides those in `hash`; `[]` sends none; default all", set: keepKey},
		{Path: "privacy.extra_info.drop", Type: "a list of texts", Reload: true, list: true, Help: "extra-info keys that are not sent to the API; not together with `keep`", set: infoKey(func(c *Config) *[]string { return &c.Privacy.ExtraInfo.Drop })},
		{Path: "privacy.extra_info.hash", Type: "a list of texts", Reload: true, list: true, Help: "extra-info keys whose values are sent as HMAC-SHA-256 in hexadecimal", set: infoKey(func(c *Config) *[]string { return &c.Privacy.ExtraInfo.Hash })},
		{Path: "privacy.extra_info.hash_key_file", Type: "a path", Reload: true, Help: "file that holds the key of the hashes, at least 16 bytes; read again when it changes", set: file(func(c *Config) *string { return &c.Privacy.ExtraInfo.HashKeyFile })},
		{Path: "privacy.dead_letters", Type: "one of a few words", Default: "original", Reload: true, Help: "`original` leaves values in dead letters as they are, `redact` applies `privacy.extra_info` to them", set: oneOf(func(c *Config) *DeadLetters { return &c.Privacy.DeadLetters }, OriginalLetters, RedactedLetters)},
		{Path: "api.endpoint", Type: "a URL", Default: "https://jobs.googleapis.com", Help: "http or https URL", set: endpoint},
		{Path: "api.version", Type: "a version", Required: true, Help: "`v3`, `v4beta1` or `v4`", set: version},
		{Path: "api.parent", Type: "a text", Required: true, Help: "`projects/P` (v3, v4beta1) or `projects/P/tenants/T` (v4beta1, v4)", set: name(func(c *Config) *string { return &c.API.Parent })},
		{Path: "api.credentials", Type: "a word or a path", Default: "default", Help: "`default` (Application Default Credentials), `none`, or the path of a credentials file", set: credentials},
		{Path: "api.quota_project", Type: "a text", Help: "project for quota and billing", set: text(func(c *Config) *string { return &c.API.QuotaProject })},
		{Path: "api.timeout", Type: "a duration", Default: "30s", Help: "limit for one attempt", set: duration(func(c *Config) *time.Duration { return &c.API.Timeout }, time.Millisecond, time.Hour)},
		{Path: "report.concurrency", Type: "a whole number", Default: "16", Help: "maximum HTTP requests in flight", set: integer(func(c *Config) *int { return &c.Report.Concurrency }, 1, 10_000)},
		{Path: "report.rate", Type: "a number", Default: "0", Reload: true, Help: "maximum events per second for the whole group; 0 = no limit of our own", set: number(func(c *Config) *float64 { return &c.Report.Rate })},
		{Path: "report.batch_size", Type: "a whole number", Default: "100", Help: "events per HTTP request, 1 to 1000; 1 = one POST per event, more = multipart HTTP batch", set: integer(func(c *Config) *int { return &c.Report.BatchSize }, 1, 1000)},
		{Path: "report.linger", Type: "a duration", Default: "5ms", Reload: true, Help: "how long an incomplete batch waits; `0` sends as soon as a request slot is free", set: duration(func(c *Config) *time.Duration { return &c.Report.Linger }, 0, time.Minute)},
		{Path: "report.priority", Type: "one of a few words", Default: "value", Reload: true, Help: "order of sending while events exceed the quota: `value` (applications, then views, then impressions) or `arrival`", set: oneOf(func(c *Config) *Priority { return &c.Report.Priority }, ByValue, ByArrival)},
		{Path: "dedupe.window", Type: "a duration", Default: "24h", Help: "how long an event ID is remembered", set: duration(func(c *Config) *time.Duration { return &c.Dedupe.Window }, time.Second, 366*24*time.Hour)},
		{Path: "parents.policy", Type: "one of a few words", Default: "require", Help: "`require` or `allow`", set: oneOf(func(c *Config) *Policy { return &c.Parents.Policy }, RequireParent, AllowOrphan)},
		{Path: "parents.wait", Type: "a duration", Default: "30s", Reload: true, Help: "how long a child waits for its parent", set: duration(func(c *Config) *time.Duration { return &c.Parents.Wait }, 0, 24*time.Hour)},
		{Path: "suspicious.age", Type: "a duration", Default: "24h", Reload: true, Help: "age at which an event is suspicious when published, or its search when reported", set: duration(func(c *Config) *time.Duration { return &c.Suspicious.Age }, time.Minute, 366*24*time.Hour)},
		{Path: "suspicious.ahead", Type: "a duration", Default: "5m", Reload: true, Help: "how far in the future a createTime may be without being suspicious", set: duration(func(c *Config) *time.Duration { return &c.Suspicious.Ahead }, time.Second, 24*time.Hour)},
		{Path: "suspicious.refuse", Type: "true or false", Default: "false", Reload: true, Help: "make events with suspicious create times dead letters", set: boolean(func(c *Config) *bool { return &c.Suspicious.Refuse })},
		{Path: "admin.listen", Type: "host:port", Default: ":9090", Help: "metrics, health, status page", set: listen},
		{Path: "admin.hosts", Type: "a list of host names", list: true, Help: "names under which the admin port is served, besides localhost and every address", set: adminHost},
		{Path: "admin.token_file", Type: "a path", Help: "file that holds the token for admin actions; without it they are off", set: file(func(c *Config) *string { return &c.Admin.TokenFile })},
		{Path: "log.level", Type: "one of a few words", Default: "info", Reload: true, Help: "`debug`, `info`, `warn` or `error`", set: level},
		{Path: "log.format", Type: "one of a few words", Reload: true, Help: "`text` or `json`; text on a terminal, else json", set: oneOf(func(c *Config) *LogFormat { return &c.Log.Format }, FormatAuto, FormatText, FormatJSON)},
		{Path: "tracing.endpoint", Type: "a URL", Help: "OpenTelemetry collector that takes OTLP over HTTP, such as `http://localhost:4318`; none: no traces", set: collector},
		{Path: "tracing.sample_ratio", Type: "a number", Default: "0.01", Help: "share of events that are traced, 0 to 1, where a record's `traceparent` doesn't decide", set: ratio(func(c *Config) *float64 { return &c.Tracing.SampleRatio })},
	}
}

func text(field func(*Config) *string) setter {
	return func(c *Config, s string) error {
		*field(c) = s
		return nil
	}
}

// name is a text that must not be empty.
func name(field func(*Config) *string) setter {
	return func(c *Config, s string) error {
		if s == "" {
			return errors.New("expected a text that is not empty")
		}
		*field(c) = s
		return nil
	}
}

func secret(field func(*Config) *Secret) setter {
	return func(c *Config, s string) error {
		*field(c) = Secret(s)
		return nil
	}
}

// topicLetters are the characters that Kafka allows in names of topics.
const topicLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func topic(field func(*Config) *string) setter {
	return func(c *Config, s string) error {
		if s == "" || s == "." || s == ".." || len(s) > 249 || strings.Trim(s, topicLetters) != "" {
			return errors.New("expected a topic's name: letters, digits, '.', '_' and '-', at most 249")
		}
		*field(c) = s
		return nil
	}
}

func oneOf[T ~string](field func(*Config) *T, allowed ...T) setter {
	return func(c *Config, s string) error {
		if !slices.Contains(allowed, T(s)) {
			return errors.New("expected one of " + listed(allowed))
		}
		*field(c) = T(s)
		return nil
	}
}

// listed joins values by commas, but for "".
func listed[T ~string](values []T) string {
	var shown []string
	for _, v := range values {
		if v != "" {
			shown = append(shown, string(v))
		}
	}
	return strings.Join(shown, ", ")
}

func boolean(field func(*Config) *bool) setter {
	return func(c *Config, s string) error {
		if s != "true" && s != "false" {
			return errors.New("expected true or false")
		}
		*field(c) = s == "true"
		return nil
	}
}

func file(field func(*Config) *string) setter {
	return func(c *Config, s string) error {
		*field(c) = s
		if s == "" {
			return nil
		}
		if err := readable(s); err != nil {
			return fmt.Errorf("expected a file that can be read: %w", err)
		}
		return nil
	}
}

func integer64(field func(*Config) *int64, least, most int64) setter {
	return func(c *Config, s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < least || n > most {
			return fmt.Errorf("expected a whole number from %d to %d", least, most)
		}
		*field(c) = n
		return nil
	}
}

func integer(field func(*Config) *int, least, most int64) setter {
	return func(c *Config, s string) error {
		var n int64
		if err := integer64(func(*Config) *int64 { return &n }, least, most)(c, s); err != nil {
			return err
		}
		*field(c) = int(n)
		return nil
	}
}

func number(field func(*Config) *float64) setter {
	return func(c *Config, s string) error {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f < 0 || math.IsInf(f, 0) || math.IsNaN(f) {
			return errors.New("expected a number of events per second, 0 or more")
		}
		*field(c) = f
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least, most time.Duration) setter {
	return func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			return fmt.Errorf("expected a duration from %s to %s, such as 500ms, 30s or 24h", short(least), short(most))
		}
		*field(c) = d
		return nil
	}
}

// short writes a duration without the units that are zero.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

func size(field func(*Config) *int64, least int64) setter {
	return func(c *Config, s string) error {
		for _, unit := range sizeUnits {
			digits, ok := strings.CutSuffix(s, unit.suffix)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
			if err != nil || n > math.MaxInt64/unit.bytes || n*unit.bytes < least {
				break
			}
			*field(c) = n * unit.bytes
			return nil
		}
		return fmt.Errorf("expected a size of %d bytes or more, such as 64MiB", least)
	}
}

func broker(c *Config, s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/ ") {
		return errors.New("expected host:port, such as localhost:9092")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errors.New("expected host:port with a port from 1 to 65535")
	}
	c.Kafka.Brokers = append(c.Kafka.Brokers, s)
	return nil
}

func listen(c *Config, s string) error {
	c.Admin.Listen = s
	return CheckListen(s)
}

func adminHost(c *Config, s string) error {
	if s == "" || strings.ContainsAny(s, "/: *") {
		return errors.New("expected a host name without a port, such as clientevents.example.com")
	}
	c.Admin.Hosts = append(c.Admin.Hosts, s)
	return nil
}

// CheckListen returns an error if an address to listen on is invalid.
func CheckListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("expected host:port or :port, such as :9090")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("expected host:port with a port from 0 to 65535; 0 is any that is free")
	}
	return nil
}

func endpoint(c *Config, s string) error {
	c.API.Endpoint = strings.TrimSuffix(s, "/")
	return checkURL(s, "https://jobs.googleapis.com", "api.credentials")
}

func registryURL(c *Config, s string) error {
	c.Input.Registry.URL = strings.TrimSuffix(s, "/")
	if s == "" {
		return nil
	}
	return checkURL(s, "https://schemas.example.com", "input.registry.username")
}

func collector(c *Config, s string) error {
	c.Tracing.Endpoint = strings.TrimSuffix(s, "/")
	if s == "" {
		return nil
	}
	return checkURL(s, "http://localhost:4318", "OTEL_EXPORTER_OTLP_HEADERS")
}

// checkURL checks a base URL; example is one, and login names the setting of credentials
// for it.
func checkURL(s, example, login string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("expected an http or https URL, such as " + example)
	case u.User != nil:
		return errors.New("expected a URL without a user: credentials are set by " + login)
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("expected a URL without a query or fragment")
	}
	return nil
}

func ratio(field func(*Config) *float64) setter {
	return func(c *Config, s string) error {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return errors.New("expected a share from 0 to 1, such as 0.05")
		}
		*field(c) = f
		return nil
	}
}

func version(c *Config, s string) error {
	v, err := event.ParseVersion(s)
	if err != nil {
		return errors.New("expected one of v3, v4beta1, v4")
	}
	c.API.Version = v
	return nil
}

func credentials(c *Config, s string) error {
	c.API.Credentials = s
	if s == "default" || s == "none" {
		return nil
	}
	if err := readable(s); err != nil {
		return fmt.Errorf("expected default, none, or the path of a credentials file: %w", err)
	}
	return nil
}

func level(c *Config, s string) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s) {
		return errors.New("expected one of debug, info, warn, error")
	}
	return c.Log.Level.UnmarshalText([]byte(s))
}
