package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/netx"
)

// wire is a connection to a broker that requests can be made on one by one.
type wire struct {
	net.Conn
	limits   limits
	head     []byte // the first bytes that came
	versions map[int16]int16
	id       int32
}

// Read keeps the first bytes, which identify the kind of server.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	const enough = 5
	w.head = append(w.head, p[:min(n, enough-min(enough, len(w.head)))]...)
	return n, err
}

// call makes a request in the newest version that both sides know, up to most.
func (w *wire) call(most int16, req protocol.Message) (protocol.Message, error) {
	w.id++
	if known, ok := w.versions[int16(req.ApiKey())]; ok {
		most = min(most, known)
	}
	_ = w.SetDeadline(time.Now().Add(w.limits.each))
	return protocol.RoundTrip(w, most, w.id, "clientevents", req)
}

// dialWire connects to a broker step by step, so that each step has its own error:
// the address, TLS, whether it is Kafka at all, the login.
func dialWire(ctx context.Context, k *connect.Kafka, l limits, address string) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, l.each)
	defer cancel()
	conn, err := connectBroker(ctx, k, l, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, limits: l}
	if err := w.greet(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	if k.Dialer.SASLMechanism == nil {
		return w, w.wantsNoLogin()
	}
	w.Close()
	// The library's login is on a connection of its own making, of which the
	// network is ours.
	var inner net.Conn
	d := *k.Dialer
	d.DialFunc = func(ctx context.Context, _, _ string) (_ net.Conn, err error) {
		inner, err = connectBroker(ctx, k, l, address)
		return inner, err
	}
	if _, err := d.DialContext(ctx, "tcp", address); err != nil {
		if inner != nil {
			inner.Close()
		}
		return nil, loginTrouble(err, d.SASLMechanism.Name())
	}
	return &wire{Conn: inner, limits: l, versions: w.versions}, nil
}

func connectBroker(ctx context.Context, k *connect.Kafka, l limits, address string) (net.Conn, error) {
	conn, err := k.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, connectTrouble(err, l, "kafka.brokers")
	}
	if k.TLS == nil {
		return conn, nil
	}
	config := k.TLS()
	config.ServerName, _, _ = net.SplitHostPort(address)
	secure := tls.Client(conn, config)
	handshake, cancel := context.WithTimeout(ctx, l.answer)
	defer cancel()
	if err := secure.HandshakeContext(handshake); err != nil {
		conn.Close()
		return nil, handshakeTrouble(err)
	}
	return secure, nil
}

// greet asks the broker for the requests it supports, as every client does first.
func (w *wire) greet(ctx context.Context) error {
	until := time.Now().Add(w.limits.answer)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	_ = w.SetDeadline(until)
	answer, err := protocol.RoundTrip(w, 0, 0, "clientevents", &apiversions.Request{})
	if err != nil {
		return w.greetTrouble(err)
	}
	w.versions = map[int16]int16{}
	for _, key := range answer.(*apiversions.Response).ApiKeys {
		w.versions[key.ApiKey] = key.MaxVersion
	}
	return nil
}

func (w *wire) greetTrouble(err error) *trouble {
	_, secure := w.Conn.(*tls.Conn)
	if len(w.head) == 0 && netx.IsTimeout(err) {
		w.prompt()
	}
	const alert, tls10 = 0x15, 0x03 // the beginning of a TLS alert (RFC 8446, 5.1)
	switch {
	case bytes.HasPrefix(w.head, []byte("HTTP")):
		return &trouble{"it is a web server, not a Kafka broker", "correct kafka.brokers"}
	case !secure && bytes.HasPrefix(w.head, []byte{alert, tls10}):
		return &trouble{"the port serves TLS", "set kafka.tls.enabled to true, or use the broker's port without TLS"}
	case len(w.head) == 0 && netx.IsTimeout(err):
		return &trouble{fmt.Sprintf("the server sent nothing for %v: it may not be a Kafka broker", w.limits.answer), "correct kafka.brokers"}
	}
	if secure {
		if t := brokerTLSTrouble(err); t != nil {
			return t
		}
	}
	if len(w.head) == 0 && !secure && hungUp(err) {
		return &trouble{"it closes the connection: it may require TLS or not be a Kafka broker", "if it is a TLS port, set kafka.tls.enabled to true"}
	}
	return &trouble{fmt.Sprintf("it does not answer as a Kafka broker (%v)", err), "correct kafka.brokers"}
}

// prompt makes a web server respond: it waits for the end of a line.
func (w *wire) prompt() {
	_ = w.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(w.Conn, "\r\n\r\n"); err == nil {
		_, _ = w.Read(make([]byte, 5))
	}
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// wantsNoLogin reports whether the broker responds without a login: if it requires one,
// it closes the connection.
func (w *wire) wantsNoLogin() error {
	if _, err := w.call(1, &metadata.Request{TopicNames: []string{}}); err != nil {
		w.Close()
		if hungUp(err) {
			return &trouble{"it closes the connection: it requires a login", "set kafka.sasl.mechanism and its keys"}
		}
		if t := brokerTLSTrouble(err); t != nil {
			return t
		}
		return &trouble{err.Error(), "check the broker's log"}
	}
	return nil
}

func loginTrouble(err error, mechanism string) *trouble {
	if t, ok := errors.AsType[*trouble](err); ok {
		return t
	}
	do := "check kafka.sasl.username and the password"
	if mechanism == "OAUTHBEARER" {
		do = "check the Google credentials, and that their account has the role Managed Kafka Client"
	}
	switch {
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return &trouble{"it does not support logins by " + mechanism, "set kafka.sasl.mechanism to one that this listener supports"}
	case errors.Is(err, kafka.IllegalSASLState):
		return &trouble{"it supports no login at this port", "use the broker's port for logins, or leave kafka.sasl out"}
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return &trouble{"it refuses the login", do}
	case hungUp(err):
		return &trouble{"it closes the connection at the login, as some brokers do to reject it", do}
	}
	return &trouble{"no login: " + err.Error(), do}
}
