package check

import (
	"os"
	"strings"
	"testing"
)

// TestDist looks at what goreleaser made; `make release-check` runs it.
func TestDist(t *testing.T) {
	dist := os.Getenv("DIST")
	if dist == "" {
		t.Skip("NOT RUN: there is no release to look at; make release-snapshot makes one")
	}
	commit, err := run(nil, nil, root, "git", "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkDist(dist, strings.TrimSpace(commit)); err != nil {
		t.Error(err)
	}
}
