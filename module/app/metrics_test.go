package app

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var (
	described  = regexp.MustCompile(`fqName: "` + metricsPrefix + `([^"]+)".*variableLabels: \{([^}]*)\}`)
	documented = regexp.MustCompile("(?m)^\\| (`[a-z_`, ]+`)(?: \\(histogram\\))? \\| ([^|]*)\\|")
	quotedWord = regexp.MustCompile("`([a-z_]+)`")
)

// descriptions returns the labels of all metrics, by their names.
func descriptions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	to := make(chan *prometheus.Desc)
	go func() {
		defer close(to)
		for _, c := range measured().collectors() {
			c.Describe(to)
		}
	}()
	for d := range to {
		found := described.FindStringSubmatch(d.String())
		if found == nil {
			t.Fatalf("a metric is not ours: %s", d)
		}
		all[found[1]] = found[2]
	}
	return all
}

// TestMetricsAreDocumented makes sure that the table of docs/operations.md has all metrics with
// their labels, and no others.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| metric, after `"+metricsPrefix+"` |")
	table, _, _ = strings.Cut(table, "\n\n")
	got := make(map[string]string)
	for _, row := range documented.FindAllStringSubmatch(table, -1) {
		labels, _, _ := strings.Cut(row[2], ":")
		for _, name := range quotedWord.FindAllStringSubmatch(row[1], -1) {
			got[name[1]] = strings.Join(words(labels), ",")
		}
	}
	if want := descriptions(t); !maps.Equal(got, want) {
		t.Errorf("docs/operations.md has the metrics\n%v\nand there are\n%v", got, want)
	}
	for metric, outcomes := range map[string][]string{
		"job_attempts_total":      slices.Sorted(maps.Values(jobOutcomes)),
		"delivery_attempts_total": slices.Sorted(maps.Values(deliveryOutcomes)),
	} {
		_, row, _ := strings.Cut(table, "\n| `"+metric+"` | ")
		row, _, _ = strings.Cut(row, "|")
		_, row, _ = strings.Cut(row, ":")
		if got := words(row); !slices.Equal(slices.Sorted(slices.Values(got)), outcomes) {
			t.Errorf("the outcomes of %s are %v, and docs/operations.md has %v", metric, outcomes, got)
		}
	}
}

// words returns what is quoted in a text.
func words(text string) (all []string) {
	for _, word := range quotedWord.FindAllStringSubmatch(text, -1) {
		all = append(all, word[1])
	}
	return all
}

// collected is a collector of whatever it is given.
type collected struct {
	collect func(chan<- prometheus.Metric)
}

func (collected) Describe(chan<- *prometheus.Desc) {}

func (c collected) Collect(to chan<- prometheus.Metric) { c.collect(to) }

func TestWhatIsCountedByNameStaysAndIsBounded(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	g := newGauges()
	collect := func(tallies ...store.Tally) (samples map[string]float64) {
		all := make(map[string]named)
		count(all, tallies, now)
		r := prometheus.NewRegistry()
		r.MustRegister(collected{func(to chan<- prometheus.Metric) { g.collectNamed(to, all) }})
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		samples = make(map[string]float64)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				samples[strings.TrimPrefix(f.GetName(), metricsPrefix)+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		return samples
	}
	minute := callback.At(now.Add(-time.Minute))
	got := collect(store.Tally{Name: "orders", Waiting: 2, Oldest: minute}, store.Tally{Name: "orders", Waiting: 1, Oldest: callback.At(now)}, store.Tally{Name: "a\xff", Dead: 3})
	want := map[string]float64{
		"waiting orders": 3, "waiting a\uFFFD": 0, "waiting ": 0, "deliveries_dead orders": 0, "deliveries_dead a\uFFFD": 3, "deliveries_dead ": 0,
		"oldest_waiting_seconds orders": 60, "oldest_waiting_seconds a\uFFFD": 0, "oldest_waiting_seconds ": 0,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for name := range want {
		want[name] = 0
	}
	if got := collect(); !maps.Equal(got, want) {
		t.Errorf("when nothing is left: %v", got)
	}
	var many []store.Tally
	for i := range store.MaxTallied + 10 {
		many = append(many, store.Tally{Name: strings.Repeat("n", i+1), Waiting: 1, Oldest: minute})
	}
	got = collect(many...)
	if len(got) != 3*(store.MaxTallied+1) || got["waiting "+store.OtherNames] != 13 || got["oldest_waiting_seconds "+store.OtherNames] != 60 {
		t.Errorf("of many names there are %d metrics, and %v under %s", len(got), got["waiting "+store.OtherNames], store.OtherNames)
	}
}
