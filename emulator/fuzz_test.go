package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const fuzzedEvent = `{"requestId":"r","eventId":"e","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]}}`

// Every body gets 200 or 400, with JSON. The event in a 200 is accepted again, with the
// same response.
func FuzzEvent(f *testing.F) {
	for _, event := range []string{
		fuzzedEvent,
		`{"request_id":"r","eventId":"\u00e9","createTime":"2026-01-02T03:04:05.5+01:00","jobEvent":{"type":16,"jobs":["projects/p/jobs/1"]},"extraInfo":{"a":"\"b"}}`,
		`{"eventId":"e","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":2,"jobs":["projects/p/tenants/t/jobs/1"],"profile":"x"},"eventNotes":"n"}`,
		`{"eventId":"e","eventId":[{"x":null}],"createTime":1e3,"jobEvent":null}`,
		``, `[`, `{"a":"\ud800"}`,
	} {
		f.Add([]byte(event))
		f.Add([]byte(`{"clientEvent":` + event + `}`))
	}
	emu := New(Options{Keep: 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"v3/projects/p", "v4beta1/projects/p", "v4/projects/p/tenants/t"} {
			create := func(body []byte) *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				emu.ServeHTTP(w, httptest.NewRequest("POST", "/"+path+"/clientEvents", bytes.NewReader(body)))
				return w
			}
			first := create(body)
			if first.Code != 200 && first.Code != 400 || !json.Valid(first.Body.Bytes()) {
				t.Fatalf("%s: status %d: %q", path, first.Code, first.Body)
			}
			if first.Code == 400 {
				continue
			}
			if events := emu.Events(); len(events) != 1 || !json.Valid(events[0].Raw) || !bytes.Contains(body, events[0].Raw) {
				t.Fatalf("%s: kept %+v", path, events)
			}
			again := first.Body.Bytes()
			if !strings.HasPrefix(path, "v4/") {
				again = []byte(`{"clientEvent":` + string(again) + `}`)
			}
			if second := create(again); second.Code != 200 || second.Body.String() != first.Body.String() {
				t.Fatalf("%s: %q was answered\n%s\nand that again %d\n%s", path, body, first.Body, second.Code, second.Body)
			}
		}
	})
}

// Every batch gets 200 or 400. The standard library can read a 200, which has a part for
// each sent part.
func FuzzBatch(f *testing.F) {
	const part = "--b\r\nContent-Type: application/http\r\nContent-ID: <1>\r\n\r\nPOST /v3/projects/p/clientEvents HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{\"clientEvent\":" + fuzzedEvent + "}\r\n"
	for _, body := range []string{
		part + "--b--",
		part + part + "--b--\r\nepilogue",
		"preamble\r\n" + part + "--b \t\r\n\r\n--b--",
		"--b\n--b\n--b--",
		"--b\r\n\r\n\r\n--b\r\n: x\r\n--b--",
		"--b\r\nContent-Type: application/http\r\n\r\nGET /x?%zz\r\n--b--",
		"--bb\r\n--b--",
		"--b--", "--b", "",
	} {
		f.Add(body)
		f.Add(strings.ReplaceAll(body, "\r\n", "\n"))
	}
	emu := New(Options{Keep: 1})
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/batch", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/mixed; boundary=b")
		w := httptest.NewRecorder()
		emu.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if w.Code == http.StatusBadRequest {
			return
		}
		_, boundary, _ := strings.Cut(w.Header().Get("Content-Type"), "boundary=")
		answered, torn := countParts(w.Body.String(), boundary)
		if torn {
			t.Fatalf("the answer is torn:\n%s", w.Body)
		}
		parts, err := splitParts([]byte(body), "b")
		if err != nil || len(parts) != answered {
			t.Fatalf("%d parts were answered with %d: %v\n%q", len(parts), answered, err, body)
		}
	})
}

func countParts(body, boundary string) (n int, torn bool) {
	for r := multipart.NewReader(strings.NewReader(body), boundary); ; n++ {
		switch _, err := r.NextRawPart(); {
		case err == io.EOF:
			return n, false
		case err != nil:
			return n, true
		}
	}
}

// Batches that the standard library writes are read correctly.
func FuzzSplitParts(f *testing.F) {
	f.Add("a", "", "b\r\n--c")
	f.Add("\n", "\r", "\r\n\r\n")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		const boundary = "boundary"
		if strings.Contains(a+b+c, boundary) {
			t.Skip()
		}
		var buf bytes.Buffer
		w := multipart.NewWriter(&buf)
		if err := w.SetBoundary(boundary); err != nil {
			t.Fatal(err)
		}
		written := []string{a, b, c}
		for _, content := range written {
			p, err := w.CreatePart(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(p, content); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		parts, err := splitParts(buf.Bytes(), boundary)
		if err != nil || len(parts) != len(written) {
			t.Fatalf("%d parts: %v", len(parts), err)
		}
		for i, p := range parts {
			if _, content, err := cutHeader(p); err != nil || string(content) != written[i] {
				t.Errorf("part %d is %q, was written as %q: %v", i, content, written[i], err)
			}
		}
	})
}

// Every request to a method of the resources, in each version, gets JSON with 200, 400,
// 404, 409 or 501. An update accepts the response of a create, and returns the same
// except for the time.
func FuzzResources(f *testing.F) {
	const job = `{"company":"COMPANY","companyName":"COMPANY","requisitionId":"r","title":"t","description":"<b>d</b>","addresses":["1 A St, Austin, TX 78701, USA"],
		"applicationInfo":{"uris":["u"]},"customAttributes":{"k":{"longValues":["1"],"filterable":true}},"employmentTypes":[1],"postingExpireTime":{"seconds":"9"},
		"compensationInfo":{"entries":[{"type":1,"unit":"HOURLY","range":{"maxCompensation":{"currencyCode":"EUR","units":7,"nanos":1}}}]}}`
	for _, body := range []string{
		job, `{"job":` + job + `}`, `{"jobs":[` + job + `,null,{}]}`,
		`{"requestMetadata":{"domain":"d","sessionId":"s","userId":"u"},"jobQuery":{"query":"t","customAttributeFilter":"NOT (LOWER(k)=\"a\" OR k>=-1.5) AND EMPTY(x)","locationFilters":[{"address":"Austin, TX"}]},"orderBy":"title","offset":1}`,
		`{"filter":"companyName = \"x\" AND requisitionId='y'"}`, `{"names":["a"]}`, `[`, ``,
	} {
		f.Add([]byte(body))
	}
	emu := New(Options{})
	call := func(method, path string, body []byte) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		emu.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewReader(body)))
		return w
	}
	made := call("POST", "/v4/projects/p/tenants/default/companies", []byte(`{"displayName":"a","externalId":"a"}`))
	var company struct{ Name string }
	if err := json.Unmarshal(made.Body.Bytes(), &company); err != nil || company.Name == "" {
		f.Fatal(made.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, version := range []string{"v3", "v4beta1", "v4"} {
			parent, name := "/"+version+"/projects/p", strings.Replace(company.Name, "/tenants/default", "", 1)
			if version == "v4" {
				parent, name = parent+"/tenants/default", company.Name
			}
			sent := bytes.ReplaceAll(body, []byte("COMPANY"), []byte(name))
			for _, method := range []string{"/jobs", "/jobs:search", "/jobs:batchCreate", "/jobs:batchDelete", "/companies"} {
				got := call("POST", parent+method, sent)
				switch got.Code {
				case 200, 400, 404, 409, 501:
				default:
					t.Fatalf("POST %s: %d: %s", method, got.Code, got.Body)
				}
				if !json.Valid(got.Body.Bytes()) {
					t.Fatalf("POST %s: not JSON: %s", method, got.Body)
				}
				if method == "/jobs" && got.Code == 200 {
					sendBack(t, call, version, got.Body.Bytes())
				}
			}
		}
	})
}

// sendBack updates a job with the server's response about it, and deletes it.
func sendBack(t *testing.T, call func(method, path string, body []byte) *httptest.ResponseRecorder, version string, job []byte) {
	t.Helper()
	var before, after map[string]any
	if err := json.Unmarshal(job, &before); err != nil {
		t.Fatal(err)
	}
	path, body := "/"+version+"/"+before["name"].(string), job
	if version != "v4" {
		body = []byte(`{"job":` + string(job) + `}`)
	}
	got := call("PATCH", path, body)
	// A job that was created expired can't be updated.
	if got.Code != 200 && !strings.Contains(got.Body.String(), "was expired when") {
		t.Fatalf("%s was answered\n%s\nwhich an update takes for\n%s", path, job, got.Body)
	}
	if err := json.Unmarshal(got.Body.Bytes(), &after); got.Code == 200 && err != nil {
		t.Fatal(err)
	} else if got.Code == 200 {
		delete(before, "postingUpdateTime")
		delete(after, "postingUpdateTime")
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("created as\n%v\nupdated to\n%v", before, after)
		}
	}
	call("DELETE", path, nil)
}
