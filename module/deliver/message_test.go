package deliver

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/linear"
)

func TestManyConnectionOptionsCostWhatTheirLengthCosts(t *testing.T) {
	linear.Check(t, 500, func(n int) func() {
		m := Message{Header: http.Header{"Connection": {strings.Repeat("z,", 3*n)}}}
		for i := range n {
			m.Header["X-"+strconv.Itoa(i)] = []string{""}
		}
		return func() {
			if h := m.header(); len(h) != n {
				t.Errorf("%d of %d headers are sent", len(h), n)
			}
		}
	})
}
