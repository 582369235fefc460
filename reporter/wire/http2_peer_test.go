package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is a server whose frames the test writes, in a bubble. It reads only what
// the test reads, and the client's writes wait for that.
type peer struct {
	t    *testing.T
	c    *http2Conn
	ours *tapped // the client's end
	nc   net.Conn
	fr   *http2.Framer
	head *Head

	enc   *hpack.Encoder
	block frameBuffer
}

// script runs a test with a peer whose SETTINGS were exchanged.
func script(t *testing.T, test func(t *testing.T, p *peer), settings ...http2.Setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t)
		p.settings(settings...)
		synctest.Wait() // until nobody writes any more
		test(t, p)
	})
}

// tapped is a connection whose writes are counted, or fail.
type tapped struct {
	net.Conn
	writes atomic.Int64
	broken atomic.Bool
}

func (c *tapped) Write(p []byte) (int, error) {
	c.writes.Add(1)
	if c.broken.Load() {
		return 0, errors.New("broken")
	}
	return c.Conn.Write(p)
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	ours, theirs := net.Pipe()
	p := &peer{t: t, ours: &tapped{Conn: ours}, nc: theirs, fr: http2.NewFramer(theirs, theirs), head: headOf(t, "https://example.com/v4/events", http.Header{"X-A": {"b"}})}
	p.enc = hpack.NewEncoder(&p.block)
	p.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.fr.AllowIllegalWrites = true
	p.fr.SetMaxReadFrameSize(frameSize)
	made := make(chan struct{})
	go func() {
		defer close(made)
		var err error
		if p.c, err = newHTTP2(p.ours); err != nil {
			t.Error(err)
		}
	}()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(theirs, preface); err != nil || string(preface) != http2.ClientPreface {
		t.Fatalf("the preface is %q, %v", preface, err)
	}
	t.Cleanup(func() {
		theirs.Close()
		<-made
		p.c.close(net.ErrClosed)
	})
	settings := want[*http2.SettingsFrame](p)
	if v, ok := settings.Value(http2.SettingEnablePush); !ok || v != 0 {
		t.Error("the client did not switch pushes off")
	}
	if u := want[*http2.WindowUpdateFrame](p); u.StreamID != 0 || u.Increment != connWindow-defaultWindow {
		t.Errorf("the client's first window update is %v", u)
	}
	<-made
	return p
}

// settings sends SETTINGS and reads that they were taken.
func (p *peer) settings(s ...http2.Setting) {
	p.t.Helper()
	p.write(p.fr.WriteSettings(s...))
	for {
		f := p.read()
		if got, ok := f.(*http2.SettingsFrame); ok && got.IsAck() {
			return
		}
		p.t.Fatalf("%v came instead of an acknowledgement", f)
	}
}

// write is for the framer's results.
func (p *peer) write(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) read() http2.Frame {
	p.t.Helper()
	f, err := p.fr.ReadFrame()
	if err != nil {
		p.t.Fatalf("the peer can't read: %v", err)
	}
	return f
}

// want reads the next frame, which has to be of a type.
func want[F http2.Frame](p *peer) F {
	p.t.Helper()
	f := p.read()
	if f, ok := f.(F); ok {
		return f
	}
	p.t.Fatalf("got %v", f)
	panic("not reached")
}

// wantReset reads RST_STREAM.
func (p *peer) wantReset(id uint32, code http2.ErrCode) {
	p.t.Helper()
	if f := want[*http2.RSTStreamFrame](p); f.StreamID != id || f.ErrCode != code {
		p.t.Fatalf("got %v instead of RST_STREAM %s for stream %d", f, code, id)
	}
}

// wantGoAway reads GOAWAY, which comes after a time, and that the connection is
// closed then.
func (p *peer) wantGoAway(code http2.ErrCode, after time.Duration) {
	p.t.Helper()
	start := time.Now()
	if f := want[*http2.GoAwayFrame](p); f.ErrCode != code || time.Since(start) != after {
		p.t.Errorf("got %v after %v instead of %s after %v", f, time.Since(start), code, after)
	}
	p.wantClosed()
}

func (p *peer) wantClosed() {
	p.t.Helper()
	if f, err := p.fr.ReadFrame(); !errors.Is(err, io.EOF) {
		p.t.Errorf("got %v, %v instead of the connection's end", f, err)
	}
	if p.c.usable() || p.c.acquire() {
		p.t.Error("the connection is usable after its end")
	}
}

// wantNothing makes sure that the client has nothing to say.
func (p *peer) wantNothing() {
	p.t.Helper()
	synctest.Wait()
	_ = p.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer p.nc.SetReadDeadline(time.Time{})
	if f, err := p.fr.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("got %v, %v where nothing was to come", f, err)
	}
}

// call is a request that the client is at.
type call struct {
	t    *testing.T
	got  Answer
	done chan error
}

func (p *peer) post(ctx context.Context, body []byte) *call {
	p.t.Helper()
	r := &call{t: p.t, done: make(chan error, 1)}
	if !p.c.acquire() {
		p.t.Fatal("no slot")
	}
	go func() { r.done <- p.c.do(ctx, p.head, body, &http2Stream{}, &r.got) }()
	return r
}

// fails wants the request to have failed by now.
func (r *call) fails(text string, unprocessed bool) {
	r.t.Helper()
	err := r.result()
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte(text)) || errors.Is(err, errUnprocessed) != unprocessed {
		r.t.Errorf("the request ended with %v, which is to say %q, unprocessed %v", err, text, unprocessed)
	}
}

func (r *call) answered(status int, body string) {
	r.t.Helper()
	if err := r.result(); err != nil || r.got.Status != status || string(r.got.Body) != body {
		r.t.Errorf("the answer is %d %.100q, %v instead of %d %.100q", r.got.Status, r.got.Body, err, status, body)
	}
}

func (r *call) result() error {
	r.t.Helper()
	synctest.Wait()
	select {
	case err := <-r.done:
		return err
	default:
		r.t.Error("the request still waits")
		return nil
	}
}

func (r *call) waits() {
	r.t.Helper()
	synctest.Wait()
	select {
	case err := <-r.done:
		r.t.Fatalf("the request ended: %v", err)
	default:
	}
}

// request reads a request as a whole.
func (p *peer) request() (id uint32, body []byte) {
	p.t.Helper()
	h := want[*http2.MetaHeadersFrame](p)
	id = h.StreamID
	for ended := h.StreamEnded(); !ended; {
		d := want[*http2.DataFrame](p)
		if d.StreamID != id {
			p.t.Fatalf("got data of stream %d within the request of %d", d.StreamID, id)
		}
		body = append(body, d.Data()...)
		ended = d.StreamEnded()
	}
	if n := fieldOf(h, "content-length"); n != strconv.Itoa(len(body)) {
		p.t.Errorf("content-length is %q with a body of %d bytes", n, len(body))
	}
	return id, body
}

func fieldOf(h *http2.MetaHeadersFrame, name string) string {
	for _, f := range h.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// headers encodes pairs of name and value.
func (p *peer) headers(pairs ...string) []byte {
	p.block.b = nil
	for i := 0; i < len(pairs); i += 2 {
		must(p.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
	}
	return p.block.b
}

func (p *peer) writeHead(id uint32, end bool, pairs ...string) {
	p.t.Helper()
	p.write(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.headers(pairs...), EndHeaders: true, EndStream: end}))
}

func (p *peer) answer(id uint32, status int, body string) {
	p.t.Helper()
	p.writeHead(id, false, ":status", strconv.Itoa(status), "content-length", strconv.Itoa(len(body)))
	p.write(p.fr.WriteData(id, true, []byte(body)))
}

// answerNext reads a request and answers it: what is left of a connection works.
func (p *peer) answerNext() {
	p.t.Helper()
	r := p.post(p.t.Context(), []byte("next"))
	id, body := p.request()
	if string(body) != "next" {
		p.t.Errorf("the request is %q", body)
	}
	p.answer(id, 200, "fine")
	r.answered(200, "fine")
}

func TestHTTP2Request(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		for i := range 3 {
			r := p.post(t.Context(), nil)
			h := want[*http2.MetaHeadersFrame](p)
			var got []string
			for _, f := range h.Fields {
				got = append(got, f.Name+"="+f.Value)
			}
			wanted := "[:method=POST :scheme=https :authority=example.com :path=/v4/events x-a=b content-length=0]"
			if fmt.Sprint(got) != wanted || !h.StreamEnded() || h.StreamID != uint32(2*i+1) {
				t.Errorf("got %v, %v", got, h)
			}
			p.answer(h.StreamID, 200, "")
			r.answered(200, "")
		}
	})
}

func TestHTTP2AnswersOfAllShapes(t *testing.T) {
	headers := []string{":status", "429", "content-type", "text/plain", "retry-after", "7", "location", "/x", "x-other", "y"}
	shapes := map[string]func(p *peer, id uint32){
		"headers alone": func(p *peer, id uint32) { p.writeHead(id, true, headers...) },
		"in pieces": func(p *peer, id uint32) {
			b := p.headers(headers...)
			p.write(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b[:3], PadLength: 9, Priority: http2.PriorityParam{StreamDep: 5, Weight: 3}}))
			p.write(p.fr.WriteContinuation(id, false, b[3:10]))
			p.write(p.fr.WriteContinuation(id, false, nil))
			p.write(p.fr.WriteContinuation(id, true, b[10:]))
			p.write(p.fr.WriteDataPadded(id, false, []byte("ab"), make([]byte, 200)))
			p.write(p.fr.WriteData(id, false, nil))
			p.write(p.fr.WriteDataPadded(id, false, []byte("c"), []byte{}))
			p.write(p.fr.WriteData(id, true, nil))
		},
		"announced, with trailers": func(p *peer, id uint32) {
			p.writeHead(id, false, ":status", "100")
			p.writeHead(id, false, ":status", "103", "content-type", "no", "content-length", "99")
			p.writeHead(id, false, headers...)
			p.write(p.fr.WriteData(id, false, []byte("abc")))
			p.writeHead(id, true, "content-type", "not this", "x-trailer", "z")
		},
		"among frames of other kinds": func(p *peer, id uint32) {
			p.write(p.fr.WriteRawFrame(0xbe, 0xff, id, []byte("extension")))
			p.write(p.fr.WritePriority(id, http2.PriorityParam{StreamDep: 7}))
			p.writeHead(id, false, headers...)
			p.write(p.fr.WriteRawFrame(0xbf, 1, 0, make([]byte, frameSize)))
			p.write(p.fr.WriteData(id, true, []byte("abc")))
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			script(t, func(t *testing.T, p *peer) {
				r := p.post(t.Context(), []byte("{}"))
				id, _ := p.request()
				shape(p, id)
				body := "abc"
				if name == "headers alone" {
					body = ""
				}
				r.answered(429, body)
				if r.got.ContentType != "text/plain" || r.got.RetryAfter != "7" || r.got.Location != "/x" {
					t.Errorf("the answer's headers are %+v", r.got)
				}
				p.answerNext()
			})
		})
	}
}

// TestHTTP2NotModified: its content-length is that of another answer.
func TestHTTP2NotModified(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		r := p.post(t.Context(), []byte("{}"))
		id, _ := p.request()
		p.writeHead(id, true, ":status", "304", "content-length", "10")
		r.answered(304, "")
	})
}

// TestHTTP2BadAnswers: what breaks one stream leaves the others.
func TestHTTP2BadAnswers(t *testing.T) {
	tests := map[string]struct {
		answer func(p *peer, id uint32)
		status int
		text   string
		code   http2.ErrCode // of the client's RST_STREAM
	}{
		"too short": {func(p *peer, id uint32) {
			p.writeHead(id, false, ":status", "200", "content-length", "10")
			p.write(p.fr.WriteData(id, true, []byte("short")))
		}, 200, "after 5 of 10 bytes", 0},
		"none at all": {func(p *peer, id uint32) {
			p.writeHead(id, true, ":status", "200", "content-length", "10")
		}, 200, "after 0 of 10 bytes", 0},
		"too long": {func(p *peer, id uint32) {
			p.writeHead(id, false, ":status", "200", "content-length", "1")
			p.write(p.fr.WriteData(id, false, []byte("long")))
		}, 200, "longer than its content-length of 1", http2.ErrCodeProtocol},
		"reset midway": {func(p *peer, id uint32) {
			p.writeHead(id, false, ":status", "503", "content-length", "4")
			p.write(p.fr.WriteData(id, false, []byte("lon")))
			p.write(p.fr.WriteRSTStream(id, http2.ErrCodeInternal))
		}, 503, "INTERNAL_ERROR", 0},
		"reset midway without error": {func(p *peer, id uint32) {
			p.writeHead(id, false, ":status", "503")
			p.write(p.fr.WriteData(id, false, []byte("lon")))
			p.write(p.fr.WriteRSTStream(id, http2.ErrCodeNo))
		}, 503, "NO_ERROR", 0},
		"refused after its head": {func(p *peer, id uint32) {
			p.writeHead(id, false, ":status", "503")
			p.write(p.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream))
		}, 503, "REFUSED_STREAM", 0},
		"reset": {func(p *peer, id uint32) {
			p.write(p.fr.WriteRSTStream(id, http2.ErrCodeHTTP11Required))
		}, 0, "HTTP_1_1_REQUIRED", 0},
		"body first": {func(p *peer, id uint32) {
			p.write(p.fr.WriteData(id, true, []byte("a")))
		}, 0, "before its headers", http2.ErrCodeProtocol},
		"two heads": {func(p *peer, id uint32) {
			p.writeHead(id, false, ":status", "200")
			p.writeHead(id, false, ":status", "500")
		}, 200, "in the midst", http2.ErrCodeProtocol},
		"no status":       {func(p *peer, id uint32) { p.writeHead(id, true, "x", "y") }, 0, "no status", http2.ErrCodeProtocol},
		"bad status":      {func(p *peer, id uint32) { p.writeHead(id, true, ":status", "2x0") }, 0, `status "2x0"`, http2.ErrCodeProtocol},
		"no final status": {func(p *peer, id uint32) { p.writeHead(id, true, ":status", "100") }, 0, "only the status 100", http2.ErrCodeProtocol},
		"switch":          {func(p *peer, id uint32) { p.writeHead(id, false, ":status", "101") }, 0, "only the status 101", http2.ErrCodeProtocol},
		"two lengths": {func(p *peer, id uint32) {
			p.writeHead(id, true, ":status", "200", "content-length", "1", "content-length", "2")
		}, 0, "content-length", http2.ErrCodeProtocol},
		"no window":        {func(p *peer, id uint32) { p.write(p.fr.WriteWindowUpdate(id, 0)) }, 0, "WINDOW_UPDATE of 0", http2.ErrCodeProtocol},
		"window too large": {func(p *peer, id uint32) { p.write(p.fr.WriteWindowUpdate(id, maxWindow)) }, 0, "too large", http2.ErrCodeFlowControl},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			script(t, func(t *testing.T, p *peer) {
				other := p.post(t.Context(), []byte("other"))
				otherID, _ := p.request()
				r := p.post(t.Context(), []byte("{}"))
				id, _ := p.request()
				test.answer(p, id)
				r.fails(test.text, false)
				if r.got.Status != test.status {
					t.Errorf("the status is %d instead of %d", r.got.Status, test.status)
				}
				if test.code != 0 {
					p.wantReset(id, test.code)
				}
				p.answer(otherID, 200, "o")
				other.answered(200, "o")
				p.answerNext()
			})
		})
	}
}

func TestHTTP2RefusedStreamIsUnprocessed(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		r := p.post(t.Context(), []byte("{}"))
		id, _ := p.request()
		p.write(p.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream))
		r.fails("REFUSED_STREAM", true)
		p.answerNext()
	})
}

// TestHTTP2EarlyAnswer: the server answers before it has read the request, and
// says so with RST_STREAM or not.
func TestHTTP2EarlyAnswer(t *testing.T) {
	for _, reset := range []bool{false, true} {
		t.Run(strconv.FormatBool(reset), func(t *testing.T) {
			script(t, func(t *testing.T, p *peer) {
				r := p.post(t.Context(), make([]byte, 200_000))
				id := want[*http2.MetaHeadersFrame](p).StreamID
				for n := 0; n < defaultWindow; {
					n += len(want[*http2.DataFrame](p).Data())
				}
				if reset {
					p.writeHead(id, false, ":status", "413", "content-length", "2")
					p.write(p.fr.WriteData(id, false, []byte("no")))
					p.write(p.fr.WriteRSTStream(id, http2.ErrCodeNo))
				} else {
					p.answer(id, 413, "no")
					p.wantReset(id, http2.ErrCodeCancel)
				}
				r.answered(413, "no")
				p.write(p.fr.WriteWindowUpdate(id, 100_000)) // to a stream that is over
				p.write(p.fr.WriteWindowUpdate(0, defaultWindow))
				p.answerNext()
			})
		})
	}
}

func TestHTTP2LongAnswerIsCut(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		r := p.post(t.Context(), []byte("{}"))
		id, _ := p.request()
		p.writeHead(id, false, ":status", "200")
		for range maxDiscard / 10_000 {
			p.write(p.fr.WriteData(id, false, bytes.Repeat([]byte("x"), 10_000)))
		}
		r.waits()
		p.write(p.fr.WriteData(id, false, make([]byte, 10_000)))
		p.wantReset(id, http2.ErrCodeCancel)
		r.answered(200, string(bytes.Repeat([]byte("x"), maxBody)))
		p.answerNext()
	})
}

// TestHTTP2SendWindows: a request waits for the stream's and the connection's
// window, to the byte.
func TestHTTP2SendWindows(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		body := make([]byte, 300)
		for i := range body {
			body[i] = byte(i)
		}
		var got []byte
		data := func(n int, end bool) {
			t.Helper()
			d := want[*http2.DataFrame](p)
			got = append(got, d.Data()...)
			if len(d.Data()) != n || d.StreamEnded() != end {
				t.Fatalf("got %d bytes, end %v instead of %d, %v", len(d.Data()), d.StreamEnded(), n, end)
			}
		}
		r := p.post(t.Context(), body)
		id := want[*http2.MetaHeadersFrame](p).StreamID
		data(10, false)
		p.wantNothing()
		p.write(p.fr.WriteWindowUpdate(id, 5))
		data(5, false)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4}) // the window is -6
		p.write(p.fr.WriteWindowUpdate(id, 6))
		p.wantNothing()
		p.write(p.fr.WriteWindowUpdate(id, 1))
		data(1, false)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 24})
		data(20, false)
		p.wantNothing()
		p.write(p.fr.WriteWindowUpdate(id, 1000))
		data(264, true)
		if !bytes.Equal(got, body) {
			t.Error("another body came")
		}
		p.answer(id, 200, "")
		r.answered(200, "")
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
}

// TestHTTP2ConnectionWindow: streams share it, and each gets a part of what is
// given.
func TestHTTP2ConnectionWindow(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		const size = 100_000
		var calls []*call
		sent, ended := map[uint32]int{}, 0
		read := func(total int) {
			t.Helper()
			for total > 0 {
				d := want[*http2.DataFrame](p)
				sent[d.StreamID] += len(d.Data())
				total -= len(d.Data())
				if d.StreamEnded() {
					ended++
				}
			}
			if total < 0 {
				t.Fatalf("%d bytes beyond the window", -total)
			}
			p.wantNothing()
		}
		for i := range 3 {
			calls = append(calls, p.post(t.Context(), make([]byte, size)))
			want[*http2.MetaHeadersFrame](p)
			if i == 0 {
				read(defaultWindow)
			}
		}
		p.write(p.fr.WriteWindowUpdate(0, 3*frameSize))
		read(3 * frameSize)
		if sent[1] != defaultWindow+frameSize || sent[3] != frameSize || sent[5] != frameSize {
			t.Errorf("the window was not shared: %v", sent)
		}
		p.write(p.fr.WriteWindowUpdate(0, 3*size))
		read(3*size - defaultWindow - 3*frameSize)
		if ended != 3 {
			t.Errorf("%d requests ended", ended)
		}
		for i, r := range calls {
			p.answer(uint32(2*i+1), 200, "")
			r.answered(200, "")
		}
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
}

// TestHTTP2ReceiveWindow: what the peer sends is given back, for streams that are
// over and padding too, and it must not send more.
func TestHTTP2ReceiveWindow(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		ctx, cancel := context.WithCancel(t.Context())
		r := p.post(ctx, []byte("{}"))
		id, _ := p.request()
		p.write(p.fr.WriteRawFrame(0xbe, 0, 0, nil)) // a sign of life
		synctest.Wait()
		cancel()
		p.wantReset(id, http2.ErrCodeCancel)
		r.fails("canceled", false)
		for used := 0; used+frameSize < connWindow/2; used += frameSize {
			p.write(p.fr.WriteDataPadded(id, false, make([]byte, frameSize-101), make([]byte, 100)))
		}
		p.wantNothing()
		p.write(p.fr.WriteData(id, false, make([]byte, frameSize)))
		if u := want[*http2.WindowUpdateFrame](p); u.StreamID != 0 || u.Increment != connWindow/2 {
			t.Errorf("got %v", u)
		}
	})
	t.Run("beyond", func(t *testing.T) {
		script(t, func(t *testing.T, p *peer) {
			r := p.post(t.Context(), []byte("{}"))
			id, _ := p.request()
			p.c.mu.Lock()
			p.c.in.window = 10 // as if much were sent that was not read yet
			p.c.mu.Unlock()
			p.write(p.fr.WriteData(id, false, make([]byte, 11)))
			p.wantGoAway(http2.ErrCodeFlowControl, 0)
			r.fails("DATA beyond the window", false)
		})
	})
}

func TestHTTP2MaxConcurrentStreams(t *testing.T) {
	limit := func(n uint32) http2.Setting { return http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n} }
	script(t, func(t *testing.T, p *peer) {
		one := p.post(t.Context(), []byte("1"))
		id1, _ := p.request()
		two := p.post(t.Context(), []byte("2"))
		id2, _ := p.request()
		if p.c.acquire() {
			t.Fatal("a third stream of two")
		}
		p.settings(limit(0))
		p.answer(id1, 200, "")
		one.answered(200, "")
		if p.c.acquire() {
			t.Fatal("a stream of none")
		}
		if !p.c.usable() {
			t.Error("a connection that is full counts as unusable")
		}
		p.settings(limit(2))
		// The limit falls between acquire and do.
		if !p.c.acquire() {
			t.Fatal("no second stream of two")
		}
		p.settings(limit(1))
		if err := p.c.do(t.Context(), p.head, nil, &http2Stream{}, &Answer{}); !errors.Is(err, errUnprocessed) {
			t.Errorf("a stream beyond the limit: %v", err)
		}
		p.wantNothing()
		p.answer(id2, 200, "")
		two.answered(200, "")
		p.answerNext()
	}, limit(2))
}

// TestHTTP2HeaderTable: heads are right whatever size the peer's table has, from
// one to the next.
func TestHTTP2HeaderTable(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		for i, size := range []uint32{4096, 0, 0, 70, 4096, 1 << 20, 100, 4096} {
			if i > 0 {
				// As a server does: smaller only when the client knows.
				p.settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
				p.fr.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(size)
				p.fr.ReadMetaHeaders.SetMaxDynamicTableSize(size)
			}
			for range 3 {
				r := p.post(t.Context(), nil)
				h := want[*http2.MetaHeadersFrame](p)
				if fieldOf(h, ":path") != "/v4/events" || fieldOf(h, "x-a") != "b" || len(h.Fields) != 6 {
					t.Errorf("with a table of %d: %v", size, h.Fields)
				}
				p.answer(h.StreamID, 200, "")
				r.answered(200, "")
			}
		}
	})
}

func TestHTTP2GoAway(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		var calls []*call
		for range 3 {
			calls = append(calls, p.post(t.Context(), []byte("{}")))
			p.request()
		}
		p.write(p.fr.WriteGoAway(maxStreamID, http2.ErrCodeNo, nil))
		p.wantNothing()
		if p.c.usable() || p.c.acquire() {
			t.Error("the connection takes requests after GOAWAY")
		}
		for _, r := range calls {
			r.waits()
		}
		p.write(p.fr.WriteGoAway(3, http2.ErrCodeNo, []byte("bye")))
		calls[2].fails("GOAWAY NO_ERROR (\"bye\")", true)
		p.answer(1, 200, "one")
		calls[0].answered(200, "one")
		calls[1].waits()
		p.answer(3, 200, "three")
		calls[1].answered(200, "three")
		p.wantGoAway(http2.ErrCodeNo, 0)
	})
	t.Run("then the end", func(t *testing.T) {
		script(t, func(t *testing.T, p *peer) {
			r := p.post(t.Context(), []byte("{}"))
			p.request()
			p.write(p.fr.WriteGoAway(1, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings")))
			p.nc.Close()
			r.fails(`the peer closed the connection, after it sent GOAWAY ENHANCE_YOUR_CALM ("too_many_pings")`, false)
		})
	})
	t.Run("in between", func(t *testing.T) {
		script(t, func(t *testing.T, p *peer) {
			if !p.c.acquire() {
				t.Fatal("no slot")
			}
			p.write(p.fr.WriteGoAway(0, http2.ErrCodeNo, nil))
			p.wantNothing()
			err := p.c.do(t.Context(), p.head, nil, &http2Stream{}, &Answer{})
			if !errors.Is(err, errUnprocessed) {
				t.Errorf("a request after GOAWAY: %v", err)
			}
			p.wantGoAway(http2.ErrCodeNo, 0)
		})
	})
}

func TestHTTP2Ping(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		p.write(p.fr.WritePing(false, [8]byte{1, 2, 3}))
		if f := want[*http2.PingFrame](p); !f.IsAck() || f.Data != [8]byte{1, 2, 3} {
			t.Errorf("got %v", f)
		}
		p.write(p.fr.WritePing(true, [8]byte{}))
		p.wantNothing()
	})
}

// TestHTTP2BrokenPeers: what breaks the connection.
func TestHTTP2BrokenPeers(t *testing.T) {
	tests := map[string]struct {
		send func(p *peer, id uint32)
		code http2.ErrCode
		text string
	}{
		"HTTP/1.1": {func(p *peer, _ uint32) { _, _ = io.WriteString(p.nc, "HTTP/1.1 400 Bad Request\r\n\r\n") }, http2.ErrCodeFrameSize, "HTTP/1.1"},
		"frame too large": {func(p *peer, id uint32) {
			_, _ = p.nc.Write([]byte{0, 0x40, 1, 0, 0, 0, 0, 0, byte(id)})
		}, http2.ErrCodeFrameSize, "frame too large"},
		"data for no stream":  {func(p *peer, _ uint32) { p.write(p.fr.WriteData(9, true, nil)) }, http2.ErrCodeProtocol, "DATA for stream 9, which was never opened"},
		"data for stream 0":   {func(p *peer, _ uint32) { p.write(p.fr.WriteData(0, true, nil)) }, http2.ErrCodeProtocol, "DATA for stream 0"},
		"data for a server's": {func(p *peer, _ uint32) { p.write(p.fr.WriteData(2, true, nil)) }, http2.ErrCodeProtocol, "DATA for stream 2"},
		"head for no stream":  {func(p *peer, _ uint32) { p.writeHead(7, true, ":status", "200") }, http2.ErrCodeProtocol, "HEADERS for stream 7"},
		"reset of no stream":  {func(p *peer, _ uint32) { p.write(p.fr.WriteRSTStream(3, 0)) }, http2.ErrCodeProtocol, "RST_STREAM for stream 3"},
		"short reset":         {func(p *peer, id uint32) { p.write(p.fr.WriteRawFrame(http2.FrameRSTStream, 0, id, []byte{1})) }, http2.ErrCodeFrameSize, "RST_STREAM of 1 bytes"},
		"short window update": {func(p *peer, id uint32) { p.write(p.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id, []byte{1})) }, http2.ErrCodeFrameSize, "WINDOW_UPDATE of 1 bytes"},
		"window update of 0":  {func(p *peer, _ uint32) { p.write(p.fr.WriteWindowUpdate(0, 0)) }, http2.ErrCodeProtocol, "WINDOW_UPDATE of 0"},
		"window too large":    {func(p *peer, _ uint32) { p.write(p.fr.WriteWindowUpdate(0, maxWindow)) }, http2.ErrCodeFlowControl, "connection's window"},
		"windows too large": {func(p *peer, id uint32) {
			p.write(p.fr.WriteWindowUpdate(id, maxWindow-defaultWindow))
			p.write(p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: defaultWindow + 3})) // 2 were sent
		}, http2.ErrCodeFlowControl, "the window of stream 1"},
		"initial window too large": {func(p *peer, _ uint32) {
			p.write(p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))
		}, http2.ErrCodeFlowControl, "FLOW_CONTROL_ERROR"},
		"initial window too large at last": {func(p *peer, _ uint32) {
			p.write(p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))
		}, http2.ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is 2147483648"},
		"frame size": {func(p *peer, _ uint32) {
			p.write(p.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 100}))
		}, http2.ErrCodeProtocol, "SETTINGS_MAX_FRAME_SIZE is 100"},
		"push": {func(p *peer, id uint32) {
			p.write(p.fr.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: []byte{0x88}, EndHeaders: true}))
		}, http2.ErrCodeProtocol, "PUSH_PROMISE"},
		"bad padding": {func(p *peer, id uint32) {
			p.write(p.fr.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, id, []byte{5, 1, 2}))
		}, http2.ErrCodeProtocol, "more padding"},
		"no padding": {func(p *peer, id uint32) {
			p.write(p.fr.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, id, nil))
		}, http2.ErrCodeProtocol, "more padding"},
		"no priority": {func(p *peer, id uint32) {
			p.write(p.fr.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPriority|http2.FlagHeadersEndHeaders, id, []byte{0x88}))
		}, http2.ErrCodeProtocol, "longer priority"},
		"bad block": {func(p *peer, id uint32) {
			p.write(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0xff, 0xff, 0xff, 0x7f}, EndHeaders: true}))
		}, http2.ErrCodeCompression, "COMPRESSION_ERROR"},
		"half a block": {func(p *peer, id uint32) {
			p.write(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x00, 0x05, 'a'}, EndHeaders: true}))
		}, http2.ErrCodeCompression, "COMPRESSION_ERROR"},
		"frame within a head": {func(p *peer, id uint32) {
			p.write(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}}))
			p.write(p.fr.WritePing(false, [8]byte{}))
		}, http2.ErrCodeProtocol, "expected CONTINUATION"},
		"flood of parts": {func(p *peer, id uint32) {
			p.write(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}}))
			for range maxFragments {
				p.write(p.fr.WriteContinuation(id, false, nil))
			}
		}, http2.ErrCodeEnhanceYourCalm, "more than 64 frames"},
		"flood of fields": {func(p *peer, id uint32) {
			p.write(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}}))
			for range maxAnswerHead/frameSize - 1 {
				p.write(p.fr.WriteContinuation(id, false, bytes.Repeat([]byte{0x88}, frameSize)))
			}
			p.write(p.fr.WriteContinuation(id, false, bytes.Repeat([]byte{0x88}, frameSize)))
		}, http2.ErrCodeEnhanceYourCalm, "more than 262144 bytes"},
		"flood of pings": {func(p *peer, _ uint32) {
			p.write(p.fr.WritePing(false, [8]byte{}))
			synctest.Wait() // until its answer is in a write that waits
			for range maxReplies + 1 {
				p.write(p.fr.WritePing(false, [8]byte{}))
			}
		}, http2.ErrCodeEnhanceYourCalm, "1000 PINGs"},
		"flood of settings": {func(p *peer, _ uint32) {
			p.write(p.fr.WriteSettings())
			synctest.Wait()
			for range maxReplies + 1 {
				p.write(p.fr.WriteSettings())
			}
		}, http2.ErrCodeEnhanceYourCalm, "1000 PINGs"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			script(t, func(t *testing.T, p *peer) {
				r := p.post(t.Context(), []byte("{}"))
				id, _ := p.request()
				test.send(p, id)
				synctest.Wait()
				for {
					f := p.read()
					if end, ok := f.(*http2.GoAwayFrame); ok {
						if end.ErrCode != test.code {
							t.Errorf("the client said %v instead of %v", end.ErrCode, test.code)
						}
						break
					}
				}
				p.wantClosed()
				r.fails(test.text, false)
			})
		})
	}
}

func TestHTTP2FirstFrameIsSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t)
		r := p.post(t.Context(), []byte("{}"))
		p.request()
		p.write(p.fr.WritePing(false, [8]byte{}))
		p.wantGoAway(http2.ErrCodeProtocol, 0)
		r.fails("the first frame is PING instead of SETTINGS", false)
	})
}

// TestHTTP2ConnectionLost: who was handed to a write may have been read, who was
// not was not.
func TestHTTP2ConnectionLost(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		one := p.post(t.Context(), []byte("1"))
		p.request()
		two := p.post(t.Context(), []byte("2")) // in the write that waits
		synctest.Wait()
		if _, err := io.ReadFull(p.nc, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		three := p.post(t.Context(), []byte("3")) // in the buffer
		synctest.Wait()
		p.nc.Close()
		one.fails("closed", false) // which the reader or the writer was told
		if err := two.result(); err == nil || errors.Is(err, errUnprocessed) {
			t.Errorf("a request of which a part was read: %v", err)
		}
		three.fails("", true)
	})
}

// TestHTTP2UnprocessedIsNotWritten: who was told that a request was not read sends
// it again.
func TestHTTP2UnprocessedIsNotWritten(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		one := p.post(t.Context(), []byte("1"))
		synctest.Wait()
		two := p.post(t.Context(), []byte("2"))
		synctest.Wait()
		p.c.close(net.ErrClosed)
		one.waits() // its lane is the writer
		two.fails("use of closed", true)
		if _, body := p.request(); string(body) != "1" {
			t.Errorf("the request is %q", body)
		}
		p.wantGoAway(http2.ErrCodeNo, 0)
		one.fails("use of closed", false)
	})
}

// TestHTTP2LargeHead: a head of several frames.
func TestHTTP2LargeHead(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		for _, size := range []int{frameSize - 100, frameSize, 3*frameSize + 1} {
			long := strings.Repeat("~", size) // no shorter with Huffman's code
			p.head = headOf(t, "https://example.com/v4/events", http.Header{"X-Long": {long}})
			r := p.post(t.Context(), []byte("{}"))
			h := want[*http2.MetaHeadersFrame](p)
			if fieldOf(h, "x-long") != long || fieldOf(h, "content-length") != "2" {
				t.Errorf("a head of %d bytes came otherwise", size)
			}
			want[*http2.DataFrame](p)
			p.answer(h.StreamID, 200, "")
			r.answered(200, "")
		}
	})
}

// TestHTTP2WriteFailsEarly: a write that failed before a request's first byte.
func TestHTTP2WriteFailsEarly(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		p.ours.broken.Store(true)
		one := p.post(t.Context(), []byte("1"))
		one.fails("write: broken", true)
	})
}

// TestHTTP2HangingWrite: it holds up nobody but its own lane, and not for ever.
func TestHTTP2HangingWrite(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		one := p.post(t.Context(), []byte("1"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		two := p.post(ctx, []byte("2"))
		time.Sleep(time.Second)
		two.fails("deadline", false)
		if p.c.usable() {
			t.Error("a connection that does not get on is used further")
		}
		one.waits()
		time.Sleep(writeTimeout)
		one.fails("timeout", true)
	})
}

// TestHTTP2Cancel: a request that is given up leaves the connection to the others,
// and its answer may come late.
func TestHTTP2Cancel(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		cause := errors.New("had enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		r := p.post(ctx, []byte("{}"))
		id, _ := p.request()
		p.write(p.fr.WritePing(true, [8]byte{})) // a sign of life
		synctest.Wait()
		cancel(cause)
		if err := r.result(); !errors.Is(err, cause) {
			t.Errorf("it ended with %v", err)
		}
		p.wantReset(id, http2.ErrCodeCancel)
		p.answer(id, 200, "late")
		p.write(p.fr.WriteRSTStream(id, http2.ErrCodeCancel))
		p.answerNext()
		if p.c.acquire(); p.c.slots != 1 {
			t.Errorf("%d slots are taken", p.c.slots)
		}
		ended, end := context.WithCancelCause(t.Context())
		end(cause)
		if err := p.c.do(ended, p.head, nil, &http2Stream{}, &Answer{}); !errors.Is(err, cause) || p.c.slots != 0 {
			t.Errorf("with a context that has ended: %v, %d slots", err, p.c.slots)
		}
		p.wantNothing()
	})
}

// TestHTTP2CancelWithBody: a body that waits for a window is given up with its
// request.
func TestHTTP2CancelWithBody(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		ctx, cancel := context.WithCancel(t.Context())
		r := p.post(ctx, make([]byte, 100))
		id := want[*http2.MetaHeadersFrame](p).StreamID
		synctest.Wait() // it has written, and doesn't write for the next one, too
		p.post(t.Context(), nil)
		p.write(p.fr.WritePing(true, [8]byte{}))
		synctest.Wait()
		cancel()
		r.fails("canceled", false)
		if n := len(p.c.out.waiting); n != 0 { // the lane goes elsewhere with its stream
			t.Errorf("%d streams wait", n)
		}
		p.request() // which held up the writing
		p.wantReset(id, http2.ErrCodeCancel)
		p.write(p.fr.WriteWindowUpdate(id, 100))
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
		p.answerNext()
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
}

// TestHTTP2SilentPeer: where nothing came while a request ran out of time, no more
// is sent; the others keep their chance.
func TestHTTP2SilentPeer(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		other := p.post(t.Context(), []byte("1"))
		otherID, _ := p.request()
		r := p.post(ctx, []byte("2"))
		id, _ := p.request()
		time.Sleep(time.Second)
		p.wantReset(id, http2.ErrCodeCancel)
		r.fails("deadline", false)
		if p.c.usable() {
			t.Error("the connection is used further")
		}
		p.answer(otherID, 200, "")
		other.answered(200, "")
		p.wantGoAway(http2.ErrCodeNo, 0)
	})
}

func TestHTTP2LostPeer(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		time.Sleep(40 * time.Second) // without a stream nothing is owed
		p.wantNothing()
		start := time.Now()
		r := p.post(t.Context(), []byte("{}"))
		p.request()
		ping := want[*http2.PingFrame](p)
		if at := time.Since(start); ping.IsAck() || at != quietFor {
			t.Errorf("got %v after %v", ping, at)
		}
		p.write(p.fr.WritePing(true, ping.Data))
		want[*http2.PingFrame](p)
		if at := time.Since(start); at != 2*quietFor {
			t.Errorf("the second PING came after %v", at)
		}
		p.wantGoAway(http2.ErrCodeNo, quietFor)
		r.fails("nothing came from the peer for 30s, not even an answer to a PING", false)
	})
}

func TestHTTP2Unused(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		time.Sleep(50 * time.Second)
		p.answerNext()
		go func() {
			time.Sleep(time.Minute)
			p.write(p.fr.WritePing(true, [8]byte{})) // is no use
		}()
		p.wantGoAway(http2.ErrCodeNo, idleFor)
	})
}

func TestHTTP2Close(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		r := p.post(t.Context(), []byte("{}"))
		p.request()
		p.c.close(net.ErrClosed)
		r.fails("use of closed", false)
		p.wantGoAway(http2.ErrCodeNo, 0)
	})
}

func TestHTTP2StreamIDsUsedUp(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		p.c.mu.Lock()
		p.c.nextID = maxStreamID - 2
		p.c.mu.Unlock()
		p.answerNext()
		r := p.post(t.Context(), []byte("{}"))
		id, _ := p.request()
		if id != maxStreamID || p.c.usable() || p.c.acquire() {
			t.Errorf("stream %d is followed by another", id)
		}
		p.answer(id, 200, "")
		r.answered(200, "")
		p.wantGoAway(http2.ErrCodeNo, 0)
	})
}

// TestHTTP2WritesTogether: what lanes send while one writes goes out in one write.
func TestHTTP2WritesTogether(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		before := p.ours.writes.Load()
		var calls []*call
		for range 20 {
			calls = append(calls, p.post(t.Context(), []byte("{}")))
			synctest.Wait()
		}
		for range 20 {
			p.request()
		}
		synctest.Wait()
		if n := p.ours.writes.Load() - before; n != 2 {
			t.Errorf("%d writes", n)
		}
		for i, r := range calls {
			p.answer(uint32(2*i+1), 200, "")
			r.answered(200, "")
		}
	})
}

// TestHTTP2WriterIsRelieved: a lane does not write for the others for longer than
// its own request takes, nor very long.
func TestHTTP2WriterIsRelieved(t *testing.T) {
	// With each of these the first lane is in a write of another's request, and
	// its own business is at an end once that was read.
	tests := map[string]func(p *peer, cancel func()){
		"it is answered": func(p *peer, _ func()) { p.answer(1, 200, "") },
		"its time is up": func(_ *peer, cancel func()) { cancel() },
		"it wrote often": func(p *peer, cancel func()) {
			for range 2 * writeTurns { // some of them go out together
				p.post(p.t.Context(), nil)
				synctest.Wait()
				p.request()
			}
			synctest.Wait()
			cancel()
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			script(t, func(t *testing.T, p *peer) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				first := p.post(ctx, nil)
				synctest.Wait()
				p.post(t.Context(), nil)
				synctest.Wait()
				p.request()
				synctest.Wait()                          // until it writes the second's, without the third's
				p.write(p.fr.WritePing(true, [8]byte{})) // a sign of life
				p.post(t.Context(), nil)
				synctest.Wait()
				if name != "it wrote often" {
					first.waits()
				}
				test(p, cancel)
				if name != "it wrote often" {
					synctest.Wait()
					first.waits() // for its write
					p.request()
				}
				// And now others' wait to be read, whatever becomes of them.
				synctest.Wait()
				select {
				case <-first.done:
				default:
					t.Error("the lane still writes")
				}
			})
		})
	}
}

// TestHTTP2Crowd: where writes don't get on, no more is put.
func TestHTTP2Crowd(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		p.head = headOf(t, "https://example.com/v4/events", http.Header{"X-Long": {strings.Repeat("~", 20<<10)}})
		for n := 0; p.c.acquire(); n++ {
			p.c.mu.Lock()
			p.c.free()
			p.c.mu.Unlock()
			if n > 100 {
				t.Fatal("it takes more and more")
			}
			p.post(t.Context(), make([]byte, 1000))
			synctest.Wait()
		}
		if !p.c.usable() {
			t.Error("it is not usable later")
		}
	})
}

// TestHTTP2Farewell: it does not take long with a peer that does not read.
func TestHTTP2Farewell(t *testing.T) {
	script(t, func(t *testing.T, p *peer) {
		time.Sleep(5 * time.Second)
		p.c.close(net.ErrClosed)
		time.Sleep(farewellTimeout + time.Millisecond)
		p.wantClosed()
	})
}
