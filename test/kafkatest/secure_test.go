package kafkatest_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/clientevents/clientevents/test/kafkatest"
)

func TestSecureListeners(t *testing.T) {
	s := kafkatest.RealSecure(t)
	authorities := x509.NewCertPool()
	if pem, err := os.ReadFile(s.CAFile); err != nil || !authorities.AppendCertsFromPEM(pem) {
		t.Fatalf("read %s: no certificate (%v)", s.CAFile, err)
	}
	certificate, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	trusting := &tls.Config{RootCAs: authorities}
	identified := &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{certificate}}
	password := func(p string) sasl.Mechanism { return plain.Mechanism{Username: s.Username, Password: p} }
	hashed := func(a scram.Algorithm, p string) sasl.Mechanism {
		m, err := scram.Mechanism(a, s.Username, p)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}

	tests := []struct {
		name      string
		brokers   []string
		tls       *tls.Config
		sasl      sasl.Mechanism
		wantError string // a part of it; empty: none
	}{
		{name: "plain", brokers: s.SASL, sasl: password(s.Password)},
		{name: "plain with a wrong password", brokers: s.SASL, sasl: password("wrong"), wantError: "Authentication"},
		{name: "scram-sha-256", brokers: s.SASL, sasl: hashed(scram.SHA256, s.Password)},
		{name: "scram-sha-512", brokers: s.SASL, sasl: hashed(scram.SHA512, s.Password)},
		{name: "scram-sha-512 with a wrong password", brokers: s.SASL, sasl: hashed(scram.SHA512, "wrong"), wantError: "Authentication"},
		{name: "tls", brokers: s.TLS, tls: trusting},
		{name: "tls of an unknown authority", brokers: s.TLS, tls: &tls.Config{RootCAs: x509.NewCertPool()}, wantError: "unknown authority"},
		{name: "mutual tls", brokers: s.MTLS, tls: identified},
		{name: "mutual tls without a certificate", brokers: s.MTLS, tls: trusting, wantError: "remote error: tls"},
		{name: "scram over tls", brokers: s.SASLTLS, tls: trusting, sasl: hashed(scram.SHA256, s.Password)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dialer := &kafka.Dialer{TLS: tt.tls, SASLMechanism: tt.sasl, Timeout: 10 * time.Second}
			conn, err := dialer.DialContext(t.Context(), "tcp", tt.brokers[0])
			if err == nil {
				defer conn.Close()
				_, err = conn.Brokers()
			}
			switch {
			case tt.wantError == "" && err != nil:
				t.Errorf("talk to the broker: %v", err)
			case tt.wantError != "" && (err == nil || !strings.Contains(err.Error(), tt.wantError)):
				t.Errorf("talk to the broker: %v, want an error with %q", err, tt.wantError)
			}
		})
	}
}
