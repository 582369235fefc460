package talent

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestConcurrentRequestsOverHTTP2(t *testing.T) {
	var bodies atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && r.ProtoMajor == 2 && int64(len(body)) == r.ContentLength {
			bodies.Add(1)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c := newClient(t, Config{Endpoint: server.URL, Concurrency: 16, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
	const each = 20
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			s := c.NewSender()
			defer s.Close()
			for range each {
				if answer := s.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil {
					t.Error(answer.Err)
				}
			}
		})
	}
	senders.Wait()
	if got := bodies.Load(); got != 16*each {
		t.Errorf("%d requests arrived whole, want %d", got, 16*each)
	}
}

// gatedConn makes its writes wait.
type gatedConn struct {
	countedConn

	gate chan struct{}
}

func (c gatedConn) Write(b []byte) (int, error) {
	<-c.gate
	return c.countedConn.Write(b)
}

func TestCoalescerSharesWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var writes atomic.Int64
		gate := make(chan struct{})
		c := newCoalescer(gatedConn{countedConn{near, &writes}, gate})
		for _, piece := range []string{"first ", "headers ", "body"} {
			if _, err := c.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		close(gate)
		got := make([]byte, len("first headers body"))
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "first headers body" {
			t.Errorf("read %q, %v", got, err)
		}
		if n := writes.Load(); n != 2 {
			t.Errorf("%d writes to the network, want 2: one for the last two pieces", n)
		}
		go func() { _, _ = io.Copy(io.Discard, far) }()
		_ = c.Close()
	})
}

func TestCoalescerKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := newCoalescer(near)
		read := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(far)
			read <- all
		}()
		var want []byte
		for i := range 1000 {
			piece := bytes.Repeat([]byte{byte(i)}, i)
			want = append(want, piece...)
			if n, err := c.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(<-read, want) {
			t.Error("the peer did not read what was written before Close")
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
	})
}

func TestCoalescerPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := newCoalescer(near)
		began := time.Now()
		var err error
		for err == nil {
			_, err = c.Write(make([]byte, maxUnsent))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v, want the reason", err)
		}
		if took := time.Since(began); took != sendTimeout {
			t.Errorf("failed after %v, want %v", took, sendTimeout)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v, want the reason", err)
		}
	})
}

func TestCoalescerCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := newCoalescer(near)
		if _, err := c.Write([]byte("without a reader")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is being sent
		began := time.Now()
		_ = c.Close()
		if took := time.Since(began); took != closeTimeout {
			t.Errorf("Close took %v, want %v", took, closeTimeout)
		}
	})
}
