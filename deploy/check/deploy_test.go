package check

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const chartFolder = root + "/deploy/helm/clientevents"

func TestChart(t *testing.T) {
	files, err := valuesFiles(chartFolder)
	if err != nil || len(files) < 3 {
		t.Fatalf("values files: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if err := checkChart(chartFolder, file); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestChartExamples renders the values that the chart's README shows, and loads their
// configurations.
func TestChartExamples(t *testing.T) {
	text, err := os.ReadFile(chartFolder + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)\n```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) < 4 {
		t.Fatalf("the README has %d examples", len(examples))
	}
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	secrets := secretsFolder(t)
	for _, example := range examples {
		checkValues(t, binary, strings.ReplaceAll(string(example[1]), "/etc/clientevents", secrets))
	}
}

// TestPlatforms renders the values of each platform, and loads their configurations. Each
// has a section in docs/operations.md that names its file.
func TestPlatforms(t *testing.T) {
	files, err := filepath.Glob(chartFolder + "/platforms/*-values.yaml")
	if err != nil || len(files) != 8 {
		t.Fatalf("%d platforms (%v), expected 8", len(files), err)
	}
	operations, err := os.ReadFile(root + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	secrets := secretsFolder(t)
	for _, file := range files {
		if !strings.Contains(string(operations), "/platforms/"+filepath.Base(file)+")") {
			t.Errorf("docs/operations.md does not name %s", filepath.Base(file))
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkValues(t, binary, strings.ReplaceAll(string(text), "/etc/clientevents", secrets))
	}
}

// checkValues renders the chart with values and loads the configuration in them.
func checkValues(t *testing.T, binary, values string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lintChart(chartFolder, file); err != nil {
		t.Errorf("%v in\n%s", err, values)
	}
	r, err := renderChart("events", chartFolder, file)
	if err != nil {
		t.Errorf("%v in\n%s", err, values)
		return
	}
	if err := validateManifests(r.manifest()); err != nil {
		t.Errorf("%v in\n%s", err, values)
	}
	config, _ := r.config()
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(nil, nil, "", binary, "config", "show", "--config", file); err != nil {
		t.Errorf("%s in\n%s", out, values)
	}
}

// secretsFolder holds the files that the examples name, as Secrets would be mounted.
func secretsFolder(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	server.Close()
	folder := t.TempDir()
	for name, content := range map[string][]byte{
		"ca/ca.crt":               pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		"kafka/password":          []byte("a password of an example"),
		"kafka/client-secret":     []byte("a secret of an example"),
		"google/credentials.json": []byte("{}"),
		"admin/token":             []byte("a token of an example"),
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestDockerfile(t *testing.T) {
	for path, port := range map[string]string{"/deploy/Dockerfile": "9090", "/emulator/grpc/Dockerfile": "8080"} {
		if err := checkDockerfile(root+path, port); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestKustomization(t *testing.T) {
	if err := checkKustomization(root + "/deploy"); err != nil {
		t.Error(err)
	}
	if err := checkMonitored(root + "/deploy"); err != nil {
		t.Error(err)
	}
}

func TestWorkflows(t *testing.T) {
	if err := checkWorkflows(root + "/.github/workflows"); err != nil {
		t.Error(err)
	}
}

func TestRelease(t *testing.T) {
	if err := checkRelease(root + "/.goreleaser.yaml"); err != nil {
		t.Error(err)
	}
}

func TestCompose(t *testing.T) {
	if err := checkCompose(root + "/deploy/compose.yaml"); err != nil {
		t.Error(err)
	}
}

// TestComposePrograms runs the commands that the compose file gives the image: each is
// one that the program knows, with flags that it knows.
func TestComposePrograms(t *testing.T) {
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p, err := loadCompose(root + "/deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	startProcess(t, binary, slices.Replace(slices.Clone([]string(p.Services["emulator"].Command)), 2, 3, "127.0.0.1:0")...)
	if out, err := run(nil, nil, "", binary, append(p.Services["clientevents"].Command, "--help")...); err != nil {
		t.Error(out)
	}
	// The generator's loop, with one round and a publisher that prints.
	script := strings.NewReplacer("$$", "$", "while sleep 1; do", "", "done", "", "/clientevents publish", "cat", "/clientevents", binary).
		Replace(p.Services["generator"].Command[0])
	out, err := run(nil, nil, "", "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	if out, err = run([]byte(out), nil, "", binary, "validate"); err != nil {
		t.Error(out)
	}
}

// TestRulesAreOne: what the chart deploys is what deploy/prometheus tests.
func TestRulesAreOne(t *testing.T) {
	r, err := renderChart("events", chartFolder, filepath.Join(chartFolder, "ci/full-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(root + "/deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules map[string]any
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	if got := r.find("PrometheusRule").at("spec"); !reflect.DeepEqual(got, rules) || rules["groups"] == nil {
		t.Errorf("the chart's rules are not those of deploy/prometheus")
	}
}

// TestDashboardsAreAll: the chart deploys each file of deploy/grafana, as it is.
func TestDashboardsAreAll(t *testing.T) {
	r, err := renderChart("events", chartFolder, filepath.Join(chartFolder, "ci/full-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(root + "/deploy/grafana/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, file := range files {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.objects, func(o object) bool {
			return o.kind() == "ConfigMap" && o.at("data", filepath.Base(file)) == string(want)
		})
		switch {
		case i < 0:
			t.Errorf("the chart does not deploy %s", file)
		case r.objects[i].at("metadata", "labels", "grafana_dashboard") != "1":
			t.Errorf("Grafana's sidecar does not see %s", r.objects[i].name())
		}
	}
}
