package emulator_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// answerPart is one part of a batch's answer.
type answerPart struct {
	id     string
	answer answer
}

// readBatch reads the answer to a batch with the standard library.
func readBatch(t testing.TB, a answer) []answerPart {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("the batch was answered %d:\n%s", a.status, a.body)
	}
	media, attrs, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || media != "multipart/mixed" {
		t.Fatalf("Content-Type %q: %v", a.header.Get("Content-Type"), err)
	}
	var parts []answerPart
	for r := multipart.NewReader(strings.NewReader(a.body), attrs["boundary"]); ; {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Header.Get("Content-Type"); got != "application/http" {
			t.Errorf("a part of type %q", got)
		}
		resp, err := http.ReadResponse(bufio.NewReader(p), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, answerPart{p.Header.Get("Content-ID"), answer{resp.StatusCode, resp.Header, string(body)}})
	}
}

func statuses(parts []answerPart) []int {
	var list []int
	for _, p := range parts {
		list = append(list, p.answer.status)
	}
	return list
}

// sendBatch posts a multipart body whose boundary is b.
func sendBatch(t testing.TB, url, body string, header ...string) answer {
	t.Helper()
	return send(t, "POST", url, body, append([]string{"Content-Type", "multipart/mixed; boundary=b"}, header...)...)
}

// batchOf returns a batch in CRLF form, a part with Content-ID <n> for each request.
func batchOf(requests ...string) string {
	var buf strings.Builder
	for i, r := range requests {
		fmt.Fprintf(&buf, "--b\r\nContent-Type: application/http\r\nContent-ID: <%d>\r\n\r\n%s\r\n", i+1, r)
	}
	return buf.String() + "--b--\r\n"
}

// post returns the request of a part.
func post(path, body string, header ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nContent-Type: application/json\r\n%s\r\n%s", path, strings.Join(header, ""), body)
}

// googleapiclient for Python sends lines that end in LF.
func TestBatchOfPython(t *testing.T) {
	const body = `--===============7149016960726509793==
Content-Type: application/http
MIME-Version: 1.0
Content-Transfer-Encoding: binary
Content-ID: <0a3cc30d-f16b-4475-811f-5b9c1eb62001 + 1>

POST /v3/projects/p1/clientEvents?alt=json HTTP/1.1
Content-Type: application/json
accept: application/json
Host: 127.0.0.1:36223
content-length: 153
x-goog-api-client: gdcl/1.7.12 gl-python/3.11.7
accept-encoding: gzip, deflate
user-agent: (gzip)

{"clientEvent": {"requestId": "rq", "eventId": "e1", "createTime": "2026-01-02T03:04:05Z", "jobEvent": {"type": "VIEW", "jobs": ["projects/p1/jobs/1"]}}}
--===============7149016960726509793==
Content-Type: application/http
MIME-Version: 1.0
Content-Transfer-Encoding: binary
Content-ID: <0a3cc30d-f16b-4475-811f-5b9c1eb62001 + 2>

POST /v3/projects/p1/clientEvents?alt=json HTTP/1.1
Content-Type: application/json
accept: application/json
Host: 127.0.0.1:36223
content-length: 153
x-goog-api-client: gdcl/1.7.12 gl-python/3.11.7
accept-encoding: gzip, deflate
user-agent: (gzip)

{"clientEvent": {"requestId": "rq", "eventId": "e2", "createTime": "2026-01-02T03:04:05Z", "jobEvent": {"type": "VIEW", "jobs": ["projects/p1/jobs/1"]}}}
--===============7149016960726509793==--
`
	emu, url := start(t, emulator.Options{})
	got := readBatch(t, send(t, "POST", url+"/batch", body,
		"content-type", `multipart/mixed; boundary="===============7149016960726509793=="`))
	if len(got) != 2 {
		t.Fatalf("%d parts", len(got))
	}
	for i, p := range got {
		if want := fmt.Sprintf("<response-0a3cc30d-f16b-4475-811f-5b9c1eb62001 + %d>", i+1); p.id != want {
			t.Errorf("Content-ID %q, want %q", p.id, want)
		}
		want := fmt.Sprintf(`{"requestId":"rq","eventId":"e%d","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p1/jobs/1"]}}`, i+1)
		if c := compact(t, p.answer.body); p.answer.status != 200 || c != want {
			t.Errorf("part %d: %d %s", i+1, p.answer.status, c)
		}
	}
	if s := emu.Stats(); s.Accepted != 2 || s.Requests != 1 || s.Batches != 1 || s.Parts != 2 {
		t.Errorf("%+v", s)
	}
}

// Every part has its own outcome, in the order of the requests. Parts may have different
// versions.
func TestBatchOutcomes(t *testing.T) {
	emu, url := start(t, emulator.Options{KeepAll: true})
	got := readBatch(t, sendBatch(t, url+"/batch", batchOf(
		post(pathV3, goodV3),
		post(pathV4, goodV4Event),
		post(pathV4, goodV4b),
		post("/v3/projects/p1/nothing", goodV3),
		"GET "+pathV3+" HTTP/1.1\r\n",
		post(pathV4bT, goodV4b),
		"DELETE "+pathV3,
		post("/batch", ""),
		"POST "+pathV3+"\r\nContent-Type: text/plain\r\n\r\n"+goodV3,
		post(pathV3, goodV3[:9]),
		post(pathV3+"?nonsense=1", goodV3),
	)))
	want := []int{200, 200, 400, 404, 405, 200, 405, 404, 400, 400, 400}
	if !slices.Equal(statuses(got), want) {
		t.Errorf("statuses %v, want %v", statuses(got), want)
	}
	for i, p := range got {
		if want := fmt.Sprintf("<response-%d>", i+1); p.id != want {
			t.Errorf("Content-ID %q, want %q", p.id, want)
		}
	}
	if allow := got[4].answer.header.Get("Allow"); allow != "POST" {
		t.Errorf("Allow: %q", allow)
	}
	var parts []int
	for _, a := range emu.Events() {
		parts = append(parts, a.Part)
	}
	if !slices.Equal(parts, []int{1, 2, 6}) {
		t.Errorf("events of the parts %v", parts)
	}
	if s := emu.Stats(); !maps.Equal(s.Refused, map[int]int64{400: 4, 404: 2, 405: 2}) {
		t.Errorf("refused %v", s.Refused)
	}
}

func TestBatchForms(t *testing.T) {
	const head = "Content-Type: application/http\r\n"
	request := post(pathV3, goodV3)
	tests := []struct {
		name, body string
		ids        []string
	}{
		{"no Content-ID", "--b\r\n" + head + "\r\n" + request + "\r\n--b--", []string{""}},
		{"Content-ID without brackets", "--b\r\n" + head + "Content-ID: x\r\n\r\n" + request + "\r\n--b--", []string{"response-x"}},
		{"Content-ID twice", strings.Repeat("--b\r\n"+head+"content-id: <x>\r\n\r\n"+request+"\r\n", 2) + "--b--", []string{"<response-x>", "<response-x>"}},
		{"preamble and epilogue", "a --b\r\n\r\n" + batchOf(request) + "--b\r\nmore", []string{"<response-1>"}},
		{"white space behind boundaries", strings.NewReplacer("--b--", "--b-- \t", "--b", "--b \t").Replace(batchOf(request)), []string{"<response-1>"}},
		{"LF", strings.ReplaceAll(batchOf(request, request), "\r\n", "\n"), []string{"<response-1>", "<response-2>"}},
		{"LF without, CRLF within", strings.ReplaceAll(batchOf("R", "R"), "\r\n", "\n"), []string{"<response-1>", "<response-2>"}},
		{"blank lines before the request", batchOf("\r\n\r\n" + request), []string{"<response-1>"}},
		{"no protocol", batchOf(strings.Replace(request, " HTTP/1.1", "", 1)), []string{"<response-1>"}},
		{"no type", batchOf("POST " + pathV3 + " HTTP/1.1\r\n\r\n" + goodV3), []string{"<response-1>"}},
		{"length and white space behind", batchOf(post(pathV3, goodV3+"\r\n\r\n", fmt.Sprintf("Content-Length: %d\r\n", len(goodV3)))), []string{"<response-1>"}},
		{"the boundary in a body", batchOf(strings.Replace(request, `"rq"`, `"--b--"`, 1)), []string{"<response-1>"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, url := start(t, emulator.Options{})
			body := strings.ReplaceAll(test.body, "\nR\n", "\n"+request+"\n")
			var ids []string
			for _, p := range readBatch(t, sendBatch(t, url+"/batch", body)) {
				ids = append(ids, p.id)
				if p.answer.status != 200 {
					t.Errorf("status %d:\n%s", p.answer.status, p.answer.body)
				}
			}
			if !slices.Equal(ids, test.ids) {
				t.Errorf("ids %q, want %q", ids, test.ids)
			}
		})
	}
}

// A line that only begins like a boundary is part of the body.
func TestLongerBoundaryInBody(t *testing.T) {
	_, url := start(t, emulator.Options{})
	body := batchOf(strings.Replace(post(pathV3, goodV3), `{"clientEvent"`, "{\r\n--bb\r\n", 1), post(pathV3, goodV3))
	if got := statuses(readBatch(t, sendBatch(t, url+"/batch", body))); !slices.Equal(got, []int{400, 200}) {
		t.Errorf("statuses %v", got)
	}
}

func TestMalformedParts(t *testing.T) {
	good := "--b\r\nContent-Type: application/http\r\n\r\n" + post(pathV3, goodV3) + "\r\n"
	tests := []struct{ name, part, message string }{
		{"empty", "", "its Content-Type is"},
		{"other type", "Content-Type: application/json\r\n\r\n" + goodV3, `its Content-Type is "application/json", expected application/http`},
		{"base64", "Content-Type: application/http\r\nContent-Transfer-Encoding: base64\r\n\r\nUE9TVA==", `its Content-Transfer-Encoding is "base64", expected binary`},
		{"no header", goodV3, "is not a header line, expected Name: value"},
		{"no request", "Content-Type: application/http\r\n\r\n", `"" is not a request line, expected METHOD /path HTTP/1.1`},
		{"no path", "Content-Type: application/http\r\n\r\nPOST", `"POST" is not a request line`},
		{"HTTP/2", "Content-Type: application/http\r\n\r\nPOST /x HTTP/2", `is not a request line`},
		{"odd method", "Content-Type: application/http\r\n\r\nPO:ST /x HTTP/1.1", `"PO:ST" is not an HTTP method`},
		{"host", "Content-Type: application/http\r\n\r\nPOST https://jobs.googleapis.com/v3 HTTP/1.1", `is not a path: a part names neither scheme nor host`},
		{"odd escape", "Content-Type: application/http\r\n\r\nPOST /v3/%zz HTTP/1.1", `its path cannot be read`},
		{"odd header", "Content-Type: application/http\r\n\r\nPOST /x HTTP/1.1\r\nodd\r\n\r\n", `"odd" is not a header line`},
		{"control character", "Content-Type: application/http\r\nContent-ID: <\x00>\r\n\r\n" + post(pathV3, goodV3), `is not a header line`},
		{"short", "Content-Type: application/http\r\n\r\n" + post(pathV3, goodV3, "Content-Length: 9999\r\n"), "its Content-Length is 9999, the body has"},
		{"long", "Content-Type: application/http\r\n\r\n" + post(pathV3, goodV3, "Content-Length: 9\r\n"), "its Content-Length is 9, the body has"},
		{"odd length", "Content-Type: application/http\r\n\r\n" + post(pathV3, goodV3, "Content-Length: -1\r\n"), `its Content-Length "-1" is not a number`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			emu, url := start(t, emulator.Options{})
			got := readBatch(t, sendBatch(t, url+"/batch", good+"--b\r\n"+test.part+"\r\n"+good+"--b--"))
			if !slices.Equal(statuses(got), []int{200, 400, 200}) {
				t.Fatalf("statuses %v", statuses(got))
			}
			message := got[1].answer.rpc(t).Error.Message
			if !strings.HasPrefix(message, "Failed to parse part 2 of the batch: ") || !strings.Contains(message, test.message) {
				t.Errorf("message %q, want %q", message, test.message)
			}
			if s := emu.Stats(); s.Accepted != 2 || s.Refused[400] != 1 || s.Parts != 3 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestMalformedBatches(t *testing.T) {
	good := batchOf(post(pathV3, goodV3))
	many := slices.Repeat([]string{post(pathV3, goodV3)}, 1001)
	tests := []struct{ name, contentType, body, message string }{
		{"JSON", "application/json", good, "Content-Type is application/json, expected multipart/mixed"},
		{"no type", "", good, "Content-Type"},
		{"related", "multipart/related; boundary=b", good, "Content-Type is multipart/related, expected multipart/mixed"},
		{"no boundary", "multipart/mixed", good, "boundary must have 1 to 70 characters"},
		{"long boundary", "multipart/mixed; boundary=" + strings.Repeat("b", 71), good, "boundary must have 1 to 70 characters"},
		{"other boundary", "multipart/mixed; boundary=c", good, "the closing boundary is missing"},
		{"torn", "multipart/mixed; boundary=b", strings.TrimSuffix(good, "--b--\r\n"), "the closing boundary is missing"},
		{"torn in the boundary", "multipart/mixed; boundary=b", strings.TrimSuffix(good, "--\r\n"), "the closing boundary is missing"},
		{"empty", "multipart/mixed; boundary=b", "", "the closing boundary is missing"},
		{"no parts", "multipart/mixed; boundary=b", "--b--\r\n", "the batch holds no calls"},
		{"1001 parts", "multipart/mixed; boundary=b", batchOf(many...), "the batch holds more than 1000 calls"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			emu, url := start(t, emulator.Options{})
			got := send(t, "POST", url+"/batch", test.body, "Content-Type", test.contentType)
			rpc := got.rpc(t)
			if got.status != 400 || rpc.Error.Status != "INVALID_ARGUMENT" ||
				!strings.HasPrefix(rpc.Error.Message, "Failed to parse batch request, error: ") || !strings.Contains(rpc.Error.Message, test.message) {
				t.Errorf("%d %s %q, want %q", got.status, rpc.Error.Status, rpc.Error.Message, test.message)
			}
			if s := emu.Stats(); s.Accepted != 0 || s.Refused[400] != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("1000 parts", func(t *testing.T) {
		emu, url := start(t, emulator.Options{})
		if got := readBatch(t, sendBatch(t, url+"/batch", batchOf(many[:1000]...))); len(got) != 1000 {
			t.Errorf("%d parts", len(got))
		}
		if n := emu.Stats().Accepted; n != 1000 {
			t.Errorf("%d accepted", n)
		}
	})
}

// The outer query and headers apply to the parts, unless a part has its own. Content-*
// headers never apply to them.
func TestBatchDefaults(t *testing.T) {
	_, url := start(t, emulator.Options{Faults: emulator.Faults{Token: func(token string) bool { return token == "good" }}})
	body := batchOf(
		post(pathV3, goodV3),
		post(pathV3+"?prettyPrint=true", goodV3),
		post(pathV3, goodV3, "Authorization: Bearer bad\r\n"),
		post(pathV3+"?$alt=json;enum-encoding=int", goodV3),
		post(pathV3, "nonsense"),
	)
	got := readBatch(t, sendBatch(t, url+"/batch?prettyPrint=false", body, "Authorization", "Bearer good"))
	if want := []int{200, 200, 401, 200, 400}; !slices.Equal(statuses(got), want) {
		t.Fatalf("statuses %v, want %v", statuses(got), want)
	}
	if got[0].answer.body != goodV3Event+"\n" {
		t.Errorf("part 1 is not compact:\n%s", got[0].answer.body)
	}
	if !strings.Contains(got[1].answer.body, "\n  ") {
		t.Errorf("part 2 is not pretty:\n%s", got[1].answer.body)
	}
	if !strings.HasPrefix(got[2].answer.header.Get("Www-Authenticate"), "Bearer ") {
		t.Errorf("part 3 has no challenge: %v", got[2].answer.header)
	}
	if want := strings.Replace(goodV3Event, `"VIEW"`, "2", 1) + "\n"; got[3].answer.body != want {
		t.Errorf("part 4 is\n%s", got[3].answer.body)
	}
	if strings.Contains(got[4].answer.body, "\n  ") {
		t.Errorf("part 5's error is not compact:\n%s", got[4].answer.body)
	}

	got = readBatch(t, sendBatch(t, url+"/batch", batchOf(
		post(pathV3, goodV3, "Authorization: Bearer good\r\n"),
		post(pathV3+"?access_token=good", goodV3),
		post(pathV3, goodV3),
	)))
	if want := []int{200, 200, 401}; !slices.Equal(statuses(got), want) {
		t.Errorf("statuses %v, want %v", statuses(got), want)
	}
}

func TestZippedBatch(t *testing.T) {
	_, url := start(t, emulator.Options{})
	got := readBatch(t, sendBatch(t, url+"/batch", zip(batchOf(post(pathV3, goodV3))), "Content-Encoding", "gzip"))
	if !slices.Equal(statuses(got), []int{200}) {
		t.Errorf("statuses %v", statuses(got))
	}
}

// A batch written by the standard library.
func TestBatchOfMultipartWriter(t *testing.T) {
	_, url := start(t, emulator.Options{})
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for i := range 3 {
		p, err := w.CreatePart(map[string][]string{"Content-Type": {"application/http"}, "Content-Id": {fmt.Sprintf("<%d>", i)}})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest("POST", "http://x"+pathV3, strings.NewReader(goodV3))
		if err != nil {
			t.Fatal(err)
		}
		if err := req.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := readBatch(t, send(t, "POST", url+"/batch", buf.String(), "Content-Type", "multipart/mixed; boundary="+w.Boundary()))
	if !slices.Equal(statuses(got), []int{200, 200, 200}) {
		t.Errorf("statuses %v", statuses(got))
	}
}
