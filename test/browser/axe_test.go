package browsertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// axeVersion is the version of axe-core, which checks pages for accessibility.
const axeVersion = "4.10.2"

// axeSource returns the program of axe-core. npm keeps it in its cache.
var axeSource = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "axe")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	install := exec.Command("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline",
		"--prefix", dir, "axe-core@"+axeVersion)
	if out, err := install.CombinedOutput(); err != nil {
		return "", &npmError{err, string(out)}
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(source), err
})

type npmError struct {
	err error
	out string
}

func (e *npmError) Error() string { return "npm install axe-core: " + e.err.Error() + ": " + e.out }

// accessible checks the page with axe-core, in light and dark mode, on a phone and on a
// wide screen.
func (p *page) accessible(name string) {
	p.part("axe "+name, func(t *testing.T) {
		source, err := axeSource()
		if err != nil {
			t.Skipf("NOT RUN: %v", err)
		}
		eval[bool](p, source+";true")
		for _, scheme := range []string{"light", "dark"} {
			p.scheme(scheme)
			for _, width := range []int64{390, 1440} {
				p.size(width, 900, width < 500)
				found := eval[[]string](p, `axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) =>
					v.impact + ' ' + v.id + ': ' + v.help + ': ' + v.nodes.map((n) => n.target.join(' ')).slice(0, 4).join(', ')))`)
				for _, violation := range found {
					t.Errorf("%s, %d px: %s", scheme, width, violation)
				}
			}
		}
		p.scheme("light")
		p.size(1000, 1150, false)
	})
}
