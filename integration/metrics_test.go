package integration

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// metrics returns the values of the plugin's metrics by name and labels.
func (s *stage) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	resp := s.Admin(t, harness.NewRequest(t, http.MethodGet, "http://127.0.0.1/metrics", "", ""))
	wantStatus(t, resp, http.StatusOK)
	values := make(map[string]float64)
	for line := range strings.Lines(string(resp.Body)) {
		if !strings.HasPrefix(line, "caddy_callback_") {
			continue
		}
		if id := anyUUID.FindString(line); id != "" {
			t.Errorf("a metric has an id: %s", line)
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		values[strings.TrimPrefix(name, "caddy_callback_")] = n
	}
	return values
}

// committed waits until the server has committed that many records since it started.
func (s *stage) committed(t *testing.T, records float64) {
	t.Helper()
	harness.Eventually(t, "the callback is on the disk", func() bool { return s.metrics(t)["store_committed_records_total"] >= records })
}

// wantMetrics checks by how much some metrics have grown.
func (s *stage) wantMetrics(t *testing.T, before map[string]float64, grown map[string]float64) {
	t.Helper()
	var got map[string]float64
	harness.Eventually(t, "the metrics have grown", func() bool {
		got = make(map[string]float64)
		now := s.metrics(t)
		for name := range grown {
			got[name] = now[name] - before[name]
		}
		return maps.Equal(got, grown)
	})
}

func TestMetricsCountWhatHappensAndGoOnOverAReload(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "name orders"})
	before := s.metrics(t)
	s.get(t).resolve(t, "yes")
	failed := s.get(t)
	wantStatus(t, failed.callWithAll(t, "", "", statusHeader, "Failed"), http.StatusOK)
	held := s.get(t)
	wantProblem(t, s.fetch(t, harness.BaseURL+"/cb/00000000-0000-4000-8000-000000000000"), http.StatusNotFound, "unknown-state")
	grown := map[string]float64{
		`created_total{name="orders"}`: 3, `ended_total{name="orders",outcome="resolved"}`: 1, `ended_total{name="orders",outcome="failed"}`: 1,
		`time_to_call_seconds_count{name="orders"}`: 2, `refusals_total{reason="unknown-state"}`: 1, `refusals_total{reason="failed"}`: 1,
		`waiting{name="orders"}`: 1, "held": 1,
	}
	s.wantMetrics(t, before, grown)
	now := s.metrics(t)
	if records, commits := now["store_committed_records_total"], now["store_commits_total"]; commits < 1 || records < commits || now["store_commit_seconds_total"] <= 0 {
		t.Errorf("%v records in %v commits, which took %v s", records, commits, now["store_commit_seconds_total"])
	}
	if now["store_ready"] != 1 {
		t.Errorf("store_ready is %v", now["store_ready"])
	}
	if free, least := now["store_free_bytes"], now["store_min_free_bytes"]; free < least || least != 256<<20 {
		t.Errorf("%v bytes are free, and %v are needed", free, least)
	}
	if age := now[`oldest_waiting_seconds{name="orders"}`]; age <= 0 || age > 600 {
		t.Errorf("the oldest that waits is %v s old", age)
	}

	s.MustReload(t, harness.Config{Hold: "name orders"})
	s.wantMetrics(t, before, grown)
	held.resolve(t, "late")
	grown[`ended_total{name="orders",outcome="resolved"}`]++
	grown[`time_to_call_seconds_count{name="orders"}`]++
	grown[`waiting{name="orders"}`], grown[`waiting{name=""}`], grown["held"] = 0, 0, 0
	s.wantMetrics(t, before, grown)
	if age, ok := s.metrics(t)[`oldest_waiting_seconds{name="orders"}`]; age != 0 || !ok {
		t.Errorf("nothing waits, and the oldest is %v s old", age)
	}
}

// What is counted by name is counted again after a restart.
func TestMetricsKnowAfterARestartWhatWaitsAndWhatIsDead(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	closed := newTarget(t)
	closed.Close()
	c := withAPI(s, harness.Config{Private: s.deferred("mail", "deliver {\nto "+closed.URL+"\nallow "+closed.URL+"\nretry 10ms\n}")}, "key off")
	s.Start(t, c)
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusOK, nil, "done"))
	s.wantParked(t, s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x")).Answer(t))
	s.create(t, `{"responseCode":204}`)
	want := map[string]float64{`waiting{name="mail"}`: 0, `waiting{name=""}`: 1, `deliveries_dead{name="mail"}`: 1, `deliveries_dead{name=""}`: 0}
	s.wantMetrics(t, nil, want)
	s.Terminate(t)
	s.Exited(t, harness.Patience)
	s.Start(t, c)
	s.wantMetrics(t, nil, want)
}

func TestMetricsCountJobsAndDeliveries(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	g := newTarget(t)
	s.Start(t, harness.Config{Private: s.deferred("orders", "deliver {\nto "+g.URL+"\nallow "+g.URL+"\n}")})
	before := s.metrics(t)
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusOK, nil, "done"))
	s.wantParked(t, s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x")).Answer(t))
	g.delivered(t)
	s.wantMetrics(t, before, map[string]float64{
		`job_attempts_total{name="orders",outcome="ended"}`: 1, `delivery_attempts_total{name="orders",outcome="delivered"}`: 1,
		`ended_total{name="orders",outcome="resolved"}`: 1,
	})
}

// Caddy has no event handler of its own, but can write every event into a log.
func TestEventsTellWhatHappensToACallback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, harness.Config{
		Global: "log events {\n\tinclude events\n\tlevel DEBUG\n\toutput file " + s.Path("log-events") + "\n}\n",
		Hold:   "name orders",
	})
	x := s.get(t)
	id := s.newestWaiting(t)
	s.logged(t, `"logger":"events"`, `"name":"callback.created"`, `"id":"`+id, `"name":"orders"`, `"phase":"waiting"`)
	x.resolve(t, "yes")
	s.logged(t, `"logger":"events"`, `"name":"callback.resolved"`, `"id":"`+id, `"phase":"resolved"`)
	failed := s.get(t)
	wantStatus(t, failed.callWithAll(t, "", "", statusHeader, "Failed"), http.StatusOK)
	s.logged(t, `"logger":"events"`, `"name":"callback.failed"`)
	closed := s.get(t)
	s.admin(t, http.MethodDelete, "/"+s.newestWaiting(t), "")
	closed.Answer(t)
	s.logged(t, `"logger":"events"`, `"name":"callback.closed"`)
}

// newestWaiting returns the id of the newest callback, once it is stored.
func (s *stage) newestWaiting(t *testing.T) (id string) {
	t.Helper()
	s.Acknowledged(t)
	harness.Eventually(t, "the callback is in the list", func() bool {
		id = anyUUID.FindString(string(s.admin(t, http.MethodGet, "?phase=waiting", "").Body))
		return id != ""
	})
	return id
}

// accessLog returns the lines of the private site's access log.
func accessLog(t *testing.T, path string) (lines []map[string]any) {
	t.Helper()
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(scanner.Bytes(), &line); err == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestAccessLogNamesTheCallbackOfARequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	path := filepath.Join(s.Path(), "access.log")
	s.Start(t, harness.Config{Private: "log {\n\toutput file " + path + "\n}\n" + s.HoldAndForward("", "", "")})
	x := s.get(t)
	id := s.newestWaiting(t)
	x.resolve(t, "yes")
	x.Answer(t)
	harness.Eventually(t, "the access log has the request", func() bool {
		for _, line := range accessLog(t, path) {
			if line["callback_id"] == id && line["callback_phase"] == "resolved" {
				return true
			}
		}
		return false
	})
}
