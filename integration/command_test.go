package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// command runs "caddy callback" against the stage's server, and returns what it
// printed and its exit code.
func (s *stage) command(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	return s.RunCode(t, "", append([]string{"callback", "--address", "unix/" + s.Path("admin.sock")}, args...)...)
}

// commanded runs a command that must succeed.
func (s *stage) commanded(t *testing.T, args ...string) string {
	t.Helper()
	output, code := s.command(t, args...)
	if code != 0 {
		t.Fatalf("%v exits with %d: %s", args, code, output)
	}
	return output
}

// refused runs a command that must fail with these words.
func (s *stage) refused(t *testing.T, args []string, words ...string) {
	t.Helper()
	output, code := s.command(t, args...)
	if code != 1 {
		t.Errorf("%v exits with %d", args, code)
	}
	for _, word := range words {
		if !strings.Contains(output, word) {
			t.Errorf("%v: %q is not in %s", args, word, output)
		}
	}
}

// made creates a callback with the command.
func (s *stage) made(t *testing.T, args ...string) created {
	t.Helper()
	var c created
	output := s.commanded(t, append([]string{"create", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(output), &c); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	return c
}

func TestCommandsTakeACallbackThroughItsLife(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	table := s.commanded(t, "create", "--response-body", "thanks", "--correlation-id", "order 17")
	id := regexp.MustCompile(`(?m)^id +(` + uuid + `)$`).FindStringSubmatch(table)
	target := regexp.MustCompile(`(?m)^callback URL +(\S+)$`).FindStringSubmatch(table)
	if id == nil || target == nil {
		t.Fatalf("printed %s", table)
	}
	if list := s.commanded(t, "list"); !strings.Contains(list, id[1]) || !strings.Contains(list, "order 17") || !strings.Contains(list, "waiting") {
		t.Errorf("listed %s", list)
	}
	wantAnswer(t, s.callURL(t, http.MethodPost, target[1], "the body"), http.StatusOK, "thanks")
	if shown := s.commanded(t, "show", id[1]); !strings.Contains(shown, "resolved") || !strings.Contains(shown, "the body") {
		t.Errorf("shown %s", shown)
	}
	var d document
	if err := json.Unmarshal([]byte(s.commanded(t, "show", "--json", id[1])), &d); err != nil || d.ID != id[1] || d.LatestCall.Body != "the body" {
		t.Errorf("%v in %+v", err, d)
	}
	s.refused(t, []string{"resolve", id[1], "--body", "another"}, "already been called")
	s.refused(t, []string{"redeliver", id[1]}, "nothing to deliver")

	failed := s.made(t)
	s.commanded(t, "resolve", failed.ID, "--status", "Failed", "--error-code", "E1", "--error-text", "no stock", "--body", `{"a":1}`)
	if shown := s.commanded(t, "show", failed.ID); !strings.Contains(shown, "no stock") || !strings.Contains(shown, "E1") || !strings.Contains(shown, "application/json") {
		t.Errorf("shown %s", shown)
	}
	closed := s.made(t)
	for range 2 {
		s.commanded(t, "close", closed.ID)
	}
	wantProblem(t, s.callURL(t, http.MethodPost, closed.CallbackURL, ""), http.StatusGone, "closed")
	s.refused(t, []string{"resolve", closed.ID}, "closed")
}

func TestCommandCreateSetsEveryField(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	c := s.made(t, "--response-body", "x", "--response-code", "201", "--response-header", "X-A: b", "--response-header", "X-B: c:d",
		"--methods", "PUT,POST", "--include-key", "--multiple", "--require-status", "--require-correlation-id", "--expires-in", "7d",
		"--data-json", `{"a":[1]}`, "--activity", "/decide", "--activity-case", "1:2:3", "--deliver-to", "https://results.example.com/x")
	if c.APIKey == "" || !strings.HasPrefix(c.CallbackURL, harness.BaseURL) {
		t.Errorf("%+v", c)
	}
	var d document
	if err := json.Unmarshal([]byte(s.commanded(t, "show", "--json", c.ID)), &d); err != nil || string(d.Data) != `{"a":[1]}` || d.Delivery.URL != "https://results.example.com/x" {
		t.Errorf("%v in %+v", err, d)
	}
	if got := s.made(t, "--state-query", "state"); got.RedirectURI != harness.BaseURL+"/cbq/state" {
		t.Errorf("%+v", got)
	}
	other := s.made(t, "--alternative-domain", "http://callbacks.test:80", "--redirect", "/thanks", "--once")
	wantHeader(t, s.fetch(t, other.CallbackURL).Header, "Location", "http://callbacks.test:80/thanks")
	first, again := s.made(t, "--idempotency-key", "a"), s.made(t, "--idempotency-key", "a")
	if first != again {
		t.Errorf("%+v and %+v", first, again)
	}
	file := s.WriteFile(t, "callback.json", []byte(`{"responseBody":"from a file"}`))
	wantAnswer(t, s.fetch(t, s.made(t, "--file", file).CallbackURL), http.StatusOK, "from a file")
	output, code := s.RunCode(t, `{"responseBody":"from the input"}`, "callback", "create", "--json", "--file", "-", "--address", "unix/"+s.Path("admin.sock"))
	var piped created
	if err := json.Unmarshal([]byte(output), &piped); err != nil || code != 0 {
		t.Fatalf("%v in %s", err, output)
	}
	wantAnswer(t, s.fetch(t, piped.CallbackURL), http.StatusOK, "from the input")
}

func TestCommandsShowNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	c := s.made(t)
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, "a\x1b[2Jb\nc\td\u009b"), http.StatusOK)
	if shown := s.commanded(t, "show", c.ID); strings.ContainsAny(shown, "\x1b\u009b") || !strings.Contains(shown, "b c d") {
		t.Errorf("shown %q", shown)
	}
}

func TestCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	const id = "00000000-0000-4000-8000-000000000000"
	for _, args := range [][]string{{"show", id}, {"close", id}, {"resolve", id}, {"redeliver", id}, {"watch", id}, {"show", "a/b"}} {
		s.refused(t, args, "No callback has this id.")
	}
	s.refused(t, []string{"create", "--response-code", "99"}, "responseCode", "200 to 599")
	s.refused(t, []string{"create", "--data-json", "{"}, "--data-json", "JSON")
	s.refused(t, []string{"create", "--file", "x", "--redirect", "/a"}, "--file")
	s.refused(t, []string{"create", "--file", "/no/such/file"}, "no such file")
	s.refused(t, []string{"create", "--response-header", "X"}, "colon")
	s.refused(t, []string{"create", "more"}, "more")
	s.refused(t, []string{"resolve", id, "--body", "a", "--file", "b"}, "--body")
	s.refused(t, []string{"list", "--phase", "done"}, "phase", "waiting")
	s.refused(t, []string{"list", "--nosuch"}, "nosuch")
	s.refused(t, []string{"show"}, "1 arg")
	output, code := s.RunCode(t, "", "callback", "list", "--address", "unix/"+s.Path("nobody.sock"))
	if code != 1 || !strings.Contains(output, "cannot be reached") || !strings.Contains(output, "--address") {
		t.Errorf("without a server it exits with %d: %s", code, output)
	}
	s.MustReload(t, harness.Config{Bare: true, Public: "respond ok", Private: "respond ok"})
	s.refused(t, []string{"list"}, "No configuration with callbacks is running.")
}

func TestCommandsFindTheAdminEndpointInTheConfiguration(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	output, code := s.RunCode(t, "", "callback", "create", "--config", s.Path("Caddyfile"), "--adapter", "caddyfile")
	if code != 0 || !strings.Contains(output, "callback URL") {
		t.Errorf("it exits with %d: %s", code, output)
	}
}

func TestCommandListFollowsPages(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for range 5 {
		s.made(t)
	}
	count := func(args ...string) int { return len(anyUUID.FindAllString(firstColumn(s.commanded(t, args...)), -1)) }
	if n := count("list", "--limit", "2"); n != 2 {
		t.Errorf("listed %d", n)
	}
	if n := count("list", "--limit", "2", "--all"); n != 5 {
		t.Errorf("listed %d", n)
	}
	if n := count("list", "--phase", "closed", "--all"); n != 0 {
		t.Errorf("listed %d", n)
	}
	if n := count("list", "--created-after", "1h", "--created-before", "2100-01-01T00:00:00Z"); n != 5 {
		t.Errorf("listed %d", n)
	}
	var all listed
	if err := json.Unmarshal([]byte(s.commanded(t, "list", "--limit", "2", "--all", "--json")), &all); err != nil || len(all.Callbacks) != 5 || all.Next != "" {
		t.Errorf("%v in %+v", err, all)
	}
	if output := s.commanded(t, "list", "--limit", "2"); !strings.Contains(output, "--all") {
		t.Errorf("it does not say that there are more: %s", output)
	}
}

// firstColumn returns the first word of each line.
func firstColumn(table string) string {
	var b strings.Builder
	for line := range strings.Lines(table) {
		first, _, _ := strings.Cut(line, " ")
		b.WriteString(first + "\n")
	}
	return b.String()
}

func TestCommandResolveSpeaksWithEveryPrefix(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Callback: "header_prefix X-Acme-"})
	c := s.made(t)
	if got := s.commanded(t, "resolve", c.ID, "--status", "failed", "--error-code", "E1"); !strings.Contains(got, "failed") {
		t.Errorf("printed %s", got)
	}
	wantHeader(t, s.fetch(t, c.ResultURL).Header, "X-Acme-Error-Code", "E1")
}

func TestCommandWatchPrintsUntilTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	c := s.made(t)
	watch := s.Spawn(t, "callback", "watch", c.ID, "--address", "unix/"+s.Path("admin.sock"))
	watch.WaitFor(t, "waiting")
	wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, ""), http.StatusOK)
	watch.WaitFor(t, "resolved")
	if code := watch.Exited(t); code != 0 {
		t.Errorf("it exits with %d", code)
	}
}

func TestCommandWatchPrintsWhatChangesUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	before := s.made(t)
	watch := s.Spawn(t, "callback", "watch", "--address", "unix/"+s.Path("admin.sock"))
	// It prints only changes after its first look at the list, and prints nothing
	// when that is done. So make changes until one is printed.
	harness.Eventually(t, "a change is printed", func() bool {
		s.made(t)
		return strings.Contains(watch.Output(), "waiting")
	})
	wantStatus(t, s.callURL(t, http.MethodPost, before.CallbackURL, ""), http.StatusOK)
	watch.WaitFor(t, before.ID+"  resolved")
	watch.Signal(t, os.Interrupt)
	if code := watch.Exited(t); code != 0 {
		t.Errorf("it exits with %d: %s", code, watch.Output())
	}
	one := s.Spawn(t, "callback", "watch", "--json", s.made(t).ID, "--address", "unix/"+s.Path("admin.sock"))
	one.WaitFor(t, `"phase":"waiting"`)
	one.Signal(t, os.Interrupt)
	if code := one.Exited(t); code != 0 {
		t.Errorf("it exits with %d: %s", code, one.Output())
	}
}

func TestCommandWatchGoesOnOverReloadsAndRestarts(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "name orders"})
	watch := s.Spawn(t, "callback", "watch", "--correlation-id", "watched", "--address", "unix/"+s.Path("admin.sock"))
	waits := s.made(t, "--correlation-id", "watched")
	harness.Eventually(t, "a change is printed", func() bool {
		s.made(t, "--correlation-id", "watched")
		return strings.Contains(watch.Output(), "created")
	})
	s.made(t, "--correlation-id", "another")
	one := s.Spawn(t, "callback", "watch", waits.ID, "--address", "unix/"+s.Path("admin.sock"))
	one.WaitFor(t, waits.ID+"  seen  waiting")
	s.MustReload(t, harness.Config{Hold: "name bills"})
	s.commanded(t, "close", s.made(t, "--correlation-id", "watched").ID)
	watch.WaitFor(t, "closed  closed")
	s.Terminate(t)
	s.Exited(t, exitWithin)
	watch.WaitFor(t, "trying again")
	s.Start(t, harness.Config{})
	watch.WaitFor(t, "missing")
	wantStatus(t, s.callURL(t, http.MethodPost, waits.CallbackURL, ""), http.StatusOK)
	watch.WaitFor(t, waits.ID+"  resolved  resolved")
	// It may come back only after that, and then sees how the callback has ended.
	one.WaitFor(t, "  resolved  ")
	if code := one.Exited(t); code != 0 {
		t.Errorf("it exits with %d", code)
	}
	if strings.Contains(watch.Output(), "another") {
		t.Error("it prints what it was not asked for")
	}
	watch.Signal(t, os.Interrupt)
	if code := watch.Exited(t); code != 0 {
		t.Errorf("it exits with %d: %s", code, watch.Output())
	}
}

// answered runs a command that asks, and answers it.
func (s *stage) answered(t *testing.T, answer string, args ...string) (output string, code int) {
	t.Helper()
	return s.RunCode(t, answer, append([]string{"callback", "--address", "unix/" + s.Path("admin.sock")}, args...)...)
}

func TestCommandsActOnAllThatMatchOnceTheyMay(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for range 3 {
		s.made(t, "--correlation-id", "old")
	}
	other := s.made(t, "--correlation-id", "new")
	for answer, want := range map[string]string{"": "--yes", "n\n": "nothing was done", "\n": "nothing was done", "yes, please\n": "nothing was done"} {
		output, code := s.answered(t, answer, "close", "--correlation-id", "old")
		if code != 1 || !strings.Contains(output, "This closes 3 callbacks. Go on?") || !strings.Contains(output, want) {
			t.Errorf("answered %q: exits with %d: %s", answer, code, output)
		}
	}
	output, code := s.answered(t, "y\n", "close", "--correlation-id", "old", "--since", "1h")
	if code != 0 || !regexp.MustCompile(`matched +3\ndone +3\nfailed +0\n`).MatchString(output) {
		t.Errorf("exits with %d: %s", code, output)
	}
	if output := s.commanded(t, "close", "--correlation-id", "old"); !strings.Contains(output, "No callback matches.") {
		t.Errorf("printed %s", output)
	}
	if got := s.commanded(t, "show", other.ID); !regexp.MustCompile(`phase +waiting`).MatchString(got) {
		t.Errorf("another one was closed, too: %s", got)
	}
	if got := s.commanded(t, "resolve", "--all", "--yes", "--body", "by hand"); !regexp.MustCompile(`done +1\n`).MatchString(got) {
		t.Errorf("printed %s", got)
	}
	wantAnswer(t, s.fetch(t, other.ResultURL), http.StatusOK, "by hand")
	var r report
	got := s.commanded(t, "redeliver", "--phase", "resolved", "--yes", "--json")
	if err := json.Unmarshal([]byte(got), &r); err != nil || r.Matched != 1 || r.Skipped["nothing-to-deliver"] != 1 {
		t.Errorf("%v: %s", err, got)
	}
}

func TestCommandThatFailsWithSomeSaysWithWhich(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	strict, plain := s.made(t, "--require-status"), s.made(t)
	s.refused(t, []string{"resolve", "--all", "--yes"}, "it has failed with 1 callback", strict.ID+"  missing-header")
	wantStatus(t, s.fetch(t, plain.ResultURL), http.StatusOK)
	// Ids are taken one after the other.
	s.refused(t, []string{"close", plain.ID, "00000000-0000-4000-8000-000000000000", strict.ID}, "00000000-0000-4000-8000-000000000000: No callback has this id.", strict.ID+" takes no calls")
	for _, name := range []string{"close", "resolve", "redeliver"} {
		s.refused(t, []string{name}, "ids, or filters, or --all")
		s.refused(t, []string{name, strict.ID, "--dead"}, "either ids or filters")
		s.refused(t, []string{name, strict.ID, "--all"}, "either ids or filters")
		s.refused(t, []string{name, "--since", "1h", "--created-after", "1h"}, "--since")
		s.refused(t, []string{name, "--phase", "done", "--yes"}, "phase", "waiting")
	}
	s.refused(t, []string{"resolve", "--all", "--file", "-"}, "--yes")
	s.refused(t, []string{"watch", strict.ID, "--name", "orders"}, "either an id or filters")
	s.refused(t, []string{"watch", "--phase", "done"}, "phase", "waiting")
}

func TestCommandListFindsByIDAndCorrelationID(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	first, second := s.made(t, "--correlation-id", "order 17"), s.made(t, "--correlation-id", "order 18")
	for want, args := range map[string][]string{
		first.ID:                        {"--id", first.ID},
		second.ID:                       {"--correlation-id", "order 18"},
		"":                              {"--id", first.ID, "--correlation-id", "order 18"},
		first.ID + " " + second.ID:      {"--oldest"},
		second.ID + " " + first.ID:      {"--since", "1h"},
		second.ID + " " + first.ID + "": {"--all"},
	} {
		got := strings.Join(anyUUID.FindAllString(firstColumn(s.commanded(t, append([]string{"list"}, args...)...)), -1), " ")
		if got != want {
			t.Errorf("%v: listed %s, want %s", args, got, want)
		}
	}
	s.refused(t, []string{"list", "--id", "17"}, "id", "lower case")
}

func TestCommandShowPrintsWhatHasHappened(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	c := s.made(t)
	s.commanded(t, "close", c.ID)
	if got := s.commanded(t, "show", c.ID); !regexp.MustCompile(`(?m)^history +\S+Z  created.*\n +\S+Z  closed by admin endpoint`).MatchString(got) {
		t.Errorf("shown %s", got)
	}
}
