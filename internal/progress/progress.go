// Package progress shows a command's progress on a terminal. Without a
// terminal it shows nothing.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/clientevents/clientevents/internal/logging"
)

// interval is the time between updates of the display.
const interval = 200 * time.Millisecond

// Display redraws some lines in place. It writes no colours and changes no
// setting of the terminal. Its methods may be called concurrently.
type Display struct {
	w    io.Writer
	size func() (columns, rows int)

	mu    sync.Mutex
	lines []string // the drawn lines
}

// NewDisplay returns a display on w, or nil if w is not a terminal.
func NewDisplay(w io.Writer) *Display {
	if !logging.IsTerminal(w) {
		return nil
	}
	return &Display{w: w, size: func() (int, int) { return logging.Size(w) }}
}

// Rows returns the number of lines that fit, without the cursor's.
func (d *Display) Rows() int {
	_, rows := d.size()
	return max(1, rows-1)
}

// Draw replaces the drawn lines by the given ones.
func (d *Display) Draw(lines ...string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	columns := d.erase(&b)
	d.lines = d.lines[:0]
	for _, line := range lines {
		// A line that the terminal wraps would count as two.
		d.lines = append(d.lines, cut(line, columns))
	}
	d.write(&b)
}

// write writes b and the lines. The caller holds mu.
func (d *Display) write(b *strings.Builder) {
	for _, line := range d.lines {
		b.WriteString(line + "\n")
	}
	_, _ = io.WriteString(d.w, b.String())
}

// Write writes text, such as a line of a log, above the display.
func (d *Display) Write(text []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	d.erase(&b)
	b.Write(text)
	d.write(&b)
	return len(text), nil
}

// cut shortens a line to its first runes.
func cut(line string, width int) string {
	n := 0
	for i := range line {
		if n == width {
			return line[:i]
		}
		n++
	}
	return line
}

// Clear removes the drawn lines.
func (d *Display) Clear() { d.Draw() }

// erase goes up to the first line and clears to the end of the screen. It returns the
// number of columns. A terminal that became narrower has wrapped the lines, and one that
// became lower has scrolled the first of them away.
func (d *Display) erase(b *strings.Builder) (columns int) {
	columns, rows := d.size()
	up := 0
	for _, line := range d.lines {
		up += 1 + max(0, utf8.RuneCountInString(line)-1)/max(1, columns)
	}
	if up = min(up, max(0, rows-1)); up > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", up)
	}
	return columns
}

// Counter shows a count and its rate.
type Counter struct {
	what    string
	display *Display
	began   time.Time

	mu    sync.Mutex
	drawn time.Time
}

// New returns a counter on w whose unit is what.
func New(w io.Writer, what string) *Counter {
	now := time.Now()
	return &Counter{what: what, display: NewDisplay(w), began: now, drawn: now}
}

// Set sets the count.
func (c *Counter) Set(n int) {
	if c.display == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.drawn) < interval {
		return
	}
	c.drawn = now
	c.display.Draw(fmt.Sprintf("%d %s, %.0f per second", n, c.what, float64(n)/now.Sub(c.began).Seconds()))
}

// Close removes the display.
func (c *Counter) Close() { c.display.Clear() }
