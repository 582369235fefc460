//go:build unix

package talent

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// lockTimeout is the time that an earlier process may take to end.
const (
	lockTimeout = time.Second
	lockPause   = 50 * time.Millisecond
)

// underLock calls check while it holds bbolt's lock. It does not check a file that
// does not exist.
func underLock(path string, check func(path string) error) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for waited := time.Duration(0); syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil; waited += lockPause {
		if waited >= lockTimeout {
			return errLocked
		}
		time.Sleep(lockPause)
	}
	return check(path)
}
