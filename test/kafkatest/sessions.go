package kafkatest

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Sessions ends connections as a broker does that has connections.max.reauth.ms: when
// one is used after its session's end for anything but authenticating again. The
// embedded broker announces how long a session lasts, and does not enforce it.
type Sessions struct {
	Lifetime time.Duration
	Logins   atomic.Int32 // counts those of all connections
	Ended    atomic.Int32 // counts the connections that were ended
}

// Enforce returns conn, which ends with its session.
func (s *Sessions) Enforce(conn net.Conn) net.Conn {
	return &sessionConn{Conn: conn, sessions: s, answered: true}
}

type sessionConn struct {
	net.Conn
	sessions *Sessions
	ends     time.Time
	answered bool // so the next Write begins a request
}

func (c *sessionConn) Write(b []byte) (int, error) {
	if c.answered && len(b) >= 6 {
		switch key := protocol.ApiKey(binary.BigEndian.Uint16(b[4:])); {
		case key == protocol.SaslAuthenticate:
			c.ends = time.Now().Add(c.sessions.Lifetime)
			c.sessions.Logins.Add(1)
		case key != protocol.SaslHandshake && key != protocol.ApiVersions && !time.Now().Before(c.ends):
			c.sessions.Ended.Add(1)
			c.Close()
			return 0, io.EOF
		}
	}
	c.answered = false
	return c.Conn.Write(b)
}

func (c *sessionConn) Read(b []byte) (int, error) {
	c.answered = true
	return c.Conn.Read(b)
}
