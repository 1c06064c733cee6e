package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/badger"
	"github.com/caddy-callback/caddy-callback/module/store/postgres"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m.Run)) }

// now is the moment at which the tests take place.
const now = callback.Time(1_800_000_000_000)

// place opens stores on the same data, again and again.
type place func(t testing.TB) store.Movable

func logOf(t testing.TB) *zap.Logger { return zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)) }

// embedded returns a place for a store in a directory of its own.
func embedded(t testing.TB, change func(*badger.Options)) place {
	dir := filepath.Join(t.TempDir(), "store")
	return func(t testing.TB) store.Movable {
		t.Helper()
		o := badger.Options{Dir: dir, Log: logOf(t)}
		if change != nil {
			change(&o)
		}
		return opened[*badger.Store](t)(badger.Open(o))
	}
}

// inDatabase returns a place for a store in a schema of its own.
func inDatabase(t testing.TB, change func(*postgres.Options)) place {
	url, schema := postgrestest.New(t)
	secrets := callback.NewSecrets(callback.NewSecret())
	return func(t testing.TB) store.Movable {
		t.Helper()
		o := postgres.Options{URL: url, Schema: schema, Migrate: true, Secrets: secrets, Log: logOf(t)}
		if change != nil {
			change(&o)
		}
		return opened[*postgres.Store](t)(postgres.Open(o))
	}
}

// opened closes a store when the test ends, unless that was done.
func opened[S store.Movable](t testing.TB) func(S, error) store.Movable {
	return func(s S, err error) store.Movable {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

func shut(t testing.TB, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// patterned returns a body of that size.
func patterned(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 5)
	}
	return b
}

// policies are those of the callbacks of the tests.
func policies(t testing.TB) (all []*callback.Policy) {
	t.Helper()
	for _, base := range []string{"https://app.example.com", "https://www.example.com"} {
		p := &callback.Policy{BaseURL: base}
		if err := p.Compile(); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// contents are the bodies of the callbacks that fill puts into a store, by ids.
type contents map[callback.UUID][][]byte

// filler puts callbacks into a store.
type filler struct {
	testing.TB
	s        store.Store
	policies []*callback.Policy
	bodies   contents
}

// fill puts callbacks of all kinds into a store.
func fill(t testing.TB, s store.Store) contents {
	t.Helper()
	f := &filler{TB: t, s: s, policies: policies(t), bodies: make(contents)}
	for _, p := range f.policies {
		if err := s.PutPolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	f.add(0, func(r *callback.Record) {
		r.Name, r.Aliases, r.Awaited = "waiting", []callback.Digest{{1}, {2}}, []callback.Digest{{3}}
		r.Owner, r.Flight, r.Asking = 7, 8, 9
	})
	f.add(1, func(r *callback.Record) {
		r.Name, r.Job = "parked", &callback.Job{Block: "call", NextAt: now + 1}
		r.Request = &callback.Request{Method: "POST", URI: "/orders", Body: f.body(r, 200_001)}
	})
	f.add(0, func(r *callback.Record) {
		end(r, callback.Resolved)
		r.Answer = &callback.Response{Status: 200, Body: f.body(r, 3*store.BodyPiece)}
		r.Ack = &callback.Response{Status: 202, Body: f.body(r, 0)}
	})
	f.add(1, func(r *callback.Record) {
		end(r, callback.Failed)
		r.Failure = &callback.Failure{DocumentStatus: "Failed", ErrorText: "no \xff stock"}
		r.Call = &callback.Call{Method: "POST", Body: f.body(r, 100_000), ReceivedAt: now}
		r.Latest = r.Call
		r.Delivery = &callback.Delivery{URL: "https://results.example.com", Attempts: 9, Dead: true}
	})
	f.add(0, func(r *callback.Record) { end(r, callback.Expired); r.Unknown = "\x18\xc8\x01" })
	for n := range 600 {
		f.add(n%2, func(r *callback.Record) { r.Aliases = []callback.Digest{sha256.Sum256(fmt.Append(nil, n))} })
	}
	return f.bodies
}

func end(r *callback.Record, p callback.Phase) {
	r.Phase, r.FinishedAt, r.KeepUntil = p, now, now.Add(time.Hour)
}

// add puts a callback into the store.
func (f *filler) add(policy int, change func(*callback.Record)) {
	f.Helper()
	r := callback.New(f.s.Secret(), f.policies[policy], callback.Spec{ExpiresIn: time.Hour}, now)
	change(r)
	commit, err := f.s.Create(f.Context(), r)
	if err == nil {
		err = store.Wait(f.Context(), commit)
	}
	if err != nil {
		f.Fatal(err)
	}
}

// body puts a body of a callback into the store.
func (f *filler) body(r *callback.Record, n int) callback.Body {
	f.Helper()
	b, err := f.s.PutBody(f.Context(), patterned(n))
	if err != nil {
		f.Fatal(err)
	}
	f.bodies[r.ID] = append(f.bodies[r.ID], patterned(n))
	b.Data = nil
	return b
}

// all returns the callbacks in a store, by ids.
func all(t testing.TB, s store.Store) map[callback.UUID]*callback.Record {
	t.Helper()
	found := make(map[callback.UUID]*callback.Record)
	for q := (store.Query{}); ; {
		page, next, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			found[r.ID] = r
		}
		if q.After = next; next == (store.Cursor{}) {
			return found
		}
	}
}

// wantMoved checks that a store has what another one had.
func wantMoved(t testing.TB, s store.Store, want map[callback.UUID]*callback.Record, bodies contents) {
	t.Helper()
	got := all(t, s)
	if len(got) != len(want) {
		t.Errorf("%d callbacks were moved of %d", len(got), len(want))
	}
	for id, r := range want {
		moved := got[id]
		if moved == nil {
			t.Fatalf("callback %s was not moved", id)
		}
		if same, err := alike(r, moved); !same || err != nil {
			t.Errorf("%v: got  %+v\nwant %+v", err, moved, r)
		}
		if moved.Owner != 0 || moved.Flight != 0 || moved.Asking != 0 {
			t.Errorf("a record names nodes of another store: %d, %d, %d", moved.Owner, moved.Flight, moved.Asking)
		}
		secret := s.SecretOf(moved)
		if secret == nil {
			t.Fatalf("the secret of %s is not known", r.Name)
		}
		keys := []store.Key{store.ByState(secret.State(id)), store.ByTicket(secret.Ticket(id))}
		for _, alias := range r.Aliases {
			keys = append(keys, store.ByAlias(alias))
		}
		for _, key := range keys {
			if found, _, err := s.Find(t.Context(), key); err != nil || found.ID != id {
				t.Errorf("%+v leads to %+v, %v", key, found, err)
			}
		}
		if _, err := s.Policy(t.Context(), r.Policy); err != nil {
			t.Errorf("the policy: %v", err)
		}
		wantBodies(t, s, moved, bodies[id])
	}
}

// wantBodies checks the bodies of a callback.
func wantBodies(t testing.TB, s store.Store, r *callback.Record, want [][]byte) {
	t.Helper()
	var pool memory.Pool
	pool.SetLimits(1<<20, 1<<20)
	moved := files(r)
	if len(moved) != len(want) {
		t.Fatalf("%s has %d bodies, want %d", r.Name, len(moved), len(want))
	}
	for _, b := range moved {
		content, err := s.OpenBody(t.Context(), *b, pool.For(memory.Nobody))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(content)
		_ = content.Close()
		if err != nil || !bytes.Equal(got, patterned(int(b.Size))) {
			t.Errorf("a body of %d bytes is another one: %v", b.Size, err)
		}
	}
}

// written returns an archive of a store.
func written(t testing.TB, s store.Movable) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Export(t.Context(), s, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// taken puts an archive into a store.
func taken(t testing.TB, s store.Movable, archive []byte) Imported {
	t.Helper()
	done, err := Import(t.Context(), s, bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestEverythingMovesFromStoreToStore(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	for name, way := range map[string][]place{
		"to a database and back": {embedded(t, nil), inDatabase(t, nil), embedded(t, nil)},
		"encrypted": {
			embedded(t, func(o *badger.Options) { o.EncryptionKey = key }),
			inDatabase(t, func(o *postgres.Options) { o.Keys = [][]byte{key} }),
			embedded(t, func(o *badger.Options) { o.EncryptionKey = key }),
		},
		"to another directory": {embedded(t, nil), embedded(t, nil)},
		"to another database": {
			inDatabase(t, func(o *postgres.Options) { o.Secrets, o.StoredSecret = nil, true }),
			inDatabase(t, func(o *postgres.Options) { o.Secrets, o.StoredSecret = nil, true }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := way[0](t)
			bodies := fill(t, from)
			want := all(t, from)
			for _, next := range way[1:] {
				archive := written(t, from)
				shut(t, from)
				to := next(t)
				done := taken(t, to, archive)
				if done.Callbacks != len(want) || done.Policies != 2 || done.Bodies != 4 || done.Already != 0 || done.Bytes != 200_001+3*store.BodyPiece+100_000 {
					t.Errorf("imported %+v", done)
				}
				wantMoved(t, to, want, bodies)
				shut(t, to)
				from = next(t)
				wantMoved(t, from, want, bodies)
				if n := from.Waiting(); n != 602 {
					waitFor(t, "counting those that wait", func() bool { return from.Waiting() == 602 })
				}
			}
		})
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within 30 seconds", what)
		}
	}
}
