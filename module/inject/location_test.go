package inject_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestParseLocationAcceptsEveryPlace(t *testing.T) {
	for _, want := range []inject.Location{
		{In: inject.Header, Name: "X-Link-Callback-Url"},
		{In: inject.Header, Name: "content-type"},
		{In: inject.Query, Name: "callback url"},
		{In: inject.Form, Name: "filter[url]"},
		{In: inject.JSON, Name: "data.0.id"},
		{In: inject.JSON, Name: "/a~1b/~0/-"},
		{In: inject.JSON, Name: "/"},
		{In: inject.JSON, Name: strings.Repeat("a.", inject.MaxDepth-1) + "a"},
	} {
		got, err := inject.ParseLocation(string(want.In), want.Name)
		if err != nil || got != want {
			t.Errorf("ParseLocation(%q, %q) = %v, %v", want.In, want.Name, got, err)
		}
	}
}

func TestParseLocationRefusesWhatNoRequestHas(t *testing.T) {
	for name, l := range map[string]inject.Location{
		"unknown place":           {In: "cookie", Name: "a"},
		"place in another case":   {In: "Header", Name: "a"},
		"no place":                {Name: "a"},
		"header without name":     {In: inject.Header},
		"header with a space":     {In: inject.Header, Name: "X Y"},
		"header with a line end":  {In: inject.Header, Name: "X\r\nY"},
		"header beyond ASCII":     {In: inject.Header, Name: "X-é"},
		"pseudo header":           {In: inject.Header, Name: ":path"},
		"query without name":      {In: inject.Query},
		"query not UTF-8":         {In: inject.Query, Name: "\xff"},
		"form without name":       {In: inject.Form},
		"form not UTF-8":          {In: inject.Form, Name: "\xff"},
		"json without path":       {In: inject.JSON},
		"json not UTF-8":          {In: inject.JSON, Name: "a.\xff"},
		"json with an empty part": {In: inject.JSON, Name: "a..b"},
		"json ending in a dot":    {In: inject.JSON, Name: "a."},
		"json with a bare tilde":  {In: inject.JSON, Name: "/a~"},
		"json with a bad escape":  {In: inject.JSON, Name: "/~2"},
		"json with two tildes":    {In: inject.JSON, Name: "/~~0"},
		"json too deep":           {In: inject.JSON, Name: strings.Repeat("/a", inject.MaxDepth+1)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := inject.ParseLocation(string(l.In), l.Name)
			if !errors.Is(err, inject.ErrLocation) || got != (inject.Location{}) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestHeadersOfTheConnectionAreRefusedInAnyCase(t *testing.T) {
	for _, name := range []string{
		"Connection", "Content-Length", "Expect", "HTTP2-Settings", "Host", "Keep-Alive", "Proxy-Authenticate",
		"Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		for _, name := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if err := (inject.Location{In: inject.Header, Name: name}).Validate(); !errors.Is(err, inject.ErrLocation) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestLocationIsWrittenAsInACaddyfileAndInJSON(t *testing.T) {
	l := inject.Location{In: inject.JSON, Name: "data.0.id"}
	if got := l.String(); got != "json data.0.id" {
		t.Error(got)
	}
	got, err := json.Marshal(l)
	if err != nil || string(got) != `{"in":"json","name":"data.0.id"}` {
		t.Errorf("%s, %v", got, err)
	}
}
