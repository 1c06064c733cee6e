package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// tellsWithin is how soon what has changed at one node is told at another, if hints come.
const tellsWithin = harness.TimeFactor * time.Second

func TestStatusAndResultAreReadAtEveryNode(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
		return withAPI(node, harness.Config{Private: node.parks("")}, "key off")
	})
	a, b, c := nodes[0], nodes[1], nodes[2]
	for name, body := range map[string]string{"small": "the answer", "large": noise(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := a.post(t, "text/plain", "an order")
			p := a.wantParked(t, x.Answer(t))
			wantStatus(t, b.fetch(t, p.ResultURL), http.StatusAccepted)
			urls := []string{p.StatusURL, apiURL + "/" + p.ID}
			before := a.tagsAtAll(t, nodes, urls)
			x.at(b).resolve(t, body)
			urls = append(urls, p.ResultURL, apiURL+"/"+p.ID+"/result")
			for url, tag := range a.tagsAtAll(t, nodes, urls) {
				if before[url] == tag {
					t.Errorf("%s has the same ETag before and after the call", url)
				}
				if before[url] != "" {
					wantStatus(t, c.public(t, having(t, http.MethodGet, url, before[url])), http.StatusOK)
				}
			}
			head := c.public(t, harness.NewRequest(t, http.MethodHead, p.ResultURL, "", ""))
			wantHeader(t, head.Header, "Content-Length", strconv.Itoa(len(body)))
			wantAnswer(t, c.fetch(t, p.ResultURL), http.StatusOK, body)
			if st := a.status(t, p.StatusURL); st.Phase != "resolved" {
				t.Errorf("the status is %+v", st)
			}
		})
	}
}

// tagsAtAll returns the entity tags of URLs, which must be those of every node, and serve there.
func (s *stage) tagsAtAll(t *testing.T, nodes []*stage, urls []string) map[string]string {
	t.Helper()
	tags := make(map[string]string)
	for _, url := range urls {
		tags[url] = s.tagged(t, url)
		for _, node := range nodes {
			wantUnchanged(t, node.public(t, having(t, http.MethodGet, url, tags[url])), tags[url])
		}
	}
	return tags
}

// preferring sends a request that prefers to wait.
func (s *stage) preferring(t *testing.T, url string) *harness.Pending {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, url, "", "")
	req.Header.Set("Prefer", "wait=60")
	return harness.Send(s.Client(t, harness.HTTP1), req)
}

func TestWhoWaitsAtOneNodeIsToldOfACallAtAnother(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
		return withAPI(node, harness.Config{Private: node.parks("progress header X-Step working")}, "key off")
	})
	a, b, c := nodes[0], nodes[1], nodes[2]
	x := a.post(t, "text/plain", "an order")
	p := a.wantParked(t, x.Answer(t))

	tag := b.tagged(t, apiURL+"/"+p.ID)
	change := harness.Send(b.Client(t, harness.HTTP1), having(t, http.MethodGet, apiURL+"/"+p.ID, tag, "Prefer", "wait=60"))
	b.changing(t, 1)
	wantStatus(t, x.at(c).callWith(t, "X-Step", "working", "half"), http.StatusOK)
	called := time.Now()
	got := change.Answer(t)
	wantStatus(t, got, http.StatusOK)
	if took := time.Since(called); took > tellsWithin || !strings.Contains(string(got.Body), "half") {
		t.Errorf("after %v it is told of %s", took, short(got.Body))
	}

	var waiting []*harness.Pending
	for _, node := range []*stage{a, b} {
		for _, url := range []string{p.StatusURL, p.ResultURL, apiURL + "/" + p.ID, apiURL + "/" + p.ID + "/result"} {
			waiting = append(waiting, node.preferring(t, url))
		}
		node.changing(t, 4)
	}
	x.at(c).resolve(t, "the answer")
	called = time.Now()
	for i, w := range waiting {
		got := w.Answer(t)
		wantStatus(t, got, http.StatusOK)
		if took := time.Since(called); took > tellsWithin {
			t.Errorf("it is told after %v", took)
		}
		if text := string(got.Body); i%2 == 0 && !strings.Contains(text, `"resolved"`) || i%2 == 1 && text != "the answer" {
			t.Errorf("it is told %s", text)
		}
	}
}

func TestAPIKnowsTheCallbacksOfAllNodes(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config {
		return withAPI(node, harness.Config{Callback: "deliver {\nallow " + g.URL + "\n}\n"}, "key off")
	})
	a, b, c := nodes[0], nodes[1], nodes[2]
	t.Run("shown and resolved", func(t *testing.T) {
		t.Parallel()
		made := a.create(t, `{"data":{"order":1}}`)
		if d := b.show(t, made.ID); d.Phase != "waiting" || string(d.Data) != `{"order":1}` {
			t.Errorf("%+v", d)
		}
		got := b.api(t, http.MethodPost, "/"+made.ID+"/resolve", `{"a":1}`)
		wantStatus(t, got, http.StatusOK)
		wantStatus(t, c.api(t, http.MethodPost, "/"+made.ID+"/resolve", `{"a":1}`), http.StatusOK)
		wantProblem(t, c.api(t, http.MethodPost, "/"+made.ID+"/resolve", `{"a":2}`), http.StatusConflict, "already-resolved")
		wantAnswer(t, a.api(t, http.MethodGet, "/"+made.ID+"/result", ""), http.StatusOK, `{"a":1}`)
	})
	t.Run("closed and purged", func(t *testing.T) {
		t.Parallel()
		made := a.create(t, `{}`)
		waits := c.preferring(t, made.StatusURL)
		wantAnswer(t, b.api(t, http.MethodDelete, "/"+made.ID, ""), http.StatusNoContent, "")
		if got := waits.Answer(t); !strings.Contains(string(got.Body), `"closed"`) {
			t.Errorf("who waits is told %s", short(got.Body))
		}
		wantProblem(t, c.callURL(t, http.MethodPost, made.CallbackURL, ""), http.StatusGone, "closed")
		c.purge(t, made.ID)
		a.wantPurged(t, made.ID, made.CallbackURL, made.StatusURL)
	})
	t.Run("delivered again", func(t *testing.T) {
		t.Parallel()
		made := a.create(t, fmt.Sprintf(`{"deliverTo":%q}`, g.URL))
		wantStatus(t, b.callURL(t, http.MethodPost, made.CallbackURL, "the result"), http.StatusOK)
		wantHeader(t, g.delivered(t).Header, "Webhook-Id", made.ID)
		harness.Eventually(t, "it is delivered", func() bool { return c.show(t, made.ID).Delivery.State == "delivered" })
		wantStatus(t, c.api(t, http.MethodPost, "/"+made.ID+"/redeliver", ""), http.StatusAccepted)
		wantHeader(t, g.delivered(t).Header, "Webhook-Id", made.ID)
	})
	t.Run("made once for a key", func(t *testing.T) {
		t.Parallel()
		var all []*harness.Pending
		for i := range 9 {
			req := harness.NewRequest(t, http.MethodPost, apiURL, jsonType, `{"responseBody":"thanks"}`)
			req.Header.Set(idempotencyKey, "k-1")
			all = append(all, harness.Send(nodes[i%3].Client(t, harness.HTTP1), req))
		}
		first := decode[created](t, all[0].Answer(t))
		for _, p := range all[1:] {
			got := p.Answer(t)
			wantStatus(t, got, http.StatusCreated)
			if other := decode[created](t, got); other != first {
				t.Errorf("made are %+v and %+v", first, other)
			}
		}
		wantProblem(t, c.api(t, http.MethodPost, "", `{"responseBody":"no"}`, idempotencyKey, "k-1"), http.StatusUnprocessableEntity, "idempotency-key-reused")
	})
}

func TestAllNodesListAndCountTheSameCallbacks(t *testing.T) {
	t.Parallel()
	nodes := startNodesWith(t, 3, func(node *stage) harness.Config { return withAPI(node, harness.Config{}, "key off") })
	var made []created
	for i := range 7 {
		made = append(made, nodes[i%2].create(t, `{}`))
	}
	wantWaiting := func(n int) {
		t.Helper()
		for _, node := range nodes {
			harness.Within(t, 5*tellsWithin, fmt.Sprint(n, " are counted"), func() bool {
				return node.list(t, "?limit=1").Waiting == n && node.metrics(t)[`waiting{name=""}`] == float64(n)
			})
		}
	}
	wantWaiting(len(made))
	// Each page is another node's.
	var ids []string
	for i, query := 0, "?limit=2"; query != ""; i++ {
		page := nodes[i%3].list(t, query)
		ids, query = append(ids, page.ids()...), ""
		if page.Next != "" {
			query = "?limit=2&cursor=" + page.Next
		}
	}
	for _, c := range made {
		if !slices.Contains(ids, c.ID) || len(ids) != len(made) {
			t.Errorf("listed are %v of %v", ids, made)
		}
	}
	for i, c := range made[:5] {
		wantStatus(t, nodes[(i+1)%3].callURL(t, http.MethodPost, c.CallbackURL, "x"), http.StatusOK)
	}
	wantWaiting(2)
	if n := len(nodes[2].list(t, "?phase=resolved").Callbacks); n != 5 {
		t.Errorf("%d are resolved", n)
	}
	// What a node has counted stays when it ends, however that is.
	nodes[0].Terminate(t)
	nodes[0].Exited(t, exitWithin)
	nodes = nodes[1:]
	wantWaiting(2)
}

func TestCommandsAtOneNodeActOnTheCallbacksOfAnother(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2, harness.Config{})
	a, b := nodes[0], nodes[1]
	first, second, third := a.made(t), a.made(t, "--correlation-id", "order 17"), a.made(t)
	if list := b.commanded(t, "list"); !strings.Contains(list, first.ID) || !strings.Contains(list, "order 17") {
		t.Errorf("listed %s", list)
	}
	one := b.Spawn(t, "callback", "watch", first.ID, "--address", "unix/"+b.Path("admin.sock"))
	one.WaitFor(t, "waiting")
	wantStatus(t, a.callURL(t, http.MethodPost, first.CallbackURL, "the body"), http.StatusOK)
	one.WaitFor(t, "resolved")
	if code := one.Exited(t); code != 0 {
		t.Errorf("it exits with %d", code)
	}
	b.commanded(t, "resolve", second.ID, "--body", "by hand")
	b.commanded(t, "close", third.ID)
	b.refused(t, []string{"resolve", third.ID}, "closed")
	for id, phase := range map[string]string{first.ID: "resolved", second.ID: "resolved", third.ID: "closed"} {
		var d document
		if err := json.Unmarshal([]byte(a.commanded(t, "show", "--json", id)), &d); err != nil || d.Phase != phase {
			t.Errorf("%v in %+v", err, d)
		}
	}
}
