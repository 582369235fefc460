package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal of the given width: what is written to the
// program's end can be read at the person's.
func terminal(t *testing.T, width uint16) (program, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program, person
}

func TestTerminal(t *testing.T) {
	program, person := terminal(t, 132)
	if !IsTerminal(program) {
		t.Error("a terminal is not known as one")
	}
	if got, _ := Size(program); got != 132 {
		t.Errorf("it is %d wide", got)
	}
	New(program, "", slog.LevelInfo).Info("started", "topic", "events")
	line := make([]byte, 1000)
	n, err := person.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	if got := line[:n]; json.Valid(got) || !bytes.Contains(got, []byte("topic=events")) {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsNoTerminal(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if IsTerminal(file) || IsTerminal(&bytes.Buffer{}) {
		t.Error("a file or a buffer is taken for a terminal")
	}
	if got, _ := Size(file); got != usualWidth {
		t.Error("a file has another width than the usual one")
	}
}
