package api

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/desk"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

func TestPathsOfTheAPILeadWhereTheyShould(t *testing.T) {
	t.Parallel()
	id, _ := callback.ParseUUID(secretText)
	for path, want := range map[string]location{
		"": {}, "/": {}, "/other": {}, "/callback": {}, "/callbacksx": {}, "/callbacks.json": {}, "callbacks": {}, "/x/callbacks": {},
		"/callbacks":                                  {resource: collection},
		"/callbacks/":                                 {resource: collection},
		"/callbacks//":                                {resource: nowhere},
		"/callbacks/openapi.json":                     {resource: document},
		"/callbacks/openapi.json/":                    {resource: document},
		"/callbacks/openapi.json/result":              {resource: itsResult},
		"/callbacks/nodes":                            {resource: roster},
		"/callbacks/nodes/":                           {resource: roster},
		"/callbacks/nodes/resolve":                    {resource: resolving},
		"/callbacks/count":                            {resource: number},
		"/callbacks/events/":                          {resource: changes},
		"/callbacks/close":                            {resource: closingAll},
		"/callbacks/resolve":                          {resource: resolvingAll},
		"/callbacks/redeliver":                        {resource: redeliveringAll},
		"/callbacks/redeliver/result":                 {resource: itsResult},
		"/callbacks/" + secretText:                    {resource: oneCallback, id: id},
		"/callbacks/" + secretText + "/":              {resource: oneCallback, id: id},
		"/callbacks/" + secretText + "/result":        {resource: itsResult, id: id},
		"/callbacks/" + secretText + "/result/":       {resource: itsResult, id: id},
		"/callbacks/" + secretText + "/resolve":       {resource: resolving, id: id},
		"/callbacks/" + secretText + "/redeliver":     {resource: redelivering, id: id},
		"/callbacks/" + strings.ToUpper(secretText):   {resource: oneCallback},
		"/callbacks/x":                                {resource: oneCallback},
		"/callbacks/%2e%2e/result":                    {resource: itsResult},
		"/callbacks/" + secretText + "//":             {resource: nowhere},
		"/callbacks/" + secretText + "//result":       {resource: nowhere},
		"/callbacks/" + secretText + "/Result":        {resource: nowhere},
		"/callbacks/" + secretText + "/result/result": {resource: nowhere},
		"/callbacks//result":                          {resource: nowhere},
	} {
		if got := parsePath(path); got != want {
			t.Errorf("%q leads to %+v, want %+v", path, got, want)
		}
	}
}

// openAPIDocument is what the tests read of the OpenAPI document.
type openAPIDocument struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Name, In string } `json:"parameters"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

func TestDocumentHasEveryFieldAndParameter(t *testing.T) {
	t.Parallel()
	// The member "parameters" of a path is an array, and left out.
	var raw struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	var d openAPIDocument
	if err := json.Unmarshal(openAPI, &raw); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(openAPI, &d)
	fields := slices.Sorted(maps.Keys(d.Components.Schemas["NewCallback"].Properties))
	if want := slices.Sorted(maps.Keys(creationFields)); !slices.Equal(fields, want) {
		t.Errorf("the fields are %v, want %v", fields, want)
	}
	for operation, want := range map[[2]string][]string{
		{Path, "get"}: desk.Parameters(), {Path + "/count", "get"}: desk.CountParameters(), {Path + "/events", "get"}: desk.WatchParameters(),
		{Path + "/close", "post"}: desk.OrderParameters(), {Path + "/resolve", "post"}: desk.OrderParameters(), {Path + "/redeliver", "post"}: desk.OrderParameters(),
	} {
		var list struct {
			Parameters []struct{ Name, In string } `json:"parameters"`
		}
		if err := json.Unmarshal(raw.Paths[operation[0]][operation[1]], &list); err != nil {
			t.Fatal(err)
		}
		var parameters []string
		for _, p := range list.Parameters {
			if p.In == "query" {
				parameters = append(parameters, p.Name)
			}
		}
		slices.Sort(parameters)
		slices.Sort(want)
		if !slices.Equal(parameters, want) {
			t.Errorf("the parameters of %v are %v, want %v", operation, parameters, want)
		}
	}
}

func TestAPINeedsAKeyThatMayUseIt(t *testing.T) {
	t.Parallel()
	const base = "https://app.example.com"
	for name, c := range map[string]struct {
		api  API
		base string
		keys []app.Key
		want string
	}{
		"off":          {API{KeyOff: true}, base, nil, ""},
		"no key":       {API{}, base, nil, "key off"},
		"another key":  {API{}, base, []app.Key{{Name: "a", Secret: "{env.A}", Permissions: []string{"send"}}}, "key app"},
		"a creator":    {API{}, base, []app.Key{{Name: "a", Secret: "{env.A}", Permissions: []string{"create"}}}, ""},
		"a reader":     {API{}, base, []app.Key{{Name: "a", Secret: "{env.A}", Permissions: []string{"send"}}, {Name: "b", Secret: "{env.B}", Permissions: []string{"send", "read"}}}, ""},
		"a manager":    {API{}, base, []app.Key{{Name: "a", Secret: "{env.A}", Permissions: []string{"manage"}}}, ""},
		"no base URL":  {API{KeyOff: true}, "", nil, "base_url"},
		"key and base": {API{KeyOff: true}, base, []app.Key{{Name: "a", Secret: "{env.A}", Permissions: []string{"create"}}}, ""},
	} {
		err := c.api.Check(c.base, c.keys)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestBodiesThatMeanTheSameHaveOneForm(t *testing.T) {
	t.Parallel()
	first := string(canonical([]byte(`{"a":1,"b":{"c":[1.0,2]}}`)))
	for body, same := range map[string]bool{
		" {\n\"b\" : {\"c\":[1.0, 2]},\"a\":1}": true,
		`{"b":{"c":[1.0,2]},"\u0061":1}`:        true,
		`{"a":1,"b":{"c":[2,1.0]}}`:             false,
		`{"a":"1","b":{"c":[1.0,2]}}`:           false,
		`{"a":1}`:                               false,
	} {
		if got := string(canonical([]byte(body))) == first; got != same {
			t.Errorf("%s is the same: %v", body, got)
		}
	}
	if large := "12345678901234567890123"; string(canonical([]byte(large))) != large {
		t.Error("a large number is not kept")
	}
}

// apiApp returns an app for the API.
func apiApp(t testing.TB) *app.App {
	t.Helper()
	a, err := app.Of(apptest.NewContext(t, apptest.BaseConfig))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCallbacksThatDifferInWhatIsTheirOwnShareAPolicy(t *testing.T) {
	t.Parallel()
	app := apiApp(t)
	hashes := make(map[callback.Digest]bool)
	for _, body := range []string{
		`{}`, `{"responseBody":"a"}`, `{"responseRedirectUrl":"/b"}`, `{"data":1,"callbackActivity":"/c","callbackActivityCase":"d"}`,
		`{"correlationId":"e","expiresIn":"1h","deliverTo":"https://example.com/"}`, `{"methods":["DELETE","PATCH","PUT","POST","GET"]}`,
		`{"retryableAfterError":true,"allowMultipleCalls":false,"alternativeDomain":"https://app.example.com/"}`,
		`{"alternativeDomain":"https://other.example.com"}`, `{"stateQueryParameter":"state"}`,
		`{"alternativeDomain":"https://third.example.com/deep/","stateQueryParameter":"RelayState"}`,
	} {
		c, err := parseCreation([]byte(body))
		if err == nil {
			err = c.check(app)
		}
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		policy := c.spec(app).Policy
		if err := policy.Compile(); err != nil {
			t.Fatal(err)
		}
		hashes[policy.Hash()] = true
	}
	if len(hashes) != 1 {
		t.Errorf("there are %d policies", len(hashes))
	}
}

func TestActivityBecomesAPath(t *testing.T) {
	t.Parallel()
	for activity, want := range map[string]string{"/decide": "/decide", "/a/b%20c": "/a/b%20c", "1:142:432": "/1:142:432", "a b/c?d": "/a%20b%2Fc%3Fd", "ä": "/%C3%A4"} {
		c := &creation{activity: activity}
		if err := c.checkActivity(new(app.App)); err != nil || c.activity != want {
			t.Errorf("%s becomes %s, %v", activity, c.activity, err)
		}
	}
}

// What some servers take for dots that lead upwards is no path below another.
func TestActivityWithDotsInAnySpellingIsRefused(t *testing.T) {
	t.Parallel()
	for _, activity := range []string{
		"..", "/a/../b", "/a/%2e%2e/b", "/a/.%2E/b", "/a/..%2fb", "/a/%252e%252e/b", "/a/..%252fb", "/a/..;/b", "/a/..;x=1/b", "/a/..%3bx/b", "/a/.;/b",
		"/a/..%5cb", "/a/%5c..%5cb", "/a/x%255c..%255cb", `..\b`, `x\..\..\b`, "../b", "..;/b", "%2e%2e/b", "/a/%zz",
	} {
		c := &creation{activity: activity}
		if err := c.checkActivity(new(app.App)); err == nil {
			t.Errorf("%s becomes %s", activity, c.activity)
		}
	}
	for _, activity := range []string{"100%", "100%2", "a;b", "a..b", "...", "/a/..b/c..;d", `a\b`, "%", "%25zz"} {
		c := &creation{activity: activity}
		if err := c.checkActivity(new(app.App)); err != nil {
			t.Errorf("%s: %v", activity, err)
		}
	}
}

// FuzzCreation makes sure that a callback can be made from each request that is accepted,
// and that each other request is refused with a problem.
func FuzzCreation(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"responseBody":"x","responseCode":204}`, `{"responseHeaders":{"a":" b"},"methods":["GET"]}`, `{"expiresIn":"7d","data":[{}]}`,
		`{"callbackActivity":"a/../b","stateQueryParameter":"state"}`, `{"alternativeDomain":"https://a.example/b","responseRedirectUrl":"//c"}`,
		`{"deliverTo":"https://a.example/","correlationId":"x","includeApiKey":true}`, "{\"a\":\"\xff\"}", `[`,
	} {
		f.Add(body)
	}
	app := apiApp(f)
	f.Fuzz(func(t *testing.T, body string) {
		c, err := parseCreation([]byte(body))
		if err == nil {
			err = c.check(app)
		}
		if err != nil {
			var p problem.Problem
			if !errors.As(err, &p) || p.Status != http.StatusBadRequest || p.Detail == "" {
				t.Errorf("refused with %v", err)
			}
			return
		}
		spec := c.spec(app)
		if err := spec.Policy.Compile(); err != nil {
			t.Errorf("it was taken, and cannot be made: %v", err)
		}
		if fields := spec.Own; fields != nil && fields.Reply != nil {
			if err := fields.Reply.Check(); err != nil {
				t.Errorf("it was taken, and its reply cannot be sent: %v", err)
			}
		}
	})
}

const secretText = "0b7e7dd2-6a3f-4d0e-9a56-3c9f5d1f2a4b"
