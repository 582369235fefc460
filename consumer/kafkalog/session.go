package kafkalog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// Dialer opens connections for a kafka.Transport, whose own TLS and SASL must then
// be nil. It encrypts and authenticates like the transport, and also renews SASL
// sessions: a broker with connections.max.reauth.ms, or with tokens that expire,
// closes a connection that is used after its session has ended. kafka-go does not
// read how long a session lasts.
//
// A connection authenticates again (KIP-368) before the first request that it sends
// in the last fifth of its session, so no request is lost. It must carry one
// request at a time, as the transport's connections do.
type Dialer struct {
	// Dial opens the network connection; nil uses a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS and SASL are nil where the brokers use neither.
	TLS  *tls.Config
	SASL sasl.Mechanism
	// ClientID is sent with each request.
	ClientID string
}

// DialContext opens a connection to a broker. An error with which the broker
// refuses the login is a kafka.Error.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if conn, err = dial(ctx, network, address); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if d.TLS != nil {
		if conn, err = encrypt(ctx, conn, d.TLS, host); err != nil {
			return conn, err
		}
	}
	if d.SASL == nil {
		return conn, nil
	}
	broker := &sasl.Metadata{Host: host}
	if broker.Port, err = strconv.Atoi(port); err != nil {
		return conn, err
	}
	s := &session{Conn: conn, mechanism: d.SASL, clientID: d.ClientID, broker: broker}
	if err := s.begin(ctx); err != nil {
		return conn, err
	}
	return s, nil
}

func encrypt(ctx context.Context, conn net.Conn, config *tls.Config, host string) (net.Conn, error) {
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	client := tls.Client(conn, config)
	return client, client.HandshakeContext(ctx)
}

// session is a connection with a SASL session that may end.
type session struct {
	net.Conn
	mechanism sasl.Mechanism
	clientID  string
	broker    *sasl.Metadata
	versions  map[protocol.ApiKey]int16
	deadline  time.Time // of the connection

	// lifetime is 0 where the session does not end. renewAt is when to renew it.
	lifetime      time.Duration
	renewAt, ends time.Time
	// inRequest is true from a request's first byte until its answer's first.
	inRequest bool
}

// Write renews the session first if it ends soon and b begins a request.
func (s *session) Write(b []byte) (int, error) {
	if !s.inRequest && s.lifetime > 0 && !time.Now().Before(s.renewAt) {
		if err := s.renew(); err != nil {
			return 0, err
		}
	}
	s.inRequest = true
	return s.Conn.Write(b)
}

func (s *session) Read(b []byte) (int, error) {
	s.inRequest = false
	return s.Conn.Read(b)
}

// SetDeadline sets the deadline of the connection and of renewing its session.
func (s *session) SetDeadline(t time.Time) error {
	s.deadline = t
	return s.Conn.SetDeadline(t)
}

// begin asks for the broker's versions and authenticates.
func (s *session) begin(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(requestTimeout)
	}
	if err := s.Conn.SetDeadline(deadline); err != nil {
		return err
	}
	conn := protocol.NewConn(s.Conn, s.clientID)
	m, err := conn.RoundTrip(&apiversions.Request{})
	if err != nil {
		return err
	}
	answer, ok := m.(*apiversions.Response)
	switch {
	case !ok:
		return fmt.Errorf("%w: it is a %T", errAnswer, m)
	case answer.ErrorCode != 0:
		return kafka.Error(answer.ErrorCode)
	}
	s.versions = map[protocol.ApiKey]int16{}
	for _, v := range answer.ApiKeys {
		if key := protocol.ApiKey(v.ApiKey); key == protocol.SaslHandshake || key == protocol.SaslAuthenticate {
			s.versions[key] = key.SelectVersion(v.MinVersion, v.MaxVersion)
		}
	}
	ctx = sasl.WithMetadata(ctx, s.broker)
	machine, first, err := s.mechanism.Start(ctx)
	if err != nil {
		return err
	}
	if err := s.authenticate(ctx, machine, first); err != nil {
		return err
	}
	return s.Conn.SetDeadline(time.Time{})
}

// renew authenticates again. Without new credentials the session is used until its
// end.
func (s *session) renew() error {
	deadline := s.deadline
	if deadline.IsZero() {
		deadline = time.Now().Add(requestTimeout)
		if err := s.Conn.SetDeadline(deadline); err != nil {
			return err
		}
		defer s.Conn.SetDeadline(time.Time{}) //nolint:errcheck // the next read or write reports it
	}
	ctx, cancel := context.WithDeadline(sasl.WithMetadata(context.Background(), s.broker), deadline)
	defer cancel()
	machine, first, err := s.mechanism.Start(ctx)
	if err != nil && time.Now().Before(s.ends) {
		const retries = 20
		s.renewAt = time.Now().Add(s.lifetime / retries)
		return nil
	}
	if err == nil {
		err = s.authenticate(ctx, machine, first)
	}
	if err != nil {
		return fmt.Errorf("renew the login: %w", err)
	}
	return nil
}

// authenticate performs the exchanges of a mechanism, as kafka-go's transport does,
// and reads how long the session lasts.
func (s *session) authenticate(ctx context.Context, machine sasl.StateMachine, state []byte) error {
	conn := protocol.NewConn(s.Conn, s.clientID)
	conn.SetVersions(s.versions)
	m, err := conn.RoundTrip(&saslhandshake.Request{Mechanism: s.mechanism.Name()})
	if err != nil {
		return err
	}
	answer, ok := m.(*saslhandshake.Response)
	switch {
	case !ok:
		return fmt.Errorf("%w: it is a %T", errAnswer, m)
	case answer.ErrorCode != 0:
		return kafka.Error(answer.ErrorCode)
	}
	return s.exchange(ctx, conn, machine, state)
}

func (s *session) exchange(ctx context.Context, conn *protocol.Conn, machine sasl.StateMachine, state []byte) error {
	for done := false; !done; {
		began := time.Now()
		m, err := conn.RoundTrip(&saslauthenticate.Request{AuthBytes: state})
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			// Refused, or the broker ended: Kafka's own brokers answer with a code.
			return fmt.Errorf("the broker closed the connection during the login: %w", err)
		}
		if err != nil {
			return err
		}
		answer, ok := m.(*saslauthenticate.Response)
		switch {
		case !ok:
			return fmt.Errorf("%w: it is a %T", errAnswer, m)
		case answer.ErrorCode != 0 && answer.ErrorMessage != "":
			return fmt.Errorf("%w: %s", kafka.Error(answer.ErrorCode), answer.ErrorMessage)
		case answer.ErrorCode != 0:
			return kafka.Error(answer.ErrorCode)
		}
		s.lasts(began, time.Duration(answer.SessionLifetimeMs)*time.Millisecond)
		if done, state, err = machine.Next(ctx, answer.AuthBytes); err != nil {
			return err
		}
	}
	return nil
}

// lasts notes a session's lifetime; 0 for one that does not end.
func (s *session) lasts(began time.Time, lifetime time.Duration) {
	s.lifetime, s.ends, s.renewAt = lifetime, began.Add(lifetime), began.Add(lifetime*4/5)
}
