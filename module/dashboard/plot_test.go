package dashboard

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/trend"
)

func TestLineHasAGapWhereAValueIsNotKnown(t *testing.T) {
	t.Parallel()
	var v values
	for i := range v {
		v[i] = -1
	}
	v[3], v[4], v[7], v[59] = 0, 5, 10, 2.5
	if got, want := runs(v, 10), []string{"3,100.0 4,50.0", "7,0.0 7.4,0.0", "59,75.0 59.4,75.0"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestPlotsEndAtRoundNumbers(t *testing.T) {
	t.Parallel()
	for y, want := range map[float64]float64{-1: 1, 0: 1, 0.03: 0.03, 1: 1, 1.1: 1.5, 3: 3, 7: 8, 10: 10, 11: 15, 206: 300, 999: 1000, 1001: 1500} {
		if got := roundUp(y); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%v is rounded to %v, want %v", y, got, want)
		}
	}
}

func TestPlotsSayWhatTheyShow(t *testing.T) {
	t.Parallel()
	var hour [trend.Minutes]trend.Minute
	for i := range hour {
		hour[i].Waiting = -1
	}
	for _, p := range []plot{plotEnds(&hour), plotWaiting(&hour), plotCalls(&hour)} {
		if p.Empty == "" {
			t.Errorf("%s: nothing is shown, and it does not say why", p.Title)
		}
	}
	hour[58] = trend.Minute{Known: true, Made: 3, Ended: [6]int{0, 0, 2, 1}, Waiting: 1500, Calls: 2, Half: time.Second, Most: 90 * time.Second}
	hour[59] = trend.Minute{Known: true, Made: 1, Waiting: 7}
	for _, c := range []struct {
		plot
		want string
	}{
		{plotEnds(&hour), "4 were made in the last hour, at most 3 in a minute; 2 were resolved, and 1 have ended otherwise."},
		{plotWaiting(&hour), "At most 1,500 have waited at once in the last hour."},
		{plotCalls(&hour), "2 calls were accepted in the last hour. In the slowest minute, 95 of 100 came within 1 min 30 s of the request."},
	} {
		if c.Says != c.want || c.Empty != "" {
			t.Errorf("%s (%s)", c.Says, c.Empty)
		}
		for _, l := range c.Lines {
			if strings.Contains(strings.Join(l.Runs, ""), "NaN") || len(l.Runs) != 1 {
				t.Errorf("%s: %q", l.Name, l.Runs)
			}
		}
	}
}

func TestDurationsAreWrittenInTheirLargestUnits(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 s", 1500 * time.Microsecond: "0.002 s", 65 * time.Millisecond: "0.065 s", 2 * time.Second: "2 s", 9999 * time.Millisecond: "9.999 s", 10 * time.Second: "10 s", 61 * time.Second: "1 min 1 s",
		time.Hour: "1 h", 25*time.Hour + time.Minute: "1 d 1 h", 48 * time.Hour: "2 d", -90 * time.Second: "-1 min 30 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	if got := since(-time.Second); got != "0 s" {
		t.Errorf("what has not been yet was %s ago", got)
	}
}

func TestLongGapsAreDrawnShort(t *testing.T) {
	t.Parallel()
	for gap, want := range map[time.Duration]int{-time.Second: 0, 0: 0, 9 * time.Second: 0, 10 * time.Second: 1, 2 * time.Minute: 2, time.Hour: 3, 24 * time.Hour: 4, 1000 * time.Hour: 4} {
		if got := widthOf(gap); got != want {
			t.Errorf("%v is %d wide, want %d", gap, got, want)
		}
	}
}
