package module

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
		if got := preferenceOf(http.Header{"Prefer": tc.lines}, maxPreferredWait).wait; got != tc.want {
			t.Errorf("%q: %v, want %v", tc.lines, got, tc.want)
		}
	}
}
