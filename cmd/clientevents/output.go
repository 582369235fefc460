package main

import (
	"io"
	"sync"

	"github.com/clientevents/clientevents/internal/logging"
)

// output is standard output. It remembers its first error: a result that is lost, on a
// full disk for one, is a failure of the command, whether or not that looked at the error.
type output struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

// watched returns out as an output. A terminal stays as it is, since displays look for it.
func watched(out io.Writer) (io.Writer, *output) {
	o := &output{w: out}
	if logging.IsTerminal(out) {
		return out, o
	}
	return o, o
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// failure returns the first error of a write.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
