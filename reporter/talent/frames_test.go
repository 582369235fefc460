package talent

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a server of HTTP/2 whose answer to each whole request is written frame by
// frame.
type frames struct {
	requests atomic.Int64
	answer   func(f *http2.Framer, stream uint32)
}

// start serves until the test ends, and returns a configuration that reaches the server.
func (s *frames) start(t *testing.T) Config {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	cfg := trusting(certified)
	cfg.Endpoint = "https://" + l.Addr().String()
	return cfg
}

func (s *frames) serve(conn net.Conn) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				s.requests.Add(1)
				s.answer(f, frame.StreamID)
			}
		}
	}
}

func answerOK(f *http2.Framer, stream uint32) {
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

func reset(code http2.ErrCode) func(*http2.Framer, uint32) {
	return func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, code) }
}

// TestResetRequests: a request over HTTP/2 that the server does not answer is sent once,
// and its outcome is known only if the server says that it has not processed it.
func TestResetRequests(t *testing.T) {
	for _, test := range []struct {
		name    string
		answer  func(*http2.Framer, uint32)
		proxied bool // as through a proxy, where HTTP/1.1 is possible, too
		want    Error
	}{
		{"refused", reset(http2.ErrCodeRefusedStream), false, Error{Lost: true}},
		{"gone away before", func(f *http2.Framer, stream uint32) { _ = f.WriteGoAway(stream-1, http2.ErrCodeNo, nil) }, false, Error{Lost: true}},
		{"protocol error", reset(http2.ErrCodeProtocol), false, Error{Unknown: true}},
		{"internal error", reset(http2.ErrCodeInternal), false, Error{Unknown: true}},
		{"protocol error, through a proxy", reset(http2.ErrCodeProtocol), true, Error{Unknown: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &frames{}
			server.answer = func(f *http2.Framer, stream uint32) {
				if server.requests.Load() == 1 {
					test.answer(f, stream)
					return
				}
				answerOK(f, stream)
			}
			client := newClient(t, server.start(t))
			if test.proxied {
				client.conns.http2.Store(false)
				client.conns.replace(client.conns.current.Load())
			}
			s := client.NewSender()
			defer s.Close()
			err := s.Send(t.Context(), benchmarkBatch(1)[0]).Err
			if err == nil || err.Reason != Network || err.Lost != test.want.Lost || err.Unknown != test.want.Unknown {
				t.Errorf("the failure is %+v, want one of the network, lost %v, unknown %v", err, test.want.Lost, test.want.Unknown)
			}
			if n := server.requests.Load(); n != 1 {
				t.Errorf("the request was sent %d times, want once", n)
			}
			if answer := s.Send(t.Context(), benchmarkBatch(1)[0]); answer.Err != nil || answer.Status != 200 {
				t.Errorf("the next request: status %d, %v", answer.Status, answer.Err)
			}
		})
	}
}
