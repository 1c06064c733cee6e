package integration

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// everything returns what the admin endpoint lists with a query, page by page.
func (s *stage) everything(t *testing.T, query url.Values) (all []document) {
	t.Helper()
	for {
		got := s.admin(t, http.MethodGet, "?"+query.Encode(), "")
		wantStatus(t, got, http.StatusOK)
		page := decode[listed](t, got)
		if all = append(all, page.Callbacks...); page.Next == "" {
			return all
		}
		query.Set("cursor", page.Next)
	}
}

// wantSearchable checks that callbacks are found by their correlation ids and by their ids: some
// of each kind of a load, the newest and the oldest.
func (s *stage) wantSearchable(t *testing.T) {
	t.Helper()
	all := s.everything(t, url.Values{"limit": {"1000"}})
	turned := s.everything(t, url.Values{"limit": {"1000"}, "order": {"oldest"}})
	if len(all) != len(turned) {
		t.Errorf("there are %d callbacks, and from the other end %d", len(all), len(turned))
	}
	const some = 40
	sample := slices.Concat(all[:min(some, len(all))], all[max(0, len(all)-some):])
	for _, cb := range sample {
		for parameter, value := range map[string]string{"id": cb.ID, "correlationId": cb.CorrelationID} {
			found := s.everything(t, url.Values{parameter: {value}})
			if len(found) != 1 || found[0].ID != cb.ID {
				t.Errorf("by %s %s there are %d callbacks", parameter, value, len(found))
			}
		}
	}
}

func TestCallbacksAreSearchedForByWhatTheyAreCalled(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	for _, id := range []string{"order 17", "order 17", "order 18"} {
		s.create(t, `{"correlationId":"`+id+`"}`)
	}
	own := s.create(t, `{}`)
	if n := len(s.everything(t, url.Values{"correlationId": {"order 17"}, "limit": {"1"}})); n != 2 {
		t.Errorf("two callbacks have one correlation id, and %d are found", n)
	}
	wantStatus(t, s.api(t, http.MethodDelete, "/"+own.ID, ""), http.StatusNoContent)
	for query, n := range map[string]int{"correlationId=order+17&phase=waiting": 2, "correlationId=order+17&phase=closed": 0, "correlationId=order+19": 0, "id=" + own.ID + "&phase=closed": 1, "id=" + own.ID + "&phase=waiting": 0} {
		if got := s.list(t, "?"+query); len(got.Callbacks) != n {
			t.Errorf("%s: %d are found, want %d", query, len(got.Callbacks), n)
		}
	}
	if shown := s.show(t, own.ID); len(s.everything(t, url.Values{"correlationId": {shown.CorrelationID}})) != 1 {
		t.Errorf("the callback with its own correlation id %s is not found", shown.CorrelationID)
	}
}
