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
)

// Key describes one key of the configuration.
type Key struct {
	// Path is the key's full path, such as "report.rate".
	Path string
	// Default is the value that the key has where none is given; "" where there
	// is none, and with <…> where it is made of another key's.
	Default string
	// Required keys have no default and must be given.
	Required bool
	// Type says what values look like, such as "a duration".
	Type string
	// Help says what the key means, in half a line.
	Help string

	list bool
	// secret keys come from the environment alone, and are not shown.
	secret bool
	// set takes a value, or one more of a list; its error says what would be
	// right.
	set setter
}

// Env is the environment variable that overrides the key.
func (k Key) Env() string {
	return "CLIENTEVENTS_" + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
}

// derived says whether the default is made of another key's value.
func (k Key) derived() bool { return strings.Contains(k.Default, "<") }

type setter func(*Config, string) error

// Keys lists every key, in the order in which they are documented. It is the
// one place that knows them: what is read, the variables' names and the
// documents' tables all come from here.
func Keys() []Key {
	return []Key{
		{Path: "kafka.brokers", Type: "a list of host:port", Required: true, list: true, Help: "list of host:port", set: broker},
		{Path: "kafka.topic", Type: "a topic's name", Required: true, Help: "source topic", set: topic(func(c *Config) *string { return &c.Kafka.Topic })},
		{Path: "kafka.group", Type: "a text", Required: true, Help: "consumer group", set: name(func(c *Config) *string { return &c.Kafka.Group })},
		{Path: "kafka.dead_letter_topic", Type: "a topic's name", Default: "<topic>.dead-letter", Help: "where records go that can't be delivered", set: topic(func(c *Config) *string { return &c.Kafka.DeadLetterTopic })},
		{Path: "kafka.state_topic", Type: "a topic's name", Default: "<topic>.reported", Help: "the record of what was reported", set: topic(func(c *Config) *string { return &c.Kafka.StateTopic })},
		{Path: "kafka.start", Type: "one of a few words", Default: "earliest", Help: "`earliest` or `latest`, for a group without offsets", set: oneOf(func(c *Config) *string { return &c.Kafka.Start }, "earliest", "latest")},
		{Path: "kafka.tls.enabled", Type: "true or false", Default: "false", Help: "TLS to the brokers", set: boolean(func(c *Config) *bool { return &c.Kafka.TLS.Enabled })},
		{Path: "kafka.tls.ca_file", Type: "a path", Help: "PEM certificates to trust instead of the system's", set: file(func(c *Config) *string { return &c.Kafka.TLS.CAFile })},
		{Path: "kafka.tls.cert_file", Type: "a path", Help: "PEM client certificate", set: file(func(c *Config) *string { return &c.Kafka.TLS.CertFile })},
		{Path: "kafka.tls.key_file", Type: "a path", Help: "PEM key of the client certificate", set: file(func(c *Config) *string { return &c.Kafka.TLS.KeyFile })},
		{Path: "kafka.sasl.mechanism", Type: "one of a few words", Help: "`plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer` (with Google credentials)", set: oneOf(func(c *Config) *string { return &c.Kafka.SASL.Mechanism }, "", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer")},
		{Path: "kafka.sasl.username", Type: "a text", Help: "login name", set: text(func(c *Config) *string { return &c.Kafka.SASL.Username })},
		{Path: "kafka.sasl.password_file", Type: "a path", Help: "file that holds the password", set: file(func(c *Config) *string { return &c.Kafka.SASL.PasswordFile })},
		{Path: "kafka.sasl.password", Type: "a text", secret: true, Help: "the password; only as an environment variable", set: secret(func(c *Config) *Secret { return &c.Kafka.SASL.Password })},
		{Path: "kafka.state_replication_factor", Type: "a whole number", Default: "0", Help: "replication factor of topics that are created; 0 = the broker's default", set: integer(func(c *Config) *int { return &c.Kafka.StateReplication }, 0, 32767)},
		{Path: "kafka.session_timeout", Type: "a duration", Default: "8s", Help: "after how long without a sign of life another replica takes over", set: duration(func(c *Config) *time.Duration { return &c.Kafka.SessionTimeout }, time.Second, 30*time.Minute)},
		{Path: "kafka.max_in_flight_bytes", Type: "a size", Default: "32MiB", Help: "memory for records between fetch and outcome, for all partitions", set: size(func(c *Config) *int64 { return &c.Kafka.MaxInFlightBytes }, 1<<20)},
		{Path: "kafka.max_in_flight_records", Type: "a whole number", Default: "10000", Help: "records between fetch and outcome, for all partitions", set: integer64(func(c *Config) *int64 { return &c.Kafka.MaxInFlightRecords }, 1, 100_000_000)},
		{Path: "api.endpoint", Type: "a URL", Default: "https://jobs.googleapis.com", Help: "http or https URL", set: endpoint},
		{Path: "api.version", Type: "a version", Required: true, Help: "`v3`, `v4beta1` or `v4`", set: version},
		{Path: "api.parent", Type: "a text", Required: true, Help: "`projects/P` (v3, v4beta1) or `projects/P/tenants/T` (v4beta1, v4)", set: name(func(c *Config) *string { return &c.API.Parent })},
		{Path: "api.credentials", Type: "a word or a path", Default: "default", Help: "`default` (Application Default Credentials), `none`, or the path of a credentials file", set: credentials},
		{Path: "api.quota_project", Type: "a text", Help: "project that quota and billing are counted for", set: text(func(c *Config) *string { return &c.API.QuotaProject })},
		{Path: "api.timeout", Type: "a duration", Default: "30s", Help: "for one attempt", set: duration(func(c *Config) *time.Duration { return &c.API.Timeout }, time.Millisecond, time.Hour)},
		{Path: "report.concurrency", Type: "a whole number", Default: "16", Help: "HTTP requests in flight, at most", set: integer(func(c *Config) *int { return &c.Report.Concurrency }, 1, 10_000)},
		{Path: "report.rate", Type: "a number", Default: "0", Help: "events a second, 0 = no limit of our own; the replicas of a group share it", set: number(func(c *Config) *float64 { return &c.Report.Rate })},
		{Path: "report.batch_size", Type: "a whole number", Default: "100", Help: "events in one HTTP request, 1 to 1000; 1 = one POST an event, more = multipart HTTP batch", set: integer(func(c *Config) *int { return &c.Report.BatchSize }, 1, 1000)},
		{Path: "report.linger", Type: "a duration", Default: "5ms", Help: "how long a batch that is not full waits; `0` sends as soon as a request slot is free", set: duration(func(c *Config) *time.Duration { return &c.Report.Linger }, 0, time.Minute)},
		{Path: "report.priority", Type: "one of a few words", Default: "value", Help: "what goes first when not all can: `value` (applications, then views, then impressions) or `arrival`", set: oneOf(func(c *Config) *string { return &c.Report.Priority }, "value", "arrival")},
		{Path: "dedupe.window", Type: "a duration", Default: "24h", Help: "how long an event id is remembered", set: duration(func(c *Config) *time.Duration { return &c.Dedupe.Window }, time.Second, 366*24*time.Hour)},
		{Path: "parents.policy", Type: "one of a few words", Default: "require", Help: "`require` or `allow`", set: oneOf(func(c *Config) *string { return &c.Parents.Policy }, "require", "allow")},
		{Path: "parents.wait", Type: "a duration", Default: "30s", Help: "how long a child waits for its parent", set: duration(func(c *Config) *time.Duration { return &c.Parents.Wait }, 0, 24*time.Hour)},
		{Path: "suspicious.age", Type: "a duration", Default: "24h", Help: "how old events may be when published, and searches when reported, before they are counted as suspicious", set: duration(func(c *Config) *time.Duration { return &c.Suspicious.Age }, time.Minute, 366*24*time.Hour)},
		{Path: "suspicious.ahead", Type: "a duration", Default: "5m", Help: "how far in the future a createTime may be before that is suspicious", set: duration(func(c *Config) *time.Duration { return &c.Suspicious.Ahead }, time.Second, 24*time.Hour)},
		{Path: "suspicious.refuse", Type: "true or false", Default: "false", Help: "make events with suspicious create times dead letters", set: boolean(func(c *Config) *bool { return &c.Suspicious.Refuse })},
		{Path: "admin.listen", Type: "host:port", Default: ":9090", Help: "metrics, health, status page", set: listen},
		{Path: "admin.token_file", Type: "a path", Help: "file that holds the token for admin actions; without it they are off", set: file(func(c *Config) *string { return &c.Admin.TokenFile })},
		{Path: "log.level", Type: "one of a few words", Default: "info", Help: "`debug`, `info`, `warn` or `error`", set: level},
		{Path: "log.format", Type: "one of a few words", Help: "`text` or `json`; text on a terminal, else json", set: oneOf(func(c *Config) *string { return &c.Log.Format }, "", "text", "json")},
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
			return errors.New("want a text that is not empty")
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

// topicLetters are what names of topics are made of, as Kafka has it.
const topicLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func topic(field func(*Config) *string) setter {
	return func(c *Config, s string) error {
		if s == "" || s == "." || s == ".." || len(s) > 249 || strings.Trim(s, topicLetters) != "" {
			return errors.New("want a topic's name: letters, digits, '.', '_' and '-', at most 249")
		}
		*field(c) = s
		return nil
	}
}

func oneOf(field func(*Config) *string, allowed ...string) setter {
	return func(c *Config, s string) error {
		if !slices.Contains(allowed, s) {
			shown := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
			return errors.New("want one of " + strings.Join(shown, ", "))
		}
		*field(c) = s
		return nil
	}
}

func boolean(field func(*Config) *bool) setter {
	return func(c *Config, s string) error {
		if s != "true" && s != "false" {
			return errors.New("want true or false")
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
			return fmt.Errorf("want a file that can be read: %w", err)
		}
		return nil
	}
}

func integer64(field func(*Config) *int64, least, most int64) setter {
	return func(c *Config, s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < least || n > most {
			return fmt.Errorf("want a whole number from %d to %d", least, most)
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
			return errors.New("want a number of events per second, 0 or more")
		}
		*field(c) = f
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least, most time.Duration) setter {
	return func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			return fmt.Errorf("want a duration from %s to %s, such as 500ms, 30s or 24h", short(least), short(most))
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
		return fmt.Errorf("want a size of %d bytes or more, such as 64MiB", least)
	}
}

func broker(c *Config, s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/ ") {
		return errors.New("want host:port, such as localhost:9092")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errors.New("want host:port with a port from 1 to 65535")
	}
	c.Kafka.Brokers = append(c.Kafka.Brokers, s)
	return nil
}

func listen(c *Config, s string) error {
	c.Admin.Listen = s
	return CheckListen(s)
}

// CheckListen says what is wrong with an address to listen on.
func CheckListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("want host:port or :port, such as :9090")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("want host:port with a port from 0 to 65535; 0 is any that is free")
	}
	return nil
}

func endpoint(c *Config, s string) error {
	c.API.Endpoint = strings.TrimSuffix(s, "/")
	return checkURL(s, "https://jobs.googleapis.com", "api.credentials")
}

func collector(c *Config, s string) error {
	c.Tracing.Endpoint = strings.TrimSuffix(s, "/")
	if s == "" {
		return nil
	}
	return checkURL(s, "http://localhost:4318", "OTEL_EXPORTER_OTLP_HEADERS")
}

// checkURL wants a base URL; example is one, and login is what sets credentials
// for it.
func checkURL(s, example, login string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("want an http or https URL, such as " + example)
	case u.User != nil:
		return errors.New("want a URL without a user: credentials are set by " + login)
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("want a URL without a query or fragment")
	}
	return nil
}

func ratio(field func(*Config) *float64) setter {
	return func(c *Config, s string) error {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return errors.New("want a share from 0 to 1, such as 0.05")
		}
		*field(c) = f
		return nil
	}
}

func version(c *Config, s string) error {
	v, err := event.ParseVersion(s)
	if err != nil {
		return errors.New("want one of v3, v4beta1, v4")
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
		return fmt.Errorf("want default, none, or the path of a credentials file: %w", err)
	}
	return nil
}

func level(c *Config, s string) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s) {
		return errors.New("want one of debug, info, warn, error")
	}
	return c.Log.Level.UnmarshalText([]byte(s))
}
