package talent

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/test/pipenet"
)

// scripted is a server's answer to a request, and whether it closes the connection
// afterwards. An empty answer is none.
type scripted struct {
	answer string
	closes bool
}

const accepted = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// scriptedClient returns a client of a server that follows a script on each
// connection, and the number of connections so far.
func scriptedClient(t *testing.T, script func(request int) scripted) (client *Client, conns *int) {
	var network pipenet.Network
	listener := network.Listen("127.0.0.1:80")
	conns = new(int)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			*conns++
			go follow(conn, script)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return newClient(t, Config{Endpoint: "http://127.0.0.1", Dial: network.DialContext}), conns
}

func follow(conn net.Conn, script func(int) scripted) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i := 1; ; i++ {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		step := script(i)
		if _, err := io.WriteString(conn, step.answer); err != nil || step.closes {
			return
		}
	}
}

// sends makes n attempts that have to succeed.
func sends(t *testing.T, s *Sender, n int) {
	t.Helper()
	for range n {
		if answer := s.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil {
			t.Fatal(answer.Err)
		}
	}
}

func always(step scripted) func(int) scripted { return func(int) scripted { return step } }

// TestEachSenderKeepsAConnection: a connection is used again until it was idle for too
// long, and until all connections are replaced.
func TestEachSenderKeepsAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conns := scriptedClient(t, always(scripted{answer: accepted}))
		a, b := client.NewSender(), client.NewSender()
		want := func(n int) {
			t.Helper()
			if synctest.Wait(); *conns != n {
				t.Errorf("%d connections so far, want %d", *conns, n)
			}
		}
		sends(t, a, 3)
		sends(t, b, 3)
		sends(t, a, 3)
		want(2)
		time.Sleep(idleTimeout)
		sends(t, a, 2)
		want(3)
		client.conns.replace(client.conns.current.Load())
		sends(t, a, 2)
		want(4)
		a.Close()
		b.Close()
		sends(t, a, 1)
		want(5)
		a.Close()
	})
}

// TestServerClosesIdleConnection: that the server closed a connection between two
// requests is no failure, however late it is seen.
func TestServerClosesIdleConnection(t *testing.T) {
	for name, step := range map[string]scripted{
		"announced":   {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", true},
		"unannounced": {accepted, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conns := scriptedClient(t, always(step))
				s := client.NewSender()
				defer s.Close()
				const n = 30
				for range n {
					sends(t, s, 1)
					switch {
					case name == "unannounced":
						synctest.Wait() // until it is known
					case !s.own.last:
						t.Fatal("a connection is used again whose end the server announced")
					}
				}
				if *conns != n {
					t.Errorf("%d connections, want %d", *conns, n)
				}
			})
		})
	}
}

// TestConnectionLostWithARequest: an attempt over a connection that had worked is lost
// with it, may have arrived, and makes the other senders use new connections.
func TestConnectionLostWithARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conns := scriptedClient(t, func(request int) scripted {
			if request == 2 {
				return scripted{closes: true}
			}
			return scripted{answer: accepted}
		})
		a, b := client.NewSender(), client.NewSender()
		defer a.Close()
		defer b.Close()
		sends(t, a, 1)
		sends(t, b, 1)
		err := a.Send(t.Context(), benchmarkBatch(1)[0]).Err
		if err == nil || !err.Lost || !err.Unknown || err.Reason != Network {
			t.Errorf("the failure is %+v, want a lost connection and an unknown outcome", err)
		}
		sends(t, a, 1)
		sends(t, b, 1)
		if *conns != 4 {
			t.Errorf("%d connections, want 4: two for each sender", *conns)
		}
	})
}

// TestNoConnection: a request without a connection was not sent.
func TestNoConnection(t *testing.T) {
	refused := errors.New("refused")
	client := newClient(t, Config{Endpoint: "http://127.0.0.1", Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }})
	s := client.NewSender()
	defer s.Close()
	if err := s.Send(t.Context(), benchmarkBatch(1)[0]).Err; err == nil || !errors.Is(err, refused) || err.Unknown || err.Lost {
		t.Errorf("the failure is %+v, want that no connection could be opened", err)
	}
}

func TestDirectAddress(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://api.test":         "api.test:80",
		"http://127.0.0.1:8080/x": "127.0.0.1:8080",
		"http://[::1]":            "[::1]:80",
		"https://api.test":        "",
		"http://bücher.test":      "",
	} {
		if got := directAddress(endpoint); got != want {
			t.Errorf("directAddress(%q) = %q, want %q", endpoint, got, want)
		}
	}
}
