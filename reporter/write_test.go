package reporter

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/event"
)

// countedConn counts what is written to a connection.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// A write is a system call here and a packet at the other end; headers and
// body apart would double what a request costs.
func TestOneWriteARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int64
		g := newRig(t, nil, func(c *rigConfig) {
			c.Concurrency = 1
			dial := c.Dial
			c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				return countedConn{conn, &writes}, err
			}
		})
		const n = 10
		for _, id := range sequence("e", n) {
			g.report(id)
			synctest.Wait()
		}
		g.wantOutcomes(accepted(n))
		if got := writes.Load(); got != n {
			t.Errorf("%d requests took %d writes, want one each", n, got)
		}
	})
}

// BenchmarkSingle sends one event at a time over loopback; what the server does
// is a part of it.
func BenchmarkSingle(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerAll(conn)
		}
	}()
	r, err := New(Config{Endpoint: "http://" + l.Addr().String(), Version: event.V3, Parent: "projects/p", Concurrency: 1}, batcher.New(batcher.Config{}))
	if err != nil {
		b.Fatal(err)
	}
	w := r.newWorker()
	w.ctx = b.Context()
	d := benchmarkBatch(1)[0]
	b.ReportAllocs()
	for b.Loop() {
		w.body = d.AppendRequest(w.body[:0], event.V3)
		if _, failure := w.exchange(w.body); failure != nil {
			b.Fatal(failure)
		}
	}
	w.lane.Close()
}

// answerAll answers every request with an empty event.
func answerAll(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
			return
		}
	}
}
