package talent

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/clientevents/clientevents/event"
)

func TestBatch(t *testing.T) {
	for _, version := range event.Versions() {
		t.Run(version.String(), func(t *testing.T) {
			d := &event.Delivery{Event: &event.Event{ID: "a", RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/p/jobs/j"}}}
			second := &event.Delivery{Event: &event.Event{ID: "b\r\n--clientevents-part--", RequestID: "r", CreateTime: "2026-01-02T03:04:05Z", Type: event.View, Jobs: []string{"projects/p/jobs/j"}}}
			w := newBatchWriter("/v3/projects/p/clientEvents", "batch", version)
			got := string(w.appendBatch([]byte("kept:"), []*event.Delivery{d, second}, nil))
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

// readPart is what our reader makes of a part: which event it answers, -1 for
// none, and how.
type readPart struct {
	event, status int
	retryAfter    string
}

func readPartOf(p *part) readPart {
	i, ok := p.index("id")
	if !ok {
		i = -1
	}
	return readPart{i, p.status, p.retryAfter}
}

func readAll(r io.Reader, boundary string) (parts []readPart, err error) {
	p := newPartReader()
	p.reset(r, boundary)
	var got part
	for {
		err := p.next(&got)
		if err == nil || got.status != 0 {
			parts = append(parts, readPartOf(&got))
		}
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return parts, err
		}
	}
}

func TestReadAnswer(t *testing.T) {
	part := func(id, text string) string {
		return "--b\r\nContent-Type: application/http\r\n" + id + "\r\n" + text + "\r\n"
	}
	const ok, end = "HTTP/1.1 200 OK\r\n\r\n{}", "--b--\r\n"
	fails := "HTTP/1.1 500 \r\n\r\n"
	long := strings.Repeat("x", 40<<10)
	id := func(form string) string { return "Content-ID: " + form + "\r\n" }
	for name, test := range map[string]struct {
		answer string
		want   []int // statuses of the events, 0 for none
		cut    bool
	}{
		"nothing":             {"", []int{0}, true},
		"only the end":        {end, []int{0}, false},
		"without ids":         {part("", ok) + part("", "HTTP/1.1 404 Not Found\r\n\r\n") + end, []int{200, 404}, false},
		"too few without ids": {part("", ok) + end, []int{0, 0}, false},
		"too many without":    {part("", ok) + part("", ok) + part("", ok) + end, []int{0, 0}, false},
		"cut without ids":     {part("", ok) + part("", ok), []int{0, 0}, true},
		"ids":                 {part(id("<response-id+1>"), ok) + part("content-id:<response-id+0>\r\n", "HTTP/1.1 503 \r\n\r\n") + end, []int{503, 200}, false},
		"other forms of ids":  {part(id("response-<id+0>"), ok) + part(id("response-id+1"), fails) + part(id("<id+2>"), ok) + part(id("id+3"), fails) + end, []int{200, 500, 200, 500}, false},
		"blanks in ids":       {part(id("<Response-id + 1>"), ok) + end, []int{0, 200}, false},
		"foreign ids":         {part(id("<response-other+0>"), ok) + part(id("<x>"), ok) + part(id("<response-id+9>"), ok) + part(id("<response-id+-1>"), ok) + end, []int{0, 0, 0, 0}, false},
		"an id twice":         {part(id("<response-id+0>"), ok) + part(id("<response-id+0>"), fails) + end, []int{200}, false},
		"some ids":            {part("", ok) + part(id("<response-id+2>"), ok) + part("", fails) + end, []int{0, 0, 200}, false},
		"LF":                  {strings.ReplaceAll(part("", ok)+part("", ok)+end, "\r\n", "\n"), []int{200, 200}, false},
		"preamble":            {"This is\r\n--bx\r\na batch\r\n" + part("", ok) + end, []int{200}, false},
		"epilogue":            {part("", ok) + end + part("", ok) + end, []int{200}, false},
		"no line end":         {part("", ok) + "--b--", []int{200}, false},
		"no end":              {part(id("id+0"), ok) + part(id("id+1"), ok), []int{200, 200}, true},
		"cut in a body":       {part(id("id+0"), ok) + "--b\r\n" + id("id+1") + "\r\nHTTP/1.1 200 OK\r\nX", []int{200, 200}, true},
		"cut in a status":     {part(id("id+0"), ok) + "--b\r\n" + id("id+1") + "\r\nHTTP/1.1 200 OK", []int{200, 0}, true},
		"no part header":      {"--b\r\n\r\n" + ok + "\r\n" + end, []int{200}, false},
		"empty line before":   {part("", "\r\n"+ok) + end, []int{200}, false},
		"no reason phrase":    {part("", "HTTP/1.1 204\r\n\r\n") + end, []int{204}, false},
		"HTTP/2":              {part("", "HTTP/2 200\r\n\r\n") + end, []int{200}, false},
		"no body":             {part("", "HTTP/1.1 204 No Content\r\n") + part("", ok) + end, []int{204, 200}, false},
		"no status line":      {part("", "{}") + part("", ok) + end, []int{0, 200}, false},
		"a strange status":    {part("", "HTTP/1.1 2000 OK\r\n\r\n") + part("", "HTTP/1.1 20 OK\r\n\r\n") + part("", "HTTP/1.1 -10 OK\r\n\r\n") + end, []int{0, 0, 0}, false},
		"an empty part":       {"--b\r\n" + part("", ok) + end, []int{0, 200}, false},
		"blanks behind":       {"--b \t\r\n\r\n" + ok + "\r\n--b-- \r\n", []int{200}, false},
		"delimiter in a line": {part("", ok+"\r\nx--b\r\n --b--") + end, []int{200}, false},
		"a long line":         {part("", fails+long+"\r\n--bx"+long) + part("", ok) + end, []int{500, 200}, false},
		"a long header":       {part("X: "+long+"\r\n", "HTTP/1.1 500 \r\nY: "+long+"Retry-After: 5\r\n\r\n") + part("", ok) + end, []int{500, 200}, false},
		"too long":            {part(id("id+0"), ok) + part(id("id+1"), ok+strings.Repeat(long+"\r\n", 30)) + part(id("id+2"), ok) + end, []int{200, 200, 0}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.answer), iotest.OneByteReader(strings.NewReader(test.answer))} {
				m := matcher{id: "id", reader: newPartReader()}
				err := m.read(r, "b", len(test.want))
				var got []int
				missing := 0
				for _, r := range m.results {
					got = append(got, r.Status)
					if r.Status == 0 {
						missing++
					}
					if r.Err != nil && r.Err.RetryAfter != 0 {
						t.Errorf("an event waits %v", r.Err.RetryAfter)
					}
				}
				if !slices.Equal(got, test.want) || (err != nil) != test.cut {
					t.Errorf("the statuses are %v, %v; want %v", got, err, test.want)
				}
				if m.missing() != missing {
					t.Errorf("%d are missing, want %d", m.missing(), missing)
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
	f.Add([]byte("--b\r \n--b--"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		got, err := readAll(bytes.NewReader(answer), "b")
		for _, p := range got {
			if p.event < -1 || (p.status != 0 && (p.status < 100 || p.status > 999)) {
				t.Fatalf("a part is %+v", p)
			}
		}
		want, ok := libraryAnswer(answer)
		if !ok {
			return
		}
		if err != nil {
			t.Fatalf("our reader says %v, the library reads %v", err, want)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the parts are %v, the library says %v", got, want)
		}
	})
}

// libraryAnswer is what the libraries make of an answer; false where they can't
// read it, or where they are more lenient than an HTTP answer may be.
func libraryAnswer(answer []byte) (all []readPart, ok bool) {
	parts := multipart.NewReader(bytes.NewReader(answer), "b")
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			// It takes the end of the input for the last delimiter, too.
			return all, slices.ContainsFunc(bytes.Split(answer, []byte("\n")), func(line []byte) bool {
				return string(bytes.TrimRight(line, " \t\r")) == "--b--"
			})
		}
		if err != nil {
			return nil, false
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return nil, false
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil || resp.StatusCode < 100 || len(p.Header.Values("Content-Id")) > 1 || len(resp.Header.Values("Retry-After")) > 1 {
			return nil, false
		}
		all = append(all, readPartOf(&part{contentID: []byte(p.Header.Get("Content-Id")), status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After")}))
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
		var want []readPart
		for ; len(shape) >= 3; shape = shape[3:] {
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
			i := -1
			if id%3 != 0 {
				i = id % n
			}
			want = append(want, readPart{i, status, strconv.Itoa(id)})
		}
		w.Close()
		got, err := readAll(&out, w.Boundary())
		if len(body) > maxPart-1000 {
			return
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("the parts are %v, %v; want %v", got, err, want)
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
		buf = w.appendBatch(buf[:0], batch, nil)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(100*b.N), "ns/event")
}

func BenchmarkBatchParse(b *testing.B) {
	var answer strings.Builder
	for i, d := range benchmarkBatch(100) {
		body := string(d.AppendJSON(nil, event.V3))
		fmt.Fprintf(&answer, "--b\r\nContent-Type: application/http\r\nContent-ID: <response-id+%d>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s\r\n", i, len(body), body)
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
			if _, ok := got.index("id"); ok && got.status == 200 {
				read++
			}
		}
		if read != 100 {
			b.Fatalf("read %d parts", read)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(100*b.N), "ns/event")
}

// TestBatchKeepsToPrivacy: each part of a batch has only the extra info that is sent.
func TestBatchKeepsToPrivacy(t *testing.T) {
	privacy := event.NewPrivacy(event.PrivacyConfig{Drop: []string{"mail"}})
	var batch []*event.Delivery
	for _, id := range []string{"a", "b"} {
		e, fault := event.Decode([]byte(`{"eventId":"`+id+`","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":`+
			`{"type":"VIEW","jobs":["projects/p/jobs/1"]},"extraInfo":{"mail":"canary","source":"web"}}`), event.V3)
		if fault != nil {
			t.Fatal(fault)
		}
		batch = append(batch, &event.Delivery{Event: e})
	}
	got := string(newBatchWriter("/v3/projects/p/clientEvents", "id", event.V3).appendBatch(nil, batch, privacy))
	if strings.Contains(got, "canary") || strings.Count(got, `"source":"web"`) != 2 {
		t.Errorf("the batch is %s", got)
	}
}
