package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestEmulatorFlagsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	emulator, _, err := newRoot(Streams{}).Find([]string{"emulator"})
	if err != nil {
		t.Fatal(err)
	}
	emulator.Flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(string(text), "`--"+f.Name+"`") {
			t.Errorf("--%s is not in docs/emulator.md", f.Name)
		}
		if value := f.DefValue; value != "" && value != "0" && value != "0s" && value != "false" && !strings.Contains(string(text), "`"+value+"`") {
			t.Errorf("--%s: the default %s is not in docs/emulator.md", f.Name, value)
		}
	})
}

// runEmulator runs the command until stop is called, which returns its exit code.
func runEmulator(t *testing.T, args ...string) (url string, stop func() outcome) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan outcome, 1)
	go func() {
		var errs strings.Builder
		code := Main(ctx, append([]string{"emulator", "--listen", "127.0.0.1:0"}, args...), Streams{In: strings.NewReader(""), Out: write, Err: &errs})
		write.Close()
		done <- outcome{code: code, err: errs.String()}
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	stop = func() outcome {
		cancel()
		return <-done
	}
	if err != nil {
		t.Fatalf("%q: %v, %+v", line, err, stop())
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), stop
}

func TestEmulatorKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "talent")
	url, stop := runEmulator(t, "--data", dir)
	resp, err := http.Post(url+"/v4/projects/demo/tenants/default/companies", "application/json",
		strings.NewReader(`{"displayName": "Acme", "externalId": "acme"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := stop(); got.code != exitDone || got.err != "" {
		t.Errorf("stopped with %+v", got)
	}
	url, stop = runEmulator(t, "--data", dir)
	resp, err = http.Get(url + "/emulator/companies")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `"displayName": "Acme"`) {
		t.Errorf("the company is gone: %s, %v", body, err)
	}
	resp.Body.Close()
	if got := callMain(t.Context(), nil, "emulator", "--listen", "127.0.0.1:0", "--data", dir); got.code != exitUsage || !strings.Contains(got.err, "is in use by another process") {
		t.Errorf("a second one in the folder: %+v", got)
	}
	stop()
}

func TestEmulatorRefusesADamagedFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "talent.db")
	for _, content := range []string{"no database", strings.Repeat("x", 32<<10)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got := callMain(t.Context(), nil, "emulator", "--listen", "127.0.0.1:0", "--data", dir)
		if got.code != exitUsage || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, "the file is damaged: ") {
			t.Errorf("got %+v", got)
		}
		if after, err := os.ReadFile(file); err != nil || string(after) != content {
			t.Errorf("the file was changed, %v", err)
		}
	}
}

func TestEmulatorAtAPortInUse(t *testing.T) {
	url, stop := runEmulator(t)
	defer stop()
	addr := strings.TrimPrefix(url, "http://")
	got := callMain(t.Context(), nil, "emulator", "--listen", addr)
	if got.code != exitFailed || !strings.HasPrefix(got.err, `clientevents: --listen: "`+addr+`": `) {
		t.Errorf("got %+v", got)
	}
}

func TestEmulatorThatKeepsNoEvents(t *testing.T) {
	url, stop := runEmulator(t, "--keep", "0")
	defer stop()
	resp, err := http.Post(url+"/v3/projects/p/clientEvents", "application/json", strings.NewReader(
		`{"clientEvent": {"eventId": "e", "requestId": "r", "createTime": "2026-01-02T03:04:05Z", "jobEvent": {"type": "VIEW", "jobs": ["projects/p/jobs/1"]}}}`))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%+v, %v", resp, err)
	}
	resp.Body.Close()
	resp, err = http.Get(url + "/emulator/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || strings.Contains(string(body), `"eventId"`) {
		t.Errorf("it keeps %s, %v", body, err)
	}
}
