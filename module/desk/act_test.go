package desk

import (
	"slices"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/linear"
)

func TestWireHeadersAreKnownByTheirDefaultNames(t *testing.T) {
	t.Parallel()
	wire := callback.NewWire("X-Acme-")
	h := renamed(callback.Header{{Name: "X-Acme-Error-Code", Value: "own"}, {Name: "X-Link-Error-Code", Value: "E1"}, {Name: "X-Link-Status", Value: "Failed"}}, wire)
	if h.Get("X-Acme-Status") != "Failed" || h.Get("X-Acme-Error-Code") != "own" || h.Get("X-Link-Status") != "" {
		t.Errorf("%v", h)
	}
	same := callback.NewWire(callback.DefaultHeaderPrefix)
	if h := renamed(callback.Header{{Name: "X-Link-Status", Value: "Failed"}}, same); h.Get("X-Link-Status") != "Failed" || len(h) != 1 {
		t.Errorf("%v", h)
	}
}

func TestManyWireHeadersAreRenamedInTheTimeOfTheirNumber(t *testing.T) {
	wire := callback.NewWire("X-Acme-")
	linear.Check(t, 1000, func(n int) func() {
		lines := slices.Repeat(callback.Header{{Name: "X-Link-Status"}}, n)
		return func() {
			if h := renamed(slices.Clone(lines), wire); len(h.Values("X-Acme-Status")) != n {
				t.Errorf("%d of %d lines are renamed", len(h.Values("X-Acme-Status")), n)
			}
		}
	})
}
