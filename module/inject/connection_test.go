package inject_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

func TestConnectionOptionsAreHeadersThatConnectionNames(t *testing.T) {
	h := http.Header{
		"Connection": {"close, x-one ,X-TWO", "x-three,,\tX-Four\t", "absent"}, "connection": {"x-five"},
		"X-One": {"1"}, "X-Two": {"2"}, "X-Three": {"3"}, "X-Four": {"4"}, "X-Five": {"5"}, "x-five": {"5"}, "X-Kept": {"6"},
	}
	options := inject.ConnectionOptionsOf(h)
	for _, name := range []string{"X-One", "x-two", "X-Three", "X-Four", "X-Five", "x-five"} {
		if !options.Has(name) {
			t.Errorf("%s is none", name)
		}
	}
	for _, name := range []string{"X-Kept", "Connection", ""} {
		if options.Has(name) {
			t.Errorf("%s is one", name)
		}
	}
	if len(options) != 5 {
		t.Errorf("there are %v", options)
	}
	if inject.ConnectionOptionsOf(http.Header{"X-Kept": {"1"}}).Has("X-Kept") {
		t.Error("a header without Connection has an option")
	}
}

func TestManyConnectionOptionsCostWhatTheirLengthCosts(t *testing.T) {
	linear.Check(t, 500, func(n int) func() {
		h := http.Header{"Connection": {strings.Repeat("z,", n)}}
		for i := range n {
			h["X-"+strconv.Itoa(i)] = []string{""}
			h["Connection"] = append(h["Connection"], "x-absent-"+strconv.Itoa(i))
		}
		return func() {
			options := inject.ConnectionOptionsOf(h)
			for name := range h {
				if options.Has(name) {
					t.Errorf("%s is an option", name)
				}
			}
		}
	})
}
