package broker

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// ErrUnavailable means that this machine can't run Apache Kafka: Java or Maven is missing,
// or Kafka's libraries could not be downloaded.
var ErrUnavailable = errors.New("no Apache Kafka to be had on this machine")

//go:embed pom.xml
var pom []byte

// Version is the version of Apache Kafka that [Libraries] gets.
func Version() string {
	var project struct {
		Version string `xml:"properties>kafka.version"`
	}
	if err := xml.Unmarshal(pom, &project); err != nil {
		panic(fmt.Sprintf("the embedded pom.xml: %v", err))
	}
	return project.Version
}

// Libraries returns the folder with Apache Kafka's libraries. The first call on
// a machine downloads them with Maven, writes its progress to progress, and tries three
// times; later calls find them in the user's cache folder. Errors wrap
// [ErrUnavailable].
func Libraries(ctx context.Context, progress io.Writer) (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("%w: install a Java runtime, version 17 or later: %w", ErrUnavailable, err)
	}
	dir := libraryDir()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("%w: install Maven: %w", ErrUnavailable, err)
	}
	var err error
	for _, wait := range []time.Duration{0, 5 * time.Second, 20 * time.Second} {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(wait):
		}
		if err = download(ctx, dir, progress); err == nil {
			return dir, nil
		}
		fmt.Fprintf(progress, "download Apache Kafka %s: %v\n", Version(), err)
	}
	return "", fmt.Errorf("%w: download of version %s: %w", ErrUnavailable, Version(), err)
}

// libraryDir names the cache folder after the whole pom.xml, so that a changed
// one is resolved again.
func libraryDir() string {
	cache, err := os.UserCacheDir()
	if err != nil { // no home folder
		cache = os.TempDir()
	}
	return filepath.Join(cache, "clientevents", fmt.Sprintf("kafka-%s-%.4x", Version(), sha256.Sum256(pom)))
}

// download fills a folder beside dir and renames it, so that dir is complete
// whenever it is there.
func download(ctx context.Context, dir string, progress io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	project := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(project, pom, 0o644); err != nil {
		return err
	}
	libraries := filepath.Join(work, "libraries")
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "--file", project,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+libraries)
	mvn.Stdout, mvn.Stderr = progress, progress
	if err := mvn.Run(); err != nil {
		return fmt.Errorf("mvn dependency:copy-dependencies: %w", err)
	}
	if err := os.Rename(libraries, dir); err != nil {
		if _, there := os.Stat(dir); there == nil { // another process was faster
			return nil
		}
		return err
	}
	return nil
}
