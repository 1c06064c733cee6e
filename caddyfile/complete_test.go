package caddyfile

import (
	"strings"
	"testing"
)

// TestWholeIsCheckedWhenItIsValidated looks for what only the complete configuration shows.
// Caddy provisions servers in any order.
func TestWholeIsCheckedWhenItIsValidated(t *testing.T) {
	const uses = "callback hold {\ninject header X-A {http.callback.first.call.body}\n}\nreverse_proxy localhost:3000\n"
	const others = "callback_server\nrespond 404\n}\nhttp://b:81 {\nrespond b\nhandle_errors {\nrespond error\n}\n}\nhttp://c:82 {\nrespond c\n}\n"
	for range 10 {
		err := validate(t, "http://a {\n"+uses+others)
		if err == nil || !strings.Contains(err.Error(), "no directive has a name") {
			t.Fatalf("the error is %v", err)
		}
		named := "http://d:83 {\ncallback hold {\nname first\ncall {\nrespond 202\n}\n}\n}\n"
		if err := validate(t, "http://a {\n"+uses+others+named); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamedRoutesStayAsTheyAre(t *testing.T) {
	for range 10 {
		if err := validate(t, "&(one) {\nrespond 1\n}\n&(two) {\ncallback_server\nrespond 404\n}\nhttp://a {\ninvoke one\n}\nhttp://b:81 {\ninvoke two\n}\n"); err != nil {
			t.Fatal(err)
		}
	}
}
