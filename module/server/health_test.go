package server

import (
	"context"
	"fmt"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/store"
)

func TestHealthSaysInAWordWhyNoWorkIsTaken(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		errExiting: "exiting", engine.ErrBusy: "busy", store.ErrFull: "full", store.ErrFailed: "unavailable", store.ErrDamaged: "unavailable",
		store.ErrClosed: "unavailable", context.Canceled: "unavailable",
	} {
		if got := wordFor(fmt.Errorf("the store: %w", err)); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}
