package tests

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// A panel's size in a picture, and how many stand side by side.
const (
	panelWidth, panelHeight = 4.2 * vg.Inch, 2.3 * vg.Inch
	panelsAcross            = 3
	mostLines               = 6 // that are named; the others are drawn without
)

var palette = []color.RGBA{
	{0x1b, 0x6c, 0xa8, 0xff},
	{0xd9, 0x5f, 0x02, 0xff},
	{0x2a, 0x9d, 0x5c, 0xff},
	{0xb5, 0x2b, 0x4e, 0xff},
	{0x75, 0x70, 0xb3, 0xff},
	{0x8c, 0x6d, 0x1f, 0xff},
	{0x3a, 0xa6, 0xa6, 0xff},
	{0x66, 0x66, 0x66, 0xff},
}

// drawDashboard draws a dashboard's series as they were since began. Tables have none.
func drawDashboard(t *testing.T, prom *prometheus, d *dashboard, began time.Time, path string) {
	t.Helper()
	var plots []*plot.Plot
	for i := range d.Panels {
		if p := &d.Panels[i]; p.Type != "row" && p.Type != "table" {
			plots = append(plots, drawPanel(t, prom, p, began))
		}
	}
	rows := (len(plots) + panelsAcross - 1) / panelsAcross
	grid := make([][]*plot.Plot, rows)
	for i := range grid {
		grid[i] = make([]*plot.Plot, panelsAcross)
		copy(grid[i], plots[i*panelsAcross:min(len(plots), (i+1)*panelsAcross)])
	}
	canvas := vgimg.NewWith(vgimg.UseWH(panelsAcross*panelWidth, vg.Length(rows)*panelHeight), vgimg.UseDPI(72))
	tiles := draw.Tiles{Rows: rows, Cols: panelsAcross, PadX: vg.Points(14), PadY: vg.Points(12), PadTop: vg.Points(8), PadRight: vg.Points(12), PadLeft: vg.Points(4)}
	for i, row := range plot.Align(grid, tiles, draw.New(canvas)) {
		for j, at := range row {
			if grid[i][j] != nil {
				grid[i][j].Draw(at)
			}
		}
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func drawPanel(t *testing.T, prom *prometheus, p *panel, began time.Time) *plot.Plot {
	t.Helper()
	pl := plot.New()
	pl.Title.Text = p.Title
	pl.Y.Label.Text = unitNames[p.FieldConfig.Defaults.Unit]
	pl.X.Tick.Marker = plot.TickerFunc(seconds)
	pl.Y.Min = 0
	pl.Legend.Top, pl.Legend.Left = true, true
	pl.Legend.TextStyle.Font.Size = vg.Points(7)
	pl.Legend.Padding = vg.Points(1)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xe4}, color.Gray{0xe4}
	pl.Add(grid)
	n, named := 0, 0
	for _, q := range p.Targets {
		found, err := prom.between(asked(q.Expr), began, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range found {
			points := pointsOf(l, began)
			if len(points) == 0 {
				continue
			}
			drawn, err := plotter.NewLine(points)
			if err != nil {
				t.Fatal(err)
			}
			drawn.Color, drawn.Width = palette[n%len(palette)], vg.Points(1.3)
			pl.Add(drawn)
			n++
			if name := legendOf(q.LegendFormat, l.Metric); name != "" && named < mostLines && !flat(points) {
				named++
				pl.Legend.Add(name, drawn)
			}
		}
	}
	if pl.Y.Max *= 1.3; pl.Y.Max <= 0 { // room for the legend
		pl.Y.Max = 1
	}
	return pl
}

func pointsOf(l line, began time.Time) (points plotter.XYs) {
	for _, s := range l.Values {
		if v := s.value(); !math.IsNaN(v) && !math.IsInf(v, 0) {
			points = append(points, plotter.XY{X: s.at() - float64(began.Unix()), Y: v})
		}
	}
	return points
}

// flat says whether a line is 0 throughout: most labels' are, and their names
// would hide the others.
func flat(points plotter.XYs) bool {
	return !slices.ContainsFunc(points, func(p plotter.XY) bool { return p.Y != 0 })
}

var unitNames = map[string]string{"cps": "a second", "s": "seconds", "percentunit": "share", "bytes": "bytes"}

// seconds marks the time since the beginning.
func seconds(low, high float64) (ticks []plot.Tick) {
	step := 5.0
	for (high-low)/step > 6 {
		step *= 2
	}
	for at := math.Ceil(low/step) * step; at <= high; at += step {
		ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprintf("%.0f s", at)})
	}
	return ticks
}

var variable = regexp.MustCompile(`\{\{(\w+)\}\}`)

func legendOf(format string, labels map[string]string) string {
	return variable.ReplaceAllStringFunc(format, func(name string) string { return labels[name[2:len(name)-2]] })
}
