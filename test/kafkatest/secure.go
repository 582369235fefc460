package kafkatest

import (
	"os"
	"strings"
	"testing"
)

// Secure describes the real cluster's listeners with TLS or a login, and the credentials
// for them.
type Secure struct {
	// Brokers (host:port) by listener.
	SASL    []string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	TLS     []string // no client certificate
	MTLS    []string // with a client certificate
	SASLTLS []string // PLAIN or SCRAM over TLS
	OAuth   []string // OAUTHBEARER; the broker verifies tokens at Introspection

	// Introspection is host:port, where a test may listen and answer (RFC 7662).
	Introspection string

	Username, Password string // for all SASL mechanisms
	CAFile             string // PEM: the authority that signed the brokers' certificates
	CertFile, KeyFile  string // PEM: a client's certificate and key
}

// RealSecure returns the listeners that KAFKA_SASL_BROKERS and the variables of the same
// form name (`make kafka-test` sets all of them), and skips t where one is unset.
func RealSecure(t testing.TB) Secure {
	t.Helper()
	get := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			t.Skipf("not run against Apache Kafka with authentication, since %s is unset: `make kafka-test` starts a broker and runs this test against it", name)
		}
		return value
	}
	brokers := func(name string) []string { return strings.Split(get(name), ",") }
	return Secure{
		SASL: brokers("KAFKA_SASL_BROKERS"), TLS: brokers("KAFKA_TLS_BROKERS"),
		MTLS: brokers("KAFKA_MTLS_BROKERS"), SASLTLS: brokers("KAFKA_SASL_TLS_BROKERS"),
		OAuth: brokers("KAFKA_OAUTH_BROKERS"), Introspection: get("KAFKA_OAUTH_INTROSPECTION"),
		Username: get("KAFKA_SASL_USERNAME"), Password: get("KAFKA_SASL_PASSWORD"),
		CAFile: get("KAFKA_CA_FILE"), CertFile: get("KAFKA_CERT_FILE"), KeyFile: get("KAFKA_KEY_FILE"),
	}
}
