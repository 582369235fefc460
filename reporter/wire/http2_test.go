package wire

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func dialHTTP2(t testing.TB, s *httptest.Server) *http2Conn {
	t.Helper()
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"h2"}
	nc, err := tls.Dial("tcp", s.Listener.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newHTTP2(nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close(net.ErrClosed) })
	return c
}

func headOf(t testing.TB, to string, header http.Header) *Head {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHead(u, header)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// post does a request as a lane does: again where the peer has not read it.
func post(ctx context.Context, c *http2Conn, h *Head, body []byte, s *http2Stream, got *Answer) error {
	got.reset()
	if !c.acquire() {
		return errors.New("no slot")
	}
	return c.do(ctx, h, body, s, got)
}

// echo answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength != int64(len(body)) || r.ProtoMajor != 2 || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/x-echo")
	w.Header().Set("Location", r.URL.RequestURI())
	w.Header().Set("Retry-After", r.Header.Get("X-Name"))
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body)
}

// TestHTTP2EveryBodyArrives: many lanes, bodies of all sizes, each gets its own
// answer.
func TestHTTP2EveryBodyArrives(t *testing.T) {
	s := tlsServer(t, true, echo)
	c := dialHTTP2(t, s)
	sizes := []int{0, 1, 300, 1500, frameSize - 1, frameSize, frameSize + 1, maxBody, defaultWindow + 1, 200_000, maxDiscard, maxDiscard + 1, 1 << 20}
	data := make([]byte, 2<<20)
	_, _ = rand.Read(data)
	var lanes sync.WaitGroup
	for lane := range 12 {
		lanes.Go(func() {
			var stream http2Stream
			var got Answer
			h := headOf(t, fmt.Sprintf("%s/lane/%d?a=b%%20c", s.URL, lane), http.Header{"X-Name": {fmt.Sprint(lane)}})
			for i := range sizes {
				size := sizes[(i+lane)%len(sizes)]
				body := data[lane*1000+i:][:size]
				if err := post(t.Context(), c, h, body, &stream, &got); err != nil {
					t.Errorf("%d bytes: %v", size, err)
					return
				}
				if got.Status != http.StatusAccepted || got.ContentType != "text/x-echo" || got.RetryAfter != fmt.Sprint(lane) ||
					got.Location != fmt.Sprintf("/lane/%d?a=b%%20c", lane) {
					t.Errorf("%d bytes: the answer is %d %q %q %q", size, got.Status, got.ContentType, got.RetryAfter, got.Location)
				}
				if !bytes.Equal(got.Body, body[:min(size, maxBody)]) {
					t.Errorf("%d bytes: another body of %d bytes came back", size, len(got.Body))
				}
			}
		})
	}
	lanes.Wait()
	if !c.usable() {
		t.Errorf("the connection is not usable: %v", c.unfit)
	}
}

// TestHTTP2AnswerBeforeTheBody: a server that does not read the body.
func TestHTTP2AnswerBeforeTheBody(t *testing.T) {
	s := tlsServer(t, true, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	c := dialHTTP2(t, s)
	h := headOf(t, s.URL, nil)
	var stream http2Stream
	var got Answer
	for range 20 {
		if err := post(t.Context(), c, h, make([]byte, 3<<20), &stream, &got); err != nil {
			t.Fatal(err)
		}
		if got.Status != http.StatusRequestEntityTooLarge || string(got.Body) != "too large\n" {
			t.Fatalf("the answer is %d %q", got.Status, got.Body)
		}
	}
}

// TestHTTP2ManyHeads: heads that differ, do not fit into the table together, or
// are larger than a frame.
func TestHTTP2ManyHeads(t *testing.T) {
	s := tlsServer(t, true, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Long")) })
	c := dialHTTP2(t, s)
	var lanes sync.WaitGroup
	for lane := range 8 {
		lanes.Go(func() {
			var stream http2Stream
			var got Answer
			for i := range 40 {
				long := strings.Repeat(string(rune('a'+lane)), 1+1000*(i%4))
				if i%10 == 9 {
					long = strings.Repeat("~", 20<<10) // no shorter with Huffman's code
				}
				h := headOf(t, s.URL, http.Header{"X-Long": {long}, "X-Other": {fmt.Sprint(i % 3)}})
				for range 3 {
					if err := post(t.Context(), c, h, []byte("{}"), &stream, &got); err != nil {
						t.Error(err)
						return
					}
					if string(got.Body) != long {
						t.Errorf("head of %d bytes: %d bytes came back", len(long), len(got.Body))
					}
				}
			}
		})
	}
	lanes.Wait()
}

// TestHTTP2Shutdown: a server that is shut down finishes what it has begun, and
// takes nothing more.
func TestHTTP2Shutdown(t *testing.T) {
	begun, let := make(chan struct{}), make(chan struct{})
	s := tlsServer(t, true, func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-let
		fmt.Fprint(w, "done")
	})
	c := dialHTTP2(t, s)
	h := headOf(t, s.URL, nil)
	var got Answer
	result := make(chan error, 1)
	go func() { result <- post(t.Context(), c, h, []byte("{}"), &http2Stream{}, &got) }()
	<-begun
	down := make(chan error, 1)
	go func() { down <- s.Config.Shutdown(t.Context()) }()
	for c.usable() {
	}
	close(let)
	if err := <-result; err != nil || string(got.Body) != "done" {
		t.Errorf("the answer is %q, %v", got.Body, err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if c.acquire() {
		t.Error("a connection after GOAWAY takes a request")
	}
}

// TestHTTP2NothingTwice: with connections that are drained and cut, and requests
// that are given up, what a lane sends again was never read; and nobody gets the
// answer of another.
func TestHTTP2NothingTwice(t *testing.T) {
	const lanes, requests = 16, 60
	var read sync.Map
	s := tlsServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("id")
		if _, again := read.LoadOrStore(id, nil); again {
			t.Errorf("request %s came twice", id)
		}
		body, _ := io.ReadAll(r.Body)
		switch n, _ := strconv.Atoi(id); {
		case n%7 == 1:
			<-r.Context().Done()
		case n%7 == 3: // which takes its time, so that some are cut midway
			select {
			case <-time.After(5 * time.Millisecond):
			case <-r.Context().Done():
			}
		case n%50 == 2:
			w.Header().Set("Connection", "close") // GOAWAY, when the others are answered
		}
		_, _ = w.Write(body)
	})
	first, _ := laneTo(t, s.URL, trusting(s))
	var running sync.WaitGroup
	var answered atomic.Int64
	for lane := range lanes {
		running.Go(func() {
			l := first.client.NewLane()
			defer l.Close()
			for i := range requests {
				id := lane*requests + i
				body := bytes.Repeat([]byte{byte(id), byte(id >> 8)}, 1+id%40*700)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if id%7 == 1 {
					time.AfterFunc(time.Duration(id%5)*time.Millisecond, cancel)
				}
				got, err := l.Do(ctx, headOf(t, fmt.Sprintf("%s/?id=%d", s.URL, id), nil), body)
				cancel()
				if err == nil && !bytes.Equal(got.Body, body) {
					t.Errorf("request %d got another's answer", id)
				}
				if err == nil && answered.Add(1)%200 == 0 {
					s.CloseClientConnections()
				}
			}
		})
	}
	running.Wait()
	if n := answered.Load(); n < lanes*requests/2 {
		t.Errorf("only %d requests were answered", n)
	}
}

// TestHTTP2Allocations: a request allocates nothing on the client's side.
func TestHTTP2Allocations(t *testing.T) {
	c, answer := loopPeer(t)
	h := headOf(t, "https://example.com/v4/events", http.Header{"Authorization": {"Bearer " + strings.Repeat("x", 200)}})
	body := make([]byte, 700)
	var stream http2Stream
	var got Answer
	request := func() {
		if err := post(t.Context(), c, h, body, &stream, &got); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		request()
	}
	n := testing.AllocsPerRun(500, request)
	if n > 0 {
		t.Errorf("%v allocations a request", n)
	}
	if answer.Load() < 500 {
		t.Errorf("only %d requests were answered", answer.Load())
	}
}
