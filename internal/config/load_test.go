package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
)

// least is the least that a configuration needs.
const least = `kafka:
  brokers: [a:9092, b:9092]
  topic: events
  group: reporters
api:
  version: v3
  parent: projects/p
`

func TestDefaults(t *testing.T) {
	c, err := load("config.yaml", []byte(least), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Kafka: Kafka{
			Brokers: []string{"a:9092", "b:9092"}, Topic: "events", Group: "reporters",
			DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported", Start: "earliest",
			SASL:           SASL{OAuth: OAuth{Provider: "google"}},
			SessionTimeout: 8 * time.Second, MaxInFlightRecords: 10_000,
		},
		Input: Input{Format: "json"},
		API: API{
			Endpoint: "https://jobs.googleapis.com", Version: event.V3, Parent: "projects/p",
			Credentials: "default", Timeout: 30 * time.Second,
		},
		Report:  Report{Concurrency: 16, BatchSize: 100, Linger: 5 * time.Millisecond, Priority: "value"},
		Dedupe:  Dedupe{Window: 24 * time.Hour},
		Parents: Parents{Policy: "require", Wait: 30 * time.Second},

		Suspicious: Suspicious{Age: 24 * time.Hour, Ahead: 5 * time.Minute},
		Privacy:    Privacy{DeadLetters: "original"},

		Admin:   Admin{Listen: ":9090"},
		Tracing: Tracing{SampleRatio: 0.01},
	}
	c.settings = nil // see settings_test.go
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// everything gives every key a value that is not its default, and two ways to
// write each.
func everything(t *testing.T) (yaml string, environ []string, want *Config) {
	inFolderWithFiles(t)
	yaml = `
kafka:
  brokers:
    - broker-1:9092
    - "[::1]:9093"
  topic: events
  group: reporters
  dead_letter_topic: dead
  state_topic: state
  start: latest
  tls:
    enabled: true
    ca_file: cert.pem
    cert_file: cert.pem
    key_file: key.pem
  sasl:
    mechanism: scram-sha-512
    username: user
    password_file: password
  state_replication_factor: 3
  instance_id: replica-1
  session_timeout: 45s
  max_in_flight_bytes: 256MiB
  max_in_flight_records: 1000
input:
  format: avro
  registry:
    url: https://registry:8081/
    username: user
    password_file: password
    ca_file: cert.pem
    cert_file: cert.pem
    key_file: key.pem
  mapping_file: mapping.jq
  rekey: true
api:
  endpoint: http://127.0.0.1:8080/
  version: v4
  parent: projects/p/tenants/t
  credentials: credentials.json
  quota_project: q
  timeout: 5s
report:
  concurrency: 4
  rate: 12.5
  batch_size: 1
  linger: 0
  priority: arrival
dedupe:
  window: 48h
suspicious: {age: 1h, ahead: 1m, refuse: true}
privacy:
  extra_info:
    keep: [source, page]
    hash: [user]
    hash_key_file: hash-key
  dead_letters: redact
parents:
  policy: allow
  wait: 1m30s
admin:
  listen: 127.0.0.1:0
  hosts: [clientevents.example.com, other]
  token_file: password
log:
  level: warn
  format: json
tracing:
  endpoint: http://collector:4318/
  sample_ratio: 0.5
`
	want = &Config{
		Kafka: Kafka{
			Brokers: []string{"broker-1:9092", "[::1]:9093"}, Topic: "events", Group: "reporters",
			DeadLetterTopic: "dead", StateTopic: "state", Start: "latest",
			TLS:              TLS{Enabled: true, CAFile: "cert.pem", CertFile: "cert.pem", KeyFile: "key.pem"},
			SASL:             SASL{Mechanism: "scram-sha-512", Username: "user", Password: " s3cret", PasswordFile: "password", OAuth: OAuth{Provider: "google"}},
			StateReplication: 3, InstanceID: "replica-1", SessionTimeout: 45 * time.Second, MaxInFlightBytes: 256 << 20, MaxInFlightRecords: 1000,
		},
		Input: Input{
			Format: "avro",
			Registry: Registry{
				URL: "https://registry:8081", Username: "user", PasswordFile: "password",
				CAFile: "cert.pem", CertFile: "cert.pem", KeyFile: "key.pem",
			},
			Mapping: "{eventId: .id}\n", MappingFile: "mapping.jq", Rekey: true,
		},
		API: API{
			Endpoint: "http://127.0.0.1:8080", Version: event.V4, Parent: "projects/p/tenants/t",
			Credentials: "credentials.json", QuotaProject: "q", Timeout: 5 * time.Second,
		},
		Report:  Report{Concurrency: 4, Rate: 12.5, BatchSize: 1, Priority: "arrival"},
		Dedupe:  Dedupe{Window: 48 * time.Hour},
		Parents: Parents{Policy: "allow", Wait: 90 * time.Second},

		Suspicious: Suspicious{Age: time.Hour, Ahead: time.Minute, Refuse: true},
		Privacy:    Privacy{ExtraInfo: ExtraInfo{KeepOnly: true, Keep: []string{"source", "page"}, Hash: []string{"user"}, HashKeyFile: "hash-key"}, DeadLetters: "redact"},

		Admin:   Admin{Listen: "127.0.0.1:0", Hosts: []string{"clientevents.example.com", "other"}, TokenFile: "password"},
		Log:     Log{Level: slog.LevelWarn, Format: "json"},
		Tracing: Tracing{Endpoint: "http://collector:4318", SampleRatio: 0.5},
	}
	values := map[string]string{
		"KAFKA_BROKERS": "broker-1:9092, [::1]:9093", "KAFKA_TOPIC": "events", "KAFKA_GROUP": "reporters",
		"KAFKA_DEAD_LETTER_TOPIC": "dead", "KAFKA_STATE_TOPIC": "state", "KAFKA_START": "latest",
		"KAFKA_TLS_ENABLED": "true", "KAFKA_TLS_CA_FILE": "cert.pem", "KAFKA_TLS_CERT_FILE": "cert.pem", "KAFKA_TLS_KEY_FILE": "key.pem",
		"KAFKA_SASL_MECHANISM": "scram-sha-512", "KAFKA_SASL_USERNAME": "user", "KAFKA_SASL_PASSWORD": " s3cret", "KAFKA_SASL_PASSWORD_FILE": "password",
		"KAFKA_STATE_REPLICATION_FACTOR": "3", "KAFKA_INSTANCE_ID": "replica-1", "KAFKA_SESSION_TIMEOUT": "45s", "KAFKA_MAX_IN_FLIGHT_BYTES": "268435456", "KAFKA_MAX_IN_FLIGHT_RECORDS": "1000",
		"INPUT_FORMAT": "avro", "INPUT_REGISTRY_URL": "https://registry:8081", "INPUT_REGISTRY_USERNAME": "user", "INPUT_REGISTRY_PASSWORD_FILE": "password",
		"INPUT_REGISTRY_CA_FILE": "cert.pem", "INPUT_REGISTRY_CERT_FILE": "cert.pem", "INPUT_REGISTRY_KEY_FILE": "key.pem", "INPUT_MAPPING_FILE": "mapping.jq", "INPUT_REKEY": "true",
		"API_ENDPOINT": "http://127.0.0.1:8080", "API_VERSION": "v4", "API_PARENT": "projects/p/tenants/t",
		"API_CREDENTIALS": "credentials.json", "API_QUOTA_PROJECT": "q", "API_TIMEOUT": "5s",
		"REPORT_CONCURRENCY": "4", "REPORT_RATE": "12.5", "REPORT_BATCH_SIZE": "1", "REPORT_LINGER": "0s", "REPORT_PRIORITY": "arrival",
		"DEDUPE_WINDOW": "48h", "PARENTS_POLICY": "allow", "PARENTS_WAIT": "90s", "SUSPICIOUS_AGE": "1h", "SUSPICIOUS_AHEAD": "1m", "SUSPICIOUS_REFUSE": "true", "PRIVACY_EXTRA_INFO_KEEP": "source, page", "PRIVACY_EXTRA_INFO_HASH": "user", "PRIVACY_EXTRA_INFO_HASH_KEY_FILE": "hash-key", "PRIVACY_DEAD_LETTERS": "redact", "ADMIN_LISTEN": "127.0.0.1:0", "ADMIN_HOSTS": "clientevents.example.com,other", "ADMIN_TOKEN_FILE": "password",
		"LOG_LEVEL": "warn", "LOG_FORMAT": "json",
		"TRACING_ENDPOINT": "http://collector:4318", "TRACING_SAMPLE_RATIO": "0.5",
	}
	for name, value := range values {
		environ = append(environ, "CLIENTEVENTS_"+name+"="+value)
	}
	return yaml, environ, want
}

// inFolderWithFiles goes to a new folder with files of the kinds that
// configurations name.
func inFolderWithFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	write(t, "password", " s3cret\r\n")
	write(t, "hash-key", "0123456789abcdef\n")
	write(t, "empty", "")
	write(t, "credentials.json", "{}")
	write(t, "mapping.jq", "{eventId: .id}\n")
	write(t, "wrong.jq", "{eventId: .id,\n x: }")
	if err := os.Mkdir("folder", 0o700); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEveryKeyInTheFile(t *testing.T) {
	yaml, _, want := everything(t)
	c, err := load("config.yaml", []byte(yaml), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.settings = nil // see settings_test.go
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEveryKeyInTheEnvironment(t *testing.T) {
	_, environ, want := everything(t)
	want.Kafka.SASL.FixedPassword = true
	// Some keys exclude others; TestInput, TestOAuth and TestPrivacy set them.
	if n := len(Keys()) - 4 - 9 - 1; n != len(environ) {
		t.Errorf("the test sets %d keys, and there are %d", len(environ), n)
	}
	c, err := Load("", environ)
	if err != nil {
		t.Fatal(err)
	}
	c.settings = nil // see settings_test.go
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEnvironmentOverridesFile(t *testing.T) {
	yaml := least + "report: {rate: nonsense, batch_size: 7}\n"
	c, err := load("config.yaml", []byte(yaml), []string{
		"CLIENTEVENTS_REPORT_RATE=5", "CLIENTEVENTS_KAFKA_TOPIC=other", "CLIENTEVENTS_REPORT_BATCH_SIZE=", "HOME=/root", "CLIENTEVENTS_API_TIMEOUT",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Report.Rate != 5 || c.Report.BatchSize != 7 || c.Kafka.Topic != "other" || c.Kafka.StateTopic != "other.reported" {
		t.Errorf("got %+v", c)
	}
}

func TestPasswordOfTheEnvironmentComesFirst(t *testing.T) {
	inFolderWithFiles(t)
	yaml := strings.Replace(least, "api:", "  sasl: {mechanism: plain, username: u, password_file: password}\napi:", 1)
	c, err := load("config.yaml", []byte(yaml), []string{"CLIENTEVENTS_KAFKA_SASL_PASSWORD=from the environment"})
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Kafka.SASL.Password) != "from the environment" {
		t.Errorf("got %q", string(c.Kafka.SASL.Password))
	}
}

func TestYAMLForms(t *testing.T) {
	for name, yaml := range map[string]string{
		"flow":     `{kafka: {brokers: ["a:9092", 'b:9092'], topic: events, group: reporters}, api: {version: v3, parent: projects/p}}`,
		"json":     `{"kafka": {"brokers": ["a:9092", "b:9092"], "topic": "events", "group": "reporters"}, "api": {"version": "v3", "parent": "projects/p"}}`,
		"texts":    strings.Replace(least, "[a:9092, b:9092]", "a:9092,b:9092", 1),
		"block":    strings.Replace(least, "topic: events", "topic: |\n    events", 1),
		"anchors":  strings.NewReplacer("brokers:", "brokers: &all", "topic: events", "topic: &e events", "group: reporters", "group: reporters\n  dead_letter_topic: dead\nreport: &r\nlog: *r").Replace(least),
		"crlf":     strings.ReplaceAll(least, "\n", "\r\n"),
		"bom":      "\uFEFF" + least,
		"marks":    "---\n" + least + "...\n",
		"nulls":    least + "report:\nlog:\n  level: ~\n  format: null\n",
		"comments": "# all\n" + strings.ReplaceAll(least, "\n", " # why\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := load("config.yaml", []byte(yaml), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.Kafka.Brokers, []string{"a:9092", "b:9092"}) || c.Kafka.Topic != "events" || c.API.Parent != "projects/p" {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestNothingIsExpanded(t *testing.T) {
	yaml := strings.Replace(least, "group: reporters", "group: ${HOME}", 1)
	c, err := load("config.yaml", []byte(yaml), []string{"HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Kafka.Group != "${HOME}" {
		t.Errorf("got %q", c.Kafka.Group)
	}
}

func TestWarnings(t *testing.T) {
	c, err := load("config.yaml", []byte(least), []string{"CLIENTEVENTS_REPORT_RATES=5"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"CLIENTEVENTS_REPORT_RATES is not a key's variable: did you mean CLIENTEVENTS_REPORT_RATE?"}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("got %q, want %q", c.Warnings, want)
	}
}

// with is least with lines added to its sections.
func with(kafka, api string) string {
	yaml := strings.Replace(least, "api:", kafka+"api:", 1)
	return yaml + api
}

func TestFaults(t *testing.T) {
	inFolderWithFiles(t)
	long := strings.Repeat("x", 300)
	tests := []struct {
		name    string
		yaml    string
		environ []string
		want    []string
	}{
		{name: "nothing", yaml: "", want: []string{
			`kafka.brokers: is required: list of host:port (config.yaml, or environment variable CLIENTEVENTS_KAFKA_BROKERS)`,
			`kafka.topic: is required: source topic (config.yaml, or environment variable CLIENTEVENTS_KAFKA_TOPIC)`,
			`kafka.group: is required: consumer group (config.yaml, or environment variable CLIENTEVENTS_KAFKA_GROUP)`,
			"api.version: is required: `v3`, `v4beta1` or `v4` (config.yaml, or environment variable CLIENTEVENTS_API_VERSION)",
			"api.parent: is required: `projects/P` (v3, v4beta1) or `projects/P/tenants/T` (v4beta1, v4) (config.yaml, or environment variable CLIENTEVENTS_API_PARENT)",
		}},
		{name: "number", yaml: with("", "report:\n  rate: abc\n"), want: []string{
			`report.rate: "abc": expected a number of events per second, 0 or more (config.yaml:9:9)`,
		}},
		{name: "numbers out of range", yaml: with("  state_replication_factor: -1\n  max_in_flight_records: 0\n", "report:\n  rate: -1\n  concurrency: 0\n  batch_size: 1001\n"), want: []string{
			`kafka.state_replication_factor: "-1": expected a whole number from 0 to 32767 (config.yaml:5:29)`,
			`kafka.max_in_flight_records: "0": expected a whole number from 1 to 100000000 (config.yaml:6:26)`,
			`report.rate: "-1": expected a number of events per second, 0 or more (config.yaml:11:9)`,
			`report.concurrency: "0": expected a whole number from 1 to 10000 (config.yaml:12:16)`,
			`report.batch_size: "1001": expected a whole number from 1 to 1000 (config.yaml:13:15)`,
		}},
		{name: "numbers that are none", yaml: with("  max_in_flight_bytes: 64MB\n", "report:\n  rate: .nan\n  concurrency: 1.5\n  batch_size: 1_0\n"), want: []string{
			`kafka.max_in_flight_bytes: "64MB": expected a size of 1048576 bytes or more, such as 64MiB (config.yaml:5:24)`,
			`report.rate: ".nan": expected a number of events per second, 0 or more (config.yaml:10:9)`,
			`report.concurrency: "1.5": expected a whole number from 1 to 10000 (config.yaml:11:16)`,
			`report.batch_size: "1_0": expected a whole number from 1 to 1000 (config.yaml:12:15)`,
		}},
		{name: "infinite and huge", yaml: least + "report: {rate: 1e999, concurrency: 99999999999999999999}\nkafka2: x\n", want: []string{
			`report.rate: "1e999": expected a number of events per second, 0 or more (config.yaml:8:16)`,
			`report.concurrency: "99999999999999999999": expected a whole number from 1 to 10000 (config.yaml:8:36)`,
			`kafka2: unknown key: did you mean kafka? (config.yaml:9:1)`,
		}},
		{name: "sizes", yaml: with("  max_in_flight_bytes: 1KiB\n", ""), environ: []string{"CLIENTEVENTS_KAFKA_MAX_IN_FLIGHT_BYTES=9999999999GiB"}, want: []string{
			`kafka.max_in_flight_bytes: "9999999999GiB": expected a size of 1048576 bytes or more, such as 64MiB (environment variable CLIENTEVENTS_KAFKA_MAX_IN_FLIGHT_BYTES)`,
		}},
		{name: "durations", yaml: with("  session_timeout: 0s\n", "report:\n  linger: 5\ndedupe:\n  window: 1 day\nparents:\n  wait: -1s\n"), want: []string{
			`kafka.session_timeout: "0s": expected a duration from 1s to 30m, such as 500ms, 30s or 24h (config.yaml:5:20)`,
			`report.linger: "5": expected a duration from 0s to 1m, such as 500ms, 30s or 24h (config.yaml:10:11)`,
			`dedupe.window: "1 day": expected a duration from 1s to 8784h, such as 500ms, 30s or 24h (config.yaml:12:11)`,
			`parents.wait: "-1s": expected a duration from 0s to 24h, such as 500ms, 30s or 24h (config.yaml:14:9)`,
		}},
		{name: "words", yaml: with("  start: newest\n  tls: {enabled: yes}\n  sasl:\n    mechanism: PLAIN\n", "parents:\n  policy: maybe\nlog:\n  level: trace\n  format: xml\n"), want: []string{
			`kafka.start: "newest": expected one of earliest, latest (config.yaml:5:10)`,
			`kafka.tls.enabled: "yes": expected true or false (config.yaml:6:18)`,
			`kafka.sasl.mechanism: "PLAIN": expected one of plain, scram-sha-256, scram-sha-512, oauthbearer (config.yaml:8:16)`,
			`parents.policy: "maybe": expected one of require, allow (config.yaml:13:11)`,
			`log.level: "trace": expected one of debug, info, warn, error (config.yaml:15:10)`,
			`log.format: "xml": expected one of text, json (config.yaml:16:11)`,
		}},
		{name: "kinds of value", yaml: strings.Replace(with("  tls: yes\n  sasl: [plain]\n  dead_letter_topic: [a]\n", "report:\n  rate: {a: 1}\n"), "events", "{name: events}", 1), want: []string{
			`kafka.topic: expected a topic's name, not keys with values (config.yaml:3:10)`,
			`kafka.tls: expected keys with values, such as those of the example configuration (config.yaml:5:8)`,
			`kafka.sasl: expected keys with values, such as those of the example configuration (config.yaml:6:9)`,
			`kafka.dead_letter_topic: expected a topic's name, not a list (config.yaml:7:22)`,
			`report.rate: expected a number, not keys with values (config.yaml:12:9)`,
		}},
		{name: "not keys at all", yaml: "just a text", want: []string{
			`expected keys with values, such as those of the example configuration (config.yaml:1:1)`,
			`kafka.brokers: is required: list of host:port (config.yaml, or environment variable CLIENTEVENTS_KAFKA_BROKERS)`,
			`kafka.topic: is required: source topic (config.yaml, or environment variable CLIENTEVENTS_KAFKA_TOPIC)`,
			`kafka.group: is required: consumer group (config.yaml, or environment variable CLIENTEVENTS_KAFKA_GROUP)`,
			"api.version: is required: `v3`, `v4beta1` or `v4` (config.yaml, or environment variable CLIENTEVENTS_API_VERSION)",
			"api.parent: is required: `projects/P` (v3, v4beta1) or `projects/P/tenants/T` (v4beta1, v4) (config.yaml, or environment variable CLIENTEVENTS_API_PARENT)",
		}},
		{name: "unknown keys", yaml: with("  broker: x\n  username: x\n", "reprot:\n  rate: 5\nreport:\n  batchSize: 5\napi.timeout: 5s\ntopic: hunter2\n"), want: []string{
			`kafka.broker: unknown key: did you mean kafka.brokers? (config.yaml:5:3)`,
			`kafka.username: unknown key: did you mean kafka.sasl.username? (config.yaml:6:3)`,
			`reprot: unknown key: did you mean report? (config.yaml:10:1)`,
			`report.batchSize: unknown key: did you mean report.batch_size? (config.yaml:13:3)`,
			`api.timeout: unknown key: it is written below api: (config.yaml:14:1)`,
			`topic: unknown key: did you mean kafka.topic? (config.yaml:15:1)`,
		}},
		{name: "keys that are no names", yaml: least + "? [a, b]\n: 1\n\"a\\nb\": 1\n5: 6\n", want: []string{
			`expected the name of a key (config.yaml:8:3)`,
			"a b: unknown key: did you mean api? (config.yaml:10:1)",
			`5: unknown key: did you mean api? (config.yaml:11:1)`,
		}},
		{name: "twice", yaml: with("  topic: other\n", "report: {rate: 1, rate: 2}\napi:\n  timeout: 5s\n"), want: []string{
			`kafka.topic: stands twice, first in line 3: expected it once (config.yaml:5:3)`,
			`report.rate: stands twice, first in line 9: expected it once (config.yaml:9:19)`,
			`api: stands twice, first in line 6: expected it once (config.yaml:10:1)`,
		}},
		{name: "merge", yaml: with("  <<: {start: latest}\n", ""), want: []string{
			`kafka.<<: merging is not supported: expected the keys themselves (config.yaml:5:3)`,
		}},
		{name: "tag", yaml: with("  start: !vault abc\n", "report:\n  rate: !!binary aGk=\n"), want: []string{
			`kafka.start: expected a plain value: the tag !vault has no meaning here (config.yaml:5:10)`,
			`report.rate: expected a plain value: the tag !!binary has no meaning here (config.yaml:10:9)`,
		}},
		{name: "brokers", yaml: strings.Replace(least, "[a:9092, b:9092]", "[kafka://a:9092, a, ':9092', 'a:0', 'a:65536', {a: 9092}]", 1), want: []string{
			`kafka.brokers: expected a list of host:port, not keys with values (config.yaml:2:59)`,
		}},
		{name: "each broker", yaml: strings.Replace(least, "[a:9092, b:9092]", "[kafka://a:9092, a, ':9092', 'a:0', 'a:65536']", 1), want: []string{
			`kafka.brokers: "kafka://a:9092": expected host:port, such as localhost:9092 (config.yaml:2:13)`,
			`kafka.brokers: "a": expected host:port, such as localhost:9092 (config.yaml:2:29)`,
			`kafka.brokers: ":9092": expected host:port, such as localhost:9092 (config.yaml:2:32)`,
			`kafka.brokers: "a:0": expected host:port with a port from 1 to 65535 (config.yaml:2:41)`,
			`kafka.brokers: "a:65536": expected host:port with a port from 1 to 65535 (config.yaml:2:48)`,
		}},
		{name: "no brokers", yaml: strings.Replace(least, "[a:9092, b:9092]", "[]", 1), want: []string{
			`kafka.brokers: expected at least one (config.yaml:2:12)`,
		}},
		{name: "brokers of the environment", yaml: least, environ: []string{"CLIENTEVENTS_KAFKA_BROKERS=a:1,b"}, want: []string{
			`kafka.brokers: "b": expected host:port, such as localhost:9092 (environment variable CLIENTEVENTS_KAFKA_BROKERS)`,
		}},
		{name: "topics", yaml: strings.Replace(with("  dead_letter_topic: ..\n  state_topic: "+long+"\n", ""), "events", "ev ents", 1), want: []string{
			`kafka.topic: "ev ents": expected a topic's name: letters, digits, '.', '_' and '-', at most 249 (config.yaml:3:10)`,
			`kafka.dead_letter_topic: "..": expected a topic's name: letters, digits, '.', '_' and '-', at most 249 (config.yaml:5:22)`,
			`kafka.state_topic: "` + long[:80] + `"…: expected a topic's name: letters, digits, '.', '_' and '-', at most 249 (config.yaml:6:16)`,
		}},
		{name: "one topic for two things", yaml: with("  dead_letter_topic: events.reported\n", ""), want: []string{
			`kafka.dead_letter_topic: "events.reported": expected a topic other than the source and the state topic (config.yaml:5:22)`,
		}},
		{name: "one topic for all things", yaml: with("  dead_letter_topic: events\n  state_topic: events\n", ""), want: []string{
			`kafka.dead_letter_topic: "events": expected a topic other than the source and the state topic (config.yaml:5:22)`,
			`kafka.state_topic: "events": expected a topic other than the source topic (config.yaml:6:16)`,
		}},
		{name: "long topic", yaml: strings.Replace(least, "events", long[:240], 1), want: []string{
			`kafka.dead_letter_topic: expected a name of its own: the default would be longer than a topic's name may be (config.yaml, or environment variable CLIENTEVENTS_KAFKA_DEAD_LETTER_TOPIC)`,
		}},
		{name: "empty texts", yaml: strings.NewReplacer("events", "''", "reporters", "' '", "projects/p", "''").Replace(least), want: []string{
			`kafka.topic: expected a topic's name: letters, digits, '.', '_' and '-', at most 249 (config.yaml:3:10)`,
			`kafka.group: expected a text that is not empty (config.yaml:4:10)`,
			`api.parent: expected a text that is not empty (config.yaml:7:11)`,
		}},
		{name: "required and null", yaml: strings.Replace(least, "events", "", 1), want: []string{
			`kafka.topic: is required: source topic (config.yaml, or environment variable CLIENTEVENTS_KAFKA_TOPIC)`,
		}},
		{name: "version", yaml: strings.Replace(least, "v3", "v2", 1), want: []string{
			`api.version: "v2": expected one of v3, v4beta1, v4 (config.yaml:6:12)`,
		}},
		{name: "version and parent", yaml: strings.NewReplacer("v3", "v2", "projects/p", "p").Replace(least), want: []string{
			`api.version: "v2": expected one of v3, v4beta1, v4 (config.yaml:6:12)`,
			"api.parent: \"p\": expected `projects/P` (v3, v4beta1) or `projects/P/tenants/T` (v4beta1, v4) (config.yaml:7:11)",
		}},
		{name: "parent for v3", yaml: strings.Replace(least, "projects/p", "projects/p/tenants/t", 1), want: []string{
			`api.parent: "projects/p/tenants/t": expected projects/PROJECT, the form for api.version v3 (config.yaml:7:11)`,
		}},
		{name: "parent for v4beta1", yaml: strings.NewReplacer("v3", "v4beta1", "projects/p", "p").Replace(least), want: []string{
			`api.parent: "p": expected projects/PROJECT or projects/PROJECT/tenants/TENANT, the form for api.version v4beta1 (config.yaml:7:11)`,
		}},
		{name: "parent for v4", yaml: strings.Replace(least, "v3", "v4", 1), want: []string{
			`api.parent: "projects/p": expected projects/PROJECT/tenants/TENANT, the form for api.version v4 (config.yaml:7:11)`,
		}},
		{name: "endpoint without a scheme", yaml: least + "  endpoint: jobs.googleapis.com\n", want: []string{
			`api.endpoint: "jobs.googleapis.com": expected an http or https URL, such as https://jobs.googleapis.com (config.yaml:8:13)`,
		}},
		{name: "endpoint that is no URL", yaml: least + "  endpoint: \"https://x:port\"\n", want: []string{
			`api.endpoint: "https://x:port": expected an http or https URL, such as https://jobs.googleapis.com (config.yaml:8:13)`,
		}},
		{name: "endpoint with a login", yaml: least + "  endpoint: https://user:hunter2@example.com\n", want: []string{
			`api.endpoint: "https://user:xxxxx@example.com": expected a URL without a user: credentials are set by api.credentials (config.yaml:8:13)`,
		}},
		{name: "endpoint with a query", yaml: least + "  endpoint: https://example.com?key=1\n", want: []string{
			`api.endpoint: "https://example.com?key=1": expected a URL without a query or fragment (config.yaml:8:13)`,
		}},
		{name: "credentials in the clear", yaml: least + "  endpoint: http://example.com\n", want: []string{
			`api.endpoint: "http://example.com": credentials are not sent over plain http, except to a loopback address: expected https, or api.credentials: none (config.yaml:8:13)`,
		}},
		{name: "tracing", yaml: least + "tracing: {endpoint: \"collector:4318\", sample_ratio: 2}\n", want: []string{
			`tracing.endpoint: "collector:4318": expected an http or https URL, such as http://localhost:4318 (config.yaml:8:21)`,
			`tracing.sample_ratio: "2": expected a share from 0 to 1, such as 0.05 (config.yaml:8:53)`,
		}},
		{name: "credentials", yaml: least + "  credentials: defaults\n", want: []string{
			`api.credentials: "defaults": expected default, none, or the path of a credentials file: there is no such file (config.yaml:8:16)`,
		}},
		{name: "listen", yaml: least + "admin: {listen: 9090}\n", want: []string{
			`admin.listen: "9090": expected host:port or :port, such as :9090 (config.yaml:8:17)`,
		}},
		{name: "admin host", yaml: least + "admin: {hosts: ['a.example:80']}\n", want: []string{
			`admin.hosts: "a.example:80": expected a host name without a port, such as clientevents.example.com (config.yaml:8:17)`,
		}},
		{name: "listen port", yaml: least + "admin: {listen: ':http'}\n", want: []string{
			`admin.listen: ":http": expected host:port with a port from 0 to 65535; 0 is any that is free (config.yaml:8:17)`,
		}},
		{name: "files that are not there", yaml: with("  tls:\n    enabled: true\n    ca_file: none.pem\n    cert_file: folder\n    key_file: key.pem\n  sasl: {mechanism: plain, username: u, password_file: nowhere/x}\n", ""), want: []string{
			`kafka.tls.ca_file: "none.pem": expected a file that can be read: there is no such file (config.yaml:7:14)`,
			`kafka.tls.cert_file: "folder": expected a file that can be read: it is a directory (config.yaml:8:16)`,
			`kafka.sasl.password_file: "nowhere/x": expected a file that can be read: there is no such file (config.yaml:10:56)`,
		}},
		{name: "files of another kind", yaml: with("  tls: {enabled: true, ca_file: key.pem, cert_file: cert.pem, key_file: empty}\n", ""), want: []string{
			`kafka.tls.ca_file: "key.pem": expected a file of PEM certificates: the file has no PEM certificate (config.yaml:5:33)`,
			`kafka.tls.cert_file: "cert.pem": expected a PEM certificate that belongs to kafka.tls.key_file: tls: failed to find any PEM data in key input (config.yaml:5:53)`,
		}},
		{name: "certificate without its key", yaml: with("  tls: {enabled: true, cert_file: cert.pem}\n", ""), want: []string{
			`kafka.tls.key_file: is required together with kafka.tls.cert_file (config.yaml, or environment variable CLIENTEVENTS_KAFKA_TLS_KEY_FILE)`,
		}},
		{name: "key without its certificate", yaml: with("  tls: {enabled: true, key_file: key.pem}\n", ""), want: []string{
			`kafka.tls.cert_file: is required together with kafka.tls.key_file (config.yaml, or environment variable CLIENTEVENTS_KAFKA_TLS_CERT_FILE)`,
		}},
		{name: "files without TLS", yaml: with("  tls: {ca_file: cert.pem, cert_file: cert.pem, key_file: key.pem}\n", ""), want: []string{
			`kafka.tls.ca_file: "cert.pem": has no effect: expected kafka.tls.enabled: true (config.yaml:5:18)`,
			`kafka.tls.cert_file: "cert.pem": has no effect: expected kafka.tls.enabled: true (config.yaml:5:39)`,
			`kafka.tls.key_file: "key.pem": has no effect: expected kafka.tls.enabled: true (config.yaml:5:59)`,
		}},
		{name: "login without a mechanism", yaml: with("  sasl: {username: u}\n", ""), want: []string{
			`kafka.sasl.mechanism: is required where other keys of kafka.sasl are set (config.yaml, or environment variable CLIENTEVENTS_KAFKA_SASL_MECHANISM)`,
		}},
		{name: "login without a name and password", yaml: with("  sasl: {mechanism: plain}\n", ""), want: []string{
			`kafka.sasl.username: is required for plain (config.yaml, or environment variable CLIENTEVENTS_KAFKA_SASL_USERNAME)`,
			`kafka.sasl.password_file: is required for plain, or else environment variable CLIENTEVENTS_KAFKA_SASL_PASSWORD (config.yaml, or environment variable CLIENTEVENTS_KAFKA_SASL_PASSWORD_FILE)`,
		}},
		{name: "login with Google's credentials and others", yaml: with("  sasl: {mechanism: oauthbearer, username: u, password_file: password}\n", ""), want: []string{
			`kafka.sasl.username: "u": has no effect: oauthbearer logs in with a token (config.yaml:5:44)`,
			`kafka.sasl.password_file: "password": has no effect: oauthbearer logs in with a token (config.yaml:5:62)`,
		}},
		{name: "empty password", yaml: with("  sasl: {mechanism: plain, username: u, password_file: empty}\n", ""), want: []string{
			`kafka.sasl.password_file: "empty": expected a file that holds the password: it is empty (config.yaml:5:56)`,
		}},
		{name: "password in the file", yaml: with("  sasl:\n    mechanism: plain\n    username: u\n    password: hunter2\n", ""), environ: []string{"CLIENTEVENTS_KAFKA_SASL_PASSWORD=hunter2"}, want: []string{
			`kafka.sasl.password: is a secret, which does not stand in a file like this one: expected environment variable CLIENTEVENTS_KAFKA_SASL_PASSWORD, or kafka.sasl.password_file (config.yaml:8:5)`,
		}},
		{name: "not YAML", yaml: "kafka:\n\ttopic: x\n", want: []string{
			`not YAML: found character that cannot start any token (config.yaml:2:1)`,
		}},
		{name: "not YAML, and faults of the environment", yaml: "kafka: [a\nb: 1\n", environ: []string{"CLIENTEVENTS_REPORT_RATE=x"}, want: []string{
			`not YAML: did not find expected ',' or ']' (config.yaml:2:2)`,
			`report.rate: "x": expected a number of events per second, 0 or more (environment variable CLIENTEVENTS_REPORT_RATE)`,
		}},
		{name: "no such anchor", yaml: "kafka: *nothing\n", want: []string{
			`not YAML: unknown anchor 'nothing' referenced (config.yaml:1:8)`,
		}},
		{name: "UTF-16", yaml: "\xff\xfek\x00", want: []string{
			`UTF-16: save the file as UTF-8 (config.yaml)`,
		}},
		{name: "not UTF-8", yaml: "kafka:\n  topic: caf\xe9\n", want: []string{
			`not UTF-8 (config.yaml:2:13)`,
		}},
		{name: "two documents", yaml: least + "---\n" + least, want: []string{
			`a second document begins: expected one (config.yaml:8:1)`,
		}},
		{name: "too deep", yaml: strings.Repeat("[", 100_000), want: []string{
			`not YAML: exceeded max depth of 10000 (config.yaml:1:10001)`,
		}},
		{name: "all at once", yaml: "kafka:\n  brokers: a\n  tpoic: x\nreport:\n  rate: x\n", environ: []string{"CLIENTEVENTS_LOG_LEVEL=loud", "CLIENTEVENTS_API_VERSION=v9"}, want: []string{
			`kafka.brokers: "a": expected host:port, such as localhost:9092 (config.yaml:2:12)`,
			`kafka.tpoic: unknown key: did you mean kafka.topic? (config.yaml:3:3)`,
			`report.rate: "x": expected a number of events per second, 0 or more (config.yaml:5:9)`,
			`kafka.topic: is required: source topic (config.yaml, or environment variable CLIENTEVENTS_KAFKA_TOPIC)`,
			`kafka.group: is required: consumer group (config.yaml, or environment variable CLIENTEVENTS_KAFKA_GROUP)`,
			`api.version: "v9": expected one of v3, v4beta1, v4 (environment variable CLIENTEVENTS_API_VERSION)`,
			"api.parent: is required: `projects/P` (v3, v4beta1) or `projects/P/tenants/T` (v4beta1, v4) (config.yaml, or environment variable CLIENTEVENTS_API_PARENT)",
			`log.level: "loud": expected one of debug, info, warn, error (environment variable CLIENTEVENTS_LOG_LEVEL)`,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			write(t, "config.yaml", test.yaml)
			c, err := Load("config.yaml", test.environ)
			if c != nil || err == nil {
				t.Fatalf("no fault found in %+v", c)
			}
			faults, ok := errors.AsType[Faults](err)
			if !ok {
				t.Fatalf("the error is a %T", err)
			}
			got := strings.Split(faults.Error(), "\n")
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	inFolderWithFiles(t)
	write(t, "huge.yaml", strings.Repeat("# too much\n", 50_000))
	environ := []string{"CLIENTEVENTS_REPORT_RATE=x"}
	const rate = `report.rate: "x": expected a number of events per second, 0 or more (environment variable CLIENTEVENTS_REPORT_RATE)`
	for path, want := range map[string]string{
		"none.yaml": "can't read the configuration: there is no such file (none.yaml)",
		"folder":    "can't read the configuration: is a directory (folder)",
		"huge.yaml": "can't read the configuration: it has more than 262144 bytes (huge.yaml)",
	} {
		_, err := Load(path, environ)
		if err == nil || err.Error() != want+"\n"+rate {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

func TestWithoutAFile(t *testing.T) {
	_, err := Load("", []string{"CLIENTEVENTS_KAFKA_TOPIC=t", "CLIENTEVENTS_KAFKA_GROUP=g", "CLIENTEVENTS_API_VERSION=v3", "CLIENTEVENTS_API_PARENT=projects/p"})
	const want = "kafka.brokers: is required: list of host:port (in a file that --config names, or environment variable CLIENTEVENTS_KAFKA_BROKERS)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const text = "hunter2"
	c := Config{Kafka: Kafka{SASL: SASL{Password: text}}}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T %[1]v", "%10.3s"} {
		shown = append(shown, fmt.Sprintf(verb, c.Kafka.SASL.Password), fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c))
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown = append(shown, string(data))
	for _, log := range []func(*strings.Builder) slog.Handler{
		func(b *strings.Builder) slog.Handler { return slog.NewTextHandler(b, nil) },
		func(b *strings.Builder) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b strings.Builder
		slog.New(log(&b)).Info("all", "secret", c.Kafka.SASL.Password, "config", c)
		shown = append(shown, b.String())
	}
	for _, s := range shown {
		if strings.Contains(s, text) || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", text)) {
			t.Errorf("shown: %s", s)
		}
	}
	if got := fmt.Sprint(c.Kafka.SASL.Password, Secret("")); got != "(secret) " && got != "(secret)" {
		t.Errorf("got %q", got)
	}
}

func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Path] || seen[k.Env()] {
			t.Errorf("%s is there twice", k.Path)
		}
		seen[k.Path], seen[k.Env()] = true, true
		if k.Type == "" || k.Help == "" {
			t.Errorf("%s is not explained", k.Path)
		}
		if k.Required && k.Default != "" {
			t.Errorf("%s is required and has a default", k.Path)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(least), "CLIENTEVENTS_REPORT_RATE=5")
	f.Add([]byte("kafka: &k {tls: *k, brokers: [*k]}\n? [a]\n: b\n"), "CLIENTEVENTS_KAFKA_BROKERS=,")
	f.Add([]byte("kafka:\n  <<: {a: b}\n  topic: !x |\n    y\n---\na: 1\n"), "CLIENTEVENTS_=")
	f.Add([]byte("report: {rate: .inf, linger: 1e9h}\napi: {endpoint: 'http://a:b@c'}\n"), "CLIENTEVENTS")
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, variable string) {
		path := filepath.Join(folder, "config.yaml")
		c, err := load(path, data, []string{variable})
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v and error %v", c, err)
		}
		if err == nil {
			return
		}
		faults, ok := errors.AsType[Faults](err)
		if !ok || len(faults) == 0 {
			t.Fatalf("the error is %T: %v", err, err)
		}
		for _, fault := range faults {
			if fault.Want == "" || strings.ContainsAny(fault.Error(), "\r\n") {
				t.Errorf("not one line: %q", fault.Error())
			}
		}
	})
}
