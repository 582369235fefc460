package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
)

const artifact = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"

// missing skips a test for what is not to be had here.
func missing(t *testing.T, what string, err error, out []byte) {
	t.Helper()
	t.Skipf("NOT RUN: %s: %v %s", what, err, out)
}

// apicurio starts a registry, and returns the base of its API.
func apicurio(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"java", "mvn", "tar"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program, err, nil)
		}
	}
	folder := t.TempDir()
	fetch := exec.CommandContext(t.Context(), "mvn", "-q", "-B", "dependency:copy", "-Dartifact="+artifact, "-DoutputDirectory="+folder)
	if out, err := fetch.CombinedOutput(); err != nil {
		missing(t, artifact, err, out)
	}
	archives, _ := filepath.Glob(filepath.Join(folder, "*.tar.gz"))
	if len(archives) != 1 {
		t.Fatalf("Maven brought %v", archives)
	}
	if out, err := exec.CommandContext(t.Context(), "tar", "xzf", archives[0], "-C", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	jars, _ := filepath.Glob(filepath.Join(folder, "*-runner.jar"))
	if len(jars) != 1 {
		t.Fatalf("the archive has %v", jars)
	}
	return start(t, jars[0])
}

func start(t *testing.T, jar string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	server := exec.CommandContext(ctx, "java", "-Xmx400m", "-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port="+port, "-jar", jar)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = server.Wait()
	})
	base := "http://127.0.0.1:" + port + "/apis/ccompat/v7"
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get(base + "/schemas/types")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return base
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the registry does not start: %v\n%s", err, text)
		}
	}
}

// python makes an environment with Confluent's serializers.
func python(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "python3", "-m", "venv", folder).CombinedOutput(); err != nil {
		missing(t, "python3 -m venv", err, out)
	}
	pip := exec.CommandContext(t.Context(), filepath.Join(folder, "bin", "pip"), "install", "--quiet", "--requirement", "requirements.txt")
	if out, err := pip.CombinedOutput(); err != nil {
		missing(t, "confluent-kafka for Python", err, out)
	}
	return filepath.Join(folder, "bin", "python")
}

func decoder(t *testing.T, format input.Format, url string) *input.Decoder {
	t.Helper()
	d, err := input.New(input.Config{
		Version: event.V3, Format: format, Registry: input.Registry{URL: url},
		// The value itself shows in a detail: an event ID has no rule but to be there.
		Mapping: `{eventId: tojson, requestId: $schema.name, createTime: $timestamp, jobEvent: {type: "VIEW", jobs: ["projects/p/jobs/j"]}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// produced returns the lines that a producer writes.
func produced(t *testing.T, name string, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestConfluentSerializersAndApicurio: records of another producer, whose schemas are in
// a registry that is no fake.
func TestConfluentSerializersAndApicurio(t *testing.T) {
	url := apicurio(t)
	decoders := decodeAll(t, url, produced(t, python(t), "produce.py", url), []string{
		`c.Viewed {"at":"2026-01-02T03:04:05.678Z","id":9223372036854775807,"job":{"id":"j1"},"price":-123456789012345678.90,"user":"u-1"}`,
		`Viewed {"id":7,"job":"j1"}`,
		`shop.Viewed {"at":"2026-01-02T03:04:05Z","userId":"9223372036854775807"}`,
		`shop.Viewed.Inner {"jobs":["j1","j2"]}`,
	})
	_, fault, err := decoders["avro"].Decode(t.Context(), &input.Record{Value: []byte{0, 0, 0, 0x27, 0x0f}}, nil)
	if err != nil || fault == nil || fault.Error() != "undecodable: schema ID 9999 is not in the registry" {
		t.Errorf("an unknown ID: %v, %v", fault, err)
	}
	if err := decoders["avro"].CheckRegistry(t.Context()); err != nil {
		t.Errorf("the check of the registry: %v", err)
	}
}

// TestJavaAvroAndApicurio: records of Java's Avro, in two versions of a schema.
func TestJavaAvroAndApicurio(t *testing.T) {
	url := apicurio(t)
	folder := t.TempDir()
	fetch := exec.CommandContext(t.Context(), "mvn", "-q", "-B", "-f", "java/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory="+folder)
	if out, err := fetch.CombinedOutput(); err != nil {
		missing(t, "Apicurio's Avro serializer", err, out)
	}
	lines := produced(t, "java", "-Xmx200m", "-cp", filepath.Join(folder, "*"), "java/Produce.java", strings.TrimSuffix(url, "ccompat/v7")+"registry/v2")
	const fields = `"at":"2026-01-02T03:04:05.678901Z","day":"2026-01-02","hash":"/wA=","id":9223372036854775807,"jobs":[{"id":"j1"}],"kind":"VIEW",` +
		`"price":-12345678901234567890.1234,`
	const after = `"score":0.1,"tags":{"new":1},"user":%s,"uuid":"6f2c9e5a-0d3b-5c41-9a7e-3b1f8d4c2e60"}`
	decodeAll(t, url, lines, []string{
		"java.Viewed {" + fields + fmt.Sprintf(after, "null"),
		"java.Viewed {" + fields + `"rank":3,` + fmt.Sprintf(after, `"jane"`),
	})
}

// decodeAll compares the values of lines of "FORMAT BASE64" with the expected ones, each
// after the name of its type. It returns the decoders by format.
func decodeAll(t *testing.T, url string, lines, want []string) map[input.Format]*input.Decoder {
	t.Helper()
	if len(lines) != len(want) {
		t.Fatalf("the producer wrote %q", lines)
	}
	decoders := map[input.Format]*input.Decoder{}
	for i, line := range lines {
		name, text, _ := strings.Cut(line, " ")
		format := input.Format(name)
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if decoders[format] == nil {
			decoders[format] = decoder(t, format, url)
		}
		events, fault, err := decoders[format].Decode(t.Context(), &input.Record{Value: value, Timestamp: time.Now()}, nil)
		if err != nil || fault != nil {
			t.Errorf("%s: %v, %v", format, fault, err)
			continue
		}
		if got := events[0].RequestID + " " + events[0].ID; got != want[i] {
			t.Errorf("%s:\n got %s\nwant %s", format, got, want[i])
		}
	}
	return decoders
}
