// Package check checks what is in deploy/ with what runs without a cluster, a
// container engine and a network: make deploy-check.
//
// Each check is a function that returns the faults it found, so that
// TestPlantedFaults can show that it finds them.
package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// root is the repository, seen from this folder.
const root = "../.."

// run runs a command; what it prints is the error's text.
func run(input []byte, env []string, dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// tool runs one of the pinned tools, each of which has a module of its own below
// tools/: what they need differs too much for one.
func tool(input []byte, name string, args ...string) (string, error) {
	return run(input, nil, root, "go", append([]string{"tool", "-modfile=tools/" + name + "/go.mod", name}, args...)...)
}

// crds are the definitions of what Kubernetes itself doesn't know.
var crds = []struct{ module, folder string }{
	{"github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases"},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd"},
}

var crdFolders = sync.OnceValues(func() (folders []string, err error) {
	for _, c := range crds {
		out, err := run(nil, nil, os.TempDir(), "go", "mod", "download", "-json", c.module)
		if err != nil {
			return nil, err
		}
		var module struct{ Dir string }
		if err := json.Unmarshal([]byte(out), &module); err != nil {
			return nil, err
		}
		folders = append(folders, filepath.Join(module.Dir, c.folder))
	}
	return folders, nil
})

// validateManifests holds objects to Kubernetes' and the operators' schemas:
// unknown fields and wrong types are faults.
func validateManifests(manifest []byte) error {
	folders, err := crdFolders()
	if err != nil {
		return err
	}
	file, err := temporary(manifest)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }()
	args := []string{file, "--version", "1.30"}
	for _, folder := range folders {
		args = append(args, "--local-crds", folder)
	}
	_, err = tool(nil, "kubectl-validate", args...)
	return err
}

// scoreIgnored are tests of kube-score that are not for us, with the reason.
var scoreIgnored = map[string]string{
	"container-image-pull-policy":                   "a release's tag is not moved; a digest can be given",
	"deployment-replicas":                           "its cheapest form is one replica, on purpose",
	"container-ephemeral-storage-request-and-limit": "set in the chart's values; kube-score wants the two equal",
	"pod-probes-identical":                          "startup and liveness are meant to be",
}

// scoreManifests asks kube-score what is wrong by good practice.
func scoreManifests(manifest []byte) error {
	args := []string{"score", "--output-format", "ci", "--kubernetes-version", "v1.30", "--ignore-container-cpu-limit"}
	for name := range scoreIgnored {
		args = append(args, "--ignore-test", name)
	}
	out, err := tool(manifest, "kube-score", append(args, "-")...)
	var faults []error
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "[CRITICAL]") || strings.HasPrefix(line, "[WARNING]") {
			faults = append(faults, fmt.Errorf("kube-score: %s", strings.TrimSpace(line)))
		}
	}
	if len(faults) == 0 {
		return err
	}
	return errors.Join(faults...)
}

func temporary(content []byte) (string, error) {
	f, err := os.CreateTemp("", "deploy-*.yaml")
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = f.Write(content)
	return f.Name(), err
}

// checkPods holds the pods of an object to the Pod Security Standard "restricted",
// and to what this program needs.
func checkPods(o object) error {
	pod, _ := o.at("spec", "template", "spec").(map[string]any)
	if pod == nil {
		return nil
	}
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s %s: "+format, append([]any{o.kind(), o.name()}, args...)...))
		}
	}
	spec := object(pod)
	want(spec.at("securityContext", "runAsNonRoot") == true, "runAsNonRoot is not true")
	want(spec.at("securityContext", "seccompProfile", "type") == "RuntimeDefault", "seccompProfile is not RuntimeDefault")
	want(spec.at("automountServiceAccountToken") == false, "the service account's token is mounted")
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		want(spec.at(field) == nil, "%s is set", field)
	}
	grace, _ := spec.at("terminationGracePeriodSeconds").(int)
	want(grace >= drainSeconds+5, "terminationGracePeriodSeconds is %d: a drain takes up to %d s", grace, drainSeconds)
	for _, v := range list(spec.at("volumes")) {
		kinds := []string{"configMap", "secret", "projected", "emptyDir", "csi", "downwardAPI", "ephemeral", "persistentVolumeClaim"}
		want(slices.ContainsFunc(kinds, func(kind string) bool { return object(v).at(kind) != nil }), "volume %v is not of a restricted kind", v["name"])
	}
	containers := list(spec.at("containers"))
	want(len(containers) == 1, "%d containers", len(containers))
	for _, c := range append(containers, list(spec.at("initContainers"))...) {
		container := object(c)
		want(container.at("securityContext", "allowPrivilegeEscalation") == false, "allowPrivilegeEscalation is not false")
		want(container.at("securityContext", "readOnlyRootFilesystem") == true, "the root file system can be written")
		want(fmt.Sprint(container.at("securityContext", "capabilities", "drop")) == "[ALL]", "capabilities are not dropped")
		want(container.at("securityContext", "privileged") == nil, "privileged is set")
		want(container.at("startupProbe", "httpGet", "path") == "/livez", "startupProbe does not ask /livez")
		want(container.at("livenessProbe", "httpGet", "path") == "/livez", "livenessProbe does not ask /livez")
		want(container.at("readinessProbe", "httpGet", "path") == "/readyz", "readinessProbe does not ask /readyz")
		want(!strings.HasSuffix(fmt.Sprint(container.at("image")), ":latest"), "the image's tag moves")
		memory := fmt.Sprint(container.at("resources", "limits", "memory"))
		want(memory == fmt.Sprint(container.at("resources", "requests", "memory")), "memory: the request is not the limit")
		got, limit := environmentValue(container, "GOMEMLIMIT"), mebibytes(memory)
		want(got == fmt.Sprintf("%dMiB", limit*9/10), "GOMEMLIMIT is %q: want 90 %% of %s", got, memory)
		for _, mount := range list(container.at("volumeMounts")) {
			want(mount["subPath"] == nil && mount["subPathExpr"] == nil, "%v is mounted with subPath: the running pod would not see its changes", mount["mountPath"])
		}
		file := configFile(container)
		want(mounted(container, "config", filepath.Dir(file)), "the folder of --config %s is not the mount of the volume config", file)
	}
	return errors.Join(faults...)
}

// drainSeconds is how long the program takes to end, at most: contract,
// "Delivery", 5.
const drainSeconds = 10

// configFile returns the value of --config in the container's arguments.
func configFile(container object) string {
	args, _ := container.at("args").([]any)
	if i := slices.Index(args, any("--config")); i >= 0 && i+1 < len(args) {
		return fmt.Sprint(args[i+1])
	}
	return ""
}

// mounted reports whether the volume is mounted at the path.
func mounted(container object, volume, path string) bool {
	return slices.ContainsFunc(list(container.at("volumeMounts")), func(mount map[string]any) bool {
		return mount["name"] == volume && mount["mountPath"] == path
	})
}

func list(v any) (all []map[string]any) {
	items, _ := v.([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func environmentValue(container object, name string) string {
	for _, v := range list(container.at("env")) {
		if v["name"] == name {
			return fmt.Sprint(v["value"])
		}
	}
	return ""
}

// environment is a Deployment's environment as NAME=value, with something in the
// place of secrets.
func environment(deployment object) (all []string) {
	for _, v := range list(deployment.at("spec", "template", "spec", "containers", 0, "env")) {
		value := "secret"
		if s, ok := v["value"].(string); ok {
			value = s
		}
		all = append(all, fmt.Sprintf("%v=%s", v["name"], value))
	}
	return all
}

func mebibytes(quantity string) (n int) {
	unit := ""
	if _, err := fmt.Sscanf(quantity, "%d%s", &n, &unit); err != nil {
		return -1
	}
	if unit == "Gi" {
		n *= 1024
	}
	return n
}

// program is the clientevents command, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		return "", err
	}
	_, err = run(nil, nil, root, "go", "build", "-o", filepath.Join(dir, "clientevents"), "./cmd/clientevents")
	return filepath.Join(dir, "clientevents"), err
})

// checkConfig lets the program itself read a configuration. Brokers and the API
// aren't there, which is no fault of the configuration.
func checkConfig(config string, env []string) error {
	binary, err := program()
	if err != nil {
		return err
	}
	file, err := temporary([]byte(config))
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }()
	out, err := run(nil, env, "", binary, "check", "--config", file)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return fmt.Errorf("configuration: %s", out)
	}
	if !strings.Contains(out, "configuration: valid") {
		return fmt.Errorf("clientevents check: %s", out)
	}
	return nil
}
