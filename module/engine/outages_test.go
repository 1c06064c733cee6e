package engine

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

func TestStormOfRefusedRequestsWritesOneLineForEachCause(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	e := New(storetest.NewMemory().Open(), plenty, zap.New(core), nobody{})
	for i := range 100 {
		e.Refused(fmt.Errorf("call %d: %w", i, store.ErrFull))
		e.Refused(ErrBusy)
		// These are the client's doing.
		e.Refused(store.ErrNotFound)
		e.Refused(context.Canceled)
		e.Refused(ErrCutShort)
		e.Refused(callback.ErrCallHeader)
	}
	if n := logs.Len(); n != 2 {
		t.Errorf("the log has %d lines", n)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	counts := make(map[any]any)
	for _, line := range logs.FilterMessage("requests can be served again").All() {
		counts[line.ContextMap()["cause"]] = line.ContextMap()["count"]
	}
	if len(counts) != 2 || counts[store.ErrFull.Error()] != int64(100) || counts[ErrBusy.Error()] != int64(100) {
		t.Errorf("the counts are %v", counts)
	}
}

func TestStormOfWorkThatCannotBeRecordedWritesTwoLines(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	b := newLoggedBed(t, storetest.NewMemory().Open(), plenty, callback.Policy{}, zap.New(core))
	var ids []callback.UUID
	for range 20 {
		ids = append(ids, b.deferred(t).ID)
	}
	for _, id := range ids {
		b.work(t.Context(), hand{attempt: func() callback.Attempt {
			b.store.full.Store(true)
			return answers()
		}}, id)
		b.store.full.Store(false)
	}
	if n := logs.Len(); n != 1 {
		t.Errorf("the log has %d lines: %v", n, logs.All())
	}
}
