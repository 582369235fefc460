package main

import (
	"bytes"
	"context"
	"io"
	"os"
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
		{"a file like a flag", "", []string{"--", "-x"}, outcome{1, "-x:1: malformed: want one JSON object, got a list\n", "1 events, 1 at fault\n"}},
		{"another version", goodLine, []string{"--api-version", "v4"}, outcome{
			1,
			"<stdin>:1: invalid_job_name: jobEvent.jobs[0]: \"projects/p/jobs/j\" is not the name of a job in v4: want projects/PROJECT/tenants/TENANT/jobs/JOB\n",
			"1 events, 1 at fault\n1 of them would be in order in v3 or v4beta1: is --api-version right?\n",
		}},
		{"no parent", orphanLine, nil, outcome{0, "", "1 events, 0 at fault\n"}},
		{"no parent in a complete input", orphanLine, []string{"--complete"}, outcome{
			1,
			"<stdin>:1: parent_not_found: parentEventId names no valid event of the input\n", "1 events, 1 at fault\n",
		}},
		{"no such version", "", []string{"--api-version", "v5"}, outcome{2, "", `clientevents: --api-version: "v5" is not a version of the API: want v3, v4beta1 or v4` + "\n"}},
		{"no such flag", "", []string{"--complet"}, outcome{2, "", "clientevents validate: unknown flag: --complet: did you mean --complete?\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := callMain(t.Context(), strings.NewReader(test.in), append([]string{"validate"}, test.args...)...); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
	t.Run("what can't be read is said before anything is", func(t *testing.T) {
		for _, name := range []string{"missing.ndjson", "dir"} {
			got := callMain(t.Context(), strings.NewReader(""), "validate", "bad.ndjson", name)
			if got.code != exitFailed || got.out != "" || !strings.Contains(got.err, name) {
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
