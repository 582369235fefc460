package talent

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/pipenet"
)

// countedConn counts the writes to a connection.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// A write is a system call here and a packet for the server; headers and body in
// two would nearly double the cost of a request.
func TestOneWriteForEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipenet.Network
		network.Serve(t, "127.0.0.1:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/batch" {
				w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
				io.WriteString(w, "--b\n\nHTTP/1.1 200 OK\n\n--b\n\nHTTP/1.1 200 OK\n\n--b--")
			}
		}))
		var writes atomic.Int64
		c := newClient(t, Config{Endpoint: "http://127.0.0.1", Dial: func(ctx context.Context, network2, addr string) (net.Conn, error) {
			conn, err := network.DialContext(ctx, network2, addr)
			return countedConn{conn, &writes}, err
		}})
		s := c.NewSender()
		defer s.Close()
		const n = 5
		for range n {
			if answer := s.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil {
				t.Fatal(answer.Err)
			}
			answer, results := s.SendBatch(t.Context(), benchmarkBatch(2))
			if answer.Err != nil || len(results) != 2 || results[1] != (Result{Status: 200}) {
				t.Fatal(answer.Err, results)
			}
		}
		if got := writes.Load(); got != 2*n {
			t.Errorf("%d requests took %d writes, want one each", 2*n, got)
		}
	})
}

// The memory of a body is reused when the transport wrote it, and not before: a
// server may answer without reading it.
func TestBodyMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipenet.Network
		listener := network.Listen("127.0.0.1:80")
		looked := make(chan struct{})
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for _, early := range []bool{false, true} {
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				if !early {
					_, _ = io.Copy(io.Discard, req.Body)
				}
				if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
					return
				}
			}
			<-looked
			_, _ = io.Copy(io.Discard, conn)
		}()
		c := newClient(t, Config{Endpoint: "http://127.0.0.1", Dial: network.DialContext})
		s := c.NewSender()
		defer s.Close()
		send := func(d *event.Delivery) *payload {
			t.Helper()
			if answer := s.Send(t.Context(), d); answer.Err != nil {
				t.Fatal(answer.Err)
			}
			return s.single.payload
		}
		large := &event.Delivery{Event: &event.Event{ID: "a", ExtraInfo: event.InfoOf(map[string]string{"k": string(make([]byte, 200<<10))})}}
		first := send(benchmarkBatch(1)[0])
		if send(large) != first {
			t.Error("the memory of a body that was written is not reused")
		}
		if s.single.begin(s.single.ctx) == first {
			t.Error("the memory of a body is reused while the transport writes it")
		}
		close(looked)
	})
}

// BenchmarkSingle sends one event at a time over loopback, the server's work
// included.
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
	s := newClient(b, Config{Endpoint: "http://" + l.Addr().String()}).NewSender()
	defer s.Close()
	d := benchmarkBatch(1)[0]
	b.ReportAllocs()
	for b.Loop() {
		if answer := s.Send(b.Context(), d); answer.Err != nil {
			b.Fatal(answer.Err)
		}
	}
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
