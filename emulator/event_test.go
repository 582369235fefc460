package emulator_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// start runs an emulator on a loopback listener until the test ends.
func start(t testing.TB, o emulator.Options) (*emulator.Emulator, string) {
	t.Helper()
	emu := emulator.New(o)
	server := httptest.NewServer(emu)
	t.Cleanup(func() {
		emu.Close()
		server.Close()
	})
	return emu, server.URL
}

// answer is a response with its body.
type answer struct {
	status int
	header http.Header
	body   string
}

// rpcStatus is the error in a response.
type rpcStatus struct {
	Error struct {
		Code    int
		Message string
		Status  string
		Details []map[string]any
	}
}

func (a answer) rpc(t testing.TB) rpcStatus {
	t.Helper()
	var s rpcStatus
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		t.Fatalf("the answer is no google.rpc.Status: %v\n%s", err, a.body)
	}
	if s.Error.Code != a.status {
		t.Errorf("code %d in the body of a %d", s.Error.Code, a.status)
	}
	return s
}

// detail returns the detail of the type google.rpc.NAME, nil for none.
func (s rpcStatus) detail(name string) map[string]any {
	for _, d := range s.Error.Details {
		if d["@type"] == "type.googleapis.com/google.rpc."+name {
			return d
		}
	}
	return nil
}

func send(t testing.TB, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(read)}
}

func compact(t testing.TB, s string) string {
	t.Helper()
	var buf bytes.Buffer
	if err := json.Compact(&buf, []byte(s)); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return buf.String()
}

const (
	pathV3       = "/v3/projects/p1/clientEvents"
	pathV3p1     = "/v3p1beta1/projects/p1/clientEvents"
	pathV4b      = "/v4beta1/projects/p1/clientEvents"
	pathV4bT     = "/v4beta1/projects/p1/tenants/t1/clientEvents"
	pathV4       = "/v4/projects/p1/tenants/t1/clientEvents"
	noPretty     = "?alt=json&prettyPrint=false"
	gapic        = "?%24alt=json%3Benum-encoding%3Dint"
	gapicNode    = "?$alt=json%3Benum-encoding=int"
	goodV3Event  = `{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":"VIEW","jobs":["projects/p1/jobs/1"]}}`
	goodV4Event  = `{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":"VIEW","jobs":["projects/p1/tenants/t1/jobs/1"]}}`
	goodV3       = `{"clientEvent":` + goodV3Event + `}`
	goodV4b      = `{"clientEvent":` + goodV4Event + `}`
	intsV4Answer = `{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":2,"jobs":["projects/p1/tenants/t1/jobs/1"]},"eventNotes":"n"}`
)

func TestAccepted(t *testing.T) {
	tests := []struct {
		name, path, body string
		want             string // the answer, compact; goodV3Event if empty
	}{
		// Requests in the form of Google's clients.
		{
			"jobs/v3 for Go", pathV3 + noPretty,
			`{"clientEvent":{"createTime":"2026-01-02T03:04:05.678Z","eventId":"e1","extraInfo":{"k":"v\u003c\u0026\u003e"},"jobEvent":{"jobs":["projects/p1/jobs/1"],"type":"VIEW"},"parentEventId":"e0","requestId":"rq"}}` + "\n",
			`{"requestId":"rq","eventId":"e1","parentEventId":"e0","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":"VIEW","jobs":["projects/p1/jobs/1"]},"extraInfo":{"k":"v<&>"}}`,
		},
		{
			"jobs/v3p1beta1 for Go", pathV3p1 + noPretty,
			`{"clientEvent":{"createTime":"2026-01-02T03:04:05.678Z","eventId":"e1","extraInfo":{"k":"v\u003c\u0026\u003e"},"jobEvent":{"jobs":["projects/p1/jobs/1"],"type":"VIEW"},"parentEventId":"e0","requestId":"rq"}}` + "\n",
			`{"requestId":"rq","eventId":"e1","parentEventId":"e0","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":"VIEW","jobs":["projects/p1/jobs/1"]},"extraInfo":{"k":"v<&>"}}`,
		},
		{
			"jobs/v4 for Go", pathV4 + noPretty,
			`{"createTime":"2026-01-02T03:04:05.678Z","eventId":"e1","eventNotes":"n","jobEvent":{"jobs":["projects/p1/tenants/t1/jobs/1"],"type":"VIEW"},"requestId":"rq"}` + "\n",
			strings.Replace(intsV4Answer, `"type":2`, `"type":"VIEW"`, 1),
		},
		{
			"jobs/v3 for Go with key, quota user and fields", pathV3 + "?alt=json&fields=eventId%2CjobEvent%2Ftype&key=AIzaX&prettyPrint=false&quotaUser=qu", goodV3,
			`{"eventId":"e1","jobEvent":{"type":"VIEW"}}`,
		},
		{"jobs/v3 for Go with an odd project", "/v3/projects/a%20b%C3%BC/clientEvents" + noPretty, goodV3, ""},
		{
			"talent/apiv4 for Go", pathV4 + gapic,
			`{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":2,"jobs":["projects/p1/tenants/t1/jobs/1"]},"eventNotes":"n"}`,
			intsV4Answer,
		},
		{
			"talent/apiv4beta1 for Go with a tenant", pathV4bT + gapic,
			`{"parent":"projects/p1/tenants/t1","clientEvent":{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":2,"jobs":["projects/p1/tenants/t1/jobs/1"],"profile":"pr"},"eventNotes":"n"}}`,
			strings.Replace(intsV4Answer, `"]}`, `"],"profile":"pr"}`, 1),
		},
		{
			"talent/apiv4beta1 for Go without a tenant", pathV4b + gapic,
			`{"parent":"projects/p1","clientEvent":{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":2,"jobs":["projects/p1/jobs/1"],"profile":"pr"},"eventNotes":"n"}}`,
			`{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":2,"jobs":["projects/p1/jobs/1"],"profile":"pr"},"eventNotes":"n"}`,
		},
		{"googleapis for Node", pathV3, goodV3, ""},
		{
			"@google-cloud/talent for Node", pathV4 + gapicNode,
			`{"requestId":"rq","eventId":"e1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":2,"jobs":["projects/p1/tenants/t1/jobs/1"]},"eventNotes":"n"}`,
			intsV4Answer,
		},
		{"googleapiclient for Python", pathV3 + "?alt=json", goodV3, ""},

		// Forms that proto3 JSON allows.
		{
			"snake_case", pathV3,
			`{"client_event":{"request_id":"rq","event_id":"e1","create_time":"2026-01-02T03:04:05.678Z","job_event":{"type":"VIEW","jobs":["projects/p1/jobs/1"]},"parent_event_id":null,"extra_info":{}}}`, "",
		},
		{
			"null is unset", pathV3,
			strings.Replace(goodV3, `"requestId"`, `"parentEventId":null,"extraInfo":null,"requestId"`, 1), "",
		},
		{"escaped name", pathV3, strings.Replace(goodV3, `"eventId"`, `"event\u0049d"`, 1), ""},
		{"spaces between", pathV3, strings.NewReplacer(":{", " : \n{", ",", "\t,\r\n").Replace(goodV3), ""},
		{"offset", pathV3, strings.Replace(goodV3, "03:04:05.678Z", "05:34:05.678+02:30", 1), ""},
		{"nine digits", pathV3, strings.Replace(goodV3, "05.678Z", "05.678000000Z", 1), ""},
		{"microseconds are kept", pathV3 + "?fields=createTime", strings.Replace(goodV3, "05.678Z", "05.000001Z", 1), `{"createTime":"2026-01-02T03:04:05.000001Z"}`},
		{"nanoseconds are kept", pathV3 + "?fields=createTime", strings.Replace(goodV3, "05.678Z", "05.000000001Z", 1), `{"createTime":"2026-01-02T03:04:05.000000001Z"}`},
		{"whole seconds", pathV3 + "?fields=createTime", strings.Replace(goodV3, "05.678Z", "05Z", 1), `{"createTime":"2026-01-02T03:04:05Z"}`},

		// Differences between versions.
		{"v3 NOT_INTERESTED", pathV3 + "?fields=jobEvent(type)", strings.Replace(goodV3, "VIEW", "NOT_INTERESTED", 1), `{"jobEvent":{"type":"NOT_INTERESTED"}}`},
		{"v3 16", pathV3 + "?fields=*/type", strings.Replace(goodV3, `"VIEW"`, "16", 1), `{"jobEvent":{"type":"NOT_INTERESTED"}}`},
		{"v3 extraInfo at its bounds", pathV3 + "?fields=eventId", withExtra(20, 2048), `{"eventId":"e1"}`},
		{"v4beta1 without requestId", pathV4b + "?fields=eventId", strings.Replace(goodV4b, `"requestId":"rq",`, "", 1), `{"eventId":"e1"}`},
		{"v4beta1 with jobs of a tenant", pathV4b, goodV4b, goodV4Event},
		{"v4beta1 with a tenant and jobs of none", pathV4bT, goodV3, ""},
		{"v4 without requestId", pathV4 + "?fields=eventId", strings.Replace(goodV4Event, `"requestId":"rq",`, "", 1), `{"eventId":"e1"}`},
		{"v4 15", pathV4 + "?fields=jobEvent/type", strings.Replace(goodV4Event, `"VIEW"`, "15", 1), `{"jobEvent":{"type":"INTERVIEW_GRANTED"}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			emu, url := start(t, emulator.Options{})
			got := send(t, "POST", url+test.path, test.body)
			if got.status != http.StatusOK {
				t.Fatalf("status %d:\n%s", got.status, got.body)
			}
			if want := "application/json; charset=UTF-8"; got.header.Get("Content-Type") != want {
				t.Errorf("Content-Type %q, want %q", got.header.Get("Content-Type"), want)
			}
			want := test.want
			if want == "" {
				want = goodV3Event
			}
			if c := compact(t, got.body); c != want {
				t.Errorf("got  %s\nwant %s", c, want)
			}
			if pretty := strings.Contains(got.body, "\n  "); pretty == strings.Contains(test.path, "prettyPrint=false") {
				t.Errorf("pretty is %v:\n%s", pretty, got.body)
			}
			if n := emu.Stats().Accepted; n != 1 {
				t.Errorf("%d events accepted", n)
			}
		})
	}
}

// withExtra returns a valid v3 request whose extraInfo has the numbers of keys and bytes.
func withExtra(keys, size int) string {
	extra := map[string]string{}
	for i := range keys {
		key := fmt.Sprintf("k%03d", i)
		extra[key] = ""
		size -= len(key)
	}
	extra["k000"] = strings.Repeat("é", size/2) + strings.Repeat("x", size%2)
	text, err := json.Marshal(extra)
	if err != nil {
		panic(err)
	}
	return strings.Replace(goodV3, `"requestId"`, `"extraInfo":`+string(text)+`,"requestId"`, 1)
}

func TestRefused(t *testing.T) {
	const unknown, badTime, fields = "Invalid JSON payload received. Unknown name ", "Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone offset.", "Following fields are missing or invalid: "
	event := func(old, new string) string { return strings.Replace(goodV3, old, new, 1) }
	v4 := func(old, new string) string { return strings.Replace(goodV4Event, old, new, 1) }
	tests := []struct {
		name, path, body string
		want             string // the message, or its beginning before "…"
		field            string // of the first violation
	}{
		{"unknown at the top", pathV3, `{"x":1,` + goodV3[1:], unknown + `"x": Cannot find field.`, ""},
		{"unknown in the event", pathV3, event(`"requestId"`, `"x":{"y":[1]},"requestId"`), unknown + `"x" at 'client_event': Cannot find field.`, "client_event"},
		{"unknown in the job event", pathV3, event(`"type"`, `"x":1,"type"`), unknown + `"x" at 'client_event.job_event': Cannot find field.`, "client_event.job_event"},
		{"unknown in a v4 event", pathV4, v4(`"requestId"`, `"x":1,"requestId"`), unknown + `"x" at 'client_event': Cannot find field.`, "client_event"},
		{"several unknown", pathV3, event(`"requestId"`, `"x":1,"y":2,"requestId"`), unknown + `"x" at 'client_event': Cannot find field.` + "\n" + unknown + `"y" at 'client_event': Cannot find field.`, "client_event"},
		{"bare event in v3", pathV3, `{"eventId":"e"}`, unknown + `"eventId": Cannot find field.`, ""},
		{"bare event in v3p1beta1", pathV3p1, `{"eventId":"e"}`, unknown + `"eventId": Cannot find field.`, ""},
		{"bare event in v4beta1", pathV4b, `{"eventId":"e"}`, unknown + `"eventId": Cannot find field.`, ""},
		{"wrapped event in v4", pathV4, goodV4b, unknown + `"clientEvent" at 'client_event': Cannot find field.`, "client_event"},
		{"parent in the body of v3", pathV3, `{"parent":"projects/p1",` + goodV3[1:], unknown + `"parent": Cannot find field.`, ""},
		{"parentEventId in v4", pathV4, v4(`"requestId"`, `"parentEventId":"p","requestId"`), unknown + `"parentEventId" at 'client_event': Cannot find field.`, "client_event"},
		{"extraInfo in v4beta1", pathV4b, strings.Replace(goodV4b, `"requestId"`, `"extraInfo":{},"requestId"`, 1), unknown + `"extraInfo" at 'client_event': Cannot find field.`, "client_event"},
		{"eventNotes in v3", pathV3, event(`"requestId"`, `"eventNotes":"n","requestId"`), unknown + `"eventNotes" at 'client_event': Cannot find field.`, "client_event"},
		{"profile in v4", pathV4, v4(`"type"`, `"profile":"p","type"`), unknown + `"profile" at 'client_event.job_event': Cannot find field.`, "client_event.job_event"},
		{"profileEvent in v4beta1", pathV4b, `{"clientEvent":{"profileEvent":{}}}`, unknown + `"profileEvent" at 'client_event': Cannot find field.`, "client_event"},

		{"a name twice", pathV3, event(`"requestId"`, `"eventId":"e1","requestId"`), `Invalid JSON payload received. Duplicate name "eventId" at 'client_event'.`, "client_event"},
		{"a name twice in two spellings", pathV3, event(`"requestId"`, `"event_id":"e1","requestId"`), `Invalid JSON payload received. Duplicate name "eventId" at 'client_event'.`, "client_event"},
		{"a key of extraInfo twice", pathV3, event(`"requestId"`, `"extraInfo":{"k":"1","k":"2"},"requestId"`), `Invalid JSON payload received. Duplicate name "k" at 'client_event.extra_info'.`, "client_event.extra_info"},

		{"a list at the top", pathV3, `[]`, unknown + `"": Root element must be a message.`, ""},
		{"null at the top", pathV4, `null`, unknown + `"": Root element must be a message.`, "client_event"},
		{"number for a string", pathV3, event(`"e1"`, `1`), `Invalid value at 'client_event.event_id' (TYPE_STRING), 1`, "client_event.event_id"},
		{"string for a message", pathV3, `{"clientEvent":"x"}`, `Invalid value at 'client_event' (type.googleapis.com/google.cloud.talent.v3.ClientEvent), "x"`, "client_event"},
		{"string for a list", pathV3, event(`["projects/p1/jobs/1"]`, `"projects/p1/jobs/1"`), `Invalid value at 'client_event.job_event.jobs' (repeated TYPE_STRING), "projects/p1/jobs/1"`, "client_event.job_event.jobs"},
		{"null in a list", pathV3, event(`["projects`, `[null,"projects`), `Invalid value at 'client_event.job_event.jobs[0]' (TYPE_STRING), null`, "client_event.job_event.jobs[0]"},
		{"number in a map", pathV3, event(`"requestId"`, `"extraInfo":{"k":1},"requestId"`), `Invalid value at 'client_event.extra_info[0]' (TYPE_STRING), 1`, "client_event.extra_info[0]"},
		{"list for a map", pathV3, event(`"requestId"`, `"extraInfo":[],"requestId"`), `Invalid value at 'client_event.extra_info' (map<TYPE_STRING, TYPE_STRING>), []`, "client_event.extra_info"},
		{"number for parent", pathV4b, `{"parent":1,` + goodV4b[1:], `Invalid value at 'parent' (TYPE_STRING), 1`, "parent"},

		{"unknown type", pathV3, event(`"VIEW"`, `"VIEWED"`), `Invalid value at 'client_event.job_event.type' (type.googleapis.com/google.cloud.talent.v3.JobEvent.JobEventType), "VIEWED"`, "client_event.job_event.type"},
		{"type in lower case", pathV3, event(`"VIEW"`, `"view"`), `Invalid value at 'client_event.job_event.type' (type.googleapis.com/google.cloud.talent.v3.JobEvent.JobEventType), "view"`, "client_event.job_event.type"},
		{"type 17", pathV3, event(`"VIEW"`, `17`), `Invalid value at 'client_event.job_event.type' (type.googleapis.com/google.cloud.talent.v3.JobEvent.JobEventType), 17`, "client_event.job_event.type"},
		{"type true", pathV3, event(`"VIEW"`, `true`), `Invalid value at 'client_event.job_event.type' (type.googleapis.com/google.cloud.talent.v3.JobEvent.JobEventType), true`, "client_event.job_event.type"},
		{"NOT_INTERESTED in v4", pathV4, v4(`"VIEW"`, `"NOT_INTERESTED"`), `Invalid value at 'client_event.job_event.type' (type.googleapis.com/google.cloud.talent.v4.JobEvent.JobEventType), "NOT_INTERESTED"`, "client_event.job_event.type"},
		{"16 in v4beta1", pathV4b, strings.Replace(goodV4b, `"VIEW"`, `16`, 1), `Invalid value at 'client_event.job_event.type' (type.googleapis.com/google.cloud.talent.v4beta1.JobEvent.JobEventType), 16`, "client_event.job_event.type"},

		{"time without an offset", pathV3, event("05.678Z", "05.678"), `Invalid value at 'client_event.create_time' (type.googleapis.com/google.protobuf.Timestamp), Field 'createTime', ` + badTime, "client_event.create_time"},
		{"time in lower case", pathV3, event("T03:04:05.678Z", "t03:04:05.678z"), `Invalid value at 'client_event.create_time' (type.googleapis.com/google.protobuf.Timestamp), Field 'createTime', ` + badTime, "client_event.create_time"},
		{"time with a space", pathV3, event("T03", " 03"), `Invalid value at 'client_event.create_time'…`, "client_event.create_time"},
		{"time with a comma", pathV3, event("05.678Z", "05,678Z"), `Invalid value at 'client_event.create_time'…`, "client_event.create_time"},
		{"time with ten digits", pathV3, event("05.678Z", "05.6780000000Z"), `Invalid value at 'client_event.create_time'…`, "client_event.create_time"},
		{"no such day", pathV3, event("2026-01-02", "2026-02-30"), `Invalid value at 'client_event.create_time'…`, "client_event.create_time"},
		{"year 10000", pathV3, event("2026-01-02T03:04:05.678Z", "9999-12-31T23:59:59-01:00"), `Invalid value at 'client_event.create_time'…`, "client_event.create_time"},
		{"time as an object", pathV3, event(`"2026-01-02T03:04:05.678Z"`, `{"seconds":1}`), `Invalid value at 'client_event.create_time' (type.googleapis.com/google.protobuf.Timestamp), {"seconds":1}`, "client_event.create_time"},
		{"time as a number", pathV3, event(`"2026-01-02T03:04:05.678Z"`, `1`), `Invalid value at 'client_event.create_time' (type.googleapis.com/google.protobuf.Timestamp), 1`, "client_event.create_time"},

		{"no event", pathV3, "{}\n", fields + "client_event is required", "client_event"},
		{"no body", pathV3, "", fields + "client_event is required", "client_event"},
		{"null event", pathV4b, `{"clientEvent":null}`, fields + "client_event is required", "client_event"},
		{"no requestId in v3", pathV3, event(`"requestId":"rq",`, ""), fields + "client_event.request_id is required", "client_event.request_id"},
		{"empty requestId in v3p1beta1", pathV3p1, event(`"rq"`, `""`), fields + "client_event.request_id is required", "client_event.request_id"},
		{"no eventId", pathV4, v4(`"eventId":"e1",`, ""), fields + "client_event.event_id is required", "client_event.event_id"},
		{"no createTime", pathV4, v4(`"createTime":"2026-01-02T03:04:05.678Z",`, ""), fields + "client_event.create_time is required", "client_event.create_time"},
		{"no jobEvent", pathV4, `{"eventId":"e1","createTime":"2026-01-02T03:04:05Z"}`, fields + "client_event.job_event is required", "client_event.job_event"},
		{"no type", pathV4, v4(`"type":"VIEW",`, ""), fields + "client_event.job_event.type is required", "client_event.job_event.type"},
		{"unspecified type", pathV3, event(`"VIEW"`, `"JOB_EVENT_TYPE_UNSPECIFIED"`), fields + "client_event.job_event.type is required", "client_event.job_event.type"},
		{"type 0", pathV3, event(`"VIEW"`, `0`), fields + "client_event.job_event.type is required", "client_event.job_event.type"},
		{"no jobs", pathV4, v4(`["projects/p1/tenants/t1/jobs/1"]`, "[]"), fields + "client_event.job_event.jobs is required", "client_event.job_event.jobs"},
		{"nothing in v4", pathV4, `{}`, fields + "client_event.event_id is required; client_event.create_time is required; client_event.job_event is required", "client_event.event_id"},
		{"v4 job in v3", pathV3, strings.Replace(goodV3, "projects/p1/jobs/1", "projects/p1/tenants/t1/jobs/1", 1), fields + `client_event.job_event.jobs[0] "projects/p1/tenants/t1/jobs/1" is not a job name, projects/{project}/jobs/{job}`, "client_event.job_event.jobs[0]"},
		{"v3 job in v4", pathV4, goodV3Event, fields + `client_event.job_event.jobs[0] "projects/p1/jobs/1" is not a job name, projects/{project}/tenants/{tenant}/jobs/{job}`, "client_event.job_event.jobs[0]"},
		{"second job bad", pathV3, event(`jobs/1"`, `jobs/1","x"`), fields + `client_event.job_event.jobs[1] "x" is not a job name…`, "client_event.job_event.jobs[1]"},
		{"job with a slash", pathV3, event(`jobs/1`, `jobs/1/2`), fields + `client_event.job_event.jobs[0] …`, "client_event.job_event.jobs[0]"},
		{"job without an id", pathV3, event(`jobs/1`, `jobs/`), fields + `client_event.job_event.jobs[0] …`, "client_event.job_event.jobs[0]"},
		{"job without a project", pathV3, event(`projects/p1/jobs/1`, `projects//jobs/1`), fields + `client_event.job_event.jobs[0] …`, "client_event.job_event.jobs[0]"},
		{"21 keys of extraInfo", pathV3, withExtra(21, 200), fields + `client_event.extra_info has 21 keys, at most 20 are allowed`, "client_event.extra_info"},
		{"2049 bytes of extraInfo", pathV3, withExtra(2, 2049), fields + `client_event.extra_info has 2049 bytes in all keys and values, at most 2048 are allowed`, "client_event.extra_info"},

		{"torn", pathV3, goodV3[:50], "Invalid JSON payload received. Unexpected end of string, at offset 50.", ""},
		{"no JSON", pathV3, "clientEvent", "Invalid JSON payload received. …", ""},
		{"trailing data", pathV3, goodV3 + "{}", "Invalid JSON payload received. …", ""},
		{"not UTF-8", pathV3, event("rq", "r\xff"), "Invalid JSON payload received. …", ""},
		{"half a surrogate pair", pathV3, event("rq", `\ud800`), "Invalid JSON payload received. …", ""},
		{"unknown query parameter", pathV3 + "?x=1", goodV3, `Invalid JSON payload received. Unknown name "x": Cannot bind query parameter. Field 'x' could not be found in request message.`, ""},
		{"prettyPrint=maybe", pathV3 + "?prettyPrint=maybe", goodV3, `Invalid value at 'prettyPrint' (TYPE_BOOL), "maybe"`, ""},
		{"alt=xml", pathV3 + "?alt=xml", goodV3, `Invalid value at 'alt', "xml"…`, ""},
		{"a project with a slash", "/v3/projects/a%2Fb/clientEvents", goodV3, `Invalid resource name: projects/a/b`, "name"},
		{"a project that is not UTF-8", "/v3/projects/a%FFb/clientEvents", goodV3, `Invalid resource name…`, "name"},
		{"bad selection", pathV3 + "?fields=jobEvent(type", goodV3, `Invalid field selection jobEvent(type: a closing parenthesis is missing`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			emu, url := start(t, emulator.Options{})
			got := send(t, "POST", url+test.path, test.body)
			rpc := got.rpc(t)
			if got.status != http.StatusBadRequest || rpc.Error.Status != "INVALID_ARGUMENT" {
				t.Errorf("status %d %s, want 400 INVALID_ARGUMENT", got.status, rpc.Error.Status)
			}
			if beginning, open := strings.CutSuffix(test.want, "…"); !strings.HasPrefix(rpc.Error.Message, beginning) || !open && rpc.Error.Message != test.want {
				t.Errorf("message\n  %s\nwant\n  %s", rpc.Error.Message, test.want)
			}
			violations, _ := rpc.detail("BadRequest")["fieldViolations"].([]any)
			if len(violations) == 0 {
				t.Fatalf("no fieldViolations in\n%s", got.body)
			}
			if field, _ := violations[0].(map[string]any)["field"].(string); field != test.field {
				t.Errorf("field %q, want %q", field, test.field)
			}
			if s := emu.Stats(); s.Accepted != 0 || s.Refused[400] != 1 {
				t.Errorf("accepted %d, refused %v", s.Accepted, s.Refused)
			}
		})
	}
}

func TestRefusedByHTTP(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		rpc, message             string
	}{
		{"no such path", "POST", "/v3/projects/p1/clientEvent", goodV3, nil, 404, "NOT_FOUND", "Method not found"},
		{"the root", "POST", "/", "", nil, 404, "NOT_FOUND", "Method not found"},
		{"v2", "POST", "/v2/projects/p1/clientEvents", goodV3, nil, 404, "NOT_FOUND", "Method not found"},
		{"v3 with a tenant", "POST", "/v3/projects/p1/tenants/t1/clientEvents", goodV3, nil, 404, "NOT_FOUND", "Method not found"},
		{"v4 without a tenant", "POST", "/v4/projects/p1/clientEvents", goodV4Event, nil, 404, "NOT_FOUND", "Method not found"},
		{"no project", "POST", "/v3/projects//clientEvents", goodV3, nil, 404, "NOT_FOUND", "Method not found"},
		{"slash at the end", "POST", pathV3 + "/", goodV3, nil, 404, "NOT_FOUND", "Method not found"},
		{"GET", "GET", pathV3, "", nil, 405, "UNIMPLEMENTED", "GET is not supported by"},
		{"PUT", "PUT", pathV4, goodV4Event, nil, 405, "UNIMPLEMENTED", "PUT is not supported by"},
		{"GET batch", "GET", "/batch", "", nil, 405, "UNIMPLEMENTED", "GET is not supported by"},
		{"form", "POST", pathV3, "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "INVALID_ARGUMENT", "Unsupported content with type: application/x-www-form-urlencoded"},
		{"latin1", "POST", pathV3, goodV3, []string{"Content-Type", "application/json; charset=latin1"}, 400, "INVALID_ARGUMENT", "Unsupported content with type:"},
		{"too large", "POST", pathV3, strings.Repeat(" ", 4097), nil, 413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 4096 bytes."},
		{"too large unzipped", "POST", pathV3, zip(strings.Repeat(" ", 4097)), []string{"Content-Encoding", "gzip"}, 413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 4096 bytes."},
		{"not gzip", "POST", pathV3, goodV3, []string{"Content-Encoding", "gzip"}, 400, "INVALID_ARGUMENT", "The request's body could not be read: gzip"},
		{"brotli", "POST", pathV3, goodV3, []string{"Content-Encoding", "br"}, 400, "INVALID_ARGUMENT", `The request's body could not be read: Content-Encoding "br" is not supported, expected gzip`},
	}
	emu, url := start(t, emulator.Options{MaxBodyBytes: 4096})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := send(t, test.method, url+test.path, test.body, test.header...)
			rpc := got.rpc(t)
			if got.status != test.status || rpc.Error.Status != test.rpc || !strings.HasPrefix(rpc.Error.Message, test.message) {
				t.Errorf("got %d %s %q\nwant %d %s %q", got.status, rpc.Error.Status, rpc.Error.Message, test.status, test.rpc, test.message)
			}
			if allow := got.header.Get("Allow"); test.status == 405 && allow != "POST" {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
	if n := emu.Stats().Accepted; n != 0 {
		t.Errorf("%d events accepted", n)
	}
}

func zip(s string) string {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.WriteString(w, s); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.String()
}

func TestAcceptedByHTTP(t *testing.T) {
	emu, url := start(t, emulator.Options{})
	for name, answered := range map[string]answer{
		"gzip":            send(t, "POST", url+pathV3, zip(goodV3), "Content-Encoding", "gzip"),
		"charset":         send(t, "POST", url+pathV3, goodV3, "Content-Type", `application/json; charset="UTF-8"`),
		"no content type": send(t, "POST", url+pathV3, goodV3, "Content-Type", ""),
	} {
		if answered.status != http.StatusOK {
			t.Errorf("%s: status %d\n%s", name, answered.status, answered.body)
		}
	}
	if n := emu.Stats().Accepted; n != 3 {
		t.Errorf("%d events accepted", n)
	}
}

// A body of unknown length arrives in chunks.
func TestChunkedBody(t *testing.T) {
	_, url := start(t, emulator.Options{})
	resp, err := http.Post(url+pathV3, "application/json", io.MultiReader(strings.NewReader(goodV3[:20]), strings.NewReader(goodV3[20:])))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestWhatIsKept(t *testing.T) {
	var told []emulator.Accepted
	emu, url := start(t, emulator.Options{KeepAll: true, OnAccept: func(a emulator.Accepted) { told = append(told, a) }})
	send(t, "POST", url+"/v3/projects/a%20b%C3%BC/clientEvents", `{ "client_event" : `+goodV3Event+` }`)
	send(t, "POST", url+pathV4, goodV4Event)
	events := emu.Events()
	if len(events) != 2 || len(told) != 2 {
		t.Fatalf("%d events, %d told", len(events), len(told))
	}
	first, second := events[0], events[1]
	if first.Parent != "projects/a bü" || first.Version != "v3" || first.Duplicate || string(first.Raw) != goodV3Event {
		t.Errorf("first: %+v, raw %s", first, first.Raw)
	}
	if second.Parent != "projects/p1/tenants/t1" || second.Version != "v4" || !second.Duplicate || string(second.Raw) != goodV4Event {
		t.Errorf("second: %+v, raw %s", second, second.Raw)
	}
	e := first.Event
	if e.RequestID != "rq" || e.EventID != "e1" || e.Type != "VIEW" || !slices.Equal(e.Jobs, []string{"projects/p1/jobs/1"}) {
		t.Errorf("event: %+v", e)
	}
	if !told[1].Duplicate || told[1].Event.EventID != "e1" {
		t.Errorf("told: %+v", told[1])
	}
}
