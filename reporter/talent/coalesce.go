package talent

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	// maxUnsent is the number of bytes above which a write waits for those before it.
	maxUnsent = 64 << 10
	// sendTimeout bounds a write to the network, and closeTimeout the last one.
	sendTimeout  = 10 * time.Second
	closeTimeout = 250 * time.Millisecond
)

// coalescer is a connection that sends what several writes brought in one system
// call. HTTP/2 writes a request's headers and body one after the other, each as a
// TLS record, and the requests of all senders share the connection: without it,
// each request costs two system calls.
//
// A write returns before its bytes are sent. Where sending fails, the connection
// closes, and later reads and writes return the reason.
type coalescer struct {
	net.Conn
	ready chan struct{} // has a value when there are unsent bytes, or no more will be written

	mu     sync.Mutex
	room   sync.Cond // there may be room for another write
	unsent []byte
	err    error // after which nothing more is written

	ended chan struct{} // closed after the connection
}

// coalesce makes a dialer of connections that combine writes.
func coalesce(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newCoalescer(conn), nil
	}
}

func newCoalescer(conn net.Conn) *coalescer {
	c := &coalescer{Conn: conn, ready: make(chan struct{}, 1), ended: make(chan struct{})}
	c.room.L = &c.mu
	go c.run()
	return c
}

// run sends until the connection closes.
func (c *coalescer) run() {
	defer close(c.ended)
	defer c.hangUp()
	var sending []byte
	for range c.ready {
		runtime.Gosched() // requests that are about to be written go along
		sending = sending[:0]
		last := c.take(&sending)
		if _, err := c.Conn.Write(sending); err != nil {
			c.end(err)
			return
		}
		if last {
			return
		}
	}
}

// hangUp closes the connection. TLS tells the peer first, which may block.
func (c *coalescer) hangUp() {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		limit := time.AfterFunc(closeTimeout, func() { secure.NetConn().Close() })
		defer limit.Stop()
	}
	c.Conn.Close()
}

// take exchanges the unsent bytes for an empty buffer, and bounds the time to send
// them. It reports whether there will be no more.
func (c *coalescer) take(buffer *[]byte) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*buffer, c.unsent = c.unsent, *buffer
	limit := sendTimeout
	if last = c.err != nil; last {
		limit = closeTimeout
	}
	_ = c.Conn.SetWriteDeadline(time.Now().Add(limit)) // where it fails, Write does too
	c.room.Broadcast()
	return last
}

func (c *coalescer) signal() {
	select {
	case c.ready <- struct{}{}:
	default: // run has yet to see the signal before
	}
}

// end lets no more be written, for a reason; false where there was one before.
func (c *coalescer) end(reason error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.err = reason
	_ = c.Conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // of the write in progress
	c.room.Broadcast()
	c.signal()
	return true
}

// Write hands bytes over to be sent.
func (c *coalescer) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.unsent) > 0 && len(c.unsent)+len(b) > maxUnsent {
		c.room.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	c.unsent = append(c.unsent, b...)
	c.signal()
	return len(b), nil
}

// Read reads from the connection.
func (c *coalescer) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err != nil {
			err = c.err
		}
	}
	return n, err
}

// Close sends what was written and closes the connection. A second call does not
// wait.
func (c *coalescer) Close() error {
	if !c.end(net.ErrClosed) {
		return c.Conn.Close()
	}
	<-c.ended
	return nil
}

// SetDeadline sets the deadline of reads.
func (c *coalescer) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// SetWriteDeadline does nothing: sendTimeout bounds every write.
func (c *coalescer) SetWriteDeadline(time.Time) error { return nil }
