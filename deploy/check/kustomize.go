package check

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// buildKustomization does what `kustomize build` does with a folder.
func buildKustomization(folder string) (*rendered, error) {
	return buildOn(filesys.MakeFsOnDisk(), folder)
}

// buildMonitored builds the base with the component for the Prometheus operator.
func buildMonitored(deploy string) (*rendered, error) {
	fs := filesys.MakeFsInMemory()
	for _, folder := range []string{"base", "monitoring"} {
		files, err := filepath.Glob(filepath.Join(deploy, "kustomize", folder, "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			if err := fs.WriteFile(filepath.Join("/", folder, filepath.Base(file)), text); err != nil {
				return nil, err
			}
		}
	}
	overlay := "resources: [../base]\ncomponents: [../monitoring]\n"
	if err := fs.WriteFile("/overlay/kustomization.yaml", []byte(overlay)); err != nil {
		return nil, err
	}
	return buildOn(fs, "/overlay")
}

func buildOn(fs filesys.FileSystem, folder string) (*rendered, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, folder)
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	objects, err := decodeObjects(text)
	return &rendered{objects: objects}, err
}

// checkKustomization validates the example, and holds it to the chart: what both
// deploy is the same.
func checkKustomization(deploy string) error {
	k, err := buildKustomization(filepath.Join(deploy, "kustomize/example"))
	if err != nil {
		return err
	}
	chart := filepath.Join(deploy, "helm/clientevents")
	h, err := renderChart("clientevents", chart, filepath.Join(chart, "ci/minimal-values.yaml"))
	if err != nil {
		return err
	}
	manifest := k.manifest()
	faults := []error{validateManifests(manifest), scoreManifests(manifest)}
	for _, o := range h.objects {
		same := k.find(o.kind())
		if same == nil {
			faults = append(faults, fmt.Errorf("the chart has a %s, and the kustomization has none", o.kind()))
			continue
		}
		for _, field := range []string{"spec", "automountServiceAccountToken"} {
			if a, b := plain(o.at(field)), plain(same.at(field)); !reflect.DeepEqual(a, b) {
				faults = append(faults, fmt.Errorf("%s: the chart and the kustomization differ in %s:\n%v\n%v", o.kind(), field, a, b))
			}
		}
		faults = append(faults, checkPods(same))
	}
	config, _ := k.config()
	return errors.Join(append(faults, checkConfig(config, environment(k.find("Deployment"))))...)
}

// checkMonitored validates the component for the Prometheus operator, and holds it to
// the chart's ServiceMonitor.
func checkMonitored(deploy string) error {
	k, err := buildMonitored(deploy)
	if err != nil {
		return err
	}
	chart := filepath.Join(deploy, "helm/clientevents")
	h, err := renderChart("clientevents", chart, filepath.Join(chart, "ci/full-values.yaml"))
	if err != nil {
		return err
	}
	monitor := k.find("ServiceMonitor")
	faults := []error{validateManifests(k.manifest()), checkMonitor(monitor)}
	if a, b := plain(h.find("ServiceMonitor").at("spec")), plain(monitor.at("spec")); !reflect.DeepEqual(a, b) {
		faults = append(faults, fmt.Errorf("ServiceMonitor: the chart and the kustomization differ in spec:\n%v\n%v", a, b))
	}
	return errors.Join(faults...)
}

// plain leaves out what differs by its nature: the labels that name a release, the
// checksum of the configuration, and the suffix that kustomize has instead of that.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := maps.Clone(v)
		for _, key := range []string{
			"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart", "checksum/config",
		} {
			delete(m, key)
		}
		for key := range m {
			if m[key] = plain(m[key]); reflect.DeepEqual(m[key], map[string]any{}) && key == "annotations" {
				delete(m, key)
			}
		}
		return m
	case []any:
		l := slices.Clone(v)
		for i := range l {
			l[i] = plain(l[i])
		}
		return l
	case string:
		if strings.HasPrefix(v, "clientevents-") {
			return "clientevents"
		}
	}
	return v
}
