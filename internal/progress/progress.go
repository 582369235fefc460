// Package progress shows a person at a terminal how far a command is. Where
// there is no terminal it shows nothing.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/clientevents/clientevents/internal/logging"
)

// interval is how often the display is drawn: often enough to look alive.
const interval = 200 * time.Millisecond

// Display redraws some lines in place. It writes no colours, and sets nothing
// that would have to be set back.
type Display struct {
	w     io.Writer
	width func() int // of a line, at most
	lines int        // drawn the last time
}

// NewDisplay draws on w; nil where w is not a terminal.
func NewDisplay(w io.Writer) *Display {
	if !logging.IsTerminal(w) {
		return nil
	}
	return &Display{w: w, width: func() int { return logging.Width(w) }}
}

// Draw replaces what was drawn before by the given lines.
func (d *Display) Draw(lines ...string) {
	if d == nil {
		return
	}
	var b strings.Builder
	d.erase(&b)
	width := d.width()
	for _, line := range lines {
		// A line that the terminal wraps would be two to go up.
		b.WriteString(cut(line, width) + "\n")
	}
	d.lines = len(lines)
	_, _ = io.WriteString(d.w, b.String())
}

// cut leaves the first runes of a line.
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

// Clear takes away what was drawn.
func (d *Display) Clear() { d.Draw() }

// erase goes up to the first line and clears to the end of the screen.
func (d *Display) erase(b *strings.Builder) {
	if d.lines > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", d.lines)
	}
}

// Counter shows a count and its rate.
type Counter struct {
	what    string
	display *Display
	began   time.Time

	mu    sync.Mutex
	drawn time.Time
}

// New shows how many were "what", on w.
func New(w io.Writer, what string) *Counter {
	now := time.Now()
	return &Counter{what: what, display: NewDisplay(w), began: now, drawn: now}
}

// Set says how many there are.
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
	c.display.Draw(fmt.Sprintf("%d %s, %.0f a second", n, c.what, float64(n)/now.Sub(c.began).Seconds()))
}

// Close takes the display away.
func (c *Counter) Close() { c.display.Clear() }
