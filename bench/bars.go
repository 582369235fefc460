package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// bar is what one contender needs for an event.
type bar struct {
	name         string
	cost, memory float64 // µs, MB; no memory is none measured
}

// The size of a bar chart: a line for each bar, and a panel for each figure.
const (
	barHeight, barTop, barNames, barRoom, barGap = 22.0, 34.0, 190.0, 240.0, 60.0
)

// drawBars makes an SVG with the cost and the memory of each contender.
func drawBars(bars []bar) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="10">`+"\n",
		barNames+2*(barRoom+barGap), barTop+barHeight*float64(len(bars))+10)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	for i, v := range bars {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="end" fill="#202124">%s</text>`+"\n", barNames-8, barTop+barHeight*float64(i)+14, v.name)
	}
	drawBarPanel(&b, barNames, "CPU µs an event", "#1a73e8", bars, func(v bar) float64 { return v.cost })
	drawBarPanel(&b, barNames+barRoom+barGap, "peak MB", "#c5221f", bars, func(v bar) float64 { return v.memory })
	b.WriteString("</svg>\n")
	return b.String()
}

func drawBarPanel(b *strings.Builder, left float64, title, colour string, bars []bar, figure func(bar) float64) {
	most := 1.0
	for _, v := range bars {
		most = max(most, figure(v))
	}
	fmt.Fprintf(b, `<text x="%.1f" y="20" font-size="11" fill="#202124">%s</text>`+"\n", left, title)
	for i, v := range bars {
		if figure(v) == 0 {
			continue
		}
		top, width := barTop+barHeight*float64(i), barRoom*figure(v)/most
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="16" fill="%s"/>`, left, top+2, width, colour)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="#5f6368">%.3g</text>`+"\n", left+width+4, top+14, figure(v))
	}
}

// plotDrain writes the chart of the rows over plain HTTP, and returns the Markdown that
// shows it.
func (w *world) plotDrain(rows []*row) (string, error) {
	if w.options.plots == "" {
		return "", nil
	}
	var bars []bar
	for _, r := range rows {
		if r.setup.url != w.plain || r.failed != "" || (!w.isAlternative(r.of) && r.of.name != w.product.name && r.setup.batch > 1) {
			continue
		}
		got, name := r.median(), r.of.name
		if r.of.name == w.product.name && r.setup.batch > 1 {
			name += fmt.Sprintf(", batches of %d", r.setup.batch)
		}
		bars = append(bars, bar{name: name, cost: micros(got.cpu), memory: float64(got.peak >> 20)})
	}
	file := filepath.Join(w.options.plots, "peers.svg")
	if err := os.WriteFile(file, []byte(drawBars(bars)), 0o644); err != nil { //nolint:gosec // a file of the repository
		return "", err
	}
	return fmt.Sprintf("\n![CPU of an event and peak memory of each program](%s)\n", filepath.Base(file)), nil
}
