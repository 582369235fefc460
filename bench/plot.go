package main

import (
	"fmt"
	"math"
	"strings"
)

// plot is how the cost of an event and memory go with something that grows.
type plot struct {
	name         string
	x            []int
	cost, memory []float64 // µs, MB
}

// The size of one panel.
const (
	panelWidth, panelHeight = 230.0, 170.0
	marginLeft, marginTop   = 45.0, 40.0
	plotWidth, plotHeight   = 170.0, 95.0
)

// draw makes an SVG with a panel for each plot and figure.
func draw(plots []plot) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="10">`+"\n",
		panelWidth*float64(len(plots)), panelHeight*2)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	for i, p := range plots {
		drawPanel(&b, float64(i)*panelWidth, 0, p.name, "CPU µs an event", "#1a73e8", p.x, p.cost)
		drawPanel(&b, float64(i)*panelWidth, panelHeight, p.name, "peak MB", "#c5221f", p.x, p.memory)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func drawPanel(b *strings.Builder, left, top float64, name, unit, colour string, x []int, y []float64) {
	most := 1.0
	for _, v := range y {
		most = max(most, v)
	}
	most = roundUp(most)
	at := func(i int) (px, py float64) {
		step := plotWidth / float64(max(1, len(x)-1))
		return left + marginLeft + float64(i)*step, top + marginTop + plotHeight*(1-y[i]/most)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="11" fill="#202124">%s, %s</text>`+"\n", left+marginLeft, top+20, unit, name)
	for _, share := range []float64{0, 0.5, 1} {
		py := top + marginTop + plotHeight*(1-share)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dadce0"/>`, left+marginLeft, py, left+marginLeft+plotWidth, py)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end" fill="#5f6368">%.4g</text>`+"\n", left+marginLeft-4, py+3, most*share)
	}
	var line []string
	for i := range x {
		px, py := at(i)
		line = append(line, fmt.Sprintf("%.1f,%.1f", px, py))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, px, py, colour)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#5f6368">%s</text>`+"\n", px, top+marginTop+plotHeight+14, short(x[i]))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.Join(line, " "), colour)
}

// roundUp finds an axis's end: 1, 2 or 5 times a power of ten.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*power >= v {
			return m * power
		}
	}
	return v
}

func short(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%gM", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%gk", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}
