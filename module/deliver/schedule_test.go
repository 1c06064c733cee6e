package deliver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

func fixed(f float64) func() float64 { return func() float64 { return f } }

func TestTheDefaultScheduleIsUsedUpAfterItsLastDelay(t *testing.T) {
	want := []time.Duration{
		0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}
	for attempts, delay := range want {
		got, ok := deliver.Next(deliver.DefaultSchedule, attempts, 0, fixed(0.5))
		if !ok || got != delay {
			t.Errorf("after %d attempts: %v, %v; want %v", attempts, got, ok, delay)
		}
	}
	for _, attempts := range []int{len(want), len(want) + 1, 1 << 40} {
		if got, ok := deliver.Next(deliver.DefaultSchedule, attempts, time.Hour, fixed(0.5)); ok || got != 0 {
			t.Errorf("after %d attempts: %v, %v", attempts, got, ok)
		}
	}
}

func TestWithoutAScheduleThereIsOneAttempt(t *testing.T) {
	if got, ok := deliver.Next(nil, 0, 0, fixed(0)); !ok || got != 0 {
		t.Error(got, ok)
	}
	if _, ok := deliver.Next(nil, 1, time.Hour, fixed(0)); ok {
		t.Error("there is another one")
	}
}

func TestDelaysAreSpread(t *testing.T) {
	schedule := []time.Duration{time.Hour}
	for rnd, want := range map[float64]time.Duration{0: 54 * time.Minute, 0.5: time.Hour, 1: 66 * time.Minute} {
		if got, _ := deliver.Next(schedule, 1, 0, fixed(rnd)); got.Round(time.Microsecond) != want {
			t.Errorf("with %v: %v, want %v", rnd, got, want)
		}
	}
}

func TestRetryAfterMakesADelayLongerAndNeverShorter(t *testing.T) {
	schedule := []time.Duration{time.Hour}
	for _, c := range []struct {
		asked time.Duration
		rnd   float64
		want  time.Duration
	}{
		{-time.Hour, 0.5, time.Hour},
		{time.Minute, 0.5, time.Hour},
		{2 * time.Hour, 0, 2 * time.Hour},
		{2 * time.Hour, 1, 132 * time.Minute},
		{24 * time.Hour, 1, 24 * time.Hour},
		{1 << 62, 0, 24 * time.Hour},
	} {
		if got, ok := deliver.Next(schedule, 1, c.asked, fixed(c.rnd)); !ok || got.Round(time.Microsecond) != c.want {
			t.Errorf("asked for %v: %v, %v; want %v", c.asked, got, ok, c.want)
		}
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                        0,
		"0":                       0,
		"120":                     2 * time.Minute,
		" 120 ":                   2 * time.Minute,
		"86400":                   24 * time.Hour,
		"86401":                   24 * time.Hour,
		strings.Repeat("9", 1000): 24 * time.Hour,
		"00120":                   2 * time.Minute,
		"-1":                      0,
		"+1":                      0,
		"1.5":                     0,
		"1s":                      0,
		"soon":                    0,
		now.Add(time.Hour).Format(http.TimeFormat):      time.Hour,
		now.Add(time.Hour).Format(time.RFC850):          time.Hour,
		now.Add(time.Hour).Format(time.ANSIC):           time.Hour,
		now.Add(-time.Hour).Format(http.TimeFormat):     0,
		now.Add(48 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT":                 24 * time.Hour,
		"Mon, 01 Jan 0001 00:00:00 GMT":                 0,
		now.Add(time.Hour).Format(time.RFC3339):         0,
	} {
		if got := deliver.RetryAfter(value, now); got != want {
			t.Errorf("%q was read as %v, want %v", value, got, want)
		}
	}
}
