package integration

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// listed is a page of a list.
type listed struct {
	Callbacks []document `json:"callbacks"`
	Next      string     `json:"next"`
	Waiting   int        `json:"waiting"`
	Held      int        `json:"held"`
}

func (l listed) ids() (ids []string) {
	for _, d := range l.Callbacks {
		ids = append(ids, d.ID)
	}
	return ids
}

// list returns a page of the API's list.
func (s *stage) list(t *testing.T, query string) listed {
	t.Helper()
	got := s.api(t, http.MethodGet, query, "")
	wantStatus(t, got, http.StatusOK)
	return decode[listed](t, got)
}

func TestCallbacksAreListedPageByPage(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	if empty := s.list(t, ""); len(empty.Callbacks) != 0 || empty.Next != "" || empty.Callbacks == nil {
		t.Errorf("%+v", empty)
	}
	var want []string
	for range 7 {
		want = append(want, s.create(t, `{"data":"kept"}`).ID)
	}
	var got []string
	seen := make(map[string]bool)
	for cursor := ""; ; {
		query := "?limit=3"
		if cursor != "" {
			query += "&cursor=" + cursor
		}
		page := s.list(t, query)
		got = append(got, page.ids()...)
		if len(page.Callbacks) > 3 || seen[page.Next] {
			t.Fatalf("%+v", page)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
		seen[cursor] = true
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

func TestListSaysHowManyWaitAndAreHeld(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	made := s.create(t, `{}`)
	held := s.get(t)
	if all := s.list(t, "?phase=closed"); all.Waiting != 2 || all.Held != 1 {
		t.Errorf("%d wait, %d are held", all.Waiting, all.Held)
	}
	if output := s.commanded(t, "list"); !strings.Contains(output, "callbacks that wait: 2, clients that are held: 1") {
		t.Errorf("the command says %s", output)
	}
	held.resolve(t, "an answer")
	wantAnswer(t, held.Answer(t), http.StatusOK, "an answer")
	s.api(t, http.MethodDelete, "/"+made.ID, "")
	harness.Eventually(t, "nobody to wait any longer", func() bool {
		all := s.list(t, "")
		return all.Waiting == 0 && all.Held == 0
	})
}

func TestListIsFiltered(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{Hold: "name orders"})
	held := s.get(t)
	made := s.create(t, `{"data":1}`)
	called := s.create(t, `{}`)
	wantStatus(t, s.callURL(t, http.MethodPost, called.CallbackURL, "a body"), http.StatusOK)
	later := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339Nano))
	earlier := url.QueryEscape(time.Now().Add(-time.Hour).Format(time.RFC3339))
	for query, n := range map[string]int{
		"": 3, "?phase=waiting": 2, "?phase=resolved": 1, "?phase=failed": 0, "?phase=closed": 0, "?phase=expired": 0,
		"?name=orders": 1, "?name=other": 0, "?name=orders&phase=waiting": 1, "?name=orders&phase=resolved": 0,
		"?createdAfter=1h": 3, "?createdBefore=1h": 0, "?createdAfter=" + later: 0, "?createdBefore=" + later: 3,
		"?createdAfter=" + earlier: 3, "?createdAfter=7d&createdBefore=" + earlier: 0, "?limit=1": 1, "?limit=1000": 3,
	} {
		if got := s.list(t, query); len(got.Callbacks) != n {
			t.Errorf("%q lists %d callbacks, want %d", query, len(got.Callbacks), n)
		}
	}
	for _, d := range s.list(t, "").Callbacks {
		if d.LatestCall != nil || d.ID == called.ID && d.Calls != 1 || d.ID == made.ID && string(d.Data) != "1" {
			t.Errorf("%+v", d)
		}
	}
	held.resolve(t, "")
}

func TestListRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	s.create(t, `{}`)
	s.create(t, `{}`)
	cursor := s.list(t, "?limit=1").Next
	if cursor == "" {
		t.Fatal("there is no next page")
	}
	for query, field := range map[string]string{
		"?phase=done": "phase", "?phase=": "phase", "?phase=Waiting": "phase", "?limit=0": "limit", "?limit=1001": "limit", "?limit=x": "limit",
		"?cursor=": "cursor", "?cursor=x": "cursor", "?cursor=" + cursor + "A": "cursor", "?cursor=" + cursor[1:]: "cursor",
		"?createdAfter=yesterday": "createdAfter", "?createdAfter=-1h": "createdAfter", "?createdBefore=1969-01-01T00:00:00Z": "createdBefore",
		"?phases=waiting": "phases", "?phase=waiting&phase=closed": "phase", "?api_key=x": "api_key",
	} {
		wantField(t, s.api(t, http.MethodGet, query, ""), field)
	}
	wantProblem(t, s.api(t, http.MethodGet, "?a=%zz", ""), http.StatusBadRequest, "invalid-request")
}
