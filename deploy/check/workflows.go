package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkWorkflows asks actionlint, wants every action to be what it was when it was
// looked at, and holds the release's workflow to what keeps a signature worth
// something.
func checkWorkflows(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no workflows in %s: %w", folder, err)
	}
	var faults []error
	for _, file := range files {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		_, err = tool(nil, "actionlint", "-no-color", absolute)
		faults = append(faults, err, checkPins(file))
	}
	return errors.Join(append(faults, checkReleaseWorkflow(filepath.Join(folder, "release.yml")))...)
}

var (
	uses   = regexp.MustCompile(`(?m)\buses: *(.*)$`)
	pinned = regexp.MustCompile(`^[^@]+@[0-9a-f]{40} # v[0-9.]+$`)
)

// checkPins wants each action pinned to a commit, with its version beside it: a tag can
// be moved to other code.
func checkPins(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var faults []error
	for _, use := range uses.FindAllSubmatch(text, -1) {
		if !pinned.Match(use[1]) {
			faults = append(faults, fmt.Errorf("%s: %s is not pinned to a commit, with its version behind it", filepath.Base(file), use[1]))
		}
	}
	return errors.Join(faults...)
}

func checkReleaseWorkflow(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var w struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			Permissions map[string]string
			Steps       []struct {
				Uses, Run string
				With      map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(text, &w); err != nil {
		return err
	}
	var faults []error
	if w.Permissions == nil || len(w.Permissions) > 0 {
		faults = append(faults, errors.New("release: the workflow has permissions: want {}, and each job its own"))
	}
	signed := 0
	for name, job := range w.Jobs {
		if job.Permissions == nil {
			faults = append(faults, fmt.Errorf("release, %s: no permissions are said", name))
		}
		for _, step := range job.Steps {
			if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
				faults = append(faults, fmt.Errorf("release, %s: checkout leaves its token behind", name))
			}
			if strings.Contains(step.Run, "cosign sign") || strings.Contains(step.Run, "goreleaser release") {
				signed++
				if job.Permissions["id-token"] != "write" {
					faults = append(faults, fmt.Errorf("release, %s: it signs, and may not: id-token", name))
				}
			}
		}
	}
	if signed != 2 {
		faults = append(faults, fmt.Errorf("release: %d steps sign, want 2: the archives and the image", signed))
	}
	return errors.Join(faults...)
}

// checkRelease holds the releaser's configuration to the rest: it builds what the
// image holds, with the version where the program looks for it.
func checkRelease(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c struct {
		Version int
		Builds  []struct {
			Main                 string
			Env, Goarch, Ldflags []string
			Flags                []string
			ModTimestamp         string `yaml:"mod_timestamp"`
			ID, Binary           string
			Goos                 []string
		}
		Sboms, Signs, Archives []map[string]any
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return err
	}
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("goreleaser: "+format, args...))
		}
	}
	want(c.Version == 2, "version %d, want 2", c.Version)
	want(len(c.Builds) == 1 && len(c.Sboms) > 0 && len(c.Signs) > 0, "want one build, a bill of materials, and a signature")
	if len(c.Builds) == 0 {
		return errors.Join(faults...)
	}
	b := c.Builds[0]
	want(strings.Join(b.Goarch, ",") == "amd64,arm64", "architectures %v", b.Goarch)
	want(strings.Join(b.Env, ",") == "CGO_ENABLED=0", "not static: %v", b.Env)
	want(slices.Contains(b.Flags, "-trimpath") && b.ModTimestamp != "", "not reproducible")
	_, err = os.Stat(filepath.Join(root, b.Main))
	want(err == nil, "main %s: %v", b.Main, err)
	// A name that the linker doesn't find is no error to it.
	for _, stamp := range regexp.MustCompile(`-X (\S+)/internal/version\.(\w+)=`).FindAllStringSubmatch(strings.Join(b.Ldflags, " "), -1) {
		source, err := os.ReadFile(filepath.Join(root, "internal/version/version.go"))
		want(err == nil && regexp.MustCompile(`(?m)^var .*\b`+stamp[2]+`\b`).Match(source), "there is no variable version.%s", stamp[2])
		want(stamp[1] == "github.com/clientevents/clientevents", "no such module: %s", stamp[1])
	}
	want(strings.Count(strings.Join(b.Ldflags, " "), "-X ") == 2, "version and commit are not stamped")
	return errors.Join(faults...)
}
