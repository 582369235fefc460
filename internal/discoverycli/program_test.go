package discoverycli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/clientevents/clientevents/internal/discovery"
	"github.com/clientevents/clientevents/test/pipenet"
)

// received is a request in the server's view.
type received struct {
	method, path, rawPath string
	query                 map[string][]string
	header                http.Header
	body                  string
}

// apiServer records requests and gives one answer to all of them.
type apiServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests []received
}

func newAPIServer(t *testing.T, status int, answer string) *apiServer {
	s := &apiServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.requests = append(s.requests, received{r.Method, r.URL.Path, r.URL.EscapedPath(), r.URL.Query(), r.Header, string(body)})
		s.mu.Unlock()
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) only(t *testing.T) received {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) != 1 {
		t.Fatalf("%d requests, want one", len(s.requests))
	}
	return s.requests[0]
}

// result is the exit code and the output of a run.
type result struct {
	code           int
	stdout, stderr string
}

// runner runs the program in a home directory of its own.
type runner struct {
	program *Program
	home    string
}

func newRunner(t *testing.T, parse func() (*discovery.API, error), name string) *runner {
	t.Helper()
	api, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{home: t.TempDir()}
	r.program = &Program{Name: name, Version: "test", API: api, Getenv: func(key string) string {
		if key == "HOME" {
			return r.home
		}
		return ""
	}}
	return r
}

func jobs3(t *testing.T) *runner { return newRunner(t, discovery.JobsV3, "jobs3") }

func (r *runner) run(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	r.program.Stdout, r.program.Stderr = &out, &errs
	code := r.program.Run(t.Context(), args)
	return result{code, out.String(), errs.String()}
}

// documentedArgs is the example of the command's documentation, word for word.
const documentedArgs = "-r .client-event create-time=et event-id=magna extra-info=key=no job-event jobs=ipsum type=voluptua. .. parent-event-id=at request-id=sanctus"

// documentedStructure is the structure that the documentation says the example
// sets completely.
const documentedStructure = `CreateClientEventRequest:
  client-event:
    create-time: string
    event-id: string
    extra-info: { string: string }
    job-event:
      jobs: [string]
      type: string
    parent-event-id: string
    request-id: string
`

const documentedBody = `{"clientEvent":{"createTime":"et","eventId":"magna","extraInfo":{"key":"no"},"jobEvent":{"jobs":["ipsum"],"type":"voluptua."},"parentEventId":"at","requestId":"sanctus"}}`

func TestDocumentedExample(t *testing.T) {
	const answer = `{"requestId":"sanctus","eventId":"magna","parentEventId":null,"jobEvent":{"type":"<voluptua.>","jobs":["ipsum",null]},"extraInfo":{},"n":12345678901234567890}`
	const want = `{
  "eventId": "magna",
  "extraInfo": {},
  "jobEvent": {
    "jobs": [
      "ipsum"
    ],
    "type": "<voluptua.>"
  },
  "n": 12345678901234567890,
  "requestId": "sanctus"
}`
	file := filepath.Join(t.TempDir(), "out.json")
	tests := []struct {
		name   string
		before []string // before "projects"
		after  []string // after the example
		file   string
	}{
		{name: "as documented"},
		{name: "scope in front", before: []string{"--scope", "https://www.googleapis.com/auth/jobs"}},
		{name: "scope joined", before: []string{"--scope=https://www.googleapis.com/auth/jobs"}},
		{name: "two scopes", before: []string{"--scope", "https://a", "--scope", "https://b", "--debug"}},
		{name: "output to standard output", after: []string{"-o", "-"}},
		{name: "output to a file", after: []string{"-o", file}, file: file},
		{name: "output joined", after: []string{"-o=" + file}, file: file},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := newAPIServer(t, 200, answer)
			args := append(tt.before, "--endpoint", server.URL, "projects", "client-events-create", "projects/p")
			args = append(append(args, strings.Fields(documentedArgs)...), tt.after...)
			got := jobs3(t).run(t, args...)
			if got.code != 0 {
				t.Fatalf("exit code %d: %s", got.code, got.stderr)
			}
			output := got.stdout
			if tt.file != "" {
				text, err := os.ReadFile(tt.file)
				if err != nil {
					t.Fatal(err)
				}
				if output != "" {
					t.Errorf("standard output %q, want nothing", output)
				}
				output = string(text)
			}
			if output != want {
				t.Errorf("output:\n%s\nwant:\n%s", output, want)
			}
			sent := server.only(t)
			if sent.method != "POST" || sent.path != "/v3/projects/p/clientEvents" || sent.body != documentedBody {
				t.Errorf("%s %s %s", sent.method, sent.path, sent.body)
			}
			if got := sent.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			if got := sent.header.Get("User-Agent"); got != "clientevents-jobs3/test" {
				t.Errorf("User-Agent %q", got)
			}
			if got := sent.header.Get("Authorization"); got != "" {
				t.Errorf("Authorization %q sent to a loopback address", got)
			}
		})
	}
}

func TestDocumentedStructure(t *testing.T) {
	api := jobsV3(t)
	if got := requestStructure(api, api.Schemas["CreateClientEventRequest"]); got != documentedStructure {
		t.Errorf("got:\n%s\nwant:\n%s", got, documentedStructure)
	}
}

func TestParams(t *testing.T) {
	documented := []struct{ typed, name, value string }{
		{"$-xgafv", "$.xgafv", "2"},
		{"access-token", "access_token", "ya29.a=b"},
		{"alt", "alt", "json"},
		{"callback", "callback", "f"},
		{"fields", "fields", "eventId,jobEvent/type"},
		{"key", "key", "AIza"},
		{"oauth-token", "oauth_token", "ya29.b"},
		{"pretty-print", "prettyPrint", "true"},
		{"quota-user", "quotaUser", "somebody & more"},
		{"upload-type", "uploadType", "media"},
		{"upload-protocol", "upload_protocol", "raw"},
	}
	all := []string{"-p"}
	for _, p := range documented {
		t.Run(p.typed, func(t *testing.T) {
			query := runParams(t, "-p", p.typed+"="+p.value)
			if got := query[p.name]; len(got) != 1 || got[0] != p.value {
				t.Errorf("query %v, want %s=%s", query, p.name, p.value)
			}
			want := 2 // alt is always there
			if p.name == "alt" {
				want = 1
			}
			if len(query) != want {
				t.Errorf("query %v", query)
			}
		})
		all = append(all, p.typed+"="+p.value)
	}
	t.Run("all at once", func(t *testing.T) {
		query := runParams(t, all...)
		if len(query) != len(documented) {
			t.Errorf("query %v", query)
		}
	})
	t.Run("none", func(t *testing.T) {
		if query := runParams(t); len(query) != 1 || query["alt"][0] != "json" {
			t.Errorf("query %v, want alt=json alone", query)
		}
	})
	t.Run("the last one counts", func(t *testing.T) {
		if query := runParams(t, "-p", "key=a", "key=b", "-p", "key=c"); len(query["key"]) != 1 || query["key"][0] != "c" {
			t.Errorf("query %v", query)
		}
	})
}

func runParams(t *testing.T, args ...string) map[string][]string {
	t.Helper()
	server := newAPIServer(t, 200, `{}`)
	args = append([]string{"--endpoint", server.URL, "projects", "client-events-create", "projects/p", "-r", "client-event.event-id=e"}, args...)
	if got := jobs3(t).run(t, args...); got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	return server.only(t).query
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		answer string
		params []string
		code   int
		stdout string
		stderr string
	}{
		{name: "empty structure", status: 200, answer: "{}\n", stdout: "{}"},
		{name: "compact on request", status: 200, answer: `{"b": 1, "a": null}`, params: []string{"pretty-print=false"}, stdout: `{"b":1}`},
		{name: "another form as it came", status: 200, answer: "\x0a\x01e", params: []string{"alt=proto"}, stdout: "\x0a\x01e"},
		{name: "JSONP as it came", status: 200, answer: "f({});", params: []string{"callback=f"}, stdout: "f({});"},
		{name: "not JSON", status: 200, answer: "<html>", code: 1, stderr: "invalid character '<' looking for beginning of value: <html>\n"},
		{name: "JSON and more", status: 200, answer: "{} {}", code: 1, stderr: "unexpected data after the JSON value: {} {}\n"},
		{name: "nothing", status: 200, answer: "", code: 1, stderr: "EOF: \n"},
		{
			name: "the API's error", status: 403, answer: `{"error": {"status": "PERMISSION_DENIED", "code": 403, "message": "<no>"}}`,
			code: 1, stderr: `Bad Request: {"error":{"code":403,"message":"<no>","status":"PERMISSION_DENIED"}}` + "\n",
		},
		{
			name: "somebody else's error", status: 502, answer: "<html>\nbad gateway", code: 1,
			stderr: "Http status indicates failure: 502 Bad Gateway: <html>\\nbad gateway\n",
		},
		{name: "an error without text", status: 503, code: 1, stderr: "Http status indicates failure: 503 Service Unavailable: no text\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := newAPIServer(t, tt.status, tt.answer)
			args := []string{"--endpoint", server.URL, "projects", "companies-get", "projects/p/companies/c"}
			for _, p := range tt.params {
				args = append(args, "-p", p)
			}
			got := jobs3(t).run(t, args...)
			if got != (result{tt.code, tt.stdout, tt.stderr}) {
				t.Errorf("\n got %+v\nwant %+v", got, result{tt.code, tt.stdout, tt.stderr})
			}
			server.only(t)
		})
	}
}

// Characters that control a terminal are escaped, without a change of meaning.
func TestAnswersAreSafeToPrint(t *testing.T) {
	const title = "a\u009b31m\u202e\x7f\U000e0001\u001b[0mü"
	server := newAPIServer(t, 200, `{"title":"a\u009b31m\u202e\u007f\udb40\udc01\u001b[0mü"}`)
	got := jobs3(t).run(t, "--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j")
	if want := `{
  "title": "a\u009b31m\u202e\u007f\udb40\udc01\u001b[0mü"
}`; got.stdout != want {
		t.Errorf("got %s, want %s", got.stdout, want)
	}
	var answer struct{ Title string }
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || answer.Title != title {
		t.Errorf("%q, %v", answer.Title, err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := newAPIServer(t, 200, `{}`)
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/x", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	got := jobs3(t).run(t, "--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j")
	if got.code != 1 || !strings.HasPrefix(got.stderr, "Http status indicates failure: 307 Temporary Redirect: Location: "+elsewhere.URL) {
		t.Errorf("%+v", got)
	}
	if len(elsewhere.requests) != 0 {
		t.Error("the redirect was followed")
	}
}

func TestEndpoint(t *testing.T) {
	server := newAPIServer(t, 200, `{}`)
	t.Run("with a path", func(t *testing.T) {
		got := jobs3(t).run(t, "projects", "jobs-get", "projects/p q/jobs/a:b?c", "--endpoint", server.URL+"/pre%20fix/")
		if got.code != 0 {
			t.Fatal(got.stderr)
		}
		sent := server.only(t)
		if sent.rawPath != "/pre%20fix/v3/projects/p%20q/jobs/a%3Ab%3Fc" {
			t.Errorf("path %s", sent.rawPath)
		}
		if sent.body != "" || sent.header.Get("Content-Type") != "" {
			t.Errorf("a GET with a body %q of type %q", sent.body, sent.header.Get("Content-Type"))
		}
	})
	for _, bad := range []string{"127.0.0.1:8080", "ftp://x", "http://", "http://u:p@127.0.0.1", "http://127.0.0.1/?a", "http://127.0.0.1/#a", "http://[::1", "/"} {
		t.Run(bad, func(t *testing.T) {
			got := jobs3(t).run(t, "--endpoint", bad, "projects", "jobs-get", "projects/p/jobs/j")
			want := "Endpoint -> '" + bad + "' is not of the form 'https://<host>[:<port>][/<path>]'.\n\n"
			if got.code != 1 || got.stderr != want {
				t.Errorf("%+v, want %q", got, want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	server := newAPIServer(t, 200, "")
	server.Close()
	got := jobs3(t).run(t, "--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j", "-p", "key=geheim")
	if got.code != 1 || !strings.HasPrefix(got.stderr, "The request failed with error: GET "+server.URL+"/v3/projects/p/jobs/j: ") || strings.Contains(got.stderr, "geheim") {
		t.Errorf("%+v", got)
	}
}

func TestServerThatSwitchesProtocols(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { pipenet.SwitchProtocols(t, w) }))
	t.Cleanup(server.Close)
	got := jobs3(t).run(t, "--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j")
	if got.code != 1 || !strings.HasPrefix(got.stderr, "The request failed with error: the server answers 101") {
		t.Errorf("%+v", got)
	}
}

func TestDebug(t *testing.T) {
	server := newAPIServer(t, 200, `{"eventId":"e"}`)
	got := jobs3(t).run(t, "--debug", "--endpoint", server.URL, "projects", "client-events-create", "projects/p",
		"-r", "client-event.event-id=e", "-p", "key=geheim", "access-token=geheim", "oauth-token=geheim")
	if got.code != 0 || strings.Contains(got.stderr, "geheim") {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"> POST " + server.URL + "/v3/projects/p/clientEvents?", `> {"clientEvent":{"eventId":"e"}}`, "< HTTP/1.1 200 OK\n", `< {"eventId":"e"}`} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in:\n%s", want, got.stderr)
		}
	}
	if got.stdout != "{\n  \"eventId\": \"e\"\n}" {
		t.Errorf("stdout %q", got.stdout)
	}
}

// brokenWriter is a standard output that was closed.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestOutputFailures(t *testing.T) {
	server := newAPIServer(t, 200, `{}`)
	args := []string{"--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j"}
	t.Run("file cannot be opened", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "no", "out.json")
		got := jobs3(t).run(t, append(args, "-o", name)...)
		if got.code != 1 || !strings.HasPrefix(got.stderr, "Failed to open output file '"+name+"': ") {
			t.Errorf("%+v", got)
		}
		if len(server.requests) != 0 {
			t.Error("the call was made although there was no place for its answer")
		}
	})
	t.Run("file is not touched by wrong usage", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "out.json")
		got := jobs3(t).run(t, append(args, "-o", name, "-p", "nonsense=1")...)
		if _, err := os.Stat(name); got.code != 1 || !os.IsNotExist(err) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("a failed call leaves the file alone", func(t *testing.T) {
		failing := newAPIServer(t, 404, `{"error":{}}`)
		dir := t.TempDir()
		name := writeFile(t, filepath.Join(dir, "out.json"), "old")
		got := jobs3(t).run(t, "--endpoint", failing.URL, "projects", "jobs-get", "projects/p/jobs/j", "-o", name)
		if text, err := os.ReadFile(name); got.code != 1 || err != nil || string(text) != "old" {
			t.Errorf("%+v, %q, %v", got, text, err)
		}
		jobs3(t).run(t, "--endpoint", failing.URL, "projects", "jobs-get", "projects/p/jobs/j", "-o", filepath.Join(dir, "new.json"))
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("left in the folder: %v, %v", entries, err)
		}
	})
	t.Run("a file is replaced as a whole", func(t *testing.T) {
		dir := t.TempDir()
		name, link := writeFile(t, filepath.Join(dir, "out.json"), "old and longer"), filepath.Join(dir, "link")
		if err := errors.Join(os.Chmod(name, 0o640), os.Symlink("out.json", link)); err != nil {
			t.Fatal(err)
		}
		held, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		got := jobs3(t).run(t, append(args, "-o", link)...)
		info, err := os.Stat(name)
		if text, readErr := os.ReadFile(name); got.code != 0 || err != nil || readErr != nil || string(text) != "{}" || info.Mode() != 0o640 {
			t.Errorf("%+v, %q, %v, %v, %v", got, text, info.Mode(), err, readErr)
		}
		// A reader of the old file still has its whole content.
		if text, err := io.ReadAll(held); err != nil || string(text) != "old and longer" {
			t.Errorf("the old file has %q, %v", text, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("left in the folder: %v, %v", entries, err)
		}
	})
	t.Run("a device is written to", func(t *testing.T) {
		if got := jobs3(t).run(t, append(args, "-o", os.DevNull)...); got != (result{}) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("standard output closed", func(t *testing.T) {
		r := jobs3(t)
		var errs bytes.Buffer
		r.program.Stdout, r.program.Stderr = brokenWriter{}, &errs
		if code := r.program.Run(t.Context(), args); code != 1 || !strings.Contains(errs.String(), "could not be written") {
			t.Errorf("exit code %d: %s", code, &errs)
		}
		errs.Reset()
		if code := r.program.Run(t.Context(), []string{"--help"}); code != 1 || errs.Len() == 0 {
			t.Errorf("help: exit code %d: %s", code, &errs)
		}
	})
}

func TestAllFaultsAtOnce(t *testing.T) {
	got := jobs3(t).run(t, "--endpoint", "nowhere", "projects", "jobs-list", "project/p",
		"-p", "prettyPrint=true", "page-size=many", "foo=1", "key=", "filter")
	want := `Parameter 'prettyPrint' is unknown. Did you mean 'pretty-print' ?
Failed to parse argument 'page-size' with value 'many' as int32 with error: not a whole number from -2147483648 to 2147483647.
Parameter 'foo' is unknown.
'key=' does not match pattern <key>=<value>.
'filter' does not match pattern <key>=<value>.
Argument <parent> -> 'project/p' is not of the form 'projects/<project>'.
Endpoint -> 'nowhere' is not of the form 'https://<host>[:<port>][/<path>]'.

`
	if got.code != 1 || got.stdout != "" || got.stderr != want {
		t.Errorf("exit code %d, stdout %q, stderr:\n%s\nwant:\n%s", got.code, got.stdout, got.stderr, want)
	}
}

func TestUnknownParams(t *testing.T) {
	for typed, want := range map[string]string{
		"prettyPrint": "Parameter 'prettyPrint' is unknown. Did you mean 'pretty-print' ?",
		"$.xgafv":     "Parameter '$.xgafv' is unknown. Did you mean '$-xgafv' ?",
		"foo":         "Parameter 'foo' is unknown.",
		"page_size":   "Parameter 'page_size' is unknown. Did you mean 'page-size' ?",
	} {
		got := jobs3(t).run(t, "projects", "companies-list", "projects/p", "-p", typed+"=x")
		if got.code != 1 || got.stderr != want+"\n\n" {
			t.Errorf("%s: %+v", typed, got)
		}
	}
}

func TestArgumentForms(t *testing.T) {
	for _, tt := range []struct{ command, arg, want string }{
		{"jobs-get", "projects/p", "projects/<project>/jobs/<job>"},
		{"jobs-get", "projects/../jobs/x", "projects/<project>/jobs/<job>"},
		{"jobs-get", "projects/p/jobs/.", "projects/<project>/jobs/<job>"},
		{"companies-get", "projects/p/companies/", "projects/<project>/companies/<company>"},
		{"complete", "projects", "projects/<project>"},
	} {
		got := jobs3(t).run(t, "projects", tt.command, tt.arg)
		want := "'" + tt.arg + "' is not of the form '" + tt.want + "'.\n\n"
		if got.code != 1 || !strings.HasSuffix(got.stderr, want) {
			t.Errorf("%s %s: %+v", tt.command, tt.arg, got)
		}
	}
}

func TestFaultsAreOneLineEach(t *testing.T) {
	got := jobs3(t).run(t, "projects", "client-events-create", "projects/p", "-r", "client-event.nothing=a\nb\x1b[31m")
	want := `Field -> Field 'client-event.nothing' does not exist.`
	if got.code != 1 || got.stderr != want+"\n\n" {
		t.Errorf("%q", got.stderr)
	}
	got = jobs3(t).run(t, "projects", "client-events-create", "projects/p", "-r", "client-event.extra-info=a\nb\x1b[31m")
	want = `'a\nb\x1b[31m' does not match hashmap pattern <key>=<value>.`
	if got.code != 1 || got.stderr != want+"\n\n" {
		t.Errorf("%q", got.stderr)
	}
}
