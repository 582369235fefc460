package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

// object is a Kubernetes object.
type object map[string]any

// at is the value at a path of names, and of numbers in lists; nil where there is
// none.
func (o object) at(path ...any) any {
	var v any = map[string]any(o)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	return v
}

func (o object) kind() string { s, _ := o.at("kind").(string); return s }
func (o object) name() string { s, _ := o.at("metadata", "name").(string); return s }

// rendered is what the chart makes of some values.
type rendered struct {
	objects []object
	notes   string
}

func (r *rendered) find(kind string) object {
	i := slices.IndexFunc(r.objects, func(o object) bool { return o.kind() == kind })
	if i < 0 {
		return nil
	}
	return r.objects[i]
}

// config is the program's configuration.
func (r *rendered) config() (string, bool) {
	for _, o := range r.objects {
		if text, ok := o.at("data", "clientevents.yaml").(string); ok {
			return text, true
		}
	}
	return "", false
}

// manifest is the objects as one file.
func (r *rendered) manifest() []byte {
	var all bytes.Buffer
	for _, o := range r.objects {
		all.WriteString("---\n")
		text, err := yaml.Marshal(map[string]any(o))
		if err != nil {
			panic(err) // it was read from YAML
		}
		all.Write(text)
	}
	return all.Bytes()
}

// renderChart does what `helm template` does: the schema, the templates, and the
// release's name and namespace.
func renderChart(release, chart, valuesFile string) (*rendered, error) {
	c, err := loader.LoadDir(chart)
	if err != nil {
		return nil, err
	}
	values, err := chartutil.ReadValuesFile(valuesFile)
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: release, Namespace: "jobs", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, err
	}
	r := &rendered{}
	for path, text := range files {
		if strings.HasSuffix(path, "NOTES.txt") {
			r.notes = text
			continue
		}
		objects, err := decodeObjects([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		r.objects = append(r.objects, objects...)
	}
	slices.SortFunc(r.objects, func(a, b object) int {
		return strings.Compare(a.kind()+"/"+a.name(), b.kind()+"/"+b.name())
	})
	return r, nil
}

func decodeObjects(text []byte) (all []object, err error) {
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o map[string]any
		switch err := d.Decode(&o); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		if o != nil {
			all = append(all, o)
		}
	}
}

// lintChart is `helm lint --strict`.
func lintChart(chart, valuesFile string) error {
	values, err := chartutil.ReadValuesFile(valuesFile)
	if err != nil {
		return err
	}
	var faults []error
	for _, m := range lint.AllWithKubeVersion(chart, values, "jobs", nil).Messages {
		if m.Severity >= support.WarningSev {
			faults = append(faults, fmt.Errorf("lint: %s", m.Error()))
		}
	}
	return errors.Join(faults...)
}

// checkChart lints, renders and validates a chart with one values file.
func checkChart(chart, valuesFile string) error {
	if err := lintChart(chart, valuesFile); err != nil {
		return err
	}
	r, err := renderChart("events", chart, valuesFile)
	if err != nil {
		return err
	}
	manifest := r.manifest()
	faults := []error{validateManifests(manifest), scoreManifests(manifest)}
	for _, o := range r.objects {
		faults = append(faults, checkPods(o), checkMonitor(o))
	}
	if config, ok := r.config(); !ok {
		faults = append(faults, errors.New("no ConfigMap with clientevents.yaml"))
	} else {
		faults = append(faults, checkConfig(config, environment(r.find("Deployment"))))
	}
	return errors.Join(faults...)
}

// checkMonitor wants a ServiceMonitor to keep the classic buckets, which rules and
// dashboards need: a Prometheus that takes native histograms takes those alone unless
// it is told otherwise.
func checkMonitor(o object) error {
	if o.kind() == "ServiceMonitor" && o.at("spec", "scrapeClassicHistograms") != true {
		return fmt.Errorf("ServiceMonitor %s: scrapeClassicHistograms is not true", o.name())
	}
	return nil
}

func valuesFiles(chart string) ([]string, error) {
	return filepath.Glob(filepath.Join(chart, "ci", "*-values.yaml"))
}
