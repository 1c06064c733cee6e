package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// inDatabase returns the store option of a schema that no other test has.
func inDatabase(t *testing.T) string {
	t.Helper()
	url, schema := postgrestest.New(t)
	return inPostgres(url, schema)
}

// roster is what the API says of the nodes.
type roster struct {
	Shared bool
	Nodes  []struct {
		Number        uint64
		This          bool
		Release, Host string
		SilentSeconds float64
	}
	Waiting, Held int
}

// roster asks a server for the nodes, until there are that many.
func (s *stage) roster(t *testing.T, nodes int) (r roster) {
	t.Helper()
	harness.Eventually(t, "all nodes are listed", func() bool {
		got := s.admin(t, http.MethodGet, "/nodes", "")
		wantStatus(t, got, http.StatusOK)
		r = decode[roster](t, got)
		return len(r.Nodes) == nodes
	})
	return r
}

func TestNodesOfASharedStoreAreListedAndCounted(t *testing.T) {
	t.Parallel()
	lines := inDatabase(t)
	one, two := start(t, harness.Config{StoreLine: lines}), start(t, harness.Config{StoreLine: lines})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	held := one.get(t)
	numbers := make(map[uint64]bool)
	for _, s := range []*stage{one, two} {
		r := s.roster(t, 2)
		for _, n := range r.Nodes {
			if n.Host != host || n.Release == "" || n.SilentSeconds < 0 || n.SilentSeconds > 10 {
				t.Errorf("a node is listed as %+v", n)
			}
			if n.This {
				numbers[n.Number] = true
			}
		}
		if !r.Shared {
			t.Error("the store is not said to be shared")
		}
		harness.Eventually(t, "the nodes and what waits are counted", func() bool {
			m := s.metrics(t)
			return m["nodes"] == 2 && m[`waiting{name=""}`] == 1
		})
		if _, counted := s.metrics(t)["hints_lost_total"]; !counted {
			t.Error("hints that were lost are not counted")
		}
	}
	if len(numbers) != 2 || numbers[0] {
		t.Errorf("the nodes are %v", numbers)
	}
	if a, b := one.metrics(t)["held"], two.metrics(t)["held"]; a != 1 || b != 0 {
		t.Errorf("%v and %v clients are held", a, b)
	}
	table := one.commanded(t, "nodes")
	if line := regexp.MustCompile(`(?m)^\d+ +\S+ +` + regexp.QuoteMeta(host) + ` +[0-9.]+m?s ago`); len(line.FindAllString(table, -1)) != 2 || strings.Count(table, "this node\n") != 1 || !strings.Contains(table, "clients that this node holds: 1") {
		t.Errorf("printed %s", table)
	}
	var printed roster
	if err := json.Unmarshal([]byte(one.commanded(t, "nodes", "--json")), &printed); err != nil || len(printed.Nodes) != 2 || printed.Held != 1 {
		t.Errorf("%v in %+v", err, printed)
	}
	held.resolve(t, "yes")
	two.Terminate(t)
	one.roster(t, 1)
}

func TestStoreOfOneProcessHasOneNode(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	if r := s.roster(t, 1); r.Shared || !r.Nodes[0].This || r.Nodes[0].Number != 0 || r.Nodes[0].Release == "" {
		t.Errorf("%+v", r)
	}
	if table := s.commanded(t, "nodes"); !strings.Contains(table, "The store belongs to this process alone.") {
		t.Errorf("printed %s", table)
	}
	if m := s.metrics(t); m["nodes"] != 1 || m["hints_lost_total"] != 0 {
		t.Errorf("%v nodes, %v hints lost", m["nodes"], m["hints_lost_total"])
	}
}

func TestNodesAreToldToWhoSeesAllCallbacks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_ALL", watcherKey)
	s.Setenv("CB_ONE", managerKey)
	s.Start(t, withAPI(s, harness.Config{Callback: "key all {env.CB_ALL} read\nkey one {env.CB_ONE} read for orders\n"}, ""))
	wantStatus(t, s.api(t, http.MethodGet, "/nodes", "", bearer(watcherKey)...), http.StatusOK)
	wantProblem(t, s.api(t, http.MethodGet, "/nodes", "", bearer(managerKey)...), http.StatusForbidden, "key-not-allowed")
	wantUnauthorized(t, s.api(t, http.MethodGet, "/nodes", ""), "key-required")
	wantProblem(t, s.api(t, http.MethodPost, "/nodes", "", bearer(watcherKey)...), http.StatusMethodNotAllowed, "method-not-allowed")
}
