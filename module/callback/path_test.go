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
		"/cbr/-/page.css":                     {Resource: callback.AssetPath, Suffix: "page.css"},
		"//cbr/-//page.js/":                   {Resource: callback.AssetPath, Suffix: "page.js"},
		"/cbr/-":                              ours,
		"/cbr/-/a/b":                          ours,
		"/cb/-/page.css":                      ours,
		"/CBR/-":                              {},
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
		"/cb//":                               {Resource: callback.FixedPath},
		"//cb":                                {Resource: callback.FixedPath},
		"/CB":                                 {Resource: callback.FixedPath},
		"///Cb///":                            {Resource: callback.FixedPath},
		"/cbr":                                ours,
		"/cb//" + secretText:                  call,
		"/cb/" + secretText + "//":            call,
		"//cb/" + secretText:                  call,
		"///cb///" + secretText + "///":       call,
		"/CB/" + secretText:                   call,
		"//Cb//" + secretText + "//FAILED":    failed,
		"//cbr/" + secretText:                 status,
		"/CBR/" + secretText + "/Result":      result,
		"//cbq//state":                        {Resource: callback.QueryPath, Parameter: "state"},
		"/CBQ/RelayState":                     {Resource: callback.QueryPath, Parameter: "RelayState"},
		"/cb/" + secretText + "/failed":       failed,
		"/cb/" + secretText + "/failed/":      failed,
		"/cb/" + secretText + "/failed//":     failed,
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
		"//cb/" + strings.ToUpper(secretText): ours,
		"/CB/" + strings.ToUpper(secretText):  ours,
		"/c%62/" + secretText:                 ours,
		"/cb%2F" + secretText:                 ours,
		"/cb%252f" + secretText:               ours,
		"/cb%2Freadme":                        ours,
		"/%2Fcb/" + secretText:                ours,
		"/CB%2F" + secretText:                 ours,
		"/CB/%30" + secretText[1:]:            ours,
		"/cb/./x":                             ours,
		"/cb/../index.html":                   ours,
		"/./cb/" + secretText:                 ours,
		"/x/../cb/" + secretText:              ours,
		"/x/%2e%2e/cb/" + secretText:          ours,
		"/x/../cb/..":                         ours,
		"/x/../CB/" + secretText:              ours,
		"/CB/./" + secretText:                 ours,
		"//./cb/" + secretText:                ours,
		"/x/../CB/catalogue":                  {},
		"/x/../app":                           {},
		"/CB%2Fcatalogue":                     {},
		"/CB/catalogue":                       {},
		"//cb/readme":                         {},
		"//cb/read%20me":                      {},
		"/CB/" + secretText + "/more":         {},
		"/CB/" + secretText + "/result":       {},
		"/CB/" + secretText[:35]:              {},
		"/CBR":                                {},
		"/CBQ":                                {},
		"/CBQ/a/b":                            {},
		"/%zz/../cb%2":                        {},
		"/app%2Fcb/" + secretText:             {},
		"/app//cb/" + secretText:              {},
		"/cbx/" + secretText:                  {},
		"/app/cb/" + secretText:               {},
	} {
		if got := callback.ParsePath(path); got != want {
			t.Errorf("%s leads to %+v, want %+v", path, got, want)
		}
	}
}

// FuzzParsePath makes sure that a path is taken, refused as one of ours, or the site's;
// that a secret has one spelling; and that all below our own prefixes is ours.
func FuzzParsePath(f *testing.F) {
	for _, path := range []string{
		"/cb/" + secretText, "/cb/" + secretText + "/failed", "/cbr/" + secretText + "/result/", "/cbq/state/", "/cb/../cb/" + secretText, "/cbr/%2e/" + secretText, "/cb;/x", "//cb/",
		"//CB//" + secretText + "//Failed", "/x/../cbQ/State", "/cb%2F" + secretText, "/CB/" + strings.ToUpper(secretText), "/CB/catalogue", "/%2563b/x",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := callback.ParsePath(path)
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		below := strings.HasPrefix(path, "/") && (first == "cb" || first == "cbq" || first == "cbr")
		if below && got.Resource == callback.OfSite {
			t.Fatalf("%q is left to the site", path)
		}
		canonical := spelling(got)
		if canonical == "" {
			if got != (callback.Path{Resource: got.Resource}) {
				t.Fatalf("%q leads nowhere and still to %+v", path, got)
			}
			return
		}
		if again := callback.ParsePath(canonical); again != got {
			t.Fatalf("%q leads to %+v, and %s to %+v", path, got, canonical, again)
		}
		secret := got.Parameter
		if !got.Secret.IsZero() {
			secret = got.Secret.String()
		}
		if !strings.Contains(path, secret) || !strings.EqualFold(merged(path), canonical) {
			t.Fatalf("%q leads to %s", path, canonical)
		}
	})
}

// spelling returns the one path that is given out for what a path leads to; empty for
// what is nowhere or the site's.
func spelling(at callback.Path) string {
	path := map[callback.Resource]string{
		callback.FixedPath:  "/cb",
		callback.CallPath:   "/cb/" + at.Secret.String(),
		callback.QueryPath:  "/cbq/" + at.Parameter,
		callback.StatusPath: "/cbr/" + at.Secret.String(),
		callback.ResultPath: "/cbr/" + at.Secret.String() + "/result",
		callback.AssetPath:  "/cbr/-",
	}[at.Resource]
	if at.Suffix != "" {
		path += "/" + at.Suffix
	}
	return path
}

// merged returns a path without empty parts.
func merged(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return strings.TrimSuffix(path, "/")
}
