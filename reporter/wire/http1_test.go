package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/internal/pipenet"
)

// answers are what a peer may say, and what is made of it.
var answers = []struct {
	name, text string
	want       Answer
	again      bool // the connection can be used again
}{
	{
		"usual", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: today\r\nContent-Length: 2\r\n\r\n{}",
		Answer{Status: 200, ContentType: "application/json", Body: []byte("{}")},
		true,
	},
	{
		"headers in lower case", "HTTP/1.1 200 \r\ncontent-type:a/b\r\ncontent-length:\t1 \r\n\r\nx",
		Answer{Status: 200, ContentType: "a/b", Body: []byte("x")},
		true,
	},
	{"no reason phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Answer{Status: 200}, true},
	{
		"an error", "HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow",
		Answer{Status: 429, RetryAfter: "7", Body: []byte("slow")},
		true,
	},
	{
		"a redirect", "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
		Answer{Status: 302, Location: "/elsewhere"},
		true,
	},
	{
		"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
		Answer{Status: 200, ContentType: "a/b", Body: []byte("abc")},
		true,
	},
	{
		"in chunks, with a trailer", "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
		Answer{Status: 200, Body: []byte("a")},
		true,
	},
	{
		"the last on its connection", "HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
		Answer{Status: 503, Body: []byte("no")},
		false,
	},
	{
		"kept expressly", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
		Answer{Status: 200, Body: []byte("{}")},
		true,
	},
	{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", Answer{Status: 200, Body: []byte("{}")}, false},
	{
		"announced", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		Answer{Status: 200, Body: []byte("{}")},
		true,
	},
	{"without a body", "HTTP/1.1 204 No Content\r\n\r\n", Answer{Status: 204}, true},
	{
		"a length twice, the same", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		Answer{Status: 200, Body: []byte("{}")},
		true,
	},
	{"more than the answer", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", Answer{Status: 200, Body: []byte("{")}, false},
	{"a folded header", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\n{}", Answer{Status: 200, Body: []byte("{}")}, true},
	{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", Answer{Status: 200, Body: []byte("{}")}, true},
	{
		"a head that is longer than its buffer", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 9000) + "\r\nContent-Length: 2\r\n\r\n{}",
		Answer{Status: 200, Body: []byte("{}")},
		true,
	},
	{
		"a body of which the rest is read", "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("y", 70000),
		Answer{Status: 200, Body: bytes.Repeat([]byte("y"), maxBody)},
		true,
	},
	{
		"a body of which the rest is not read", "HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n" + strings.Repeat("y", 700000),
		Answer{Status: 200, Body: bytes.Repeat([]byte("y"), maxBody)},
		false,
	},
}

func (a *Answer) equal(b *Answer) bool {
	return a.Status == b.Status && a.ContentType == b.ContentType && a.RetryAfter == b.RetryAfter && a.Location == b.Location && bytes.Equal(a.Body, b.Body)
}

func short(b []byte) []byte { return b[:min(len(b), 100)] }

// wantAnswer compares the answer, and leaves it as new.
func wantAnswer(t *testing.T, got *Answer, want *Answer) {
	t.Helper()
	if !got.equal(want) {
		t.Errorf("the answer is %d %q %q %q %q, want %d %q %q %q %q", got.Status, got.ContentType, got.RetryAfter, got.Location, short(got.Body),
			want.Status, want.ContentType, want.RetryAfter, want.Location, short(want.Body))
	}
}

func TestAnswers(t *testing.T) {
	for _, test := range answers {
		t.Run(test.name, func(t *testing.T) {
			var dials atomic.Int64
			address, requests := scripted(t, func(conn net.Conn) { _, _ = io.WriteString(conn, test.text) })
			l, h := laneTo(t, "http://"+address, counting(&dials))
			for range 3 {
				got, err := l.Do(t.Context(), h, []byte("{}"))
				if err != nil {
					t.Fatal(err)
				}
				wantAnswer(t, got, &test.want)
			}
			if again := dials.Load() == 1; again != test.again {
				t.Errorf("3 requests took %d connections; used again: want %v", dials.Load(), test.again)
			}
			if got := requests.Load(); got != 3 {
				t.Errorf("3 requests went out %d times", got)
			}
		})
	}
}

func TestAnswersLeaveNothingBehind(t *testing.T) {
	var n atomic.Int64
	address, _ := scripted(t, func(conn net.Conn) { _, _ = io.WriteString(conn, answers[n.Load()].text) })
	l, h := laneTo(t, "http://"+address)
	for i := range answers {
		n.Store(int64(i))
		got, err := l.Do(t.Context(), h, nil)
		if err != nil {
			t.Fatalf("%s: %v", answers[i].name, err)
		}
		wantAnswer(t, got, &answers[i].want)
	}
}

// An answer of which anything is missing is an error, and is not sent again, for
// the peer may have read it.
func TestCutAnswers(t *testing.T) {
	for _, test := range answers {
		if len(test.text) > 1000 || test.name == "more than the answer" {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			for at := range len(test.text) {
				conn := &readOnly{Reader: strings.NewReader(test.text[:at])}
				c := newHTTP1(conn, conn)
				var got Answer
				if again, err := c.do(&Head{}, nil, &got); err == nil || again || errors.Is(err, errUnprocessed) {
					t.Fatalf("of %q the answer is %d %q, again %v, error %v", test.text[:at], got.Status, got.Body, again, err)
				}
				if got.Status != 0 && got.Status != test.want.Status {
					t.Fatalf("of %q the status is %d", test.text[:at], got.Status)
				}
			}
		})
	}
}

// readOnly is a connection of which only what is read matters.
type readOnly struct {
	net.Conn
	io.Reader
}

func (r *readOnly) Read(b []byte) (int, error)  { return r.Reader.Read(b) }
func (r *readOnly) Write(b []byte) (int, error) { return len(b), nil }
func (r *readOnly) Close() error                { return nil }

func TestNonsense(t *testing.T) {
	for _, text := range []string{
		"\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\n{}",
		"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 2*maxAnswerHead) + "\r\nContent-Length: 2\r\n\r\n{}",
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxAnswerHead/20),
	} {
		conn := &readOnly{Reader: strings.NewReader(text)}
		c := newHTTP1(conn, conn)
		var got Answer
		if again, err := c.do(&Head{}, nil, &got); err == nil || again {
			t.Errorf("%q is read as %d %q, again %v", short([]byte(text)), got.Status, got.Body, again)
		}
	}
}

// FuzzAnswer compares what is made of an answer with what net/http makes of it.
func FuzzAnswer(f *testing.F) {
	for _, test := range answers {
		if len(test.text) < 1000 {
			f.Add([]byte(test.text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		conn := &readOnly{Reader: bytes.NewReader(text)}
		c := newHTTP1(conn, conn)
		var got Answer
		_, err := c.do(&Head{}, nil, &got)
		want, wantErr := readByHTTP(text)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("the error is %v, net/http's %v", err, wantErr)
		}
		if err == nil && !got.equal(want) {
			t.Fatalf("the answer is %+v, net/http's %+v", got, want)
		}
	})
}

func readByHTTP(text []byte) (*Answer, error) {
	r := bufio.NewReader(bytes.NewReader(text))
	for {
		resp, err := http.ReadResponse(r, posted)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		a := &Answer{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), RetryAfter: resp.Header.Get("Retry-After"), Location: resp.Header.Get("Location")}
		if a.Body, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		a.Body = a.Body[:min(len(a.Body), maxBody)]
		return a, nil
	}
}

// A connection that the peer has closed while nobody used it costs nothing but
// another dial: no request is lost on it.
func TestClosedWhileIdle(t *testing.T) {
	closing := make(chan struct{})
	hungUp := make(chan struct{})
	address, requests := scripted(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		if _, ok := <-closing; ok {
			conn.Close()
			hungUp <- struct{}{}
		}
	})
	var dials atomic.Int64
	l, h := laneTo(t, "http://"+address, counting(&dials))
	if _, err := l.Do(t.Context(), h, nil); err != nil {
		t.Fatal(err)
	}
	own := l.own.Load()
	closing <- struct{}{}
	<-hungUp
	close(closing)
	for quiet(own.raw) { // until the news is here
		time.Sleep(time.Millisecond)
	}
	own.used.Store(time.Now().Add(-freshFor).UnixNano())
	if _, err := l.Do(t.Context(), h, nil); err != nil {
		t.Errorf("the request after a connection was closed: %v", err)
	}
	if requests.Load() != 2 || dials.Load() != 2 {
		t.Errorf("%d requests on %d connections, want 2 on 2", requests.Load(), dials.Load())
	}
}

// network is a client's, in memory.
func network(n *pipenet.Network) func(*Config) {
	return func(c *Config) { c.Dial = n.DialContext }
}

func TestContextEndsARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net pipenet.Network
		var hang atomic.Bool
		hang.Store(true)
		net.Serve(t, "api:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				return
			}
			if hang.Load() {
				<-r.Context().Done()
			}
		}))
		var dials atomic.Int64
		l, h := laneTo(t, "http://api/x", network(&net), counting(&dials))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if got, err := l.Do(ctx, h, []byte("{}")); err == nil || got.Status != 0 || time.Since(began) != time.Second {
			t.Errorf("the request ended after %v with status %d and error %v", time.Since(began), got.Status, err)
		}
		if _, err := l.Do(ctx, h, []byte("{}")); err == nil || dials.Load() != 1 {
			t.Errorf("a request whose context has ended was begun: error %v, %d dials", err, dials.Load())
		}
		hang.Store(false)
		for range 3 { // a context that ends after its request does no harm
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := l.Do(ctx, h, []byte("{}")); err != nil {
				t.Error(err)
			}
			cancel()
			synctest.Wait()
		}
		if dials.Load() != 2 {
			t.Errorf("%d dials, want 2: one for what was cut, one for all others", dials.Load())
		}
	})
}

// What belongs to a context that is over comes too late for the next.
func TestContextsOfOneConnection(t *testing.T) {
	conn := &readOnly{Reader: strings.NewReader("")}
	c := newHTTP1(conn, conn)
	for range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		if !c.begin(ctx) {
			t.Fatal("the connection can't be used")
		}
		c.end()
		cancel()
		if next, stop := context.WithCancel(t.Context()); !c.begin(next) {
			t.Fatal("the connection can't be used by the next context")
		} else {
			runtime.Gosched()
			c.end()
			stop()
		}
		if c.phase.Load()%phases == closed {
			t.Fatal("the connection was closed for a context that had ended before")
		}
		if c.begin(ctx) {
			t.Fatal("a context that has ended begins a request")
		}
		now := c.phase.Load() // which that context's end may still change
		c.phase.Store(now - now%phases + idle)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net pipenet.Network
		net.Serve(t, "api:80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		var dials atomic.Int64
		l, h := laneTo(t, "http://api/x", network(&net), counting(&dials))
		post := func() {
			t.Helper()
			if _, err := l.Do(t.Context(), h, nil); err != nil {
				t.Error(err)
			}
		}
		post()
		own := l.own.Load()
		time.Sleep(idleFor - time.Second)
		post()
		time.Sleep(idleFor - time.Second)
		if own.phase.Load()%phases == closed {
			t.Fatal("a connection was closed that was used not long ago")
		}
		time.Sleep(idleFor)
		synctest.Wait()
		if own.phase.Load()%phases != closed {
			t.Fatal("a connection stays open that nobody uses")
		}
		post()
		if dials.Load() != 2 {
			t.Errorf("%d dials, want 2", dials.Load())
		}
	})
}

// A peer may refuse a body before it has read it all.
func TestAnswerBeforeTheBodyIsRead(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.ReadFull(conn, make([]byte, 100))
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		_, _ = io.Copy(io.Discard, conn) // as peers do that want their answer to arrive
	}()
	lane, h := laneTo(t, "http://"+l.Addr().String())
	got, err := lane.Do(t.Context(), h, make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, got, &Answer{Status: 413, Body: []byte("big")})
}

// hungUp is a connection whose peer has answered, and reads no more.
type hungUp struct{ readOnly }

func (h *hungUp) Write([]byte) (int, error) { return 10, syscall.EPIPE }

func TestAnswerThoughTheWriteFailed(t *testing.T) {
	for text, want := range map[string]int{"": 0, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig": 413} {
		conn := &hungUp{readOnly{Reader: strings.NewReader(text)}}
		var got Answer
		again, err := newHTTP1(conn, conn).do(&Head{}, make([]byte, 100), &got)
		if again || got.Status != want || (err == nil) != (want != 0) || errors.Is(err, errUnprocessed) {
			t.Errorf("with %q to read the status is %d, the error %v, again %v", text, got.Status, err, again)
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	var got []*http.Request
	var bodies []string
	var network1 pipenet.Network
	network1.Serve(t, "jobs.example:80", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, bodies = append(got, r), append(bodies, string(body))
	}))
	l, h := laneTo(t, "http://jobs.example/v3/projects/a%20b/clientEvents?x=y", network(&network1))
	sizes := []int{0, 1, 300, 1 << 20}
	for _, n := range sizes {
		if _, err := l.Do(t.Context(), h, bytes.Repeat([]byte("x"), n)); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range sizes {
		r := got[i]
		if r.Method != http.MethodPost || r.RequestURI != "/v3/projects/a%20b/clientEvents?x=y" || r.Host != "jobs.example" ||
			r.ContentLength != int64(n) || len(bodies[i]) != n ||
			r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the request is %s %s to %s with %v and %d bytes", r.Method, r.RequestURI, r.Host, r.Header, len(bodies[i]))
		}
		if names := len(r.Header); names != 3 { // Content-Length is the third
			t.Errorf("there are %d headers: %v", names, r.Header)
		}
	}
}

func TestHeadersThatCannotBeSent(t *testing.T) {
	for _, header := range []http.Header{
		{"Authorization": {"Bearer a\r\nX-Other: b"}}, {"X Y": {"a"}}, {"": {"a"}}, {"X": {"a\x00"}},
	} {
		l, h := laneTo(t, "http://api")
		_, err := NewHead(h.url, header)
		if err == nil || strings.Contains(err.Error(), "Bearer") {
			t.Errorf("%v is let through, or told: %v", header, err)
		}
		l.Close()
	}
}

func TestRequestTakesNoMemory(t *testing.T) {
	_, h := laneTo(t, "http://api")
	in := bytes.NewReader(nil)
	conn := &readOnly{Reader: in}
	c := newHTTP1(conn, conn)
	text := []byte(answers[0].text)
	var got Answer
	if allocs := testing.AllocsPerRun(100, func() {
		in.Reset(text)
		if !c.begin(t.Context()) {
			t.Fatal("the connection can't be used")
		}
		if again, err := c.do(h, []byte("{}"), &got); err != nil || !again {
			t.Fatal(again, err)
		}
		got.reset()
		c.end()
	}); allocs > 0 {
		t.Errorf("a request takes %v allocations, want none", allocs)
	}
}
