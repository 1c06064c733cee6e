package dashboard

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/trend"
)

// plot is a picture of the last hour, drawn as SVG, with a text that says the same.
type plot struct {
	Title string
	// Says is what the plot shows, as a sentence.
	Says  string
	Lines []line
	// Most is the value at the upper edge, as a label.
	Most string
	// Empty says why there is nothing to see; empty if there is.
	Empty string
}

// line is one line of a plot.
type line struct {
	// Name is what the legend calls it, and Class how it looks.
	Name, Class string
	// Runs are the points of its pieces. Where a value is not known there is a gap.
	Runs []string
}

// The height of a plot in its own units. It is as wide as there are steps between minutes.
const (
	plotHeight = 100
	plotWidth  = trend.Minutes - 1
)

// Width and Height are the size of the drawing, which is stretched to the room that there is.
func (plot) Width() int  { return plotWidth }
func (plot) Height() int { return plotHeight }

// values are those of a line, one for each minute; negative where it is not known.
type values [trend.Minutes]float64

// newPlot draws lines. label writes a value.
func newPlot(title string, label func(float64) string, lines map[string]values, order ...[2]string) plot {
	p := plot{Title: title}
	top := 0.0
	for _, v := range lines {
		for _, y := range v {
			top = max(top, y)
		}
	}
	top = roundUp(top)
	p.Most = label(top)
	for _, of := range order {
		p.Lines = append(p.Lines, line{Name: of[0], Class: of[1], Runs: runs(lines[of[0]], top)})
	}
	return p
}

// runs returns the points of the pieces of a line.
func runs(v values, top float64) (all []string) {
	var run []string
	end := func() {
		if len(run) == 1 {
			// A piece of one minute is a short line.
			x, y, _ := strings.Cut(run[0], ",")
			run = append(run, x+".4,"+y)
		}
		if run != nil {
			all = append(all, strings.Join(run, " "))
		}
		run = nil
	}
	for x, y := range v {
		if y < 0 {
			end()
			continue
		}
		run = append(run, strconv.Itoa(x)+","+strconv.FormatFloat(plotHeight-y/top*plotHeight, 'f', 1, 64))
	}
	end()
	return all
}

// roundUp returns a round number that is not smaller, and more than nothing.
func roundUp(y float64) float64 {
	if y <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(y)))
	for _, factor := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if y <= factor*unit {
			return factor * unit
		}
	}
	return y
}

// each returns a value for each minute that is known.
func each(hour *[trend.Minutes]trend.Minute, of func(trend.Minute) float64) (v values) {
	for i, m := range hour {
		v[i] = -1
		if m.Known {
			v[i] = of(m)
		}
	}
	return v
}

// sumOf returns the sum of the values that are known, and the largest one.
func sumOf(v values) (sum, most float64) {
	for _, y := range v {
		if y > 0 {
			sum, most = sum+y, max(most, y)
		}
	}
	return sum, most
}

func wholeNumber(y float64) string { return count(int(math.Ceil(y))) }

// plotEnds draws how many callbacks were made and how many have ended in each minute.
func plotEnds(hour *[trend.Minutes]trend.Minute) plot {
	made := each(hour, func(m trend.Minute) float64 { return float64(m.Made) })
	well := each(hour, func(m trend.Minute) float64 { return float64(m.Ended[callback.Resolved]) })
	other := each(hour, func(m trend.Minute) float64 { return float64(m.EndedInAll() - m.Ended[callback.Resolved]) })
	p := newPlot("Made and ended in a minute", wholeNumber, map[string]values{"made": made, "resolved": well, "ended otherwise": other},
		[2]string{"made", "line-a"}, [2]string{"resolved", "line-b"}, [2]string{"ended otherwise", "line-c"})
	sum, most := sumOf(made)
	resolved, _ := sumOf(well)
	others, _ := sumOf(other)
	p.Says = wholeNumber(sum) + " were made in the last hour, at most " + wholeNumber(most) + " in a minute; " +
		wholeNumber(resolved) + " were resolved, and " + wholeNumber(others) + " have ended otherwise."
	if sum+resolved+others == 0 {
		p.Empty = "No callback was made in the last hour, and none has ended, as far as this server has seen since it was started."
	}
	return p
}

// plotWaiting draws how many callbacks have waited.
func plotWaiting(hour *[trend.Minutes]trend.Minute) plot {
	waiting := each(hour, func(m trend.Minute) float64 { return float64(m.Waiting) })
	p := newPlot("Waiting", wholeNumber, map[string]values{"waiting": waiting}, [2]string{"waiting", "line-a"})
	_, most := sumOf(waiting)
	p.Says = "At most " + wholeNumber(most) + " have waited at once in the last hour."
	if len(p.Lines[0].Runs) == 0 {
		p.Empty = "Nobody has counted yet how many wait: the server was started a moment ago."
	}
	return p
}

// plotCalls draws how long it took until callbacks were called.
func plotCalls(hour *[trend.Minutes]trend.Minute) plot {
	quantile := func(of func(trend.Minute) time.Duration) values {
		return each(hour, func(m trend.Minute) float64 {
			if m.Calls == 0 {
				return -1
			}
			return of(m).Seconds()
		})
	}
	half, most := quantile(func(m trend.Minute) time.Duration { return m.Half }), quantile(func(m trend.Minute) time.Duration { return m.Most })
	label := func(y float64) string { return span(time.Duration(y * float64(time.Second))) }
	p := newPlot("Time to the call", label, map[string]values{"p50": half, "p95": most}, [2]string{"p50", "line-a"}, [2]string{"p95", "line-c"})
	calls := 0
	for _, m := range hour {
		calls += m.Calls
	}
	_, longest := sumOf(most)
	p.Says = wholeNumber(float64(calls)) + " calls were accepted in the last hour. In the slowest minute, 95 of 100 came within " + label(longest) + " of the request."
	if calls == 0 {
		p.Empty = "No call was accepted in the last hour, as far as this server has seen since it was started."
	}
	return p
}
