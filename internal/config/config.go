// Package config reads the configuration: a YAML file, with each key overridden
// by an environment variable.
package config

import (
	"log/slog"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Config is the whole configuration. [Keys] has the default of each key.
type Config struct {
	Kafka   Kafka
	API     API
	Report  Report
	Dedupe  Dedupe
	Parents Parents

	Suspicious Suspicious
	Admin      Admin
	Log        Log
	Tracing    Tracing

	// Warnings are what is not a fault, but may be a mistake; one line each.
	Warnings []string
}

// Kafka is where events come from.
type Kafka struct {
	// Brokers are host:port of some brokers; the others are learned from them.
	Brokers []string
	// Topic is the source topic.
	Topic string
	// Group is the consumer group. A new name begins anew, see Start, and its
	// replicas share the partitions.
	Group string
	// DeadLetterTopic takes the records that can't be delivered; default
	// Topic + ".dead-letter".
	DeadLetterTopic string
	// StateTopic remembers what was reported; default Topic + ".reported". Two
	// groups that report to different places need different ones.
	StateTopic string
	// Start is "earliest" (default) or "latest", for partitions of which the
	// group has no offset. With latest, what is in the topic before the group
	// first runs is never reported.
	Start string
	TLS   TLS
	SASL  SASL
	// StateReplication is the replication factor of the topics that are
	// created; 0 (default) is the broker's own.
	StateReplication int
	// SessionTimeout is after how long without a sign of life the brokers give
	// a replica's partitions to the others; default 8 s. Shorter recovers
	// sooner from a crash, longer bears longer pauses of the machine. The
	// brokers take 6 s to 30 min unless they are told otherwise.
	SessionTimeout time.Duration
	// MaxInFlightBytes bounds the records between fetch and outcome, for all
	// partitions together; default 32 MiB. It is most of the memory that a
	// backlog costs.
	MaxInFlightBytes int64
	// MaxInFlightRecords bounds the same by number; default 10,000.
	MaxInFlightRecords int64
}

// TLS is how connections to the brokers are secured.
type TLS struct {
	// Enabled is false by default: connections are in the clear.
	Enabled bool
	// CAFile has PEM certificates to trust instead of the system's.
	CAFile string
	// CertFile and KeyFile are the client's PEM certificate and its key, for
	// brokers that ask for one; both or neither.
	CertFile, KeyFile string
}

// SASL is how the program logs in to the brokers.
type SASL struct {
	// Mechanism is "" (default: no login), "plain", "scram-sha-256",
	// "scram-sha-512" or "oauthbearer", which uses Google credentials.
	Mechanism string
	// Username is required for plain and scram.
	Username string
	// Password comes from the environment, or else from PasswordFile, without
	// the line's end.
	Password     Secret
	PasswordFile string
}

// API is where events go.
type API struct {
	// Endpoint is an http or https URL without a slash at its end.
	Endpoint string
	// Version decides the rules for records and the form of requests.
	Version event.Version
	// Parent is projects/P or projects/P/tenants/T, as the version takes it.
	Parent string
	// Credentials is "default" (Application Default Credentials), "none" or a
	// file's path.
	Credentials string
	// QuotaProject is whose quota is used and who is billed; "" is the
	// credentials' own.
	QuotaProject string
	// Timeout bounds one attempt, default 30 s. An attempt that is cut off may
	// have been accepted all the same, and is made again: too short a timeout
	// makes duplicates.
	Timeout time.Duration
}

// Report is how they go there.
type Report struct {
	// Concurrency is how many HTTP requests are in flight at most; default 16.
	Concurrency int
	// Rate is events a second for all replicas together; 0 (default) is no
	// limit but the API's own.
	Rate float64
	// BatchSize is how many events one request may hold, 1 to 1000; default
	// 100. With 1, each event is a POST of its own.
	BatchSize int
	// Linger is how long a batch that is not full waits for more events;
	// default 5 ms, 0 not at all.
	Linger time.Duration
	// Priority is what goes first when not everything can: "value" (default) or
	// "arrival".
	Priority string
}

// Dedupe is how repetitions are known.
type Dedupe struct {
	// Window is how long an event id is remembered; default 24 h. The memory
	// and the state topic grow with it, and a repetition that comes later is
	// reported again.
	Window time.Duration
}

// Parents is what is asked of links between events.
type Parents struct {
	// Policy is "require" (default): a child whose parent is not reported
	// becomes a dead letter; or "allow": it is reported all the same.
	Policy string
	// Wait is how long a child waits for its parent; default 30 s. It holds up
	// its partition's commits, but not the other events.
	Wait time.Duration
}

// Suspicious is which events the API is likely to take and then to discard.
type Suspicious struct {
	// Age is how old an event may be when it is published, and a search when an
	// event that stems from it is reported; default 24 h.
	Age time.Duration
	// Ahead is how far in the future a createTime may be; default 5 min.
	Ahead time.Duration
	// Refuse makes events with suspicious create times dead letters; by default
	// they are counted and reported.
	Refuse bool
}

// Admin is the server for metrics, health and the status page.
type Admin struct {
	// Listen is host:port; default ":9090", which is every address of the
	// machine. Port 0 is any that is free.
	Listen string
	// TokenFile holds the token that who asks for an action has to send, at
	// least 16 characters; "" (default) switches actions off. It is read for
	// each action, so the token can be replaced.
	TokenFile string
}

// Tracing is where traces of events go.
type Tracing struct {
	// Endpoint is the base URL of an OpenTelemetry collector that takes
	// OTLP/HTTP; "" (default) makes no traces.
	Endpoint string
	// SampleRatio is the share of events that are traced of those whose records
	// have no traceparent, 0 to 1; default 0.01.
	SampleRatio float64
}

// Log is what the program says and how.
type Log struct {
	Level slog.Level
	// Format is "text", "json" or "", which is text on a terminal and json
	// elsewhere.
	Format string
}
