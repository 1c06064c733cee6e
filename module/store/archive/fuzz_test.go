package archive

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// signedAgain returns an archive whose checksum is right, so that more than that is tried.
func signedAgain(t testing.TB, b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte(title))
	return signed(t, b[:max(0, len(b)-32)])
}

// FuzzImport reads archives that strangers have made: it neither panics, nor leaves half of what
// it refuses, nor takes more memory than the archive is long.
func FuzzImport(f *testing.F) {
	s := newSimple()
	p := newParts(f, s)
	whole := signed(f, p.head, p.policy, p.record, p.piece, p.end)
	f.Add(whole)
	f.Add(whole[:len(whole)-40])
	f.Add(signed(f, p.head, []byte{byte(recordFrame), 0, 0x3f, 0xff, 0xff}))
	f.Add(signed(f, frameOf(headFrame, []byte(`{"secrets":["AAAA"]}`)), p.end))
	secret := *s.Secret()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, archive := range [][]byte{b, signedAgain(t, b)} {
			to := newSimple()
			to.memory.SetSecrets(callback.NewSecrets(secret))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			done, err := Import(t.Context(), to, bytes.NewReader(archive))
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > uint64(200*len(archive)+4<<20) {
				t.Errorf("%d bytes were taken for an archive of %d", took, len(archive))
			}
			found := len(all(t, to))
			if err != nil && (found > 0 || to.memory.Orphans() > 0) || err == nil && found != done.Callbacks {
				t.Errorf("%d callbacks are there of %+v, %v", found, done, err)
			}
			if err == nil && !bytes.Equal(reread(t, to), reread(t, moved(t, to))) {
				t.Error("what was imported is exported as something else")
			}
			_ = to.Close()
		}
	})
}

// moved returns a store with what another one has.
func moved(t testing.TB, s *simple) *simple {
	t.Helper()
	to := newSimple()
	to.memory.SetSecrets(callback.NewSecrets(*s.Secret(), s.kept...))
	to.own = s.own
	taken(t, to, written(t, s))
	return to
}

// reread returns everything that is in a store, in order.
func reread(t testing.TB, s *simple) (b []byte) {
	t.Helper()
	page, _, err := s.List(t.Context(), store.Query{Limit: store.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page {
		one, err := plain(r)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, one...)
	}
	return b
}
