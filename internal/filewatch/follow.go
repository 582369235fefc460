package filewatch

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// settle is how long changed contents must stay the same before they are used: a file
// that is being written may be valid, but incomplete.
const settle = time.Second

// Follow calls changed after the content of a file changes, appears or disappears, until
// the watcher is closed. paths names the files and is called at each look, since the
// files may change with the contents. If changed returns true, it is called again at the
// next look: its work is not complete.
func (w *Watcher) Follow(paths func() []string, changed func() (again bool)) {
	seen := w.fingerprint(paths())
	w.running.Go(func() {
		again := false
		for w.sleep(Every) {
			sum := w.fingerprint(paths())
			if sum == seen && !again {
				continue
			}
			if sum != seen {
				if sum = w.settled(sum, paths); w.ctx.Err() != nil {
					return
				}
			}
			seen = sum
			again = changed()
		}
	})
}

// settled returns the fingerprint when it has been the same for a while.
func (w *Watcher) settled(sum string, paths func() []string) string {
	for w.sleep(settle) {
		next := w.fingerprint(paths())
		if next == sum {
			break
		}
		sum = next
	}
	return sum
}

// sleep reports whether the time passed before the watcher was closed.
func (w *Watcher) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// fingerprint differs if a path or the content of a file differs.
func (w *Watcher) fingerprint(paths []string) string {
	var all []byte
	for _, path := range paths {
		content, err := w.read(path)
		all = fmt.Appendf(all, "%q %t %x\n", path, err == nil, sha256.Sum256(content))
	}
	return string(all)
}
