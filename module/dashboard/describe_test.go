package dashboard

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-callback/caddy-callback/module/api"
	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/hold"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/server"
)

// Of what an operator has written nothing is shown that can be a secret, even where one should
// not stand.
func TestDirectiveIsDescribedWithoutAnySecret(t *testing.T) {
	t.Parallel()
	const secret = "a-secret"
	h := &hold.Handler{
		Mode: "park", Name: "orders", Timeout: caddy.Duration(90 * time.Second), BaseURL: "https://app.example.com", Message: secret, IdempotencyScope: secret,
		Inject:       []hold.Injection{{In: inject.Header, Name: "Authorization", Value: secret}},
		ReplyHeaders: map[string][]string{"X-Token": {secret}}, Respond: &hold.Respond{Body: secret}, Redirect: &hold.Redirect{URL: "/" + secret},
		Deliver: &hold.Delivery{To: "https://hooks.example.com/" + secret, FailedTo: secret, Body: secret, DeliveryRules: app.DeliveryRules{Sign: []string{secret}}},
		Poll:    &hold.Poll{To: "/" + secret, Every: caddy.Duration(time.Second)},
		Call:    caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{&caddyhttp.StaticResponse{Body: secret}}}},
	}
	h.Failed = []hold.Match{{Location: inject.Location{In: inject.JSON, Name: "status"}, Values: []string{"failed"}}}
	got := describe(h)
	want := directive{Kind: "park", Name: "orders", Base: "https://app.example.com", Options: []setting{
		{"timeout", "1m30s"}, {"base_url", "https://app.example.com"}, {"inject", notShown}, {"respond.body", notShown}, {"reply_headers", notShown},
		{"redirect.url", notShown}, {"failed", `[{"in":"json","name":"status","values":["failed"]}]`}, {"idempotency_scope", notShown}, {"message", notShown},
		{"call", "{ static_response }"}, {"poll.to", notShown}, {"poll.every", "1s"}, {"deliver.to", notShown}, {"deliver.failed_to", notShown}, {"deliver.body", notShown}, {"deliver.sign", notShown},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	s := describe(&server.Server{Keys: []string{"bank"}, Challenges: []server.Challenge{{Provider: "meta", Secret: secret}}})
	if !reflect.DeepEqual(s.Options, []setting{{"keys", "bank"}, {"challenges", notShown}}) {
		t.Errorf("%+v", s)
	}
}

// Every option whose value is shown exists.
func TestShownOptionsExist(t *testing.T) {
	t.Parallel()
	var names []string
	var collect func(of reflect.Type, prefix string)
	collect = func(of reflect.Type, prefix string) {
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			kind := field.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			switch {
			case !field.IsExported():
			case field.Anonymous && name == "":
				collect(kind, prefix)
			case name != "":
				names = append(names, prefix+name)
				if kind.Kind() == reflect.Struct {
					collect(kind, prefix+name+".")
				}
			}
		}
	}
	for _, of := range []any{hold.Handler{}, server.Server{}, api.API{}, &Dashboard{}} {
		collect(reflect.TypeOf(of), "")
	}
	for _, name := range shownOptions {
		if !slices.Contains(names, name) {
			t.Errorf("there is no option %s", name)
		}
	}
}

func TestPlaceOfADirectiveIsWritten(t *testing.T) {
	t.Parallel()
	if got := matchedBy(&caddyhttp.MatchPath{"/a", "/b"}); !slices.Equal(got, []string{"/a", "/b"}) {
		t.Errorf("%v", got)
	}
	if got := matchedBy(caddyhttp.MatchMethod{"GET"}); got != nil {
		t.Errorf("%v", got)
	}
}
