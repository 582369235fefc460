package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/maptest"
)

// TestMappingLibrary runs the tests of each mapping in docs/mapping.
func TestMappingLibrary(t *testing.T) {
	folders, err := filepath.Glob("../../docs/mapping/*/clientevents.yaml")
	if err != nil || len(folders) < 8 {
		t.Fatalf("%d mappings, %v", len(folders), err)
	}
	for _, path := range folders {
		tests := filepath.Join(filepath.Dir(path), "tests.yaml")
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			got := callMain(t.Context(), strings.NewReader(""), "test", "--config", path, tests)
			if got.code != 0 {
				t.Errorf("%+v", got)
			}
			c, err := config.Load(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(strings.TrimSpace(c.Input.Mapping), "\n") + 1; n > 20 {
				t.Errorf("the program has %d lines: want at most 20", n)
			}
			if f, err := maptest.Load(tests); err != nil || len(f.Tests) < 3 {
				t.Errorf("want at least three tests (%v)", err)
			}
		})
	}
}

const (
	testConfig = `
kafka: {brokers: [localhost:9092], topic: views, group: g}
api: {version: v3, parent: projects/p}
input: {mapping: '{eventId: .id, requestId: $key, createTime: $timestamp, jobEvent: {type: "VIEW", jobs: [.job]}}'}
`
	testFile = `
tests:
  - name: right
    record: {value: {id: a, job: projects/p/jobs/j}, key: r, timestamp: 2026-01-02T03:04:05Z}
    expect: {events: [{event_id: a, request_id: r, create_time: 2026-01-02T03:04:05.000Z, job_event: {type: VIEW, jobs: [projects/p/jobs/j]}}]}
  - name: another job
    record: {value: {id: a, job: projects/p/jobs/j}, key: r}
    expect: {events: [{eventId: a, requestId: r, createTime: 2026-01-02T03:04:05.000Z, jobEvent: {type: VIEW, jobs: [projects/p/jobs/k]}}]}
  - name: not skipped
    record: {text: '{'}
    expect: {skipped: true}
`
)

func TestTestCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	files := map[string]string{
		"c.yaml": testConfig, "t.yaml": testFile,
		"unknown.yaml": "tests: [{name: a, record: {vlaue: {}}, expect: {skipped: true}}]",
		"both.yaml":    "tests: [{name: a, record: {value: {}, text: x}, expect: {skipped: true}}]",
		"nothing.yaml": "tests: [{name: a, record: {value: {}}, expect: {}}]",
		"reason.yaml":  "tests: [{name: a, record: {value: {}}, expect: {reason: nosuch}}]",
		"event.yaml":   "tests: [{name: a, record: {value: {}}, expect: {events: [{eventId: a}]}}]",
		"empty.yaml":   "",
		"broken.yaml":  "tests: [",
		"bomb.yaml":    "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\ntests: [*d,*d]",
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := callMain(t.Context(), strings.NewReader(""), "test", "--config", "c.yaml", "--junit", "r.xml", "t.yaml")
	want := outcome{1, `FAIL t.yaml: another job
    event 1:
    {
      "createTime": "2026-01-02T03:04:05.000Z",
      "eventId": "a",
      "jobEvent": {
        "jobs": [
  -       "projects/p/jobs/k"
  +       "projects/p/jobs/j"
        ],
        "type": "VIEW"
      },
      "requestId": "r"
    }
FAIL t.yaml: not skipped
  - skipped
  + dead letter: undecodable: not JSON: it ends too early
(- expected, + actual)
3 tests, 2 failed
`, ""}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	data, err := os.ReadFile("r.xml")
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Failure string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	if s := report.Suites[0]; s.Tests != 3 || s.Failures != 2 || s.Cases[0].Failure != "" || !strings.Contains(s.Cases[1].Failure, `+       "projects/p/jobs/j"`) {
		t.Errorf("the report is %+v", report)
	}
	got = callMain(t.Context(), strings.NewReader(""), "test", "--config", "c.yaml", "--json", "t.yaml")
	if lines := strings.Split(got.out, "\n"); got.code != 1 || len(lines) != 4 || lines[0] != `{"file":"t.yaml","name":"right","ok":true}` {
		t.Errorf("--json: %+v", got)
	}
	for file, want := range map[string]string{
		"unknown.yaml": `unknown field "vlaue"`, "both.yaml": "expected one of value, text and base64", "nothing.yaml": "expected one of events, skipped: true and reason",
		"reason.yaml": `"nosuch" is not a reason`, "empty.yaml": "expected tests", "broken.yaml": "yaml", "bomb.yaml": "too large", "nowhere.yaml": "no such file",
	} {
		got := callMain(t.Context(), strings.NewReader(""), "test", "--config", "c.yaml", file)
		if got.code != exitUsage || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v, want %s", file, got, want)
		}
	}
	if got := callMain(t.Context(), strings.NewReader(""), "test", "--config", "c.yaml", "event.yaml"); got.code != exitFailed || !strings.Contains(got.err, "expect.events[0] is not an event: missing_request_id") {
		t.Errorf("an event that is none: %+v", got)
	}
}
