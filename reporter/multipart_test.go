package reporter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/event"
)

// batches lets the rig send batches of up to ten.
func batches(c *rigConfig) { c.batch.Size = 10 }

func TestBatch(t *testing.T) {
	for _, version := range event.Versions() {
		t.Run(version.String(), func(t *testing.T) {
			d := &event.Delivery{Event: &event.Event{ID: "a", RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/p/jobs/j"}}}
			second := &event.Delivery{Event: &event.Event{ID: "b\r\n--clientevents-part--", RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/p/jobs/j"}}}
			w := newBatchWriter("/v3/projects/p/clientEvents", "batch", version)
			got := string(w.appendBatch([]byte("kept:"), []*event.Delivery{d, second}))
			want := "kept:"
			var wantSb38 strings.Builder
			for i, d := range []*event.Delivery{d, second} {
				body := string(d.AppendRequest(nil, version))
				wantSb38.WriteString("--clientevents-part\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <batch+" + strconv.Itoa(i) + ">\r\n\r\n" +
					"POST /v3/projects/p/clientEvents HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body + "\r\n")
			}
			want += wantSb38.String()
			want += "--clientevents-part--\r\n"
			if got != want {
				t.Errorf("the batch is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestBatchOfOneGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil, batches)
		g.report("a")
		synctest.Wait()
		g.report("b", "c")
		g.wantRequests("0s /v3/projects/p/clientEvents a", "0s /batch b,c")
		g.wantOutcomes(accepted(3))
		g.wantMetric("api_requests_total", "200", 3)
		g.wantMetric("api_request_duration_seconds", "", 2)
	})
}

// Only the parts that failed for now are tried again, each after its own wait.
func TestPartsHaveTheirOwnOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(w http.ResponseWriter, r received) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
			p := r.parts
			// In another order, and without an answer to f.
			for _, part := range []string{
				answerPart(p[6], 500, "", ""),
				answerPart(p[0], 200, "", "{}"),
				answerPart(p[4], 503, "Retry-After: 5\r\n", ""),
				answerPart(p[1], 400, "", `{"error":{"message":"bad","status":"INVALID_ARGUMENT"}}`),
				answerPart(p[2], 409, "", ""),
				answerPart(p[3], 413, "", ""),
				"--b--\r\n",
			} {
				io.WriteString(w, part)
			}
		}
		g := newRig(t, script(answer, accept), batches)
		g.report("a", "b", "c", "d", "e", "f", "g")
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 2, event.Rejected: 1, event.TooLarge: 1})
		if o := g.outcome("b"); o.HTTPStatus != 400 || o.Detail != "INVALID_ARGUMENT: bad" {
			t.Errorf("the outcome of b is %+v", o)
		}
		time.Sleep(time.Minute)
		got := g.requests()
		slices.Sort(got[1:])
		want := []string{"0s /batch a,b,c,d,e,f,g", "500ms /batch f,g", "5s /v3/projects/p/clientEvents e"}
		if !slices.Equal(got, want) && !slices.Equal(got, []string{want[0], "500ms /batch g,f", want[2]}) {
			t.Errorf("requests are %q, want %q", got, want)
		}
		g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 5, event.Rejected: 1, event.TooLarge: 1})
		for code, want := range map[string]float64{"200": 4, "400": 1, "409": 1, "413": 1, "500": 1, "503": 1, "error": 1} {
			g.wantMetric("api_requests_total", code, want)
		}
		for reason, want := range map[string]float64{"bad_answer": 1, "server_error": 1, "unavailable": 1} {
			g.wantMetric("retries_total", reason, want)
		}
		if n := g.b.InFlight(); n != 0 {
			t.Errorf("%d in flight, want none", n)
		}
	})
}

// The quota that throttled one part is the others', too.
func TestThrottledPartClosesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(w http.ResponseWriter, r received) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
			io.WriteString(w, answerPart(r.parts[0], 200, "", "{}")+answerPart(r.parts[1], 429, "Retry-After: 30\r\n", "")+answerPart(r.parts[2], 500, "", "")+"--b--")
		}
		g := newRig(t, script(answer, accept), func(c *rigConfig) { batches(c); c.Concurrency = 1 })
		g.report("a", "b", "c")
		synctest.Wait()
		g.report("d")
		time.Sleep(29 * time.Second)
		g.wantPaused("throttled")
		g.wantRequests("0s /batch a,b,c")
		time.Sleep(5 * time.Minute) // all that is known of the quota is one event in 30 s
		g.wantOutcomes(accepted(4))
		if got := g.requests(); !strings.HasPrefix(got[1], "30s ") {
			t.Errorf("requests are %q, want the second at 30s", got)
		}
	})
}

func TestAllPartsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := func(w http.ResponseWriter, r received) {
			answerEach(w, r, map[string]int{"a": 503, "b": 500, "c": 503, "d": 503})
		}
		g := newRig(t, script(failing, failing, accept), func(c *rigConfig) { batches(c); c.Concurrency = 1 })
		g.report("a", "b")
		synctest.Wait()
		g.report("c", "d") // wait for the probe
		time.Sleep(time.Minute)
		g.wantRequests("0s /batch a,b", "500ms /batch a,b,c,d", "1.5s /batch a,b,c,d")
		g.wantOutcomes(accepted(4))
	})
}

func TestEndpointWithoutBatches(t *testing.T) {
	for _, status := range []int{404, 405, 501} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(w http.ResponseWriter, r received) {
					if r.path == "/batch" {
						refuse(status)(w, r)
						return
					}
					accept(w, r)
				}
				g := newRig(t, answer, func(c *rigConfig) { batches(c); c.Concurrency = 1 })
				g.report("a", "b", "c")
				synctest.Wait()
				g.report("d", "e")
				synctest.Wait()
				const single = "0s /v3/projects/p/clientEvents "
				g.wantRequests("0s /batch a,b,c", single+"a", single+"b", single+"c", single+"d", single+"e")
				g.wantOutcomes(accepted(5))
				if got := strings.Count(g.log.String(), "WARN"); got != 1 {
					t.Errorf("%d warnings, want one", got)
				}
				if s := g.r.Status(); s.Batches || !s.Gate.Open {
					t.Errorf("the status is %+v", s)
				}
			})
		})
	}
}

// That it does not know them is an answer: an outage is over with it.
func TestEndpointWithoutBatchesAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(w http.ResponseWriter, r received) {
			time.Sleep(time.Second)
			accept(w, r)
		}
		g := newRig(t, script(refuse(503), refuse(404), slow), batches)
		g.report("a", "b", "c")
		time.Sleep(1500 * time.Millisecond) // of which 500 ms are backoff
		g.wantOutcomes(accepted(3))
	})
}

// What is refused as a whole is sent in smaller batches, and at last each event
// says itself what is wrong.
func TestBatchThatIsRefusedAsAWhole(t *testing.T) {
	for _, status := range []int{413, 400} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(w http.ResponseWriter, r received) {
					if len(r.ids) > 3 || slices.Contains(r.ids, "large") {
						refuse(status)(w, r)
						return
					}
					accept(w, r)
				}
				g := newRig(t, answer, func(c *rigConfig) { batches(c); c.Concurrency = 1 })
				g.report("a", "b", "large", "c", "d", "e", "f", "g", "h", "i")
				synctest.Wait()
				want := event.TooLarge
				if status == 400 {
					want = event.Rejected
				}
				time.Sleep(time.Second)
				g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 9, want: 1})
				if s := g.r.Status(); !s.Gate.Open || !s.Batches {
					t.Errorf("the status is %+v", s)
				}
				// They grow again.
				g.setAnswer(accept)
				for i := range 20 {
					g.report(sequence(fmt.Sprint("x", i, "."), 50)...)
					synctest.Wait()
				}
				g.wantOutcomes(map[event.OutcomeKind]int{event.Accepted: 1009, want: 1})
				got := g.requestsReceived()
				if last := got[len(got)-1]; len(last.ids) != 10 {
					t.Errorf("the last batch has %d events, want 10", len(last.ids))
				}
			})
		})
	}
}

// A batch whose answer breaks off leaves nobody in doubt about the parts that
// were read.
func TestCutBatchAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := func(parts []string) string {
			body := answerPart(parts[0], 200, "", "{}") + answerPart(parts[1], 400, "", "{}") + answerPart(parts[2], 200, "", "{}") + "--b--\r\n"
			return "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		}
		length := len(whole([]string{"<xxxxxxxxxxxx+0>", "<xxxxxxxxxxxx+1>", "<xxxxxxxxxxxx+2>"}))
		seen := map[int]int{}
		for at := range length + 1 {
			known := 0
			g := newRig(t, script(func(w http.ResponseWriter, r received) {
				answer := whole(r.parts)[:at]
				if _, body, ok := strings.Cut(answer, "\r\n\r\n"); ok {
					// What a delimiter follows.
					known = min(3, max(0, strings.Count(body, "--b\r\n")-1))
					if strings.Contains(body, "--b--\r\n") {
						known = 3
					}
				}
				raw(t, answer)(w, r)
			}, accept), func(c *rigConfig) { batches(c); c.Registerer = nil })
			g.report("a", "b", "c")
			time.Sleep(time.Minute)
			synctest.Wait()
			want := map[event.OutcomeKind]int{event.Accepted: 2, event.Rejected: 1}
			if known < 2 {
				want = accepted(3) // at the second attempt, all are
			}
			g.wantOutcomes(want)
			again := ""
			if got := g.requestsReceived(); len(got) > 1 {
				again = strings.Join(got[1].ids, "")
			}
			if wantAgain := "abc"[known:]; len(again) != len(wantAgain) || strings.Trim(again, wantAgain) != "" {
				t.Fatalf("cut after %d bytes: %q sent again, want %q", at, again, wantAgain)
			}
			seen[known]++
			g.stop()
		}
		for known := range 4 {
			if seen[known] == 0 {
				t.Errorf("no cut left %d parts known", known)
			}
		}
	})
}

func TestAnswerThatIsNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(w http.ResponseWriter, _ received) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{}")
		}
		g := newRig(t, script(answer, accept), batches)
		g.report("a", "b")
		time.Sleep(time.Second)
		g.wantRequests("0s /batch a,b", "500ms /batch a,b")
		g.wantOutcomes(accepted(2))
		g.wantMetric("retries_total", "bad_answer", 2)
	})
}

// The connection of an answer that was read is used again, chunked or not.
func TestConnectionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chunked := func(w http.ResponseWriter, r received) { accept(flushing{w}, r) }
		dials := 0
		g := newRig(t, script(chunked, accept, chunked, refuse(500), accept), func(c *rigConfig) {
			batches(c)
			c.Concurrency = 1
			dial := c.Dial
			c.Dial = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
				dials++
				return dial(ctx, network, addr)
			}
		})
		for i := range 10 {
			g.report(sequence(fmt.Sprint(i, "."), 2)...)
			time.Sleep(time.Second)
		}
		g.wantOutcomes(accepted(20))
		if dials != 1 {
			t.Errorf("%d connections, want one", dials)
		}
	})
}

// flushing sends each piece of an answer by itself, of unknown length.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// answerOf is what our reader makes of an answer: which of n events have which
// result.
func answerOf(r io.Reader, boundary, id string, n int) (status map[int]int, after map[int]string, err error) {
	status, after = map[int]int{}, map[int]string{}
	p := newPartReader()
	p.reset(r, boundary)
	var got part
	for position := 0; ; position++ {
		if err := p.next(&got); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return status, after, err
		}
		if i, ok := got.index(id, position); ok && i < n {
			if _, twice := status[i]; !twice {
				status[i], after[i] = got.status, got.retryAfter
			}
		}
	}
}

func TestReadAnswer(t *testing.T) {
	part := func(id, text string) string {
		return "--b\r\nContent-Type: application/http\r\n" + id + "\r\n" + text + "\r\n"
	}
	const ok, end = "HTTP/1.1 200 OK\r\n\r\n{}", "--b--\r\n"
	long := strings.Repeat("x", 40<<10)
	for name, test := range map[string]struct {
		answer string
		status map[int]int
		cut    bool
	}{
		"nothing":             {"", nil, true},
		"only the end":        {end, map[int]int{}, false},
		"without ids":         {part("", ok) + part("", "HTTP/1.1 404 Not Found\r\n\r\n") + end, map[int]int{0: 200, 1: 404}, false},
		"ids":                 {part("Content-ID: <response-id+1>\r\n", ok) + part("content-id:<response-id+0>\r\n", "HTTP/1.1 503 \r\n\r\n") + end, map[int]int{1: 200, 0: 503}, false},
		"bare ids":            {part("Content-ID: response-id+1\r\n", ok) + part("Content-ID: id+0\r\n", ok) + end, map[int]int{1: 200, 0: 200}, false},
		"blanks in ids":       {part("Content-ID: <Response-id + 1>\r\n", ok) + end, map[int]int{1: 200}, false},
		"foreign ids":         {part("Content-ID: <response-other+0>\r\n", ok) + part("Content-ID: <x>\r\n", ok) + part("Content-ID: <response-id+9>\r\n", ok) + part("Content-ID: <response-id+-1>\r\n", ok) + end, map[int]int{}, false},
		"an id twice":         {part("Content-ID: <response-id+0>\r\n", ok) + part("Content-ID: <response-id+0>\r\n", "HTTP/1.1 500 \r\n\r\n") + end, map[int]int{0: 200}, false},
		"some ids":            {part("", ok) + part("Content-ID: <response-id+2>\r\n", ok) + part("", "HTTP/1.1 500 \r\n\r\n") + end, map[int]int{0: 200, 2: 200}, false},
		"LF":                  {strings.ReplaceAll(part("", ok)+part("", ok)+end, "\r\n", "\n"), map[int]int{0: 200, 1: 200}, false},
		"preamble":            {"This is\r\n--bx\r\na batch\r\n" + part("", ok) + end, map[int]int{0: 200}, false},
		"epilogue":            {part("", ok) + end + part("", ok) + end, map[int]int{0: 200}, false},
		"no line end":         {part("", ok) + "--b--", map[int]int{0: 200}, false},
		"no end":              {part("", ok) + part("", ok), map[int]int{0: 200}, true},
		"no part header":      {"--b\r\n\r\n" + ok + "\r\n" + end, map[int]int{0: 200}, false},
		"empty line before":   {part("", "\r\n"+ok) + end, map[int]int{0: 200}, false},
		"no reason phrase":    {part("", "HTTP/1.1 204\r\n\r\n") + end, map[int]int{0: 204}, false},
		"HTTP/2":              {part("", "HTTP/2 200\r\n\r\n") + end, map[int]int{0: 200}, false},
		"no body":             {part("", "HTTP/1.1 204 No Content\r\n") + part("", ok) + end, map[int]int{0: 204, 1: 200}, false},
		"no status line":      {part("", "{}") + part("", ok) + end, map[int]int{0: 0, 1: 200}, false},
		"a strange status":    {part("", "HTTP/1.1 2000 OK\r\n\r\n") + part("", "HTTP/1.1 20 OK\r\n\r\n") + part("", "HTTP/1.1 -10 OK\r\n\r\n") + end, map[int]int{0: 0, 1: 0, 2: 0}, false},
		"an empty part":       {"--b\r\n" + part("", ok) + end, map[int]int{0: 0, 1: 200}, false},
		"blanks behind":       {"--b \t\r\n\r\n" + ok + "\r\n--b-- \r\n", map[int]int{0: 200}, false},
		"delimiter in a line": {part("", ok+"\r\nx--b\r\n --b--") + end, map[int]int{0: 200}, false},
		"a long line":         {part("", "HTTP/1.1 500 \r\n\r\n"+long+"\r\n--bx"+long) + part("", ok) + end, map[int]int{0: 500, 1: 200}, false},
		"a long header":       {part("X: "+long+"\r\n", "HTTP/1.1 500 \r\nY: "+long+"Retry-After: 5\r\n\r\n") + part("", ok) + end, map[int]int{0: 500, 1: 200}, false},
		"too long":            {part("", ok) + part("", ok+strings.Repeat(long+"\r\n", 30)) + end, map[int]int{0: 200}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.answer), iotest.OneByteReader(strings.NewReader(test.answer))} {
				got, after, err := answerOf(r, "b", "id", 3)
				if !maps.Equal(got, test.status) || (err != nil) != test.cut {
					t.Errorf("the answer is %v, %v; want %v", got, err, test.status)
				}
				for i, a := range after {
					if a != "" {
						t.Errorf("event %d waits %q", i, a)
					}
				}
			}
		})
	}
}

// The memory that a part takes is bounded.
func TestPartBodyIsBounded(t *testing.T) {
	p := newPartReader()
	p.reset(strings.NewReader("--b\n\nHTTP/1.1 500 x\n\n"+strings.Repeat(strings.Repeat("x", 1000)+"\n", 1000)+"--b--"), "b")
	var got part
	if err := p.next(&got); err != nil || len(got.body) > maxErrorBody || len(got.body) < maxErrorBody/2 {
		t.Errorf("%d bytes are kept, and %v; want up to %d", len(got.body), err, maxErrorBody)
	}
}

// FuzzReadAnswer compares our reader with mime/multipart and net/http, for
// answers that those can read.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("--b\r\nContent-ID: <response-id+1>\r\n\r\nHTTP/1.1 200 OK\r\nRetry-After: 3\r\n\r\n{}\r\n--b--\r\n"))
	f.Add([]byte("--b\n\nHTTP/1.1 503 Unavailable\n\n{}\n--b\nContent-ID: id+0\n\nHTTP/1.1 204\n\n--b--"))
	f.Add([]byte("preamble\r\n--b\r\nContent-Type: application/http\r\n\r\n\r\n--b\r\n\r\nHTTP/2.0 404 x\r\n\r\n--b--epilogue"))
	f.Add([]byte("--b--"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		const n = 4
		got, after, err := answerOf(bytes.NewReader(answer), "b", "id", n)
		for i, status := range got {
			if i < 0 || i >= n || (status != 0 && (status < 100 || status > 999)) {
				t.Fatalf("event %d has status %d", i, status)
			}
		}
		want, wantAfter, ok := libraryAnswer(answer, n)
		if !ok {
			return
		}
		if err != nil {
			t.Fatalf("our reader says %v, the library reads %v", err, want)
		}
		if !maps.Equal(got, want) || !maps.Equal(after, wantAfter) {
			t.Fatalf("the answer is %v %v, the library says %v %v", got, after, want, wantAfter)
		}
	})
}

// libraryAnswer is what the libraries make of an answer; false where they can't
// read it, or where they are more lenient than an HTTP answer may be.
func libraryAnswer(answer []byte, n int) (status map[int]int, after map[int]string, ok bool) {
	status, after = map[int]int{}, map[int]string{}
	parts := multipart.NewReader(bytes.NewReader(answer), "b")
	for position := 0; ; position++ {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			// It takes the end of the input for the last delimiter, too.
			return status, after, slices.ContainsFunc(bytes.Split(answer, []byte("\n")), func(line []byte) bool {
				return string(bytes.TrimRight(line, " \t\r")) == "--b--"
			})
		}
		if err != nil {
			return nil, nil, false
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return nil, nil, false
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil || resp.StatusCode < 100 || len(p.Header.Values("Content-Id")) > 1 || len(resp.Header.Values("Retry-After")) > 1 {
			return nil, nil, false
		}
		mine := part{contentID: []byte(p.Header.Get("Content-Id"))}
		i, found := mine.index("id", position)
		if _, twice := status[i]; !found || i >= n || twice {
			continue
		}
		status[i], after[i] = resp.StatusCode, resp.Header.Get("Retry-After")
	}
}

// FuzzAnswerRoundTrip writes answers by mime/multipart and reads them by our
// reader.
func FuzzAnswerRoundTrip(f *testing.F) {
	f.Add([]byte{0, 200, 1, 1, 144, 2}, "{}\r\n--b", true)
	f.Add([]byte{3, 244, 0, 2, 44, 9}, "\n", false)
	f.Fuzz(func(t *testing.T, shape []byte, body string, crlf bool) {
		const n = 8
		var out bytes.Buffer
		w := multipart.NewWriter(&out)
		if strings.Contains(body, w.Boundary()) {
			t.Skip("a body may not have the delimiter")
		}
		want, wantAfter := map[int]int{}, map[int]string{}
		for position := 0; len(shape) >= 3; position, shape = position+1, shape[3:] {
			id, status := int(shape[0]), 100+int(binary.BigEndian.Uint16(shape[1:3]))%500
			header := textproto.MIMEHeader{"Content-Type": {"application/http"}}
			if id%3 != 0 {
				header.Set("Content-Id", fmt.Sprintf("<response-id+%d>", id%n))
			}
			part, err := w.CreatePart(header)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("HTTP/1.1 %d %s\r\nRetry-After: %d\r\n\r\n", status, http.StatusText(status), id)
			if !crlf {
				text = strings.ReplaceAll(text, "\r\n", "\n")
			}
			io.WriteString(part, text+body)
			i := id % n
			if id%3 == 0 {
				i = position
			}
			if _, twice := want[i]; !twice && i < n {
				want[i], wantAfter[i] = status, strconv.Itoa(id)
			}
		}
		w.Close()
		got, after, err := answerOf(&out, w.Boundary(), "id", n)
		if len(body) > maxPart-1000 {
			return
		}
		if err != nil || !maps.Equal(got, want) || !maps.Equal(after, wantAfter) {
			t.Fatalf("the answer is %v %v, %v; want %v %v", got, after, err, want, wantAfter)
		}
	})
}

func benchmarkBatch(n int) []*event.Delivery {
	ds := make([]*event.Delivery, n)
	for i := range ds {
		ds[i] = &event.Delivery{Event: &event.Event{
			ID: "8f14e45f-ceea-467f-9575-6f5f8a1f" + strconv.Itoa(1000+i), RequestID: "c9f0f895-fb98-4b91-99d7-6f5f8a1f0001",
			ParentID: "45c48cce-2e2d-4fbd-aa1a-fc51c7c6ad26", CreateTime: "2026-01-02T03:04:05.678Z", Type: event.View,
			Jobs: []string{"projects/my-project/jobs/123456789012345678"},
		}}
	}
	return ds
}

func BenchmarkBatchEncode(b *testing.B) {
	batch := benchmarkBatch(100)
	w := newBatchWriter("/v3/projects/my-project/clientEvents", "0123456789ab", event.V3)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = w.appendBatch(buf[:0], batch)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(100*b.N), "ns/event")
}

func BenchmarkBatchParse(b *testing.B) {
	var answer strings.Builder
	for i, d := range benchmarkBatch(100) {
		body := string(d.AppendJSON(nil, event.V3))
		answer.WriteString(answerPart("<id+"+strconv.Itoa(i)+">", 200, "Content-Type: application/json; charset=UTF-8\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n", body))
	}
	answer.WriteString("--b--\r\n")
	p := newPartReader()
	var got part
	b.SetBytes(int64(answer.Len()))
	b.ReportAllocs()
	for b.Loop() {
		p.reset(strings.NewReader(answer.String()), "b")
		read := 0
		for p.next(&got) == nil {
			if _, ok := got.index("id", 0); ok && got.status == 200 {
				read++
			}
		}
		if read != 100 {
			b.Fatalf("read %d parts", read)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(100*b.N), "ns/event")
}
