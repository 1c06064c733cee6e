package callback_test

import (
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const secretText = "0b7e7dd2-6a3f-4d0e-9a56-3c9f5d1f2a4b"

func TestPathsLeadWhereTheyShould(t *testing.T) {
	secret, ok := callback.ParseUUID(secretText)
	if !ok {
		t.Fatal("no UUID")
	}
	call, failed := callback.Path{Resource: callback.CallPath, Secret: secret}, callback.Path{Resource: callback.CallPath, Secret: secret, Suffix: "failed"}
	status, result := callback.Path{Resource: callback.StatusPath, Secret: secret}, callback.Path{Resource: callback.ResultPath, Secret: secret}
	ours := callback.Path{Resource: callback.Nowhere}
	for path, want := range map[string]callback.Path{
		"/cb/" + secretText:                   call,
		"/cb/" + secretText + "/":             call,
		"/cbr/" + secretText:                  status,
		"/cbr/" + secretText + "/":            status,
		"/cbr/" + secretText + "/result":      result,
		"/cbr/" + secretText + "/result/":     result,
		"/cbq/state":                          {Resource: callback.QueryPath, Parameter: "state"},
		"/cbq/state/":                         {Resource: callback.QueryPath, Parameter: "state"},
		"/cbq/" + strings.Repeat("a", 64):     {Resource: callback.QueryPath, Parameter: strings.Repeat("a", 64)},
		"/cbq/" + secretText:                  {Resource: callback.QueryPath, Parameter: secretText},
		"/cbq/" + strings.Repeat("a", 65):     ours,
		"/cbq/..":                             ours,
		"/cbq/a%20b":                          ours,
		"/cbq/state/more":                     ours,
		"/cbq":                                ours,
		"/cb":                                 {Resource: callback.FixedPath},
		"/cb/":                                {Resource: callback.FixedPath},
		"/cb//":                               ours,
		"/cbr":                                ours,
		"/cb//" + secretText:                  ours,
		"/cb/" + secretText + "//":            ours,
		"/cb/" + secretText + "/failed":       failed,
		"/cb/" + secretText + "/failed/":      failed,
		"/cb/" + secretText + "/failed//":     ours,
		"/cb/" + secretText + "/failed/x":     ours,
		"/cbr/" + secretText + "/failed":      ours,
		"/cb/" + secretText + "/result":       ours,
		"/cb/" + strings.ToUpper(secretText):  ours,
		"/cb/{" + secretText + "}":            ours,
		"/cb/urn:uuid:" + secretText:          ours,
		"/cb/" + secretText[:35]:              ours,
		"/cb/" + secretText + "0":             ours,
		"/cb/%30" + secretText[1:]:            ours,
		"/cb/" + secretText + "%2F":           ours,
		"/cbr/" + secretText + "/result/more": ours,
		"/cbr/result":                         ours,
		"/cbr//result":                        ours,
		"":                                    {},
		"/":                                   {},
		"*":                                   {},
		"cb/" + secretText:                    {},
		"//cb/" + secretText:                  {},
		"/CB/" + secretText:                   {},
		"/c%62/" + secretText:                 {},
		"/cbx/" + secretText:                  {},
		"/app/cb/" + secretText:               {},
	} {
		if got := callback.ParsePath(path); got != want {
			t.Errorf("%s leads to %+v, want %+v", path, got, want)
		}
	}
}

// FuzzParsePath makes sure that only one spelling of a path leads to a secret, and that
// every path outside of our prefixes is left to the site.
func FuzzParsePath(f *testing.F) {
	for _, path := range []string{
		"/cb/" + secretText, "/cb/" + secretText + "/failed", "/cbr/" + secretText + "/result/", "/cbq/state/", "/cb/../cb/" + secretText, "/cbr/%2e/" + secretText, "/cb;/x", "//cb/",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := callback.ParsePath(path)
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		below := strings.HasPrefix(path, "/") && (first == "cb" || first == "cbq" || first == "cbr")
		if below != (got.Resource != callback.OfSite) {
			t.Fatalf("%q leads to %+v", path, got)
		}
		canonical := map[callback.Resource]string{
			callback.CallPath:   "/cb/" + got.Secret.String(),
			callback.QueryPath:  "/cbq/" + got.Parameter,
			callback.StatusPath: "/cbr/" + got.Secret.String(),
			callback.ResultPath: "/cbr/" + got.Secret.String() + "/result",
		}[got.Resource]
		if got.Suffix != "" {
			canonical += "/" + got.Suffix
		}
		switch {
		case canonical == "" && got != callback.Path{Resource: got.Resource}:
			t.Fatalf("%q leads nowhere and still to %+v", path, got)
		case canonical != "" && strings.TrimSuffix(path, "/") != canonical:
			t.Fatalf("%q leads to %s", path, canonical)
		}
	})
}
