package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// outcome is what one call of the program gives.
type outcome struct {
	code     int
	out, err string
}

func callMain(ctx context.Context, in io.Reader, args ...string) outcome {
	var out, err bytes.Buffer
	code := Main(ctx, args, Streams{In: in, Out: &out, Err: &err})
	return outcome{code, out.String(), err.String()}
}

const (
	goodLine   = `{"eventId":"e-1","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/j"]}}` + "\n"
	orphanLine = `{"eventId":"e-2","parentEventId":"e-0","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/j"]}}` + "\n"
)

// versioned adds the version of the lines here to arguments that name none.
func versioned(args []string) []string {
	if slices.Contains(args, "--api-version") {
		return args
	}
	return append([]string{"--api-version", "v3"}, args...)
}

func TestValidateCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"good.ndjson": goodLine, "bad.ndjson": "\n" + goodLine + `{"eventId":"e-1"}` + "\r\n", "-x": "[]"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	const missing = ": missing_request_id: requestId is required, and absent, null or empty\n"
	tests := []struct {
		name, in string
		args     []string
		want     outcome
	}{
		{"a good file", "", []string{"good.ndjson"}, outcome{0, "", "1 events, 0 at fault\n"}},
		{"a bad file", "", []string{"good.ndjson", "bad.ndjson"}, outcome{1, "bad.ndjson:3" + missing, "3 events, 1 at fault\n"}},
		{"standard input", `{"eventId":"e-1"}`, nil, outcome{1, "<stdin>:1" + missing, "1 events, 1 at fault\n"}},
		{"standard input by name", `{"eventId":"e-1"}`, []string{"good.ndjson", "-"}, outcome{1, "<stdin>:1" + missing, "2 events, 1 at fault\n"}},
		{"nothing", "", nil, outcome{0, "", "0 events, 0 at fault\n"}},
		{"a file like a flag", "", []string{"--", "-x"}, outcome{1, "-x:1: malformed: expected one JSON object, got a list\n", "1 events, 1 at fault\n"}},
		{"another version", goodLine, []string{"--api-version", "v4"}, outcome{
			1,
			"<stdin>:1: invalid_job_name: jobEvent.jobs[0]: \"projects/p/jobs/j\" is not the name of a job in v4: expected projects/PROJECT/tenants/TENANT/jobs/JOB\n",
			"1 events, 1 at fault\n1 of them would be valid in v3 or v4beta1: is --api-version correct?\n",
		}},
		{"no parent", orphanLine, nil, outcome{0, "", "1 events, 0 at fault\n"}},
		{"no parent in a complete input", orphanLine, []string{"--complete"}, outcome{
			1,
			"<stdin>:1: parent_not_found: parentEventId names no valid event of the input\n", "1 events, 1 at fault\n",
		}},
		{"no such version", "", []string{"--api-version", "v5"}, outcome{2, "", `clientevents: --api-version: "v5" is not a version of the API: expected v3, v4beta1 or v4` + "\n"}},
		{"no such flag", "", []string{"--complet"}, outcome{2, "", "clientevents validate: unknown flag: --complet: did you mean --complete?\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := callMain(t.Context(), strings.NewReader(test.in), append([]string{"validate"}, versioned(test.args)...)...); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
	t.Run("what can't be read is said before anything is", func(t *testing.T) {
		for _, name := range []string{"missing.ndjson", "dir"} {
			got := callMain(t.Context(), strings.NewReader(""), "validate", "bad.ndjson", name)
			if got.code != exitUsage || got.out != "" || !strings.Contains(got.err, name) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

// TestValidateStops: a signal ends the program though its input, such as a
// terminal, does not.
func TestValidateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, w := io.Pipe()
	defer w.Close()
	go func() {
		io.WriteString(w, "{}\n")
		cancel()
	}()
	got := callMain(ctx, in, "validate")
	if got.code != exitFailed || !strings.Contains(got.err, "<stdin>") {
		t.Errorf("%+v", got)
	}
}

func TestValidateWithAConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	const config = `
kafka: {brokers: [localhost:9092], topic: views, group: g}
api: {version: v4, parent: projects/p/tenants/t}
input:
  mapping: |
    select(.action == "viewed") | .jobs[] as $job
    | {eventId: event_id(.id; $job), requestId: .search, createTime: (.ts | from_epoch_seconds),
       jobEvent: {type: "VIEW", jobs: ["projects/p/tenants/t/jobs/" + $job]}}
`
	if err := os.WriteFile("c.yaml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	const lines = `{"action":"viewed","id":1,"search":"r","ts":0,"jobs":["a","b"]}
{"action":"other"}
{"action":"viewed","id":2,"search":"","ts":0,"jobs":["a"]}
{"action":"viewed","id":3,"search":"r","ts":"soon","jobs":["a"]}
{"action":
`
	got := callMain(t.Context(), strings.NewReader(lines), "validate", "--config", "c.yaml")
	want := outcome{1, `<stdin>:3: missing_request_id: requestId is required, and absent, null or empty
<stdin>:4: unmapped: input.mapping on views, partition 0, offset 4: line 2, column 73, from_epoch_seconds: from_epoch_seconds: expected a number of seconds or milliseconds since 1970
<stdin>:5: undecodable: not JSON: it ends too early
`, "5 events, 3 at fault\n"}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := callMain(t.Context(), strings.NewReader(""), "validate", "--config", "c.yaml", "--api-version", "v3"); got.code != 2 {
		t.Errorf("--config with --api-version: %+v", got)
	}
}
