package kafkalog

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

// sessions is an embedded broker whose sessions end, and counts connections.
type sessions struct {
	kafkatest.Sessions
	network kfake.VirtualNetwork
	broker  *kfake.Cluster
	dials   atomic.Int32
}

func startSessions(t *testing.T, lifetime time.Duration) *sessions {
	s := &sessions{Sessions: kafkatest.Sessions{Lifetime: lifetime}}
	var err error
	s.broker, err = kfake.NewCluster(kfake.Ports(9092), kfake.ListenFn(s.network.Listen), kfake.SeedTopics(1, "topic"), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "user", "right"), kfake.Superuser("SCRAM-SHA-512", "user", "right"),
		kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "10000"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.broker.Close)
	return s
}

func (s *sessions) client(t *testing.T, mechanism sasl.Mechanism) *Client {
	d := &Dialer{SASL: mechanism, ClientID: "test", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		s.dials.Add(1)
		conn, err := s.network.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return s.Enforce(conn), nil
	}}
	transport := &kafka.Transport{Dial: d.DialContext, MetadataTTL: time.Second, IdleTimeout: time.Hour, ClientID: "test"}
	t.Cleanup(transport.CloseIdleConnections)
	return NewClient(kafka.TCP(s.broker.ListenAddrs()...), transport)
}

func TestSessionsAreRenewed(t *testing.T) {
	hashed, err := scram.Mechanism(scram.SHA512, "user", "right")
	if err != nil {
		t.Fatal(err)
	}
	for name, mechanism := range map[string]sasl.Mechanism{"plain": plain.Mechanism{Username: "user", Password: "right"}, "scram": hashed} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := startSessions(t, 10*time.Second)
				client := s.client(t, mechanism)
				for i := range int64(100) {
					time.Sleep(time.Second)
					if base, err := client.Append(t.Context(), "topic", 0, []Record{{}}); err != nil || base != i {
						t.Fatalf("append %d: %d, %v", i, base, err)
					}
				}
				time.Sleep(time.Minute) // beyond the end: the session can still be renewed
				batch, err := client.Fetch(t.Context(), FetchRequest{Topic: "topic"})
				if err != nil || len(batch.Records) != 100 {
					t.Errorf("fetch: %v, %v", batch, err)
				}
				if dials, logins := s.dials.Load(), s.Logins.Load(); dials > 3 || logins < 10 {
					t.Errorf("%d connections and %d logins, want few connections that log in again", dials, logins)
				}
			})
		})
	}
}

// forgetful is a mechanism that has no credentials for a while.
type forgetful struct {
	sasl.Mechanism
	failing atomic.Bool
}

func (m *forgetful) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	if m.failing.Load() {
		return nil, nil, errNoToken
	}
	return m.Mechanism.Start(ctx)
}

var errNoToken = errors.New("no token")

func TestASessionIsUsedToItsEndWithoutCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSessions(t, 10*time.Second)
		m := &forgetful{Mechanism: plain.Mechanism{Username: "user", Password: "right"}}
		client := s.client(t, m)
		fetch := func() error {
			_, err := client.Fetch(t.Context(), FetchRequest{Topic: "topic"})
			return err
		}
		if err := fetch(); err != nil {
			t.Fatal(err)
		}
		m.failing.Store(true)
		time.Sleep(9900 * time.Millisecond)
		if err := fetch(); err != nil {
			t.Errorf("before the session's end: %v", err)
		}
		time.Sleep(time.Second)
		wantError(t, fetch(), errNoToken)
		m.failing.Store(false)
		if err := fetch(); err != nil {
			t.Errorf("with credentials again: %v", err)
		}
	})
}

func TestARefusedLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSessions(t, 10*time.Second)
		_, err := s.client(t, plain.Mechanism{Username: "user", Password: "wrong"}).Fetch(t.Context(), FetchRequest{Topic: "topic"})
		if err == nil || !strings.Contains(err.Error(), "closed the connection during the login") {
			t.Errorf("got error %v", err)
		}
		s.broker.ControlKey(int16(protocol.SaslAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
			answer := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			answer.ErrorCode, answer.ErrorMessage = int16(kafka.SASLAuthenticationFailed), new("no such user")
			s.broker.KeepControl()
			return answer, nil, true
		})
		_, err = s.client(t, plain.Mechanism{Username: "user", Password: "right"}).Fetch(t.Context(), FetchRequest{Topic: "topic"})
		wantError(t, err, kafka.SASLAuthenticationFailed)
		if err != nil && !strings.Contains(err.Error(), "no such user") {
			t.Errorf("%v does not contain the broker's message", err)
		}
	})
}

func TestSessionsAreRenewedWithKafka(t *testing.T) {
	t.Parallel()
	libraries := os.Getenv("KAFKA_LIBRARIES")
	if libraries == "" {
		t.Skip("not run with Apache Kafka, since KAFKA_LIBRARIES is unset: `make kafka-test` gets the libraries and runs this test")
	}
	b, err := broker.Start(t.Context(), broker.Options{
		Libraries: libraries, Dir: t.TempDir(), Heap: "256m",
		Properties: map[string]string{"connections.max.reauth.ms": "3000", "auto.create.topics.enable": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	var dials atomic.Int32
	d := &Dialer{SASL: plain.Mechanism{Username: broker.Username, Password: broker.Password}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	transport := &kafka.Transport{Dial: d.DialContext, MetadataTTL: time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	addr := kafka.TCP(b.Address(broker.SASL))
	admin := &kafka.Client{Addr: addr, Transport: transport}
	if _, err := admin.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "topic", NumPartitions: 1, ReplicationFactor: 1}}}); err != nil {
		t.Fatal(err)
	}
	client := NewClient(addr, transport)
	retry(t, func(ctx context.Context) error {
		_, err := client.Append(ctx, "topic", 0, []Record{{}})
		return err
	})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 10*time.Second; <-tick.C {
		if _, err := client.Append(t.Context(), "topic", 0, []Record{{}}); err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	}
	if n := dials.Load(); n > 4 {
		t.Errorf("%d connections were made, want few that log in again", n)
	}
}
