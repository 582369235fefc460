package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/scrub"
)

// leastToken is the minimum length of a token, in characters; a shorter one could
// be guessed.
const leastToken = 16

// tokenFile keeps the token for actions current. A content that can't be used leaves the
// previous token in force.
type tokenFile struct {
	path    string
	files   *filewatch.Watcher
	secrets *scrub.Scrubber

	mu    sync.Mutex
	value *filewatch.Value[string] // nil before the file was usable
}

// get returns the token. The error is the reason for which actions are off.
func (f *tokenFile) get() (string, error) {
	if f.path == "" {
		return "", errors.New("admin actions are off: admin.token_file is not set")
	}
	v, err := f.watched()
	if _, unreadable := errors.AsType[*fs.PathError](err); unreadable {
		return "", errors.New("admin actions are off: the file that admin.token_file names can't be read")
	}
	if err != nil {
		return "", fmt.Errorf("admin actions are off: %w", err)
	}
	v.Refresh()
	return v.Get(), nil
}

func (f *tokenFile) watched() (*filewatch.Value[string], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.value != nil {
		return f.value, nil
	}
	var err error
	f.value, err = filewatch.Watch(f.files, filewatch.Files[string]{
		Name: "admin.token_file", Paths: []string{f.path},
		Parse: func(contents [][]byte) (string, error) {
			token := strings.TrimSpace(string(contents[0]))
			if len(token) < leastToken {
				return "", fmt.Errorf("the token has fewer than %d characters", leastToken)
			}
			f.secrets.Add("admin.token_file", token)
			return token, nil
		},
	})
	return f.value, err
}
