// Package config reads the configuration: a YAML file, with each key overridden
// by an environment variable.
package config

import (
	"log/slog"
	"maps"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/scrub"
)

// Config is the whole configuration. [Keys] has the default of each key.
type Config struct {
	Kafka   Kafka
	Input   Input
	API     API
	Report  Report
	Dedupe  Dedupe
	Parents Parents

	Suspicious Suspicious
	Privacy    Privacy
	Admin      Admin
	Log        Log
	Tracing    Tracing

	// Warnings are possible mistakes that are not faults; one line each.
	Warnings []string

	// Secrets removes the secrets from texts; see [Config.Hide]. nil removes none.
	Secrets *scrub.Scrubber

	settings []Setting
}

// Kafka configures the source of events.
type Kafka struct {
	// Brokers are host:port of some brokers, which report the others.
	Brokers []string
	// Topic is the source topic.
	Topic string
	// Group is the consumer group. A new name starts without offsets, see Start, and its
	// replicas share the partitions.
	Group string
	// DeadLetterTopic receives the records that can't be delivered; default
	// Topic + ".dead-letter".
	DeadLetterTopic string
	// StateTopic records the reported events; default Topic + ".reported". Two
	// groups that report to different places need different ones.
	StateTopic string
	// Start is the start position in partitions for which the group has no offset;
	// default [Earliest]. With [Latest] it never reports the records that were
	// published before its first run.
	Start Start
	TLS   TLS
	SASL  SASL
	// StateReplication is the replication factor of the topics that are
	// created; 0 (default) is the broker's own.
	StateReplication int
	// InstanceID makes the replica a static member of the group; "" (default) for a
	// dynamic one. Each replica needs its own.
	InstanceID string
	// SessionTimeout is the time without heartbeats after which the brokers reassign
	// a replica's partitions; default 8 s. A shorter one recovers
	// sooner from a crash, a longer one tolerates longer pauses of the machine. The
	// brokers accept 6 s to 30 min by default.
	SessionTimeout time.Duration
	// MaxInFlightBytes bounds the records between fetch and outcome, for all
	// partitions together; 0 is the consumer's default. It is most of the memory for a
	// backlog.
	MaxInFlightBytes int64
	// MaxInFlightRecords bounds the same by number; default 10,000.
	MaxInFlightRecords int64
}

// ByRequestTopic returns the internal topic that events pass through with input.rekey.
func (k Kafka) ByRequestTopic() string { return k.Topic + ".by-request" }

// EventTopic returns the topic in whose partitions events are deduplicated and find
// their parents: the source topic, or with input.rekey the internal one. The state topic
// has the same partitions.
func (c *Config) EventTopic() string {
	if c.Input.Rekey {
		return c.Kafka.ByRequestTopic()
	}
	return c.Kafka.Topic
}

// TLS secures connections to the brokers.
type TLS struct {
	// Enabled is false by default: connections are not encrypted.
	Enabled bool
	// CAFile has PEM certificates to trust instead of the system's.
	CAFile string
	// CertFile and KeyFile are the client's PEM certificate and its key, for
	// brokers that request one; both or neither.
	CertFile, KeyFile string
}

// SASL configures the login to the brokers.
type SASL struct {
	// Mechanism is "" (default: no login), "plain", "scram-sha-256",
	// "scram-sha-512" or "oauthbearer", see OAuth.
	Mechanism Mechanism
	// Username is required for plain and scram.
	Username string
	// Password comes from the environment or from PasswordFile, without
	// the line's end.
	Password     Secret
	PasswordFile string
	// FixedPassword reports that Password comes from the environment, so that
	// PasswordFile has no effect.
	FixedPassword bool
	OAuth         OAuth
}

// Mechanism is a way to log in to brokers, named as SASL names it, in lower case.
type Mechanism string

// The mechanisms.
const (
	NoLogin     Mechanism = ""
	Plain       Mechanism = "plain"
	ScramSHA256 Mechanism = "scram-sha-256"
	ScramSHA512 Mechanism = "scram-sha-512"
	OAuthBearer Mechanism = "oauthbearer"
)

// Mechanisms lists every mechanism but [NoLogin].
func Mechanisms() []Mechanism { return []Mechanism{Plain, ScramSHA256, ScramSHA512, OAuthBearer} }

// Input configures how records are decoded into events. See package input for the formats.
type Input struct {
	// Format is one of [input.Formats]; default "json".
	Format input.Format
	// Registry is the schema registry of the formats that use one.
	Registry Registry
	// DescriptorFile and Message are, for the format protobuf-file, a file with a
	// FileDescriptorSet and the full name of a message in it.
	DescriptorFile, Message string
	// Mapping is a jq program that turns a decoded record into events; "" (default)
	// uses the record as one event. It comes from MappingFile if that is set.
	Mapping, MappingFile string
	// Rekey is for a source topic that is not keyed by journey: its events pass through
	// [Kafka.ByRequestTopic], keyed by request ID; default false.
	Rekey bool
}

// PlainEvents reports whether each record's value is one event in JSON.
func (i Input) PlainEvents() bool { return i.Format == input.FormatJSON && i.Mapping == "" }

// Registry is a schema registry that speaks Confluent's API.
type Registry struct {
	URL string
	// Username and PasswordFile, or BearerTokenFile, or CertFile and KeyFile log in.
	Username, PasswordFile    string
	BearerTokenFile           string
	CAFile, CertFile, KeyFile string
}

// Certificates returns the files of certificates that are in use, by key.
func (c *Config) Certificates() map[string]string {
	files := map[string]string{
		"kafka.tls.ca_file": c.Kafka.TLS.CAFile, "kafka.tls.cert_file": c.Kafka.TLS.CertFile, "kafka.sasl.oauth.ca_file": c.Kafka.SASL.OAuth.CAFile,
		"input.registry.ca_file": c.Input.Registry.CAFile, "input.registry.cert_file": c.Input.Registry.CertFile,
	}
	maps.DeleteFunc(files, func(_, file string) bool { return file == "" })
	return files
}

// Decoding is the configuration of the decoder.
func (c *Config) Decoding() input.Config {
	return input.Config{
		Version:        c.API.Version,
		Format:         c.Input.Format,
		Registry:       input.Registry(c.Input.Registry),
		DescriptorFile: c.Input.DescriptorFile,
		Message:        c.Input.Message,
		Mapping:        c.Input.Mapping,
		Secrets:        c.Secrets,
	}
}

// API configures the destination of events.
type API struct {
	// Endpoint is an http or https URL without a slash at its end.
	Endpoint string
	// Version decides the rules for records and the form of requests.
	Version event.Version
	// Parent is projects/P or projects/P/tenants/T, depending on the version.
	Parent string
	// Credentials is "default" (Application Default Credentials), "none" or a
	// file's path.
	Credentials string
	// QuotaProject is the project for quota and billing; "" is the
	// project of the credentials.
	QuotaProject string
	// Timeout bounds one attempt; default 30 s. The API may have accepted an
	// attempt that timed out, and it is repeated: a timeout that is too short
	// causes duplicates.
	Timeout time.Duration
}

// Report configures the requests to the API.
type Report struct {
	// Concurrency is the maximum number of HTTP requests in flight; default 16.
	Concurrency int
	// Rate is events per second for all replicas together; 0 (default) means no
	// limit except the API's.
	Rate float64
	// BatchSize is the maximum number of events in a request, 1 to 1000; default
	// 100. With 1, each event is a separate POST.
	BatchSize int
	// Linger is the time that a batch that is not full waits for more events;
	// default 5 ms, 0 not at all.
	Linger time.Duration
	// Priority is the order in which events are sent when there are more than can
	// be sent; default [ByValue].
	Priority Priority
}

// Dedupe configures the detection of duplicates.
type Dedupe struct {
	// Window is the time for which an event ID is remembered; default 24 h. The memory
	// and the state topic grow with it, and a later duplicate is
	// reported again.
	Window time.Duration
}

// Parents configures the rules for parents of events.
type Parents struct {
	// Policy decides about a child whose parent is not reported; default
	// [RequireParent].
	Policy Policy
	// Wait is the time that a child waits for its parent; default 30 s. It delays
	// its partition's commits, but not the other events.
	Wait time.Duration
}

// Suspicious configures which events the API probably accepts and later discards.
type Suspicious struct {
	// Age is the maximum age of an event when it is published, and of a search when an
	// event that stems from it is reported; default 24 h.
	Age time.Duration
	// Ahead is the maximum time by which a createTime may be in the future; default 5 min.
	Ahead time.Duration
	// Refuse makes events with suspicious create times dead letters; by default
	// they are counted and reported.
	Refuse bool
}

// Admin is the server for metrics, health and the status page.
type Admin struct {
	// Listen is host:port; default ":9090", which is every address of the
	// machine. Port 0 selects a free port.
	Listen string
	// Hosts are the names under which the admin port is served, besides localhost and
	// every address.
	Hosts []string
	// TokenFile holds the token that requests for actions require, of 16
	// characters or more; "" (default) switches actions off. The token can be replaced.
	TokenFile string
}

// Tracing configures the destination of traces.
type Tracing struct {
	// Endpoint is the base URL of an OpenTelemetry collector that takes
	// OTLP/HTTP; "" (default) makes no traces.
	Endpoint string
	// SampleRatio is the share of events that are traced of those whose records
	// have no traceparent, 0 to 1; default 0.01.
	SampleRatio float64
}

// Log configures the log.
type Log struct {
	Level slog.Level
	// Format is the format of log lines; default [FormatAuto].
	Format LogFormat
}
