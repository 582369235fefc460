package discoverycli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/internal/discovery"
)

// TestEveryMethod makes every call of both documents with every argument,
// parameter and field set, and compares the request with the document, which it reads
// as plain JSON.
func TestEveryMethod(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		parse      func() (*discovery.API, error)
		methods    []string
	}{
		{"jobs3", "../discovery/jobs-v3.json", discovery.JobsV3, []string{
			"client-events-create", "companies-create", "companies-delete", "companies-get", "companies-list", "companies-patch",
			"complete", "jobs-batch-delete", "jobs-create", "jobs-delete", "jobs-get", "jobs-list", "jobs-patch", "jobs-search", "jobs-search-for-alert",
		}},
		{"jobs4", "../discovery/jobs-v4.json", discovery.JobsV4, []string{
			"operations-get", "tenants-client-events-create", "tenants-companies-create", "tenants-companies-delete", "tenants-companies-get",
			"tenants-companies-list", "tenants-companies-patch", "tenants-complete-query", "tenants-create", "tenants-delete", "tenants-get",
			"tenants-jobs-batch-create", "tenants-jobs-batch-delete", "tenants-jobs-batch-update", "tenants-jobs-create", "tenants-jobs-delete",
			"tenants-jobs-get", "tenants-jobs-list", "tenants-jobs-patch", "tenants-jobs-search", "tenants-jobs-search-for-alert", "tenants-list", "tenants-patch",
		}},
	} {
		text, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		var d document
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		var seen []string
		d.visit(d.Resources["projects"], "", func(command string, m method) {
			seen = append(seen, command)
			t.Run(tt.name+"/"+command, func(t *testing.T) {
				d.try(t, newRunner(t, tt.parse, tt.name), command, m)
			})
		})
		slices.Sort(seen)
		if !slices.Equal(seen, tt.methods) {
			t.Errorf("%s has the methods %q, want %q", tt.name, seen, tt.methods)
		}
	}
}

type document struct {
	Resources map[string]resource
	Schemas   map[string]object
}

type resource struct {
	Methods   map[string]method
	Resources map[string]resource
}

type method struct {
	HTTPMethod, FlatPath string
	Parameters           map[string]object
	ParameterOrder       []string
	Request              *struct {
		Ref string `json:"$ref"`
	}
}

type object = map[string]any

func (d *document) visit(r resource, prefix string, do func(string, method)) {
	for name, m := range r.Methods {
		do(prefix+dashed(name), m)
	}
	for name, sub := range r.Resources {
		d.visit(sub, prefix+dashed(name)+"-", do)
	}
}

var capital = regexp.MustCompile(`[A-Z]`)

func dashed(name string) string {
	return strings.ToLower(capital.ReplaceAllString(name, "-$0"))
}

func (d *document) try(t *testing.T, r *runner, command string, m method) {
	server := newAPIServer(t, 200, "{}")
	args := []string{"--endpoint", server.URL, "projects", command}
	if len(m.ParameterOrder) != 1 {
		t.Fatalf("%d required parameters, want the name alone", len(m.ParameterOrder))
	}
	// The words that stand for {projectsId} and so on.
	id := 0
	next := func(string) string { id++; return fmt.Sprintf("ä %d:x", id) }
	pattern := strings.Trim(m.Parameters[m.ParameterOrder[0]]["pattern"].(string), "^$")
	args = append(args, regexp.MustCompile(`\[\^/]\+`).ReplaceAllStringFunc(pattern, next))
	id = 0
	wantPath := "/" + regexp.MustCompile(`\{[a-zA-Z]+}`).ReplaceAllStringFunc(m.FlatPath, next)
	wantQuery := map[string][]string{"alt": {"json"}}
	for name, p := range m.Parameters {
		if p["location"] != "query" {
			continue
		}
		value := map[any]string{"integer": "7", "boolean": "true", "string": "v=w &/ü"}[p["type"]]
		wantQuery[name] = []string{value}
		args = append(args, "-p", dashed(name)+"="+value)
		if p["repeated"] == true {
			wantQuery[name] = append(wantQuery[name], "second")
			args = append(args, dashed(name)+"=second")
		}
	}
	var wantBody any
	if m.Request != nil {
		var items []string
		items, wantBody = d.fill(object{"$ref": m.Request.Ref}, "")
		if len(items) == 0 {
			t.Fatal("the request has no fields")
		}
		args = append(append(args, "-r"), items...)
	}
	if got := r.run(t, args...); got != (result{0, "{}", ""}) {
		t.Fatalf("%q: %+v", args, got)
	}
	got := server.only(t)
	if got.method != m.HTTPMethod || got.path != wantPath {
		t.Errorf("%s %s, want %s %s", got.method, got.path, m.HTTPMethod, wantPath)
	}
	if !maps.EqualFunc(got.query, wantQuery, slices.Equal) {
		t.Errorf("query %v, want %v", got.query, wantQuery)
	}
	if m.Request == nil {
		if got.body != "" {
			t.Errorf("body %q, want none", got.body)
		}
		return
	}
	var gotBody any
	if err := json.Unmarshal([]byte(got.body), &gotBody); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotBody, wantBody) {
		want, _ := json.Marshal(wantBody)
		t.Errorf("body\n     %s\nwant %s", got.body, want)
	}
}

// fill sets everything in a structure: the items to type, and the JSON that
// they stand for.
func (d *document) fill(s object, at string) (items []string, want any) {
	if ref, ok := s["$ref"].(string); ok {
		s = d.Schemas[ref]
	}
	if properties, ok := s["properties"].(object); ok {
		fields := object{}
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			more, v := d.fill(properties[name].(object), at+"."+dashed(name))
			items = append(items, more...)
			fields[name] = v
		}
		return items, fields
	}
	if of, ok := s["items"].(object); ok {
		if of["$ref"] == nil {
			item, v := d.fill(of, at)
			return append(item, item...), []any{v, v}
		}
		first, v := d.fill(of, at+".0")
		second, w := d.fill(of, at+".1")
		return append(first, second...), []any{v, w}
	}
	if of, ok := s["additionalProperties"].(object); ok {
		if of["$ref"] == nil {
			return []string{at + "=k=v=w", at + "=l.m=x"}, object{"k": "v=w", "l.m": "x"}
		}
		first, v := d.fill(of, at+".Key_1")
		return first, object{"Key_1": v}
	}
	switch s["type"] {
	case "boolean":
		return []string{at + "=true"}, true
	case "integer":
		return []string{at + "=-3"}, -3.0
	case "number":
		return []string{at + "=2.5e3"}, 2500.0
	}
	if s["format"] == "int64" {
		return []string{at + "=-9223372036854775808"}, "-9223372036854775808"
	}
	return []string{at + "=some <text> = ü"}, "some <text> = ü"
}

// TestRecordedRequests compares requests with those of Google's Go client for the same
// calls.
func TestRecordedRequests(t *testing.T) {
	tests := []struct {
		api        string
		parse      func() (*discovery.API, error)
		args       []string
		method     string
		path, body string
	}{
		{
			"jobs3", discovery.JobsV3,
			[]string{
				"client-events-create", "projects/p1", "-r", ".client-event", "create-time=2026-01-02T03:04:05.678Z", "event-id=e1",
				"extra-info=k=v<&>", "parent-event-id=e0", "request-id=rq", "job-event", "jobs=projects/p1/jobs/1", "type=VIEW",
			},
			"POST", "/v3/projects/p1/clientEvents",
			`{"clientEvent":{"createTime":"2026-01-02T03:04:05.678Z","eventId":"e1","extraInfo":{"k":"v<&>"},"jobEvent":{"jobs":["projects/p1/jobs/1"],"type":"VIEW"},"parentEventId":"e0","requestId":"rq"}}`,
		},
		{
			"jobs3", discovery.JobsV3,
			[]string{"jobs-patch", "projects/p1/jobs/1", "-r", "job.name=projects/p1/jobs/1", "job.title=T", "update-mask=title"},
			"PATCH", "/v3/projects/p1/jobs/1", `{"job":{"name":"projects/p1/jobs/1","title":"T"},"updateMask":"title"}`,
		},
		{
			"jobs3", discovery.JobsV3,
			[]string{"jobs-batch-delete", "projects/p1", "-r", "filter=x"},
			"POST", "/v3/projects/p1/jobs:batchDelete", `{"filter":"x"}`,
		},
		{
			"jobs4", discovery.JobsV4,
			[]string{"tenants-client-events-create", "projects/p1/tenants/t1", "-r", "create-time=2026-01-02T03:04:05.678Z", "event-id=e1", "event-notes=n", "request-id=rq", ".job-event", "jobs=projects/p1/tenants/t1/jobs/1", "type=VIEW"},
			"POST", "/v4/projects/p1/tenants/t1/clientEvents",
			`{"createTime":"2026-01-02T03:04:05.678Z","eventId":"e1","eventNotes":"n","jobEvent":{"jobs":["projects/p1/tenants/t1/jobs/1"],"type":"VIEW"},"requestId":"rq"}`,
		},
		{
			"jobs4", discovery.JobsV4,
			[]string{"tenants-jobs-patch", "projects/p1/tenants/t1/jobs/1", "-r", "title=T", "-p", "update-mask=title,description"},
			"PATCH", "/v4/projects/p1/tenants/t1/jobs/1", `{"title":"T"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.api+" "+tt.args[0], func(t *testing.T) {
			server := newAPIServer(t, 200, "{}")
			got := newRunner(t, tt.parse, tt.api).run(t, append([]string{"--endpoint", server.URL, "projects"}, tt.args...)...)
			if got.code != 0 {
				t.Fatalf("%+v", got)
			}
			sent := server.only(t)
			if sent.method != tt.method || sent.path != tt.path || sent.body != tt.body {
				t.Errorf("\n got %s %s %s\nwant %s %s %s", sent.method, sent.path, sent.body, tt.method, tt.path, tt.body)
			}
		})
	}
}
