package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestAdmin requests the status and each action from a running replica.
func TestAdmin(t *testing.T) {
	t.Parallel()
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("a token of many characters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStation(t, kafkatest.Embedded(t), "")
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	withToken := strings.Replace(string(text), "admin: {", "admin: {token_file: "+tokenFile+", ", 1)
	if err := os.WriteFile(s.file, []byte(withToken), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := background(t, "run", "--config", s.file)
	ask := func(args ...string) (int, string, string) {
		return command(t, "", append([]string{"admin", "--url", "http://" + s.admin, "--token-file", tokenFile}, args...)...)
	}
	kafkatest.WaitFor(t, time.Minute, "the replica to be up to date", func() bool {
		code, out, _ := ask("status")
		return code == exitDone && strings.HasPrefix(out, "Up to date: nothing to report")
	})
	tested := map[string]bool{}
	for _, test := range []struct{ args, out string }{
		{"pause --partition 1", "done: pause partition 1\n"},
		{"status", "Up to date: nothing to report; partition 1 paused by an operator\nSince "},
		{"resume --partition 1", "done: resume partition 1\n"},
		{"pause", "done: pause all\n"},
		{"resume", "done: resume all\n"},
		{"rate 50", "done: rate 50/s for 15m0s\n"},
		{"rate default", "done: rate as configured\n"},
		{"log-level debug --for 5m", "done: log level debug for 5m0s\n"},
		{"log-level default", "done: log level default\n"},
		{"drain", "done: drain\n"},
	} {
		tested[strings.Fields(test.args)[0]] = true
		if code, out, errs := ask(strings.Fields(test.args)...); code != exitDone || !strings.HasPrefix(out, test.out) || errs != "" {
			t.Errorf("admin %s: exit %d, %q, %q: want %q", test.args, code, out, errs, test.out)
		}
	}
	for _, o := range admin.Operations() {
		if !tested[o.Name] {
			t.Errorf("the action %s was not requested", o.Name)
		}
	}
	if code, _, errs := ask("rate", "0"); code != exitFailed || !strings.Contains(errs, "the replica refused: events_per_second") {
		t.Errorf("a rate of 0: exit %d, %q", code, errs)
	}
	if code := stop(); code != exitDone {
		t.Errorf("the replica ended with %d", code)
	}
	if code, _, errs := ask("status"); code != exitFailed || !strings.Contains(errs, "no answer from the replica") {
		t.Errorf("a replica that is gone: exit %d, %q", code, errs)
	}
}

func TestAdminUsage(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"admin", exitUsage, "'clientevents admin pause'"},
		{"admin stop", exitUsage, "unknown command"},
		{"admin pause", exitUsage, "--token-file is required: the file"},
		{"admin pause --token-file /nowhere", exitUsage, "--token-file: open /nowhere"},
		{"admin status --url nowhere", exitUsage, "--url: \"nowhere\": expected an http or https URL"},
		{"admin rate", exitUsage, "expected one value: clientevents admin rate EVENTS_PER_SECOND|default"},
		{"admin status --url " + other.URL, exitFailed, "the replica answered 404"},
	} {
		code, out, errs := command(t, "", strings.Fields(test.args)...)
		if code != test.code || out != "" || !strings.Contains(errs, test.says) {
			t.Errorf("%s: exit %d, %q, %q: want %d and %q", test.args, code, out, errs, test.code, test.says)
		}
	}
}
