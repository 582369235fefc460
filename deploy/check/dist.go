package check

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// distPlatforms are what a release is built for.
var distPlatforms = []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"}

// distFiles are what an archive holds beside the program, as the repository has them.
var distFiles = []string{"LICENSE", "README.md", "CHANGELOG.md", "deploy/clientevents.yaml"}

// checkDist looks at what goreleaser made of a commit: archives that hold the program
// and its documents, a bill of materials for each that names every module in it, and
// the checksums of all of them.
func checkDist(dist, commit string) error {
	made := []string{}
	var faults []error
	for _, platform := range distPlatforms {
		archives, err := filepath.Glob(filepath.Join(dist, "clientevents_*_"+platform+".tar.gz"))
		if err != nil {
			return err
		}
		if len(archives) != 1 {
			faults = append(faults, fmt.Errorf("%s: %d archives, want one", platform, len(archives)))
			continue
		}
		sbom := archives[0] + ".spdx.json"
		made = append(made, filepath.Base(archives[0]), filepath.Base(sbom))
		if err := checkArchive(archives[0], sbom, platform, commit); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", filepath.Base(archives[0]), err))
		}
	}
	return errors.Join(append(faults, checkSums(dist, made))...)
}

func checkArchive(archive, sbom, platform, commit string) error {
	files, err := unpack(archive)
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range distFiles {
		want, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(files[name], want) {
			faults = append(faults, fmt.Errorf("%s is not the repository's", name))
		}
	}
	if len(files) != len(distFiles)+1 {
		faults = append(faults, fmt.Errorf("it holds %v", slices.Sorted(maps.Keys(files))))
	}
	program := files["clientevents"]
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return errors.Join(append(faults, fmt.Errorf("the program: %w", err))...)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if got := settings["GOOS"] + "_" + settings["GOARCH"]; got != platform {
		faults = append(faults, fmt.Errorf("the program is for %s", got))
	}
	if settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" || filepath.Base(settings["-pgo"]) != "release.pgo" {
		faults = append(faults, fmt.Errorf("it was built with %v: want it static, without paths, by the profile", settings))
	}
	if !bytes.Contains(program, []byte(commit)) {
		faults = append(faults, fmt.Errorf("it does not know that it is commit %s", commit))
	}
	if platform == runtime.GOOS+"_"+runtime.GOARCH {
		version, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(archive), "clientevents_"), "_")
		faults = append(faults, checkVersion(program, "clientevents v"+version, "commit "+commit))
	}
	return errors.Join(append(faults, checkBill(sbom, info))...)
}

// unpack reads an archive's files. Their times and owners are the commit's and
// nobody's, so that the same commit gives the same archive.
func unpack(archive string) (map[string][]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	var first *tar.Header
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = h
		}
		if !h.ModTime.Equal(first.ModTime) || h.Uname != "root" {
			return nil, fmt.Errorf("%s is of %v and owned by %q: want the commit's time, and root", h.Name, h.ModTime, h.Uname)
		}
		if want := map[bool]int64{true: 0o755, false: 0o644}[h.Name == "clientevents"]; h.Mode&0o777 != want {
			return nil, fmt.Errorf("%s has mode %o, want %o", h.Name, h.Mode, want)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

func checkVersion(program []byte, wants ...string) error {
	dir, err := os.MkdirTemp("", "dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "clientevents")
	if err := os.WriteFile(file, program, 0o700); err != nil {
		return err
	}
	out, err := run(nil, nil, "", file, "version")
	for _, want := range wants {
		if err == nil && !slices.Contains(strings.Split(out, "\n"), want) {
			err = fmt.Errorf("version says %q, want a line %q", out, want)
		}
	}
	return err
}

// checkBill wants every module of the program in its bill of materials.
func checkBill(sbom string, info *buildinfo.BuildInfo) error {
	text, err := os.ReadFile(sbom)
	if err != nil {
		return err
	}
	var bill struct {
		Packages []struct {
			Name    string
			Version string `json:"versionInfo"`
		}
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(sbom), err)
	}
	listed := map[string]string{}
	for _, p := range bill.Packages {
		listed[p.Name] = p.Version
	}
	var faults []error
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if listed[m.Path] != m.Version {
			faults = append(faults, fmt.Errorf("the bill of materials has %s %q: want %s", m.Path, listed[m.Path], m.Version))
		}
	}
	if len(info.Deps) == 0 {
		faults = append(faults, errors.New("the program has no modules"))
	}
	return errors.Join(faults...)
}

// checkSums wants the checksum of each file that was made, and of no other.
func checkSums(dist string, made []string) error {
	text, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		return err
	}
	var faults []error
	var listed []string
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed = append(listed, name)
		content, err := os.ReadFile(filepath.Join(dist, name))
		if err == nil && fmt.Sprintf("%x", sha256.Sum256(content)) != sum {
			err = fmt.Errorf("the checksum of %s is wrong", name)
		}
		faults = append(faults, err)
	}
	slices.Sort(made)
	slices.Sort(listed)
	if !slices.Equal(made, listed) {
		faults = append(faults, fmt.Errorf("there are checksums of %v, want %v", listed, made))
	}
	return errors.Join(faults...)
}
