package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/test/kafkatest"
)

const smallConfig = "kafka:\n  brokers: [a:1]\n  topic: t\n  group: g\napi:\n  version: v3\n  parent: projects/p\nreport:\n  rate: 50\n"

// TestConfigShow: each key is shown with its origin, and a secret is not.
func TestConfigShow(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.yaml", []byte(smallConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{
		"CLIENTEVENTS_KAFKA_SASL_MECHANISM=plain", "CLIENTEVENTS_KAFKA_SASL_USERNAME=me", "CLIENTEVENTS_KAFKA_SASL_PASSWORD=open sesame",
	}
	call := func(args ...string) outcome {
		var out, err bytes.Buffer
		code := Main(t.Context(), append([]string{"config", "show", "--config", "c.yaml"}, args...), Streams{Out: &out, Err: &err, Environ: environ})
		return outcome{code, out.String(), err.String()}
	}
	got := call()
	if got.code != exitDone || got.err != "" {
		t.Fatalf("%+v", got)
	}
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if len(lines) != 1+len(config.Keys()) {
		t.Errorf("%d lines for %d keys", len(lines), len(config.Keys()))
	}
	shown := map[string]string{}
	for _, line := range lines {
		key, rest, _ := strings.Cut(line, " ")
		shown[key] = strings.Join(strings.Fields(rest), " ")
	}
	for key, want := range map[string]string{
		"KEY":                 "VALUE ORIGIN",
		"report.rate":         "50 c.yaml:9",
		"report.linger":       "5ms default",
		"kafka.tls.ca_file":   "- default",
		"kafka.sasl.password": "(secret) environment variable CLIENTEVENTS_KAFKA_SASL_PASSWORD",
	} {
		if shown[key] != want {
			t.Errorf("%s: %q, expected %q", key, shown[key], want)
		}
	}
	asJSON := call("--json")
	found := false
	for line := range strings.Lines(asJSON.out) {
		var s struct {
			Key, Origin, File string
			Value             any
			Line              int
			Reload            bool
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		if s.Key == "report.rate" {
			found = s.Value == 50.0 && s.Origin == "c.yaml:9" && s.File == "c.yaml" && s.Line == 9 && s.Reload
		}
	}
	if !found {
		t.Errorf("report.rate is not in the JSON as expected:\n%s", asJSON.out)
	}
	if strings.Contains(got.out+asJSON.out, "sesame") {
		t.Error("the password is shown")
	}
}

// TestHangup sends a process the signal to reload, and asks it for the configuration in
// force.
func TestHangup(t *testing.T) {
	t.Parallel()
	address, file := freeAddress(t), filepath.Join(t.TempDir(), "c.yaml")
	write := func(rate string) {
		t.Helper()
		text := "kafka: {brokers: ['127.0.0.1:1'], topic: t, group: g}\napi: {version: v4, parent: projects/p/tenants/t, credentials: none, endpoint: 'http://127.0.0.1:1'}\n" +
			"admin: {listen: '" + address + "'}\nreport: {rate: " + rate + "}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("50")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--config", file)
	cmd.Env = append(os.Environ(), "BE_THE_PROGRAM=1")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitRate := func(rate string) {
		t.Helper()
		kafkatest.WaitFor(t, 20*time.Second, "a rate of "+rate, func() bool {
			code, out, _ := command(t, "", "admin", "config", "--url", "http://"+address)
			return code == exitDone && regexp.MustCompile(`(?m)^report.rate +`+rate+` +\S+c\.yaml:4$`).MatchString(out)
		})
	}
	waitRate("50")
	write("70")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitRate("70")
	code, out, errs := command(t, "", "admin", "config", "--json", "--url", "http://"+address)
	if code != exitDone || len(strings.Split(strings.TrimSpace(out), "\n")) != len(config.Keys()) {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || !strings.Contains(log.String(), "configuration reloaded") || !strings.Contains(log.String(), "report.rate: 50 -> 70") {
		t.Errorf("it ended with %v:\n%s", err, &log)
	}
}
