// Package connect makes connections to the brokers and to the API from the
// configuration: TLS, logins and access tokens. It changes no configuration.
package connect

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/scrub"
	"github.com/clientevents/clientevents/internal/tlsfile"
)

// DialFunc makes a connection, as [net.Dialer.DialContext] does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Options are the parts of a connection that the configuration does not state.
// The zero value is complete.
type Options struct {
	// Dial makes the connections; nil uses the network.
	Dial DialFunc
	// Stat replaces os.Stat of the credentials file for the API; nil uses it.
	Stat func(name string) (os.FileInfo, error)
	// Logger and Registerer receive the events and metrics of the login; nil
	// discards them.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Files keeps passwords and tokens current; nil uses one of the connection's own.
	// Certificates does the same for certificates.
	Files        *filewatch.Watcher
	Certificates *tlsfile.Store

	secrets *scrub.Scrubber // learns the secrets that are read; nil for none
}

// Kafka holds the connections to a cluster.
type Kafka struct {
	Addr      net.Addr
	Transport *kafka.Transport
	Dialer    *kafka.Dialer
	// Dial opens a connection without TLS and login. TLS returns the configuration
	// for the next connection; nil where TLS is off.
	Dial DialFunc
	TLS  func() *tls.Config

	login sasl.Mechanism
	files *filewatch.Watcher // its own; nil where [Options.Files] was given
}

const (
	// clientID names the program in requests to brokers, for their logs and quotas.
	clientID = "clientevents"
	// dialTimeout bounds one connection to a broker.
	dialTimeout = 10 * time.Second
	// metadataTTL is the age at which metadata is read again; it bounds how late a
	// moved leader is found.
	metadataTTL = time.Second
)

// NewKafka prepares connections to the cluster with the configured TLS and login.
// It does not connect.
func NewKafka(c *config.Config, o Options) (*Kafka, error) {
	k := &Kafka{Addr: kafka.TCP(c.Kafka.Brokers...), Dial: o.Dial}
	if k.Dial == nil {
		k.Dial = new(net.Dialer).DialContext
	}
	if o.Files == nil {
		k.files = filewatch.New(cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), o.Registerer)
		o.Files = k.files
	}
	if o.Certificates == nil {
		o.Certificates = tlsfile.New(o.Files, c.Secrets, o.Registerer)
	}
	o.secrets = c.Secrets
	if err := k.prepare(c, o); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Kafka) prepare(c *config.Config, o Options) (err error) {
	if k.TLS, err = kafkaTLS(c.Kafka.TLS, o); err != nil {
		return err
	}
	if k.login, err = kafkaLogin(c.Kafka.SASL, o); err != nil {
		return err
	}
	dial := encrypted(k.Dial, k.TLS)
	// It logs in instead of the transport, so that it can renew sessions.
	sessions := &kafkalog.Dialer{Dial: dial, SASL: k.login, ClientID: clientID}
	k.Transport = &kafka.Transport{
		Dial: sessions.DialContext, DialTimeout: dialTimeout, ClientID: clientID, MetadataTTL: metadataTTL,
		// Without names, kafka-go asks for the metadata of every topic of the cluster.
		MetadataTopics: []string{c.Kafka.Topic, c.Kafka.DeadLetterTopic, c.Kafka.StateTopic},
	}
	if c.Input.Rekey {
		k.Transport.MetadataTopics = append(k.Transport.MetadataTopics, c.Kafka.ByRequestTopic())
	}
	k.Dialer = &kafka.Dialer{DialFunc: dial, Timeout: dialTimeout, ClientID: clientID, SASLMechanism: k.login}
	return nil
}

// Client returns a client for requests of all kinds.
func (k *Kafka) Client() *kafka.Client { return &kafka.Client{Addr: k.Addr, Transport: k.Transport} }

// Close closes the idle connections and ends the login's token refresh.
func (k *Kafka) Close() {
	if k.Transport != nil {
		k.Transport.CloseIdleConnections()
	}
	if login, ok := k.login.(*oauthLogin); ok {
		login.keeper.Close()
	}
	if k.files != nil {
		k.files.Close()
	}
}

// kafkaLogin returns the configured SASL mechanism; nil for no login.
func kafkaLogin(c config.SASL, o Options) (sasl.Mechanism, error) {
	switch c.Mechanism {
	case config.NoLogin:
		return nil, nil
	case config.Plain, config.ScramSHA256, config.ScramSHA512:
		return newPasswordLogin(c, o)
	case config.OAuthBearer:
		login, err := newOAuthLogin(c.OAuth, o)
		if err != nil {
			return nil, err // not a nil pointer in an interface
		}
		return login, nil
	}
	return nil, fmt.Errorf("kafka.sasl.mechanism: %q: expected one of %v", c.Mechanism, config.Mechanisms())
}
