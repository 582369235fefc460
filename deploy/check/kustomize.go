package check

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// buildKustomization does what `kustomize build` does.
func buildKustomization(folder string) (*rendered, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
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
