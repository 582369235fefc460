package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/deadletter"
	"github.com/clientevents/clientevents/internal/find"
	"github.com/clientevents/clientevents/internal/maptest"
	"github.com/clientevents/clientevents/internal/rehearse"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/internal/validate"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// documents reads one JSON document a line.
func documents[T any](t *testing.T, out string) (all []T) {
	t.Helper()
	for line := range strings.Lines(out) {
		var document T
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			t.Fatalf("not a JSON document a line: %v\n%s", err, out)
		}
		all = append(all, document)
	}
	return all
}

// jsonCommands are the commands that have --json, with arguments that need neither a
// broker nor a replica to be read.
var jsonCommands = []string{
	"check", "validate", "rehearse", "find e", "test tests.yaml", "topics create", "topics describe",
	"dead-letters summary", "dead-letters list", "dead-letters replay", "config show",
}

// TestJSONOfFailures requires one document with the error from each command.
func TestJSONOfFailures(t *testing.T) {
	t.Chdir(t.TempDir())
	const sound = "kafka: {brokers: ['127.0.0.1:1'], topic: t, group: g}\napi: {endpoint: 'http://127.0.0.1:1', version: v4, parent: projects/p/tenants/t, credentials: none}\n"
	for name, text := range map[string]string{"wrong.yaml": sound + "report: {rate: fast}\n", "sound.yaml": sound} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	failed := func(code int, has string, args ...string) {
		t.Helper()
		got := callMain(t.Context(), strings.NewReader(""), args...)
		all := documents[failedJSON](t, got.out)
		if got.code != code || len(all) != 1 || !strings.Contains(all[0].Error, has) || !strings.HasSuffix(got.err, all[0].Error+"\n") {
			t.Errorf("%v: %+v, want %d and %q", args, got, code, has)
		}
	}
	for _, command := range jsonCommands {
		args := strings.Fields(command)
		failed(exitUsage, `report.rate: "fast"`, append(args, "--json", "--config", "wrong.yaml")...)
		failed(exitUsage, "unknown flag: --nonsense", append(args, "--nonsense", "--json")...)
		switch args[0] {
		case "rehearse", "find", "topics", "dead-letters":
			failed(exitFailed, "127.0.0.1:1", append(args, "--json", "--config", "sound.yaml")...)
		}
	}
	failed(exitUsage, "takes no arguments", "version", "now", "--json")
	failed(exitUsage, "missing.ndjson", "validate", "--json", "missing.ndjson")
	failed(exitUsage, "missing.yaml", "test", "--json", "--config", "sound.yaml", "missing.yaml")
	failed(exitFailed, "no answer from the replica", "admin", "status", "--json", "--url", "http://127.0.0.1:1")
	got := callMain(t.Context(), nil, "check", "--json", "--config", "sound.yaml")
	findings := documents[map[string]string](t, got.out)
	if got.code != exitFailed || len(findings) < 3 || findings[1]["result"] != "FAIL" || findings[1]["do"] == "" {
		t.Errorf("check: %+v", got)
	}
}

func TestJSONOfVersion(t *testing.T) {
	got := callMain(t.Context(), nil, "version", "--json")
	all := documents[build](t, got.out)
	if got.code != exitDone || len(all) != 1 || all[0].Version == "" || all[0].Commit == "" || all[0].GoVersion != runtime.Version() {
		t.Errorf("%+v", got)
	}
}

func TestJSONOfValidate(t *testing.T) {
	got := callMain(t.Context(), strings.NewReader("{}\n"+fmt.Sprintf(goodEvent, "1", "r")+"\nno\u202e\n"), "validate", "--json", "--api-version", "v3")
	all := documents[map[string]any](t, got.out)
	if got.code != exitFailed || len(all) != 2 || all[0]["file"] != "<stdin>" || all[0]["line"] != 1.0 || all[0]["reason"] != "missing_event_id" ||
		all[0]["detail"] == "" || all[1]["line"] != 3.0 || all[1]["reason"] != "malformed" {
		t.Errorf("%+v", got)
	}
}

// TestJSONOfStatus requires the whole status, and an error from a server that is not a
// replica.
func TestJSONOfStatus(t *testing.T) {
	answer := `{"summary": {"level": "ok", "headline": "Up to date"}, "more": [1]}` + "\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
	defer server.Close()
	got := callMain(t.Context(), nil, "admin", "status", "--json", "--url", server.URL)
	if want := (outcome{exitDone, `{"summary":{"level":"ok","headline":"Up to date"},"more":[1]}` + "\n", ""}); got != want {
		t.Errorf("got %+v", got)
	}
	answer = "{}"
	got = callMain(t.Context(), nil, "admin", "status", "--json", "--url", server.URL)
	if got.code != exitFailed || !strings.Contains(documents[failedJSON](t, got.out)[0].Error, "is not the admin port") {
		t.Errorf("of another server: %+v", got)
	}
}

// TestJSONOfDeadLetters lists and replays a dead letter whose key a terminal would obey.
func TestJSONOfDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Embedded(t), "")
	const key = "\u202eevil\u0085\x7f"
	s.Produce(t, s.topic, kafka.Message{Key: []byte(key), Value: []byte("nonsense")})
	stop := background(t, "run", "--config", s.file)
	kafkatest.WaitFor(t, time.Minute, "the dead letter", func() bool { return s.Lag(t, s.topic, s.topic) == 0 })
	stop()
	code, out, _ := command(t, "", "dead-letters", "list", "--json", "--config", s.file)
	listed := documents[map[string]any](t, out)
	if code != exitDone || len(listed) != 1 || listed[0]["key"] != key || listed[0]["reason"] != "malformed" || terminal.Lines(out) != out {
		t.Errorf("list: exit %d, %q", code, out)
	}
	for _, test := range []struct {
		flag string
		want replayed
	}{
		{"--dry-run", replayed{Topic: s.topic, DryRun: true, Replayed: 1}},
		{"--again", replayed{Topic: s.topic, Replayed: 1}},
		{"--dry-run", replayed{Topic: s.topic, DryRun: true, Already: 1}},
	} {
		code, out, _ = command(t, "", "dead-letters", "replay", "--json", "--config", s.file, test.flag)
		if got := documents[replayed](t, out); code != exitDone || len(got) != 1 || got[0] != test.want {
			t.Errorf("replay %s: exit %d, %s", test.flag, code, out)
		}
	}
	code, out, errs := command(t, "", "find", "--json", "--config", s.file, "nothing")
	if all := documents[failedJSON](t, out); code != exitFailed || len(all) != 1 || all[0].Error != "clientevents: nothing is known about nothing" {
		t.Errorf("find: exit %d, %s%s", code, out, errs)
	}
	code, out, _ = command(t, "", "rehearse", "--json", "--config", s.file)
	if all := documents[map[string]any](t, out); code != exitDone || len(all) != 1 || all[0]["records"] != 2.0 {
		t.Errorf("rehearse: exit %d, %s", code, out)
	}
}

func TestJSONIsPrintable(t *testing.T) {
	var b strings.Builder
	const text = "a\u202e\u0085\x7f\U000e0001\n<"
	if err := writeJSON(&b, text); err != nil {
		t.Fatal(err)
	}
	if want := `"a\u202e\u0085\u007f\udb40\udc01\n<"` + "\n"; b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
	if got := documents[string](t, b.String()); got[0] != text {
		t.Errorf("it reads as %q", got[0])
	}
}

// TestJSONIsDocumented requires each field in docs/json.md.
func TestJSONIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(of reflect.Type)
	walk = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(of.Elem())
		case reflect.Struct:
			for field := range of.Fields() {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if name == "" {
					continue
				}
				if !strings.Contains(string(text), "`"+name+"`") {
					t.Errorf("docs/json.md has no %s of %s", name, of)
				}
				walk(field.Type)
			}
		}
	}
	for _, document := range []any{
		failedJSON{},
		check.Finding{},
		validate.Finding{},
		maptest.Result{},
		rehearse.Report{},
		find.Event{},
		check.Topic{},
		config.Shown{},
		deadletter.Entry{},
		deadletter.Row{},
		replayed{},
		build{},
	} {
		walk(reflect.TypeOf(document))
	}
}
