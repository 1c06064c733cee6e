package answer

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestScopeIsOfHostAndUserOrElseAuthorization(t *testing.T) {
	scope := func(host, authorization, user string) string {
		r := httptest.NewRequest(http.MethodPost, "http://"+host+"/", nil)
		r.Header.Set("Authorization", authorization)
		if anonymous := authorization == "" && user == ""; IsAnonymous(r, user) != anonymous {
			t.Errorf("%q, %q: anonymous is %v", authorization, user, !anonymous)
		}
		return Scope(r, user)
	}
	if scope("a.test", "Bearer 1", "alice") != scope("a.test", "Bearer 2", "alice") {
		t.Error("a user with another token is another client")
	}
	seen := make(map[string]bool)
	for _, client := range [][3]string{
		{"a.test", "", ""}, {"b.test", "", ""}, {"a.test", "Bearer 1", ""}, {"a.test", "Bearer 2", ""}, {"a.test", "", "alice"}, {"a.test", "", "bob"}, {"b.test", "", "bob"},
	} {
		s := scope(client[0], client[1], client[2])
		if seen[s] {
			t.Errorf("%q is the scope of another client, too", s)
		}
		seen[s] = true
	}
}
