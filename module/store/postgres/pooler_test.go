package postgres

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// The suite passes through a pooler that gives each transaction another connection.
func TestConformanceBehindAPooler(t *testing.T) {
	pooled := postgrestest.Shared(t).NewPooler(t)
	testConformance(t, func(o *Options) { o.URL, o.Direct = pooled, o.URL })
}

func TestPoolerIsNamedWhenOneIsFound(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.URL = postgrestest.Shared(t).NewPooler(t)
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "pooler") || !strings.Contains(err.Error(), "direct") {
		t.Errorf("a pooler without direct: %v", err)
	}
}

// Without a connection on which hints come a node looks at everything, and the log says why.
func TestNodeBehindAPoolerLooksForItself(t *testing.T) {
	t.Parallel()
	pooled := postgrestest.Shared(t).NewPooler(t)
	for name, tc := range map[string]struct{ direct, says string }{
		"direct leads to the pooler, too": {pooled, "if it leads to a pooler, direct must name the database itself"},
		"direct leads nowhere":            {"postgres://callback@127.0.0.1:1/postgres", "there is no connection to listen on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, logs := observer.New(zap.ErrorLevel)
			n := &nodes{T: t, options: testOptions(t)}
			n.options.URL, n.options.Direct, n.options.Log = pooled, tc.direct, zap.New(core)
			s := n.open()
			n.eventually("saying why", func() bool {
				for _, e := range logs.FilterMessageSnippet("hints of other nodes do not come").All() {
					if strings.Contains(e.ContextMap()["cause"].(string), tc.says) {
						return true
					}
				}
				return false
			})
			n.eventually("looking at everything", func() bool { return time.Since(time.Unix(0, s.heardAt.Load())) > deafAfter })
			for range cap(s.changes) {
				select {
				case <-s.Changes():
					continue
				default:
				}
				break
			}
			for range 3 {
				if h := <-s.Changes(); !h.IsZero() {
					t.Errorf("a node that hears nothing is told %+v", h)
				}
			}
		})
	}
}
