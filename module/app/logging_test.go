package app

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestLogGoesToTheNewestConfiguration(t *testing.T) {
	firstCore, first := observer.New(zapcore.InfoLevel)
	secondCore, second := observer.New(zapcore.DebugLevel)
	live := newLiveLog(zap.New(firstCore))
	log := zap.New(live).With(zap.String("a", "1"))
	nested := log.With(zap.String("b", "2"))

	log.Info("first")
	log.Debug("not for the first")
	live.swap(zap.New(secondCore))
	nested.Debug("second", zap.String("c", "3"))
	log.Named("store").Warn("third")
	if err := log.Sync(); err != nil {
		t.Error(err)
	}

	wantEntries(t, first, map[string]map[string]any{"first": {"a": "1"}})
	wantEntries(t, second, map[string]map[string]any{"second": {"a": "1", "b": "2", "c": "3"}, "third": {"a": "1"}})
	if got := second.All()[0].LoggerName; got != "callback" {
		t.Errorf("a log without a name is called %q", got)
	}
	if got := second.All()[1].LoggerName; got != "store" {
		t.Errorf("a log with a name is called %q", got)
	}
}

func wantEntries(t *testing.T, logs *observer.ObservedLogs, want map[string]map[string]any) {
	t.Helper()
	if logs.Len() != len(want) {
		t.Errorf("there are %d entries, want %d: %v", logs.Len(), len(want), logs.All())
	}
	for _, e := range logs.All() {
		got := e.ContextMap()
		if len(got) != len(want[e.Message]) {
			t.Errorf("%s has %v", e.Message, got)
		}
		for key, value := range want[e.Message] {
			if got[key] != value {
				t.Errorf("%s has %s %v, want %v", e.Message, key, got[key], value)
			}
		}
	}
}

func TestBranchesOfALogDoNotShareFields(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	log := zap.New(newLiveLog(zap.New(core))).With(zap.String("a", "1"), zap.String("b", "2"), zap.String("c", "3"))
	left, right := log.With(zap.String("side", "left")), log.With(zap.String("side", "right"))
	left.Info("left")
	right.Info("right")
	for _, e := range logs.All() {
		if got := e.ContextMap()["side"]; got != e.Message {
			t.Errorf("%s is said to be %v", e.Message, got)
		}
	}
}
