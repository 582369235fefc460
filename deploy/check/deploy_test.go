package check

import (
	"os"
	"path/filepath"
	"reflect"
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

func TestDockerfile(t *testing.T) {
	if err := checkDockerfile(root + "/deploy/Dockerfile"); err != nil {
		t.Error(err)
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
	if out, err = run([]byte(out), nil, "", binary, "validate", "--api-version", "v3"); err != nil {
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
