// Package pipenet is a network of in-memory connections, for tests that run
// servers and clients within one testing/synctest bubble: real sockets would
// keep the bubble's time from moving.
package pipenet

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// Network connects dialers with listeners by address. The zero value is an
// empty network.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*Listener
}

// Listen makes addr ("host:port", any text will do) answer calls. It panics
// where somebody listens already.
func (n *Network) Listen(addr string) *Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*Listener{}
	}
	if n.listeners[addr] != nil {
		panic("pipenet: somebody listens at " + addr)
	}
	l := &Listener{network: n, addr: address(addr), calls: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l
}

// DialContext connects to addr. The network's name does not matter.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	err := error(syscall.ECONNREFUSED)
	if l != nil {
		ours, theirs := net.Pipe()
		select {
		case l.calls <- &conn{theirs, dialer}:
			return &conn{ours, address(addr)}, nil
		case <-l.closed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: address(addr), Err: err}
}

// dialer is the address of every dialer, in the form of a loopback address.
const dialer address = "127.0.0.1:0"

// conn is a connection with the address of its other end.
type conn struct {
	net.Conn
	remote address
}

func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Listener accepts calls to its address. It is a [net.Listener].
type Listener struct {
	network *Network
	addr    address
	calls   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

// Accept waits for the next call.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further calls.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, string(l.addr))
		close(l.closed)
	})
	return nil
}

// Addr is the address given to Listen.
func (l *Listener) Addr() net.Addr { return l.addr }

// Serve serves h at addr until the test is over.
func (n *Network) Serve(t testing.TB, addr string, h http.Handler) *http.Server {
	t.Helper()
	server := &http.Server{Handler: h}
	l := n.Listen(addr)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server at %s ended: %v", addr, err)
		}
	})
	return server
}

type address string

func (address) Network() string  { return "pipe" }
func (a address) String() string { return string(a) }
