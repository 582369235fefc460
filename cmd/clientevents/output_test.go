package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var errFull = errors.New("no space left on device")

// full is standard output on a full disk, once room bytes are written.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

// A command whose result is lost fails, and says why once.
func TestLostOutput(t *testing.T) {
	mapping := []string{"test", "--config", "../../docs/mapping/avro/clientevents.yaml", "../../docs/mapping/avro/tests.yaml"}
	for _, args := range [][]string{
		{"help"},
		{"run", "--help"},
		{"version"},
		{"version", "--json"},
		{"schema"},
		{"generate", "--events", "1"},
		{"completion", "bash"},
		mapping, append(mapping, "--json"),
		{"demo", "--events", "5"},
	} {
		t.Run(strings.Join(args[:min(2, len(args))], " "), func(t *testing.T) {
			for _, room := range []int{0, 5} {
				var said bytes.Buffer
				code := Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: &full{room}, Err: &said})
				if code != exitFailed || strings.Count(said.String(), errFull.Error()) != 1 {
					t.Errorf("exit code %d, and it says %q; want %d, and %q once", code, said.String(), exitFailed, errFull)
				}
			}
		})
	}
	// A failure stays what it was.
	var said bytes.Buffer
	if code := Main(t.Context(), []string{"nosuch"}, Streams{In: strings.NewReader(""), Out: &full{}, Err: &said}); code != exitUsage {
		t.Errorf("exit code %d: %s", code, said.String())
	}
}
