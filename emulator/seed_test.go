package emulator_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

const seed = `{
	"tenants": [{"name": "projects/p/tenants/acme", "externalId": "acme"}],
	"companies": [
		{"name": "projects/p/tenants/default/companies/baker", "displayName": "Baker Ltd", "externalId": "b"},
		{"name": "projects/p/tenants/acme/companies/acme", "displayName": "Acme", "externalId": "a"}
	],
	"jobs": [
		{"name": "projects/p/tenants/default/jobs/1", "company": "projects/p/tenants/default/companies/baker", "requisitionId": "1", "title": "Baker", "description": "Bread"},
		{"name": "projects/p/tenants/acme/jobs/1", "company": "projects/p/tenants/acme/companies/acme", "requisitionId": "1", "title": "Smith", "description": "Anvils"}
	]
}`

func writeSeed(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seed.json")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSeed(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "talent"), writeSeed(t, seed)
	emu, err := emulator.Open(emulator.Options{SeedFile: file, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(emu)
	for _, a := range versions(t, server.URL) {
		if got := a.ok("GET", a.parent+"/jobs/1", nil)["title"]; got != "Baker" {
			t.Errorf("%s: the title is %v", a.version, got)
		}
	}
	a := versions(t, server.URL)["v4"]
	if got := a.found(object{"query": "bread"}, nil); fmt.Sprint(got) != "[Baker]" {
		t.Errorf("found %v", got)
	}
	if got := a.ok("GET", "projects/p/tenants/acme/jobs/1", nil)["companyDisplayName"]; got != "Acme" {
		t.Errorf("the company is %v", got)
	}

	// A changed job keeps its changes after a restart with the same seed, until a reset.
	a.patchJob("projects/p/tenants/default/jobs/1", object{"title": "Pastry cook"}, "title")
	a.create("companies", "company", object{"displayName": "More", "externalId": "more"})
	a.ok("POST", a.parent+"/clientEvents", a.body("clientEvent", object{
		"eventId": "e", "requestId": "r", "createTime": "2026-01-02T03:04:05Z", "jobEvent": object{"type": "VIEW", "jobs": []any{a.parent + "/jobs/1"}},
	}))
	server.Close()
	if err := emu.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Pastry cook 3 1", "Baker 2 0"} {
		emu, err := emulator.Open(emulator.Options{SeedFile: file, DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		job, _ := emu.Job("projects/p/jobs/1")
		if got := fmt.Sprint(job.Title, " ", len(emu.Companies()), " ", len(emu.Events())); got != want {
			t.Errorf("start %d: %s, want %s", i, got, want)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/emulator/reset", nil)
		r.Host = "localhost"
		if emu.ServeHTTP(w, r); w.Code != 200 {
			t.Errorf("reset: %d %s", w.Code, w.Body)
		}
		if err := emu.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSeedFaults(t *testing.T) {
	for _, tt := range []struct{ old, bad, want string }{
		{seed, "", ""}, // nothing to create
		{seed, "[]", "Root element must be a message"},
		{`"tenants"`, `"tenant"`, `Unknown name "tenant"`},
		{`"title": "Smith"`, `"tittle": "Smith"`, `Unknown name "tittle" at 'jobs[1]'`},
		{`"title": "Smith", `, ``, `jobs[1]: Following fields are missing or invalid: job.title is required`},
		{`"projects/p/tenants/acme/jobs/1"`, `"projects/p/jobs/1"`, `jobs[1]: name "projects/p/jobs/1" is not a name, projects/{project}/tenants/{tenant}/jobs/{job}`},
		{`"projects/p/tenants/acme/jobs/1"`, `"projects/p/tenants/none/jobs/1"`, `jobs[1]: projects/p/tenants/none was not found.`},
		{`"projects/p/tenants/acme", "ex`, `"projects/p/tenants/default", "ex`, `tenants[0]: name "projects/p/tenants/default" is not the name of a tenant`},
		{`"externalId": "a"`, `"externalId": ""`, `companies[1]: Following fields are missing`},
	} {
		_, err := emulator.Open(emulator.Options{SeedFile: writeSeed(t, strings.Replace(seed, tt.old, tt.bad, 1))})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %s", tt.bad, err, tt.want)
		}
	}
	if _, err := emulator.Open(emulator.Options{SeedFile: filepath.Join(t.TempDir(), "none.json")}); err == nil {
		t.Error("a missing file was accepted")
	}
}

// A test of an application can wait for the events that it sent.
func TestWaitForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emu := emulator.New(emulator.Options{})
		get := func(query string) (code int, body string, took time.Duration) {
			w, begin := httptest.NewRecorder(), time.Now()
			r := httptest.NewRequest("GET", "/emulator/events?"+query, nil)
			r.Host = "localhost"
			emu.ServeHTTP(w, r)
			return w.Code, w.Body.String(), time.Since(begin)
		}
		for i := range 6 {
			time.AfterFunc(time.Duration(i+1)*time.Second, func() {
				body := strings.NewReplacer(`"e1"`, fmt.Sprintf(`"e%d"`, i), `"rq"`, fmt.Sprintf(`"r%d"`, i%2)).Replace(goodV3)
				emu.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", pathV3, strings.NewReader(body)))
			})
		}
		if _, body, took := get("request_id=r1&wait=10s&count=3"); took != 6*time.Second || strings.Count(body, `"eventId"`) != 3 || strings.Contains(body, `"e0"`) {
			t.Errorf("after %v: %s", took, body)
		}
		if _, body, took := get("request_id=r1&wait=10s&count=3"); took != 0 || strings.Count(body, `"eventId"`) != 3 {
			t.Errorf("after %v: %s", took, body)
		}
		if _, body, took := get("requestId=r0&wait=5s&count=4"); took != 5*time.Second || strings.Count(body, `"eventId"`) != 3 {
			t.Errorf("too few, after %v: %s", took, body)
		}
		for _, query := range []string{"count=x", "wait=1h", "requestid=r1", "wait=-1s"} {
			if code, body, _ := get(query); code != 400 {
				t.Errorf("%s: %d %s", query, code, body)
			}
		}
	})
}

// The report has accepted events. Names of a job in different versions count as one.
func TestReport(t *testing.T) {
	emu, url := start(t, emulator.Options{})
	v3, v4 := versions(t, url)["v3"], versions(t, url)["v4"]
	for i, one := range []struct {
		of   *api
		kind string
	}{{v3, "IMPRESSION"}, {v4, "VIEW"}, {v4, "APPLICATION_START_FROM_SEARCH"}} {
		one.of.ok("POST", one.of.parent+"/clientEvents", one.of.body("clientEvent", object{
			"eventId": fmt.Sprint(i), "requestId": "r", "createTime": "2026-01-02T03:04:05Z", "jobEvent": object{"type": one.kind, "jobs": []any{one.of.parent + "/jobs/1"}},
		}))
	}
	v4.ok("POST", v4.parent+"/clientEvents", object{"eventId": "x", "createTime": "2026-01-02T03:04:05Z", "jobEvent": object{"type": "VIEW", "jobs": []any{v4.parent + "/jobs/1"}}})
	got := send(t, "GET", url+"/emulator/report", "")
	for _, want := range []string{`"missing_request_id": 1`, `"events": 4`, `"journeys": 1`, `"rule": "start_from_search_with_view"`, `"share": 0.5`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in %s", want, got.body)
		}
	}
	for _, rule := range emu.Report().Rules {
		if want := map[bool]int64{true: 1}[rule.Rule == "start_from_search_with_view"]; rule.Jobs != want {
			t.Errorf("%s: %d", rule.Rule, rule.Jobs)
		}
	}
	emu.Reset()
	if r := emu.Report(); r.Events != 0 || r.Discarded[emulator.MissingRequestID] != 0 {
		t.Errorf("after a reset: %+v", r)
	}
}
