package app

import (
	"cmp"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// liveLog is a log that outlives configurations. It writes to the log of the newest
// one, because that of an earlier one may be closed already.
type liveLog struct {
	current *atomic.Pointer[zapcore.Core]
	fields  []zapcore.Field
}

func newLiveLog(log *zap.Logger) *liveLog {
	l := &liveLog{current: new(atomic.Pointer[zapcore.Core])}
	l.swap(log)
	return l
}

// swap sends all later entries to log.
func (l *liveLog) swap(log *zap.Logger) {
	core := log.Core()
	l.current.Store(&core)
}

func (l *liveLog) core() zapcore.Core { return *l.current.Load() }

// whole returns the newest core with the fields that were added.
func (l *liveLog) whole() zapcore.Core {
	if len(l.fields) == 0 {
		return l.core()
	}
	return l.core().With(l.fields)
}

// Enabled implements zapcore.Core.
func (l *liveLog) Enabled(level zapcore.Level) bool { return l.core().Enabled(level) }

// With implements zapcore.Core.
func (l *liveLog) With(fields []zapcore.Field) zapcore.Core {
	return &liveLog{current: l.current, fields: append(append([]zapcore.Field(nil), l.fields...), fields...)}
}

// Check implements zapcore.Core.
func (l *liveLog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	e.LoggerName = cmp.Or(e.LoggerName, "callback")
	return l.whole().Check(e, c)
}

// Write implements zapcore.Core.
func (l *liveLog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return l.whole().Write(e, fields)
}

// Sync implements zapcore.Core.
func (l *liveLog) Sync() error { return l.core().Sync() }

// Interface guard
var _ zapcore.Core = (*liveLog)(nil)
