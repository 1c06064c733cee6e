package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// moves runs export or import for the store of a configuration.
func (s *stage) moves(t *testing.T, command, file string, cfg harness.Config, flags ...string) (output string, code int) {
	t.Helper()
	config := s.WriteFile(t, "Caddyfile.moved", []byte(s.Caddyfile(cfg)))
	return s.RunCode(t, "", append([]string{"callback", command, file, "--config", config, "--adapter", "caddyfile"}, flags...)...)
}

// moved runs export or import, which must succeed.
func (s *stage) moved(t *testing.T, command, file string, cfg harness.Config, words ...string) {
	t.Helper()
	output, code := s.moves(t, command, file, cfg)
	if code != 0 {
		t.Fatalf("%s exits with %d: %s", command, code, output)
	}
	for _, word := range words {
		if !strings.Contains(output, word) {
			t.Errorf("%s prints no %q: %s", command, word, output)
		}
	}
}

// wantUnmoved runs export or import, which must fail with these words.
func (s *stage) wantUnmoved(t *testing.T, command, file string, cfg harness.Config, words ...string) {
	t.Helper()
	output, code := s.moves(t, command, file, cfg)
	if code != 1 {
		t.Errorf("%s exits with %d", command, code)
	}
	for _, word := range words {
		if !strings.Contains(output, word) {
			t.Errorf("%s prints no %q: %s", command, word, output)
		}
	}
}

// exits ends the server.
func (s *stage) exits(t *testing.T) {
	t.Helper()
	s.Terminate(t)
	s.Exited(t, harness.Patience)
}

func TestURLsGoOnAfterAMoveToAnotherStore(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	in := func(store string) harness.Config { return harness.Config{StoreLine: store, Private: s.parks("")} }
	embedded, database := in(""), in(inDatabase(t))
	first, second := s.Path("first.archive"), s.Path("second.archive")
	s.Start(t, embedded)
	waits, has := s.post(t, "text/plain", "x"), s.post(t, "text/plain", "x")
	waiting, resolved := s.wantParked(t, waits.Answer(t)), s.wantParked(t, has.Answer(t))
	large := strings.Repeat("0123456789", 20_000)
	has.resolve(t, large)
	s.wantUnmoved(t, "export", first, embedded, "another process has it open")
	s.exits(t)

	s.moved(t, "export", first, embedded, "2 callbacks", "1 bodies")
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the archive is %v, %v", info.Mode(), err)
	}
	s.wantUnmoved(t, "export", first, embedded, "file exists")
	s.moved(t, "import", first, database, "2 callbacks were imported")
	s.moved(t, "import", first, database, "0 callbacks were imported", "2 were there already")
	s.Start(t, database)
	s.wantUnmoved(t, "export", second, database, "uses the store", "stop Caddy there first")
	wantAnswer(t, s.fetch(t, resolved.ResultURL), http.StatusOK, large)
	wantStatus(t, s.fetch(t, waiting.ResultURL), http.StatusAccepted)
	waits.resolve(t, "the answer")
	wantAnswer(t, s.fetch(t, waiting.ResultURL), http.StatusOK, "the answer")
	later := s.post(t, "text/plain", "x")
	s.wantParked(t, later.Answer(t))
	s.exits(t)

	s.moved(t, "export", second, database, "3 callbacks")
	s.wantUnmoved(t, "import", second, in("store badger "+s.Path("other")), "1 callbacks", "secret <new> <old>")
	back := in(fmt.Sprintf("store badger %s {\n\tsecret stored %q\n}", s.Path("back"), nodesSecret))
	s.moved(t, "import", second, back, "3 callbacks were imported")
	s.Start(t, back)
	wantAnswer(t, s.fetch(t, resolved.ResultURL), http.StatusOK, large)
	wantAnswer(t, s.fetch(t, waiting.ResultURL), http.StatusOK, "the answer")
	later.resolve(t, "at last")
}

func TestMovesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	file := s.Path("archive")
	output, code := s.RunCode(t, "", "callback", "export", s.Path("none"))
	if code != 1 || !strings.Contains(output, "--config") {
		t.Errorf("without a configuration it exits with %d: %s", code, output)
	}
	s.wantUnmoved(t, "export", file, harness.Config{}, "there is no store in "+s.Path("store"))
	if _, err := os.Stat(s.Path("store")); !os.IsNotExist(err) {
		t.Errorf("the export has made a store: %v", err)
	}
	s.wantUnmoved(t, "export", file, harness.Config{StoreLine: inDatabase(t)}, "there is no store in the schema")
	s.wantUnmoved(t, "import", file, harness.Config{}, "no such file")
	s.wantUnmoved(t, "import", s.WriteFile(t, "text", []byte("callbacks")), harness.Config{}, "not an archive")
	s.wantUnmoved(t, "import", s.Path(), harness.Config{}, "is not a file")
	s.Start(t, harness.Config{})
	c := s.made(t)
	s.exits(t)
	output, code = s.moves(t, "export", file, harness.Config{}, "--json")
	// Caddy's log is on the standard error.
	output = output[strings.LastIndex(strings.TrimSpace(output), "\n")+1:]
	var done struct {
		Callbacks int
		File      string
	}
	if err := json.Unmarshal([]byte(output), &done); err != nil || code != 0 || done.Callbacks != 1 || done.File != file {
		t.Errorf("%v in %s", err, output)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next := harness.Config{Store: s.Path("next")}
	s.wantUnmoved(t, "import", s.WriteFile(t, "cut", whole[:len(whole)-1]), next, "incomplete")
	whole[len(whole)/2] ^= 1
	s.wantUnmoved(t, "import", s.WriteFile(t, "damaged", whole), next, "the archive is damaged")
	s.moved(t, "import", file, next, "1 callbacks were imported")
	s.Start(t, next)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, ""), http.StatusOK)
}

func TestStoreThatDoesNotShowEverythingIsNotExported(t *testing.T) {
	t.Parallel()
	url, schema := postgrestest.New(t)
	cfg := harness.Config{StoreLine: inPostgres(url, schema)}
	s := start(t, cfg)
	s.made(t)
	damaged := s.made(t)
	s.exits(t)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	if _, err := db.Exec(t.Context(), `UPDATE `+schema+`.callbacks SET record = '\x00' WHERE id = $1`, damaged.ID); err != nil {
		t.Fatal(err)
	}
	file := s.Path("archive")
	s.wantUnmoved(t, "export", file, cfg, damaged.ID, "the store has reported errors")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("an archive is left: %v", err)
	}
}
