package check

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // helm tells of each symbolic link
	os.Exit(m.Run())
}

// TestPlantedFaults shows that each check finds what it is there for.
func TestPlantedFaults(t *testing.T) {
	chart := func(values string) func(string) error {
		return func(deploy string) error {
			folder := filepath.Join(deploy, "helm/clientevents")
			return checkChart(folder, filepath.Join(folder, "ci", values))
		}
	}
	tests := []struct {
		name, file, old, new string
		check                func(deploy string) error
		want                 string
	}{
		{
			"helm lint: a template that doesn't end", "helm/clientevents/templates/service.yaml",
			"{{- end }}", "", chart("minimal-values.yaml"), "lint",
		},
		{
			"helm lint: no chart version", "helm/clientevents/Chart.yaml",
			"version: 0.1.0", "version: one", chart("minimal-values.yaml"), "lint",
		},
		{
			"values schema: an unknown value", "helm/clientevents/ci/minimal-values.yaml",
			"config:", "replica: 3\nconfig:", chart("minimal-values.yaml"), "replica",
		},
		{
			"values schema: never scaled to 0", "helm/clientevents/ci/full-values.yaml",
			"autoscaling: {enabled: true", "autoscaling: {enabled: true, minReplicas: 0", chart("full-values.yaml"), "minReplicas",
		},
		{
			"kubectl-validate: an unknown field of Kubernetes", "helm/clientevents/templates/deployment.yaml",
			"minReadySeconds", "minimumReadySeconds", chart("minimal-values.yaml"), "minimumReadySeconds",
		},
		{
			"kubectl-validate: a wrong type", "helm/clientevents/templates/service.yaml",
			"publishNotReadyAddresses: true", "publishNotReadyAddresses: 7", chart("minimal-values.yaml"), "publishNotReadyAddresses",
		},
		{
			"kubectl-validate: an unknown field of KEDA", "helm/clientevents/templates/scaledobject.yaml",
			"pollingInterval:", "pollInterval:", chart("full-values.yaml"), "pollInterval",
		},
		{
			"kubectl-validate: an unknown field of the Prometheus operator", "helm/clientevents/templates/servicemonitor.yaml",
			"jobLabel:", "jobName:", chart("full-values.yaml"), "jobName",
		},
		{
			"ServiceMonitor: native histograms alone", "helm/clientevents/templates/servicemonitor.yaml",
			"scrapeClassicHistograms: true", "scrapeClassicHistograms: false", chart("full-values.yaml"), "scrapeClassicHistograms",
		},
		{
			"kube-score: a budget for pods that aren't there", "helm/clientevents/templates/poddisruptionbudget.yaml",
			"unhealthyPodEvictionPolicy: AlwaysAllow\n  selector:\n    matchLabels:", "selector:\n    matchLabels:\n      other: label", chart("minimal-values.yaml"), "kube-score",
		},
		{
			"kube-score: no request of memory", "helm/clientevents/values.yaml",
			"    cpu: 100m\n", "", chart("minimal-values.yaml"), "kube-score",
		},
		{
			"restricted pods: root", "helm/clientevents/templates/deployment.yaml",
			"runAsNonRoot: true", "runAsNonRoot: false", chart("minimal-values.yaml"), "runAsNonRoot",
		},
		{
			"restricted pods: a writable root", "helm/clientevents/templates/deployment.yaml",
			"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", chart("minimal-values.yaml"), "root file system",
		},
		{
			"restricted pods: capabilities", "helm/clientevents/templates/deployment.yaml",
			"drop: [ALL]", "drop: [NET_RAW]", chart("minimal-values.yaml"), "capabilities",
		},
		{
			"probes: liveness that asks Kafka", "helm/clientevents/templates/deployment.yaml",
			"livenessProbe:\n            httpGet: {path: /livez", "livenessProbe:\n            httpGet: {path: /readyz", chart("minimal-values.yaml"), "livenessProbe",
		},
		{
			"memory: GOMEMLIMIT is not from the limit", "helm/clientevents/templates/deployment.yaml",
			`{{ include "clientevents.memoryLimit" . }}`, "230MiB", chart("full-values.yaml"), "GOMEMLIMIT",
		},
		{
			"grace: shorter than a drain", "helm/clientevents/templates/deployment.yaml",
			"{{ .Values.terminationGracePeriodSeconds }}", "10", chart("minimal-values.yaml"), "a drain takes",
		},
		{
			"reload: a configuration behind subPath", "helm/clientevents/templates/deployment.yaml",
			"mountPath: {{ include \"clientevents.configFile\" . | dir }}", "mountPath: {{ include \"clientevents.configFile\" . }}\n              subPath: clientevents.yaml",
			chart("live-values.yaml"), "subPath",
		},
		{
			"reload: a secret behind subPath", "helm/clientevents/templates/deployment.yaml",
			"mountPath: {{ $file.mountPath }}", "mountPath: {{ $file.mountPath }}\n              subPath: ca.crt", chart("full-values.yaml"), "subPath",
		},
		{
			"configuration: an unknown key", "helm/clientevents/ci/minimal-values.yaml",
			"    topic:", "    compression: zstd\n    topic:", chart("minimal-values.yaml"), "kafka.compression",
		},
		{"Dockerfile: a moving tag", "Dockerfile", "golang:1.26-bookworm", "golang:latest", dockerfileCheck, "DL3007"},
		{"Dockerfile: root", "Dockerfile", "USER 65532:65532", "USER root", dockerfileCheck, "DL3002"},
		{"Dockerfile: ADD", "Dockerfile", "COPY . .", "ADD . .", dockerfileCheck, "DL3020"},
		{"Dockerfile: an unknown instruction", "Dockerfile", "WORKDIR", "WORKDIRECTORY", dockerfileCheck, "WORKDIRECTORY"},
		{"Dockerfile: a shell", "Dockerfile", `ENTRYPOINT ["/clientevents"]`, "ENTRYPOINT /clientevents", dockerfileCheck, "shell"},
		{"Dockerfile: one architecture", "Dockerfile", "GOARCH=$TARGETARCH", "GOARCH=amd64", dockerfileCheck, "TARGETARCH"},
		{"Dockerfile: linked with C", "Dockerfile", "CGO_ENABLED=0", "CGO_ENABLED=1", dockerfileCheck, "static"},
		{"kustomize: a resource that isn't there", "kustomize/base/kustomization.yaml", "- service.yaml", "- services.yaml", checkKustomization, "services.yaml"},
		{"kustomize: an unknown field of Kubernetes", "kustomize/base/service.yaml", "clusterIP:", "clusterIp:", checkKustomization, "clusterIp"},
		{"kustomize: not what the chart deploys", "kustomize/base/deployment.yaml", "periodSeconds: 10", "periodSeconds: 11", checkKustomization, "differ in spec"},
		{"kustomize: a configuration behind subPath", "kustomize/base/deployment.yaml", "name: config\n              readOnly: true", "name: config\n              readOnly: true\n              subPath: clientevents.yaml", checkKustomization, "mounted with subPath"},
		{"kustomize: the folder of another file", "kustomize/base/deployment.yaml", "mountPath: /etc/clientevents/config", "mountPath: /etc/clientevents/configuration", checkKustomization, "the folder of --config"},
		{"kustomize: an unknown key of the configuration", "kustomize/example/clientevents.yaml", "  rate:", "  rates:", checkKustomization, "report.rates"},
		{"kustomize: native histograms alone", "kustomize/monitoring/servicemonitor.yaml", "scrapeClassicHistograms: true", "", checkMonitored, "scrapeClassicHistograms"},
		{"kustomize: not what the chart scrapes", "kustomize/monitoring/servicemonitor.yaml", "path: /metrics", "path: /metric", checkMonitored, "differ in spec"},
		{"kustomize: an unknown field of the Prometheus operator", "kustomize/monitoring/servicemonitor.yaml", "jobLabel:", "jobName:", checkMonitored, "jobName"},
		{"actionlint: an unknown key", "workflows/ci.yml", "runs-on: ubuntu-latest", "run-on: ubuntu-latest", workflowsCheck, "run-on"},
		{"actionlint: a title is run", "workflows/ci.yml", "run: make vuln", "run: echo ${{ github.event.pull_request.title }}", workflowsCheck, "untrusted"},
		{"release: an action that can move", "workflows/release.yml", "checkout@11bd71901bbe5b1630ceea73d27597364c9af683", "checkout@v4", workflowsCheck, "not pinned"},
		{"CI: an action that can move", "workflows/ci.yml", "cache@5a3ec84eff668545956fd18022155c47e93e2684", "cache@v4", workflowsCheck, "not pinned"},
		{"release: all permissions", "workflows/release.yml", "permissions: {}", "permissions: {contents: write}", workflowsCheck, "permissions"},
		{"release: the image is not signed", "workflows/release.yml", "cosign sign --yes", "echo", workflowsCheck, "steps sign"},
		{"goreleaser: a version that isn't stamped", ".goreleaser.yaml", "version.number", "version.tag", releaseCheck, "version.tag"},
		{"goreleaser: one architecture", ".goreleaser.yaml", "goarch: [amd64, arm64]", "goarch: [amd64]", releaseCheck, "architectures"},
		{"chart: rules that can't be read", "helm/clientevents/files/rules.yaml", "groups:", "groops:", chart("full-values.yaml"), "groops"},
		{"compose: an unknown key", "compose.yaml", "stop_grace_period:", "stop_grace:", composeCheck, "stop_grace"},
		{"compose: a service that isn't there", "compose.yaml", "depends_on: [prometheus]", "depends_on: [loki]", composeCheck, "loki"},
		{"compose: an image without a version", "compose.yaml", "grafana/grafana:12.1.0", "grafana/grafana", composeCheck, "no version"},
		{"compose: a file that isn't there", "compose.yaml", "./prometheus/rules.yaml", "./prometheus/alerts.yaml", composeCheck, "alerts.yaml"},
		{"compose: a port for everybody", "compose.yaml", "127.0.0.1:9090", "9090", composeCheck, "open to others"},
		{"compose: a configuration without a topic", "compose.yaml", "CLIENTEVENTS_KAFKA_TOPIC:", "CLIENTEVENTS_KAFKA_TOPICS:", composeCheck, "kafka.topic: is required"},
		{"compose: a target that isn't there", "compose/prometheus.yaml", "clientevents:9090", "pipeline:9090", composeCheck, "pipeline"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			deploy := plant(t, tt.file, tt.old, tt.new)
			err := tt.check(deploy)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("found %v, want a fault with %q", err, tt.want)
			}
		})
	}
}

func dockerfileCheck(deploy string) error {
	return checkDockerfile(filepath.Join(deploy, "Dockerfile"), "9090")
}

func composeCheck(deploy string) error { return checkCompose(filepath.Join(deploy, "compose.yaml")) }

func workflowsCheck(deploy string) error { return checkWorkflows(filepath.Join(deploy, "workflows")) }

func releaseCheck(deploy string) error {
	return checkRelease(filepath.Join(deploy, ".goreleaser.yaml"))
}

// plant copies deploy/, the workflows and the releaser's configuration, and changes one
// file of the copy.
func plant(t *testing.T, file, old, replacement string) string {
	t.Helper()
	deploy := t.TempDir()
	if _, err := run(nil, nil, root, "cp", "-rL", "deploy/.", ".github/workflows", ".goreleaser.yaml", deploy); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(deploy, file)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		t.Fatalf("%s has no %q any more", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(content), old, replacement, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return deploy
}
