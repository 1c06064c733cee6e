package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"strings"
)

// plot is a line chart. The places on its horizontal axis are equally far from each other, as
// suits numbers that double or grow tenfold.
type plot struct {
	title, across, up string
	places            []string
	lines             []line
}

// line is one of a plot's lines, with a value for each place.
type line struct {
	name   string
	values []float64
}

// The measures of a plot, in pixels.
const (
	plotWidth, plotHeight = 720, 400
	plotLeft, plotRight   = 72, 24
	plotTop, plotBottom   = 84, 56
)

// plotStyle follows the reader's choice of light or dark.
const plotStyle = `
	svg { font: 13px system-ui, sans-serif; --ink: #1f2328; --faint: #d1d9e0; --l0: #0969da; --l1: #bc4c00; --l2: #1a7f37; --l3: #8250df }
	@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --faint: #3d444d; --l0: #58a6ff; --l1: #f0883e; --l2: #56d364; --l3: #bc8cff } }
	text { fill: var(--ink) } .title { font-size: 16px; font-weight: 600 } .grid { stroke: var(--faint) }
	.l0 { stroke: var(--l0); fill: var(--l0) } .l1 { stroke: var(--l1); fill: var(--l1) } .l2 { stroke: var(--l2); fill: var(--l2) } .l3 { stroke: var(--l3); fill: var(--l3) }
	polyline { fill: none !important; stroke-width: 2.5 } .l1 polyline { stroke-dasharray: 8 4 } .l2 polyline { stroke-dasharray: 2 4 }
`

// add adds a place, with the value of each line there.
func (p *plot) add(place string, values ...float64) {
	p.places = append(p.places, place)
	for i, v := range values {
		p.lines[i].values = append(p.lines[i].values, v)
	}
}

// write draws the plot into a file, as SVG.
func (p plot) write(file string) error {
	return os.WriteFile(file, []byte(p.svg()), 0o600)
}

func (p plot) svg() string {
	var b strings.Builder
	top, step := scale(p.greatest())
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n<style>%s</style>\n",
		plotWidth, plotHeight, escaped(p.title), plotStyle)
	text(&b, plotLeft, 26, "start", "title", p.title)
	text(&b, plotWidth-plotRight, plotHeight-12, "end", "", p.across)
	text(&b, plotLeft, plotTop-14, "start", "", p.up)
	height := func(v float64) float64 {
		return plotHeight - plotBottom - v/top*(plotHeight-plotTop-plotBottom)
	}
	for v := 0.0; v <= top*1.001; v += step {
		y := height(v)
		fmt.Fprintf(&b, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", plotLeft, plotWidth-plotRight, y, y)
		text(&b, plotLeft-8, y+4, "end", "", shortNumber(v))
	}
	for i, place := range p.places {
		text(&b, p.along(i), plotHeight-plotBottom+22, "middle", "", place)
	}
	for i, l := range p.lines {
		p.draw(&b, i, l, height)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// draw draws a line, its points, and its name in the legend.
func (p plot) draw(b *strings.Builder, number int, l line, height func(float64) float64) {
	var points []string
	fmt.Fprintf(b, "<g class=\"l%d\">\n", number)
	for i, v := range l.values {
		points = append(points, fmt.Sprintf("%.1f,%.1f", p.along(i), height(v)))
		fmt.Fprintf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%s, %s: %s</title></circle>\n", p.along(i), height(v), escaped(l.name), escaped(p.places[i]), shortNumber(v))
	}
	fmt.Fprintf(b, "<polyline points=\"%s\"/>\n", strings.Join(points, " "))
	x, y := float64(plotLeft+number*200), 46.0
	fmt.Fprintf(b, "<polyline points=\"%.1f,%.1f %.1f,%.1f\"/>\n</g>\n", x, y, x+28, y)
	text(b, x+36, y+4, "start", "", l.name)
}

// along returns where a place is on the horizontal axis.
func (p plot) along(place int) float64 {
	const margin = 40
	if len(p.places) == 1 {
		return plotLeft + margin
	}
	return plotLeft + margin + float64(place)*(plotWidth-plotLeft-plotRight-2*margin)/float64(len(p.places)-1)
}

func (p plot) greatest() (most float64) {
	for _, l := range p.lines {
		for _, v := range l.values {
			most = max(most, v)
		}
	}
	return most
}

// scale returns a round number that is not less than a value, and the distance of the lines up
// to it.
func scale(most float64) (top, step float64) {
	if most <= 0 {
		return 1, 0.5
	}
	size := math.Pow(10, math.Floor(math.Log10(most)))
	for _, round := range []float64{1, 2, 5, 10} {
		if top = round * size; top >= most {
			return top, top / 5
		}
	}
	return top, top / 5
}

func text(b *strings.Builder, x, y float64, anchor, class, what string) {
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", x, y, anchor, class, escaped(what))
}

// shortNumber writes a number for a person.
func shortNumber(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
