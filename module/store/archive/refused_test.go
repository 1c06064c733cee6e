package archive

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/badger"
	"github.com/caddy-callback/caddy-callback/module/store/postgres"
	"github.com/caddy-callback/caddy-callback/module/store/storetest"
)

// simple is a store in memory whose callbacks can be moved.
type simple struct {
	store.Store
	memory *storetest.Memory
	own    []callback.Secret
	// left is how many callbacks can still be created; below zero any number.
	left atomic.Int64
	kept []callback.Secret
}

func newSimple() *simple {
	m := storetest.NewMemory()
	s := &simple{Store: m.Open(), memory: m}
	s.own = []callback.Secret{*s.Secret()}
	s.left.Store(-1)
	return s
}

func (s *simple) Verify(context.Context) error { return nil }

func (s *simple) OwnSecrets(context.Context) ([]callback.Secret, error) { return s.own, nil }

func (s *simple) Keep(_ context.Context, secrets []callback.Secret, _ []callback.Mark) error {
	s.kept = append(s.kept, secrets...)
	s.memory.SetSecrets(callback.NewSecrets(*s.Secret(), s.kept...))
	return nil
}

var errNoMore = errors.New("no more")

func (s *simple) Create(ctx context.Context, r *callback.Record) (store.Commit, error) {
	if s.left.Add(-1) == -1 {
		s.left.Store(0)
		return nil, errNoMore
	}
	return s.Store.Create(ctx, r)
}

// filled returns a store with callbacks, and an archive of it.
func filled(t testing.TB) (*simple, contents, []byte) {
	t.Helper()
	s := newSimple()
	bodies := fill(t, s)
	return s, bodies, written(t, s)
}

// wantRefused checks that an archive is refused, and that the store stays as it is.
func wantRefused(t testing.TB, s store.Movable, archive []byte, words ...string) {
	t.Helper()
	before := len(all(t, s))
	_, err := Import(t.Context(), s, bytes.NewReader(archive))
	if err == nil {
		t.Fatal("the archive was imported")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %s", err, word)
		}
	}
	if n := len(all(t, s)); n != before {
		t.Errorf("%d callbacks were imported from what is refused: %v", n-before, err)
	}
}

func TestArchivesThatAreNotWholeAreRefused(t *testing.T) {
	t.Parallel()
	_, _, whole := filled(t)
	to := newSimple()
	for _, n := range append([]int{len(title), len(title) + 3, len(whole) - 1, len(whole) - 32, len(whole) - 33}, rand.Perm(len(whole) - len(title))[:50]...) {
		wantRefused(t, to, whole[:max(n, len(title))], "incomplete")
	}
	wantRefused(t, to, nil, "not an archive")
	wantRefused(t, to, whole[:5], "not an archive")
	wantRefused(t, to, []byte("{\n\tcallback\n}\n"+strings.Repeat("x", 100)), "not an archive")
	wantRefused(t, to, append(slices.Clone(whole), 0), "something follows")
	if n := to.memory.Orphans(); n > 0 {
		t.Errorf("%d bodies are left", n)
	}
}

func TestDamagedArchivesAreRefused(t *testing.T) {
	t.Parallel()
	_, _, whole := filled(t)
	to := newSimple()
	for _, at := range append([]int{len(title), len(title) + 2, len(whole) - 1, len(whole) - 40}, rand.Perm(len(whole) - len(title))[:200]...) {
		b := slices.Clone(whole)
		b[max(at, len(title))] ^= 1 << (at % 8)
		wantRefused(t, to, b, "the archive is")
	}
	if n := to.memory.Orphans(); n > 0 {
		t.Errorf("%d bodies are left", n)
	}
}

// parts are what crafted archives are made of.
type parts struct {
	head, policy, record, piece, end []byte
}

// frameOf returns a frame.
func frameOf(k kind, content []byte) []byte {
	return append([]byte{byte(k), byte(len(content) >> 24), byte(len(content) >> 16), byte(len(content) >> 8), byte(len(content))}, content...)
}

// signed returns frames as an archive whose checksum is right.
func signed(t testing.TB, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := newWriter(&b)
	w.put([]byte(title))
	w.put(frames...)
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newParts(t testing.TB, s store.Store) parts {
	t.Helper()
	p := policies(t)[0]
	policy, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r := callback.New(s.Secret(), p, callback.Spec{}, now)
	body, err := s.PutBody(t.Context(), patterned(100))
	if err != nil {
		t.Fatal(err)
	}
	r.Latest = &callback.Call{Body: body}
	record, err := store.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	return parts{
		head: frameOf(headFrame, []byte(`{}`)), policy: frameOf(policyFrame, policy), record: frameOf(recordFrame, append([]byte{1}, record...)),
		piece: frameOf(pieceFrame, patterned(100)), end: frameOf(endFrame, []byte(`{"callbacks":1,"policies":1,"bodies":1,"bodyBytes":100}`)),
	}
}

func TestArchivesInAnotherOrderAreRefused(t *testing.T) {
	t.Parallel()
	to := newSimple()
	p := newParts(t, to)
	for name, frames := range map[string][][]byte{
		"no head":                      {p.policy, p.record, p.piece, p.end},
		"two heads":                    {p.head, p.head, p.policy, p.record, p.piece, p.end},
		"a callback before its policy": {p.head, p.record, p.piece, p.policy, p.end},
		"a callback without its body":  {p.head, p.policy, p.record, p.end},
		"a body without its callback":  {p.head, p.policy, p.piece, p.record, p.piece, p.end},
		"a body in two pieces":         {p.head, p.policy, p.record, frameOf(pieceFrame, patterned(60)), frameOf(pieceFrame, patterned(40)), p.end},
		"another body":                 {p.head, p.policy, p.record, frameOf(pieceFrame, make([]byte, 100)), p.end},
		"more than its end says":       {p.head, p.policy, p.record, p.piece, p.policy, p.end},
		"less than its end says":       {p.head, p.policy, p.end},
		"an end that says nothing":     {p.head, p.policy, p.record, p.piece, frameOf(endFrame, nil)},
		"something after its end":      {p.head, p.policy, p.record, p.piece, p.end, p.policy},
		"a kind that is not known":     {p.head, p.policy, frameOf('X', nil), p.record, p.piece, p.end},
		"no callback in its place":     {p.head, p.policy, frameOf(recordFrame, nil), p.end},
		"a secret that is none":        {frameOf(headFrame, []byte(`{"secrets":["AAAA"]}`)), p.policy, p.record, p.piece, p.end},
		"a part that is too long":      {p.head, {byte(policyFrame), 0xff, 0xff, 0xff, 0xff}},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, to, signed(t, frames...), "the archive is damaged") })
	}
	if done := taken(t, to, signed(t, p.head, p.policy, p.record, p.piece, p.end)); done.Callbacks != 1 || done.Bodies != 1 {
		t.Errorf("what is in order: %+v", done)
	}
}

func TestCallbacksOfAnUnknownSecretAreRefused(t *testing.T) {
	t.Parallel()
	secrets := callback.NewSecrets(callback.NewSecret())
	from := inDatabase(t, func(o *postgres.Options) { o.Secrets = secrets })(t)
	bodies := fill(t, from)
	want := all(t, from)
	archive := written(t, from)
	to := inDatabase(t, func(o *postgres.Options) {
		o.Secrets = callback.NewSecrets(callback.NewSecret())
	})(t)
	wantRefused(t, to, archive, "605 callbacks", "secret <new> <old>")
	// The archive does not have what the configuration has.
	if first := secrets.First(); bytes.Contains(archive, first[:]) || bytes.Contains(archive, base64.StdEncoding.AppendEncode(nil, first[:])) || bytes.Contains(archive, []byte(`"secrets"`)) {
		t.Error("the archive has the secret")
	}
	known := inDatabase(t, func(o *postgres.Options) {
		o.Secrets = callback.NewSecrets(callback.NewSecret(), *secrets.First())
	})(t)
	taken(t, known, archive)
	wantMoved(t, known, want, bodies)
	if own, err := known.OwnSecrets(t.Context()); err != nil || len(own) > 0 {
		t.Errorf("the store keeps %d secrets that are configured, %v", len(own), err)
	}
}

func TestSecretThatIsGoneIsNoReasonToRefuse(t *testing.T) {
	t.Parallel()
	from, _, _ := filled(t)
	from.memory.SetSecrets(callback.NewSecrets(callback.NewSecret()))
	from.own = nil
	to := newSimple()
	if done := taken(t, to, written(t, from)); done.Callbacks != 605 || len(to.kept) > 0 {
		t.Errorf("imported %+v, kept %d", done, len(to.kept))
	}
}

func TestStoreKeepsOnlySecretsThatItNeeds(t *testing.T) {
	t.Parallel()
	from, _, _ := filled(t)
	from.own = append(from.own, callback.NewSecret())
	to := newSimple()
	taken(t, to, written(t, from))
	if !slices.Equal(to.kept, []callback.Secret{*from.Secret()}) {
		t.Errorf("the store keeps %d secrets", len(to.kept))
	}
}

func TestImportThatWasInterruptedCanBeRepeated(t *testing.T) {
	t.Parallel()
	from, bodies, archive := filled(t)
	to := newSimple()
	for _, left := range []int64{0, 1, 255, 300} {
		to.left.Store(left)
		if _, err := Import(t.Context(), to, bytes.NewReader(archive)); !errors.Is(err, errNoMore) {
			t.Fatalf("with room for %d: %v", left, err)
		}
		if n := to.memory.Orphans(); n > 0 {
			t.Errorf("with room for %d: %d bodies are left", left, n)
		}
	}
	to.left.Store(-1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Import(ended, to, bytes.NewReader(archive)); !errors.Is(err, context.Canceled) {
		t.Errorf("when it is broken off: %v", err)
	}
	there := len(all(t, to))
	done := taken(t, to, archive)
	if done.Already != there || done.Already+done.Callbacks != 605 || done.Callbacks == 0 {
		t.Errorf("there were %d, and the rest is %+v", there, done)
	}
	wantMoved(t, to, all(t, from), bodies)
	if done := taken(t, to, archive); done.Already != 605 || done.Callbacks != 0 || done.Bodies != 0 {
		t.Errorf("once more: %+v", done)
	}
	if n := to.memory.Orphans(); n > 0 {
		t.Errorf("%d bodies are left", n)
	}
}

func TestCallbacksThatChangedAreNotOverwritten(t *testing.T) {
	t.Parallel()
	_, _, archive := filled(t)
	to := newSimple()
	taken(t, to, archive)
	var some callback.UUID
	for id := range all(t, to) {
		some = id
	}
	if _, _, err := to.Update(t.Context(), store.ByID(some), func(r *callback.Record) (store.Change, error) {
		next := *r
		next.Calls++
		return store.Change{Next: &next}, nil
	}); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, to, archive, some.String(), "has changed since it was exported")
}

func TestAliasesOfOtherCallbacksAreNotTaken(t *testing.T) {
	t.Parallel()
	_, _, archive := filled(t)
	to := newSimple()
	f := &filler{TB: t, s: to, policies: policies(t)}
	f.add(0, func(r *callback.Record) { r.Aliases = []callback.Digest{{2}} })
	wantRefused(t, to, archive, "Idempotency-Key")
}

func TestStoreThatOtherNodesUseIsLeftAlone(t *testing.T) {
	t.Parallel()
	at := inDatabase(t, nil)
	one := at(t)
	_, _, archive := filled(t)
	two := at(t)
	if _, err := Export(t.Context(), one, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "uses the store") {
		t.Errorf("exporting what another node uses: %v", err)
	}
	wantRefused(t, one, archive, "uses the store", "stop Caddy there first")
	shut(t, two)
	taken(t, one, archive)
}

func TestNodeThatJoinsMeanwhileSpoilsTheExport(t *testing.T) {
	t.Parallel()
	at := inDatabase(t, nil)
	s := at(t)
	fill(t, s)
	joins := &joining{t: t, at: at}
	if _, err := Export(t.Context(), s, joins); err == nil || !strings.Contains(err.Error(), "uses the store") {
		t.Errorf("the export ends with %v", err)
	}
}

// joining has a node join when something is written.
type joining struct {
	t    testing.TB
	at   place
	done bool
}

func (j *joining) Write(b []byte) (int, error) {
	if !j.done {
		j.at(j.t)
		j.done = true
	}
	return len(b), nil
}

func TestStoreThatIsDamagedIsNotExported(t *testing.T) {
	t.Parallel()
	from, _, _ := filled(t)
	for id, r := range all(t, from) {
		if r.Name != "parked" {
			continue
		}
		if _, _, err := from.Update(t.Context(), store.ByID(id), func(r *callback.Record) (store.Change, error) {
			next := *r
			request := *r.Request
			request.Body.Sum[0]++
			next.Request = &request
			return store.Change{Next: &next}, nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := Export(t.Context(), from, new(bytes.Buffer)); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), id.String()) {
			t.Errorf("the export ends with %v", err)
		}
	}
}

func TestKeptSecretsAreSealedAndStay(t *testing.T) {
	t.Parallel()
	old, fresh := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	keys := [][]byte{old}
	at := embedded(t, func(o *badger.Options) { o.EncryptionKey, o.OldKeys = keys[0], keys[1:] })
	_, bodies, archive := filled(t)
	s := at(t)
	taken(t, s, archive)
	want := all(t, s)
	for _, now := range [][][]byte{{fresh, old}, {fresh, old}} {
		shut(t, s)
		keys = now
		s = at(t)
		wantMoved(t, s, want, bodies)
	}
}
