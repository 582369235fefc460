package discoverycli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// withOutput calls write with the destination of -o. It opens a file before the call,
// so that a file that can't be written prevents the call. The file appears, or
// replaces an older one, as a whole and only after write succeeded.
func (p *Program) withOutput(in *invocation, write func(io.Writer) error) error {
	name := in.get(outOption)
	if name == "" || name == "-" {
		return write(p.Stdout)
	}
	out, err := openOutput(name)
	if err != nil {
		return faultf("Failed to open output file '%s': %v", name, err)
	}
	if err := write(out.file); err != nil {
		return errors.Join(err, out.discard())
	}
	if err := out.commit(); err != nil {
		return faultf("Failed to write output file '%s': %v", name, err)
	}
	return nil
}

// outputFile is the destination of -o.
type outputFile struct {
	file *os.File
	// path is the file's final name, "" if it already has it.
	path string
}

// openOutput opens a temporary file in the folder of the named one. It opens devices
// and pipes directly, since they can't be replaced.
func openOutput(name string) (*outputFile, error) {
	path := name
	if target, err := filepath.EvalSymlinks(name); err == nil {
		path = target // a symbolic link stays one
	}
	old, err := os.Stat(path)
	if err == nil && !old.Mode().IsRegular() {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &outputFile{file: file}, err
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%s.tmp", filepath.Base(path), rand.Text()[:8]))
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	out := &outputFile{file, path}
	if old != nil {
		if err := file.Chmod(old.Mode().Perm()); err != nil {
			return nil, errors.Join(err, out.discard())
		}
	}
	return out, nil
}

// commit closes the file and gives it its name.
func (o *outputFile) commit() error {
	if err := o.file.Close(); err != nil || o.path == "" {
		return errors.Join(err, o.remove())
	}
	if err := os.Rename(o.file.Name(), o.path); err != nil {
		return errors.Join(err, o.remove())
	}
	return nil
}

// discard closes the file and removes it.
func (o *outputFile) discard() error { return errors.Join(o.file.Close(), o.remove()) }

func (o *outputFile) remove() error {
	if o.path == "" {
		return nil
	}
	return os.Remove(o.file.Name())
}
