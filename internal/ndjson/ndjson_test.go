package ndjson_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/ndjson"
)

type line struct {
	number int
	data   string
	err    error
}

func linesOf(r io.Reader) []line {
	var lines []line
	for l, err := range ndjson.Lines(r) {
		data := string(l.Data)
		if l.TooLong {
			data = "too long"
		}
		lines = append(lines, line{l.Number, data, err})
	}
	return lines
}

func TestLines(t *testing.T) {
	broken := errors.New("the disk is broken")
	tests := []struct {
		name string
		in   io.Reader
		want []line
	}{
		{"nothing", strings.NewReader(""), nil},
		{"blank lines", strings.NewReader("\n \r\n\t\n\r\n\n"), nil},
		{"one", strings.NewReader("a\n"), []line{{1, "a", nil}}},
		{"one without an end", strings.NewReader("a"), []line{{1, "a", nil}}},
		{"a CR at the very end", strings.NewReader("a\r"), []line{{1, "a", nil}}},
		{"CRLF", strings.NewReader("a\r\nb\r\n"), []line{{1, "a", nil}, {2, "b", nil}}},
		{"a CR within", strings.NewReader("a\rb\nc\r\r\n"), []line{{1, "a\rb", nil}, {2, "c\r", nil}}},
		{"numbers count blank lines", strings.NewReader("\na\n\n\n b\n"), []line{{2, "a", nil}, {5, " b", nil}}},
		{"other spaces are no blank line", strings.NewReader("\u00a0\n"), []line{{1, "\u00a0", nil}}},
		{"a broken reader", io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), []line{{1, "a", nil}, {2, "b", broken}}},
		{"broken at once", iotest.ErrReader(broken), []line{{1, "", broken}}},
		{"byte by byte", iotest.OneByteReader(strings.NewReader("a\r\nbc\n\nd")), []line{{1, "a", nil}, {2, "bc", nil}, {4, "d", nil}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := linesOf(test.in); !slices.Equal(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLinesStopsWhenAsked(t *testing.T) {
	for l := range ndjson.Lines(strings.NewReader("a\nb\n")) {
		if l.Number > 1 {
			t.Fatal("continued")
		}
		break
	}
}

// TestLongLines has lines of the size that is taken, and of one byte more, with
// each end that a line can have.
func TestLongLines(t *testing.T) {
	longest := strings.Repeat("x", ndjson.MaxLine)
	for _, end := range []string{"\n", "\r\n"} {
		in := strings.Join([]string{"a", longest, longest + "x", "b", longest + longest, longest + "x"}, end)
		for _, ending := range []string{"", end} {
			var numbers []int
			for l, err := range ndjson.Lines(strings.NewReader(in + ending)) {
				if err != nil {
					t.Fatal(err)
				}
				numbers = append(numbers, l.Number)
				wantLong := l.Number == 3 || l.Number == 5 || l.Number == 6
				if l.TooLong != wantLong {
					t.Errorf("line %d of %q: %d bytes, too long: %t", l.Number, end, len(l.Data), l.TooLong)
				}
				if l.Number == 2 && len(l.Data) != ndjson.MaxLine {
					t.Errorf("the longest line has %d bytes", len(l.Data))
				}
				if !l.TooLong {
					continue
				}
				if _, fault := l.Decode(event.V3); fault == nil || fault.Reason != event.ReasonTooLarge {
					t.Errorf("line %d: %v", l.Number, fault)
				}
			}
			if !slices.Equal(numbers, []int{1, 2, 3, 4, 5, 6}) {
				t.Errorf("lines %v", numbers)
			}
		}
	}
}

// endless is a line that does not end for a long while.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), e.left)], xs)
	e.left -= n
	return n, nil
}

var xs = strings.Repeat("x", 64<<10)

// TestMemoryIsBounded reads a line of half a gigabyte.
func TestMemoryIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	lines := linesOf(&endless{1 << 29})
	runtime.ReadMemStats(&after)
	if len(lines) != 1 || lines[0].data != "too long" {
		t.Errorf("got %d lines", len(lines))
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16*ndjson.MaxLine {
		t.Errorf("%d bytes were allocated", allocated)
	}
}

func TestInterruptible(t *testing.T) {
	t.Run("reads all", func(t *testing.T) {
		got, err := io.ReadAll(ndjson.Interruptible(t.Context(), strings.NewReader("a\nb")))
		if err != nil || string(got) != "a\nb" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("gives the reader's error", func(t *testing.T) {
		broken := errors.New("broken")
		if _, err := io.ReadAll(ndjson.Interruptible(t.Context(), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ends while the reader blocks", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		blocked, w := io.Pipe()
		defer w.Close()
		lines := ndjson.Lines(ndjson.Interruptible(ctx, blocked))
		go w.Write([]byte("a\n"))
		for l, err := range lines {
			if l.Number == 1 {
				cancel() // the next line never comes
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("line %d: %v", l.Number, err)
			}
		}
	})
}
