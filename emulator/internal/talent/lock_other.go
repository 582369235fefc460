//go:build !unix

package talent

// underLock calls check without a lock: these systems prevent reading a locked file.
func underLock(path string, check func(path string) error) error { return check(path) }
