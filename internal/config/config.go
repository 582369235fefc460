// Package config reads the configuration: a YAML file, with each key overridden
// by an environment variable.
package config

import (
	"log/slog"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Config is the whole configuration. [Keys] documents each key with its
// default.
type Config struct {
	Kafka   Kafka
	API     API
	Report  Report
	Dedupe  Dedupe
	Parents Parents
	Admin   Admin
	Log     Log

	// Warnings are what is not a fault, but may be a mistake.
	Warnings []string
}

// Kafka is where events come from.
type Kafka struct {
	Brokers         []string
	Topic           string
	Group           string
	DeadLetterTopic string
	StateTopic      string
	// Start is "earliest" or "latest".
	Start string
	TLS   TLS
	SASL  SASL
	// StateReplication is the replication factor of the topics that are
	// created; 0 is the broker's default.
	StateReplication   int
	SessionTimeout     time.Duration
	MaxInFlightBytes   int64
	MaxInFlightRecords int64
}

// TLS is how connections to the brokers are secured.
type TLS struct {
	Enabled                   bool
	CAFile, CertFile, KeyFile string
}

// SASL is how the program logs in to the brokers.
type SASL struct {
	// Mechanism is "", "plain", "scram-sha-256", "scram-sha-512" or
	// "oauthbearer".
	Mechanism    string
	Username     string
	Password     Secret
	PasswordFile string
}

// API is where events go.
type API struct {
	Endpoint string
	Version  event.Version
	Parent   string
	// Credentials is "default", "none" or a file's path.
	Credentials  string
	QuotaProject string
	Timeout      time.Duration
}

// Report is how they go there.
type Report struct {
	Concurrency int
	Rate        float64
	BatchSize   int
	Linger      time.Duration
}

// Dedupe is how repetitions are known.
type Dedupe struct {
	Window time.Duration
}

// Parents is what is asked of links between events.
type Parents struct {
	// Policy is "require" or "allow".
	Policy string
	Wait   time.Duration
}

// Admin is the server for metrics, health and the status page.
type Admin struct {
	Listen string
}

// Log is what the program says and how.
type Log struct {
	Level slog.Level
	// Format is "text", "json" or "", which is text on a terminal and json
	// elsewhere.
	Format string
}

// Secret is a text that is never shown.
type Secret string

const hidden = "(secret)"

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
