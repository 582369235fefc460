package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/tracing"
	"github.com/clientevents/clientevents/internal/version"
	"github.com/clientevents/clientevents/reporter"
)

// Options are what the program is started with besides its configuration.
type Options struct {
	Config *config.Config
	Logger *slog.Logger
	// Level is the logger's, for the status page; it may be nil.
	Level *slog.LevelVar
	// Dial replaces the network to the brokers and to the API; nil is the
	// ordinary way.
	DialKafka, DialAPI func(ctx context.Context, network, addr string) (net.Conn, error)
	// OnListen is told the address of the admin server.
	OnListen func(net.Addr)
	// OnPipeline is given the pipeline before it runs.
	OnPipeline func(*Pipeline)
}

// Run carries events until ctx ends, then drains, with the admin server beside.
//
// Start order: the admin server first, so that the wait for brokers and state
// can be watched; stop order the other way round, so that a drain can.
func Run(ctx context.Context, o Options) (err error) {
	registry := prometheus.NewRegistry()
	registerProcess(registry, o.Config)
	k, err := newKafka(o.Config, o.DialKafka, o.Logger, registry)
	if err != nil {
		return err
	}
	defer k.Close()
	tokens, err := tokens(o.Config, o.DialAPI, o.Logger, registry)
	if err != nil {
		return err
	}
	if tokens != nil {
		defer tokens.Close()
	}
	cfg := pipelineConfig(o, k, tokens, registry)
	if o.DialKafka == nil { // else there is no way to look at the brokers beside
		cfg.Consumer.Explain = func(ctx context.Context, err error) error { return ExplainKafka(ctx, k, o.Config, err) }
	}
	stopTracing, err := startTracing(ctx, o, &cfg)
	if err != nil {
		return err
	}
	defer stopTracing()
	p, err := NewPipeline(cfg)
	if err != nil {
		return err
	}
	if o.OnPipeline != nil {
		o.OnPipeline(p)
	}
	admin, err := startAdmin(ctx, o, p, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.stop()) }()
	o.Logger.Info("carrying events", "from", o.Config.Kafka.Topic, "group", o.Config.Kafka.Group,
		"to", o.Config.API.Endpoint, "api", o.Config.API.Version.String(), "parent", o.Config.API.Parent, "admin", admin.addr().String())
	return p.Run(ctx)
}

func pipelineConfig(o Options, k *Kafka, tokens *googleauth.Keeper, registry prometheus.Registerer) PipelineConfig {
	c := o.Config
	const batchBytes = 4 << 20
	return PipelineConfig{
		Consumer: consumer.Config{
			Brokers:          c.Kafka.Brokers,
			Topic:            c.Kafka.Topic,
			Group:            c.Kafka.Group,
			DeadLetterTopic:  c.Kafka.DeadLetterTopic,
			StateTopic:       c.Kafka.StateTopic,
			StateReplication: c.Kafka.StateReplication,
			StartLatest:      c.Kafka.Start == "latest",
			Rules: consumer.Rules{
				Version:         c.API.Version,
				Window:          c.Dedupe.Window,
				ParentsRequired: c.Parents.Policy == "require",
				ParentsWait:     c.Parents.Wait,
				ByValue:         c.Report.Priority == "value",
				Suspicious:      consumer.Suspicious{Age: c.Suspicious.Age, Ahead: c.Suspicious.Ahead, Refuse: c.Suspicious.Refuse},
			},
			SessionTimeout:     c.Kafka.SessionTimeout,
			MaxInFlightBytes:   c.Kafka.MaxInFlightBytes,
			MaxInFlightRecords: c.Kafka.MaxInFlightRecords,
			ReadAhead:          readAhead(c.Report),
			Transport:          k.Transport,
			Dialer:             k.Dialer,
			Logger:             o.Logger,
			Registerer:         registry,
		},
		Batch: batcher.Config{
			Size:        c.Report.BatchSize,
			Bytes:       batchBytes,
			Linger:      c.Report.Linger,
			Concurrency: c.Report.Concurrency,
		},
		Reporter: reporter.Config{
			Endpoint:     c.API.Endpoint,
			Version:      c.API.Version,
			Parent:       c.API.Parent,
			QuotaProject: c.API.QuotaProject,
			Concurrency:  c.Report.Concurrency,
			Rate:         c.Report.Rate,
			Timeout:      c.API.Timeout,
			Tokens:       tokens,
			Dial:         o.DialAPI,
			UserAgent:    version.UserAgent(),
			Logger:       o.Logger,
			Registerer:   registry,
		},
	}
}

// readAhead is how many records keep all requests busy: as many as are in flight,
// and as many to follow; but not so few that fetching them costs much.
func readAhead(c config.Report) int64 {
	const least = 2000
	return int64(max(least, 2*c.Concurrency*c.BatchSize))
}

// startTracing lets the stages make spans, where traces are wanted. What it
// returns sends the last of them.
func startTracing(ctx context.Context, o Options, cfg *PipelineConfig) (stop func(), err error) {
	if o.Config.Tracing.Endpoint == "" {
		return func() {}, nil
	}
	provider, err := tracing.New(context.WithoutCancel(ctx), tracing.Config{
		Endpoint:    o.Config.Tracing.Endpoint,
		SampleRatio: o.Config.Tracing.SampleRatio,
		Version:     version.Number(),
		Logger:      o.Logger,
	})
	if err != nil {
		return nil, err
	}
	cfg.Consumer.Tracer, cfg.Reporter.Tracer = provider.Tracer(), provider.Tracer()
	return provider.Stop, nil
}

// Kafka is how the cluster is reached.
type Kafka struct {
	Addr      net.Addr
	Transport *kafka.Transport
	Dialer    *kafka.Dialer
}

// NewKafka prepares connections to the cluster, with TLS and the login as
// configured. It does not connect.
func NewKafka(c *config.Config, dial network) (*Kafka, error) {
	return newKafka(c, dial, nil, nil)
}

// newKafka is NewKafka, with a log and metrics of the login; nil for none.
func newKafka(c *config.Config, dial network, log *slog.Logger, reg prometheus.Registerer) (*Kafka, error) {
	tlsConfig, err := kafkaTLS(c.Kafka.TLS)
	if err != nil {
		return nil, err
	}
	login, err := kafkaLogin(c.Kafka.SASL, log, reg)
	if err != nil {
		return nil, err
	}
	transport := topicTransport(dial, c.Kafka.Topic, c.Kafka.DeadLetterTopic, c.Kafka.StateTopic)
	transport.TLS, transport.SASL = tlsConfig, login
	return &Kafka{
		Addr:      kafka.TCP(c.Kafka.Brokers...),
		Transport: transport,
		Dialer: &kafka.Dialer{
			ClientID: "clientevents", Timeout: 10 * time.Second, DualStack: true,
			DialFunc: dial, TLS: tlsConfig, SASLMechanism: login,
		},
	}, nil
}

// Client makes requests of all kinds.
func (k *Kafka) Client() *kafka.Client { return &kafka.Client{Addr: k.Addr, Transport: k.Transport} }

// Close lets go of the connections.
func (k *Kafka) Close() {
	k.Transport.CloseIdleConnections()
	if login, ok := k.Transport.SASL.(*googleLogin); ok {
		login.keeper.Close()
	}
}

func kafkaTLS(c config.TLS) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca_file: %q: want PEM certificates", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert_file, kafka.tls.key_file: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func kafkaLogin(c config.SASL, log *slog.Logger, reg prometheus.Registerer) (sasl.Mechanism, error) {
	switch c.Mechanism {
	case "":
		return nil, nil
	case "plain":
		return plain.Mechanism{Username: c.Username, Password: string(c.Password)}, nil
	case "oauthbearer":
		return newGoogleLogin(log, reg), nil
	}
	algorithm := scram.SHA256
	if strings.HasSuffix(c.Mechanism, "512") {
		algorithm = scram.SHA512
	}
	m, err := scram.Mechanism(algorithm, c.Username, string(c.Password))
	if err != nil {
		// Not the library's own words: they show the password.
		return nil, errors.New("kafka.sasl.username, kafka.sasl.password_file: want texts without control characters (RFC 4013)")
	}
	return m, nil
}
