package kafkatest

import (
	"net"
	"sync/atomic"
)

// Silence returns conn, which takes what is written and passes nothing on while silent
// is true: the peer never answers.
func Silence(conn net.Conn, silent *atomic.Bool) net.Conn { return &silentConn{conn, silent} }

type silentConn struct {
	net.Conn
	silent *atomic.Bool
}

func (c *silentConn) Write(b []byte) (int, error) {
	if c.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
