package answer

import (
	"net/http"
	"testing"
	"time"
)

func TestPreferredWait(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  time.Duration
	}{
		{nil, 0},
		{[]string{"wait=3"}, 3 * time.Second},
		{[]string{"Wait = 3"}, 3 * time.Second},
		{[]string{`respond-async, wait="10"; x=y`}, 10 * time.Second},
		{[]string{"respond-async", "wait=4"}, 4 * time.Second},
		{[]string{"wait=4, wait=9"}, 4 * time.Second},
		{[]string{"wait=99999"}, maxPreferredWait},
		{[]string{"wait=0"}, 0},
		{[]string{"wait"}, 0},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=soon"}, 0},
		{[]string{"wait=99999999999999999999"}, 0},
		{[]string{"waiting=3, ,=;"}, 0},
	} {
		if got := PreferenceOf(http.Header{"Prefer": tc.lines}, maxPreferredWait).Wait; got != tc.want {
			t.Errorf("%q: %v, want %v", tc.lines, got, tc.want)
		}
	}
}

func FuzzPreference(f *testing.F) {
	for _, line := range []string{"", "respond-async", "wait=10", `wait="5"`, "Respond-Async, WAIT=1; a=b", "wait=99999999999999999999", `a="b,wait=3", wait`, "wait=-1", ",;=\"\\"} {
		f.Add(line, line)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		const limit = time.Minute
		p := PreferenceOf(http.Header{"Prefer": {first, second}}, limit)
		if p.Wait < 0 || p.Wait > limit || p.Wait != 0 && !p.Waits {
			t.Errorf("%q and %q mean %+v", first, second, p)
		}
		h := make(http.Header)
		p.Apply(h)
		if applied := PreferenceOf(http.Header{"Prefer": h["Preference-Applied"]}, limit); applied.Async && !p.Async || applied.Waits && !p.Waits {
			t.Errorf("%q and %q are answered with %q", first, second, h["Preference-Applied"])
		}
	})
}
