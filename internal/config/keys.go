package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
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
	// Default is the value without which the key is as if it had been given;
	// "" where the key has none.
	Default string
	// Required keys have no default and must be given.
	Required bool
	// Help says what the key means, in half a line.
	Help string

	list bool
	// secret keys come from the environment alone, and are not shown.
	secret bool
	// set takes a value; its error says what would be right.
	set func(*Config, []string) error
}

// Env is the environment variable that overrides the key.
func (k Key) Env() string {
	return "CLIENTEVENTS_" + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
}

// Keys lists every key, in the order in which they are documented.
func Keys() []Key {
	return []Key{
		{Path: "kafka.brokers", Required: true, list: true, Help: "list of host:port", set: brokers},
		{Path: "kafka.topic", Required: true, Help: "source topic", set: topic(func(c *Config) *string { return &c.Kafka.Topic })},
		{Path: "kafka.group", Required: true, Help: "consumer group", set: text(func(c *Config) *string { return &c.Kafka.Group })},
		{Path: "kafka.dead_letter_topic", Default: "<topic>.dead-letter", Help: "where records go that can't be delivered", set: topic(func(c *Config) *string { return &c.Kafka.DeadLetterTopic })},
		{Path: "kafka.state_topic", Default: "<topic>.reported", Help: "the record of what was reported", set: topic(func(c *Config) *string { return &c.Kafka.StateTopic })},
		{Path: "kafka.start", Default: "earliest", Help: "`earliest` or `latest`, for a group without offsets", set: oneOf(func(c *Config) *string { return &c.Kafka.Start }, "earliest", "latest")},
		{Path: "kafka.tls.enabled", Default: "false", Help: "TLS to the brokers", set: boolean(func(c *Config) *bool { return &c.Kafka.TLS.Enabled })},
		{Path: "kafka.tls.ca_file", Help: "PEM certificates to trust instead of the system's", set: file(func(c *Config) *string { return &c.Kafka.TLS.CAFile })},
		{Path: "kafka.tls.cert_file", Help: "PEM client certificate", set: file(func(c *Config) *string { return &c.Kafka.TLS.CertFile })},
		{Path: "kafka.tls.key_file", Help: "PEM key of the client certificate", set: file(func(c *Config) *string { return &c.Kafka.TLS.KeyFile })},
		{Path: "kafka.sasl.mechanism", Help: "`plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer` (with Google credentials)", set: oneOf(func(c *Config) *string { return &c.Kafka.SASL.Mechanism }, "", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer")},
		{Path: "kafka.sasl.username", Help: "login name", set: text(func(c *Config) *string { return &c.Kafka.SASL.Username })},
		{Path: "kafka.sasl.password_file", Help: "file that holds the password", set: file(func(c *Config) *string { return &c.Kafka.SASL.PasswordFile })},
		{Path: "kafka.sasl.password", secret: true, Help: "the password; only as an environment variable", set: secret(func(c *Config) *Secret { return &c.Kafka.SASL.Password })},
		{Path: "kafka.state_replication_factor", Default: "0", Help: "replication factor of topics that are created; 0 = the broker's default", set: integer(func(c *Config) *int { return &c.Kafka.StateReplication }, 0, 32767)},
		{Path: "kafka.session_timeout", Default: "10s", Help: "after how long without a sign of life another replica takes over", set: duration(func(c *Config) *time.Duration { return &c.Kafka.SessionTimeout }, time.Second, 30*time.Minute)},
		{Path: "kafka.max_in_flight_bytes", Default: "64MiB", Help: "memory for records between fetch and outcome, for all partitions", set: size(func(c *Config) *int64 { return &c.Kafka.MaxInFlightBytes }, 1<<20)},
		{Path: "kafka.max_in_flight_records", Default: "20000", Help: "records between fetch and outcome, for all partitions", set: integer64(func(c *Config) *int64 { return &c.Kafka.MaxInFlightRecords }, 1, 100_000_000)},
		{Path: "api.endpoint", Default: "https://jobs.googleapis.com", Help: "http or https URL", set: endpoint},
		{Path: "api.version", Required: true, Help: "`v3`, `v4beta1` or `v4`", set: version},
		{Path: "api.parent", Required: true, Help: "`projects/P` (v3, v4beta1) or `projects/P/tenants/T` (v4beta1, v4)", set: text(func(c *Config) *string { return &c.API.Parent })},
		{Path: "api.credentials", Default: "default", Help: "`default` (Application Default Credentials), `none`, or the path of a credentials file", set: credentials},
		{Path: "api.quota_project", Help: "project that quota and billing are counted for", set: text(func(c *Config) *string { return &c.API.QuotaProject })},
		{Path: "api.timeout", Default: "30s", Help: "for one attempt", set: duration(func(c *Config) *time.Duration { return &c.API.Timeout }, time.Millisecond, time.Hour)},
		{Path: "report.concurrency", Default: "16", Help: "HTTP requests in flight, at most", set: integer(func(c *Config) *int { return &c.Report.Concurrency }, 1, 10_000)},
		{Path: "report.rate", Default: "0", Help: "events a second, 0 = no limit of our own; the replicas of a group share it", set: number(func(c *Config) *float64 { return &c.Report.Rate })},
		{Path: "report.batch_size", Default: "100", Help: "events in one HTTP request, 1 to 1000; 1 = one POST an event, more = multipart HTTP batch", set: integer(func(c *Config) *int { return &c.Report.BatchSize }, 1, 1000)},
		{Path: "report.linger", Default: "5ms", Help: "how long a batch that is not full waits; `0` sends as soon as a request slot is free", set: duration(func(c *Config) *time.Duration { return &c.Report.Linger }, 0, time.Minute)},
		{Path: "dedupe.window", Default: "24h", Help: "how long an event id is remembered", set: duration(func(c *Config) *time.Duration { return &c.Dedupe.Window }, time.Second, 366*24*time.Hour)},
		{Path: "parents.policy", Default: "require", Help: "`require` or `allow`", set: oneOf(func(c *Config) *string { return &c.Parents.Policy }, "require", "allow")},
		{Path: "parents.wait", Default: "30s", Help: "how long a child waits for its parent", set: duration(func(c *Config) *time.Duration { return &c.Parents.Wait }, 0, 24*time.Hour)},
		{Path: "admin.listen", Default: ":9090", Help: "metrics, health, status page", set: listen},
		{Path: "log.level", Default: "info", Help: "`debug`, `info`, `warn` or `error`", set: level},
		{Path: "log.format", Help: "`text` or `json`; text on a terminal, else json", set: oneOf(func(c *Config) *string { return &c.Log.Format }, "", "text", "json")},
	}
}

// one takes a value that is not a list.
func one(values []string, want string) (string, error) {
	if len(values) != 1 {
		return "", errors.New("want " + want + ", not a list")
	}
	return strings.TrimSpace(values[0]), nil
}

func text(field func(*Config) *string) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		s, err := one(values, "a text")
		*field(c) = s
		return err
	}
}

func secret(field func(*Config) *Secret) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		*field(c) = Secret(values[0])
		return nil
	}
}

func topic(field func(*Config) *string) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		const want = "want a topic's name: letters, digits, '.', '_' and '-', at most 249"
		s, err := one(values, "a topic's name")
		if err != nil {
			return err
		}
		legal := func(r rune) bool {
			return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
		}
		if s == "" || len(s) > 249 || strings.ContainsFunc(s, func(r rune) bool { return !legal(r) }) {
			return errors.New(want)
		}
		*field(c) = s
		return nil
	}
}

func oneOf(field func(*Config) *string, allowed ...string) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		shown := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
		want := "one of " + strings.Join(shown, ", ")
		s, err := one(values, want)
		if err != nil {
			return err
		}
		if !slices.Contains(allowed, s) {
			return errors.New("want " + want)
		}
		*field(c) = s
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		s, err := one(values, "true or false")
		if err != nil {
			return err
		}
		switch s {
		case "true":
			*field(c) = true
		case "false":
			*field(c) = false
		default:
			return errors.New("want true or false")
		}
		return nil
	}
}

func file(field func(*Config) *string) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		s, err := one(values, "a file's path")
		if err != nil {
			return err
		}
		*field(c) = s
		return readable(s)
	}
}

// readable says whether a file is there and can be read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("want a file that can be read: %w", errors.Unwrap(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return errors.New("want a file that can be read: it is a directory")
	}
	return nil
}

func integer64(field func(*Config) *int64, least, most int64) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		want := fmt.Sprintf("a whole number from %d to %d", least, most)
		s, err := one(values, want)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < least || n > most {
			return errors.New("want " + want)
		}
		*field(c) = n
		return nil
	}
}

func integer(field func(*Config) *int, least, most int64) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		var n int64
		if err := integer64(func(*Config) *int64 { return &n }, least, most)(c, values); err != nil {
			return err
		}
		*field(c) = int(n)
		return nil
	}
}

func number(field func(*Config) *float64) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		const want = "a number of events a second, 0 or more"
		s, err := one(values, want)
		if err != nil {
			return err
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f < 0 || math.IsInf(f, 0) || math.IsNaN(f) {
			return errors.New("want " + want)
		}
		*field(c) = f
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least, most time.Duration) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		want := fmt.Sprintf("a duration from %s to %s, such as 500ms, 30s or 24h", least, most)
		s, err := one(values, want)
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			return errors.New("want " + want)
		}
		*field(c) = d
		return nil
	}
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

func size(field func(*Config) *int64, least int64) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		want := fmt.Sprintf("a size of %d bytes or more, such as 64MiB", least)
		s, err := one(values, want)
		if err != nil {
			return err
		}
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
		return errors.New("want " + want)
	}
}

func brokers(c *Config, values []string) error {
	c.Kafka.Brokers = nil
	for _, s := range values {
		s = strings.TrimSpace(s)
		if err := hostPort(s, false); err != nil {
			return fmt.Errorf("%q: %w", s, err)
		}
		c.Kafka.Brokers = append(c.Kafka.Brokers, s)
	}
	if len(c.Kafka.Brokers) == 0 {
		return errors.New("want at least one host:port")
	}
	return nil
}

func hostPort(s string, hostMayBeEmpty bool) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || (host == "" && !hostMayBeEmpty) {
		return errors.New("want host:port, such as localhost:9092")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 || (n == 0 && !hostMayBeEmpty) {
		return errors.New("want a port from 1 to 65535")
	}
	return nil
}

func listen(c *Config, values []string) error {
	s, err := one(values, "an address")
	if err != nil {
		return err
	}
	c.Admin.Listen = s
	return hostPort(s, true)
}

func endpoint(c *Config, values []string) error {
	const want = "want an http or https URL, such as https://jobs.googleapis.com"
	s, err := one(values, "a URL")
	if err != nil {
		return err
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New(want)
	case u.User != nil:
		return errors.New("want a URL without a user: credentials are set by api.credentials")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("want a URL without a query or fragment")
	}
	c.API.Endpoint = strings.TrimSuffix(s, "/")
	return nil
}

func version(c *Config, values []string) error {
	s, err := one(values, "a version")
	if err != nil {
		return err
	}
	v, err := event.ParseVersion(s)
	if err != nil {
		return errors.New("want one of v3, v4beta1, v4")
	}
	c.API.Version = v
	return nil
}

func credentials(c *Config, values []string) error {
	const want = "default, none, or the path of a credentials file"
	s, err := one(values, want)
	if err != nil {
		return err
	}
	c.API.Credentials = s
	if s == "default" || s == "none" {
		return nil
	}
	if s == "" {
		return errors.New("want " + want)
	}
	return readable(s)
}

func level(c *Config, values []string) error {
	const want = "one of debug, info, warn, error"
	s, err := one(values, want)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s) {
		return errors.New("want " + want)
	}
	return c.Log.Level.UnmarshalText([]byte(s))
}
