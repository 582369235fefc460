package check

import (
	"path/filepath"
	"testing"
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
