package progress

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// screen is as much of a terminal as a display needs: lines, a cursor that goes
// up, and clearing what is below it.
type screen struct{ lines []string }

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
		count, rest, _ := strings.Cut(rest, "A\x1b[J")
		up := 0
		for _, digit := range count {
			up = 10*up + int(digit-'0')
		}
		s.lines = s.lines[:len(s.lines)-up]
		text = rest
	}
	for line := range strings.Lines(text) {
		s.lines = append(s.lines, strings.TrimSuffix(line, "\n"))
	}
	return len(p), nil
}

func (s *screen) String() string { return strings.Join(s.lines, "|") }

func on(s *screen, width int) *Display {
	return &Display{w: s, size: func() (int, int) { return width, 24 }}
}

func TestDisplay(t *testing.T) {
	s := &screen{lines: []string{"before"}}
	d := on(s, 10)
	for _, step := range []struct {
		draw []string
		want string
	}{
		{[]string{"one"}, "before|one"},
		{[]string{"two", "lines"}, "before|two|lines"},
		{[]string{"0123456789and more", "zürich…zürich"}, "before|0123456789|zürich…zür"},
		{[]string{"one"}, "before|one"},
		{nil, "before"},
		{[]string{"again"}, "before|again"},
	} {
		d.Draw(step.draw...)
		if s.String() != step.want {
			t.Errorf("after %q: %s, want %s", step.draw, s, step.want)
		}
	}
	d.Clear()
	d.Clear()
	if s.String() != "before" {
		t.Errorf("left behind: %s", s)
	}
}

// TestResizedDisplay: a terminal that became narrower has wrapped the lines.
func TestResizedDisplay(t *testing.T) {
	s, columns := &screen{}, 10
	d := &Display{w: s, size: func() (int, int) { return columns, 24 }}
	d.Draw("0123456789", "short")
	columns = 4
	s.lines = []string{"0123", "4567", "89", "shor", "t"}
	d.Draw("new line")
	if s.String() != "new " {
		t.Errorf("after the terminal became narrower: %s", s)
	}
}

// TestLogAboveTheDisplay: what is written stays above the lines.
func TestLogAboveTheDisplay(t *testing.T) {
	s := &screen{}
	d := on(s, 20)
	d.Draw("one", "two")
	if _, err := d.Write([]byte("a line of the log\n")); err != nil {
		t.Fatal(err)
	}
	d.Draw("three")
	if s.String() != "a line of the log|three" {
		t.Errorf("got %s", s)
	}
}

func TestCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{}
		c := New(s, "published")
		c.display = on(s, 80)
		c.Set(1)
		if s.String() != "" {
			t.Errorf("drawn at once: %s", s)
		}
		time.Sleep(2 * time.Second)
		c.Set(5000)
		c.Set(5001) // too soon for another look
		if s.String() != "5000 published, 2500 per second" {
			t.Errorf("got %s", s)
		}
		c.Close()
		if s.String() != "" {
			t.Errorf("left behind: %s", s)
		}
	})
}

func TestNothingIsShownWithoutATerminal(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		for _, c := range []*Counter{New(&b, "published"), New(file, "published")} {
			time.Sleep(time.Second)
			c.Set(5)
			c.Close()
		}
		NewDisplay(&b).Draw("a line")
	})
	if info, err := file.Stat(); err != nil || info.Size() > 0 || b.Len() > 0 {
		t.Errorf("written: %q and %d bytes, %v", b.String(), info.Size(), err)
	}
}
