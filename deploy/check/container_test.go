package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestContainer runs what the chart's container would run, as far as that goes
// without a container engine: the image's entry point with the Deployment's
// arguments and environment and the ConfigMap's file, as a user without rights, on
// files that it can't write. Only addresses are others.
func TestContainer(t *testing.T) {
	r, err := renderChart("events", chartFolder, filepath.Join(chartFolder, "ci/emulator-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	image := readDockerfile(t, root+"/deploy/Dockerfile")
	folder := publicFolder(t)
	built, err := program()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, filepath.Base(image.entrypoint[0]))
	if _, err := run(nil, nil, "", "cp", built, binary); err != nil {
		t.Fatal(err)
	}
	deployment := r.find("Deployment")
	args := strings.Fields(strings.Trim(fmt.Sprint(deployment.at("spec", "template", "spec", "containers", 0, "args")), "[]"))
	if want := image.command; strings.Join(args, " ") != strings.Join(want, " ") {
		t.Errorf("the chart gives the arguments %q, the image %q", args, want)
	}
	mounted := args[len(args)-1]
	config := filepath.Join(folder, filepath.Base(mounted))
	text, ok := r.config()
	if !ok {
		t.Fatal("no ConfigMap with clientevents.yaml")
	}
	if err := os.WriteFile(config, []byte(text), 0o444); err != nil {
		t.Fatal(err)
	}
	args[len(args)-1] = config

	broker := startProcess(t, "go", "run", "./test/kafkatest/cmd/embedded", "-topic", "client-events:6")
	api := strings.TrimPrefix(startProcess(t, binary, "emulator", "--listen", "127.0.0.1:0"), "listening on ")
	admin := freeAddress(t)
	addresses := []string{
		"CLIENTEVENTS_KAFKA_BROKERS=" + broker, "CLIENTEVENTS_API_ENDPOINT=" + api, "CLIENTEVENTS_ADMIN_LISTEN=" + admin,
	}

	// No file may grow beyond 0 bytes: a stand-in for a file system that is read-only.
	shell := append([]string{"-c", `ulimit -f 0; exec "$@"`, "sh", binary}, args...)
	container := exec.CommandContext(t.Context(), "/bin/sh", shell...)
	container.Env = append(environment(deployment), addresses...)
	container.Dir = "/"
	if os.Getuid() == 0 {
		const nobody = 65534
		container.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	log, err := container.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := container.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(log); lines.Scan(); {
			fmt.Fprintln(t.Output(), lines.Text())
		}
	}()
	waitFor(t, "/readyz to answer 200", func() bool { return status(admin, "/readyz") == http.StatusOK })
	t.Logf("ready after %s", time.Since(began).Round(10*time.Millisecond))
	if got := status(admin, "/livez"); got != http.StatusOK {
		t.Errorf("/livez answers %d", got)
	}

	const events = 200
	made, err := run(nil, nil, "", binary, "generate", "--events", fmt.Sprint(events))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run([]byte(made), addresses, "", binary, "publish", "--config", config); err != nil {
		t.Fatal(err, out)
	}
	waitFor(t, "the emulator to have accepted the events", func() bool { return accepted(api) == events })

	began = time.Now()
	if err := container.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := container.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	grace := deployment.at("spec", "template", "spec", "terminationGracePeriodSeconds").(int)
	if took := time.Since(began); took > time.Duration(grace)*time.Second {
		t.Errorf("it took %s to end, and is given %d s", took, grace)
	}
}

// publicFolder is a temporary folder that other users can read.
func publicFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "clientevents-container-") //nolint:usetesting // t.TempDir is for this user alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// startProcess starts a program in the repository's root and returns the first line
// that it prints. It is ended with the test.
func startProcess(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = root
	cmd.Stderr = t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	in, err := cmd.StdinPipe() // which ends what `go run` runs, too
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it was told to end
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s %v printed nothing: %v", name, args, err)
	}
	return strings.TrimSpace(line)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func status(address, path string) int {
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// accepted is how many events the emulator took.
func accepted(api string) int {
	resp, err := http.Get(api + "/emulator/stats")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	var stats struct{ Accepted int }
	body, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(body, &stats) != nil {
		return -1
	}
	return stats.Accepted
}

// waitFor looks every 20 ms whether something holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func readDockerfile(t *testing.T, path string) *dockerfile {
	t.Helper()
	d, err := parseDockerfile(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
