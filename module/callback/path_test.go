package module

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
	call, failed := location{resource: callPath, secret: secret}, location{resource: callPath, secret: secret, suffix: "failed"}
	status, result := location{resource: statusPath, secret: secret}, location{resource: resultPath, secret: secret}
	ours := location{resource: nothing}
	for path, want := range map[string]location{
		"/cb/" + secretText:                   call,
		"/cb/" + secretText + "/":             call,
		"/cbr/" + secretText:                  status,
		"/cbr/" + secretText + "/":            status,
		"/cbr/" + secretText + "/result":      result,
		"/cbr/" + secretText + "/result/":     result,
		"/cbq/state":                          {resource: queryPath, parameter: "state"},
		"/cbq/state/":                         {resource: queryPath, parameter: "state"},
		"/cbq/" + strings.Repeat("a", 64):     {resource: queryPath, parameter: strings.Repeat("a", 64)},
		"/cbq/" + secretText:                  {resource: queryPath, parameter: secretText},
		"/cbq/" + strings.Repeat("a", 65):     ours,
		"/cbq/..":                             ours,
		"/cbq/a%20b":                          ours,
		"/cbq/state/more":                     ours,
		"/cbq":                                ours,
		"/cb":                                 {resource: fixedPath},
		"/cb/":                                {resource: fixedPath},
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
		if got := parsePath(path); got != want {
			t.Errorf("%s leads to %+v, want %+v", path, got, want)
		}
	}
}

// FuzzParsePath makes sure that only the one spelling of a path reaches a secret,
// and that all that is not below our prefixes is left to the site.
func FuzzParsePath(f *testing.F) {
	for _, path := range []string{
		"/cb/" + secretText, "/cb/" + secretText + "/failed", "/cbr/" + secretText + "/result/", "/cbq/state/", "/cb/../cb/" + secretText, "/cbr/%2e/" + secretText, "/cb;/x", "//cb/",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := parsePath(path)
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		below := strings.HasPrefix(path, "/") && (first == "cb" || first == "cbq" || first == "cbr")
		if below != (got.resource != notOurs) {
			t.Fatalf("%q leads to %+v", path, got)
		}
		canonical := map[resource]string{
			callPath:   "/cb/" + got.secret.String(),
			queryPath:  "/cbq/" + got.parameter,
			statusPath: "/cbr/" + got.secret.String(),
			resultPath: "/cbr/" + got.secret.String() + "/result",
		}[got.resource]
		if got.suffix != "" {
			canonical += "/" + got.suffix
		}
		switch {
		case canonical == "" && got != location{resource: got.resource}:
			t.Fatalf("%q leads nowhere and still to %+v", path, got)
		case canonical != "" && strings.TrimSuffix(path, "/") != canonical:
			t.Fatalf("%q leads to %s", path, canonical)
		}
	})
}
