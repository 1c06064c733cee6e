package hold

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestDialectGoesIntoThePolicy(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	at := inject.Location{In: inject.JSON, Name: "a"}
	for name, c := range map[string]struct {
		dialect Dialect
		want    callback.Policy
	}{
		"nothing":           {Dialect{}, callback.Policy{}},
		"correlation id":    {Dialect{Require: []string{"correlation_id"}}, callback.Policy{RequireCorrelationID: true}},
		"status":            {Dialect{Require: []string{"status"}}, callback.Policy{RequireStatus: true}},
		"failed":            {Dialect{Failed: []Match{{at, []string{"x", "y"}}}}, callback.Policy{Failed: []callback.Match{{Location: at, Values: []string{"x", "y"}}}}},
		"progress":          {Dialect{Progress: []Match{{at, []string{"x"}}}}, callback.Policy{Progress: []callback.Match{{Location: at, Values: []string{"x"}}}}},
		"error code":        {Dialect{ErrorCode: &at}, callback.Policy{ErrorCode: &at}},
		"error text":        {Dialect{ErrorText: &at}, callback.Policy{ErrorText: &at}},
		"document statuses": {Dialect{DocumentStatuses: []string{"Rejected"}}, callback.Policy{DocumentStatuses: []string{"Rejected"}}},
		"failed status":     {Dialect{FailedStatus: 502}, callback.Policy{FailedStatus: 502}},
		"failed body":       {Dialect{FailedBody: true}, callback.Policy{FailedBody: true}},
		"retryable":         {Dialect{Retryable: &yes}, callback.Policy{}},
		"not retryable":     {Dialect{Retryable: &no}, callback.Policy{Once: true}},
		"multiple":          {Dialect{Multiple: true}, callback.Policy{Multiple: true}},
		"named keys":        {Dialect{Keys: []string{"a", "b"}}, callback.Policy{Keys: []string{"a", "b"}}},
		"own key":           {Dialect{Keys: []string{"include"}}, callback.Policy{OwnKey: true}},
		"both":              {Dialect{Keys: []string{"a", "include"}}, callback.Policy{Keys: []string{"a"}, OwnKey: true}},
	} {
		var got callback.Policy
		c.dialect.apply(&got)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: the policy is %+v", name, got)
		}
	}
}

func TestDialectRefusesWhatMakesNoSense(t *testing.T) {
	const keys = `{"base_url":"https://app.example.com","keys":[{"name":"sender","secret":"sha256:` +
		`0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","permissions":["send"]},{"name":"reader","secret":"sha256:` +
		`0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde0","permissions":["read"]}]}`
	for fields, want := range map[string]string{
		`"require":["correlation_id","status"]`:                      "",
		`"require":["state"]`:                                        "require",
		`"failed":[{"in":"json","name":"a","values":["x"]}]`:         "",
		`"failed":[{"in":"json","name":"a"}]`:                        "",
		`"failed":[{"in":"json","name":"$.a"}]`:                      "begins with a $",
		`"succeeded":[{"in":"json","name":"a"}]`:                     "succeeded",
		`"succeeded":[{"in":"json","name":"a","values":["*"]}]`:      "is there",
		`"result":"all"`:                                             "result",
		`"on_conflict":"drop"`:                                       "on_conflict",
		`"on_conflict":"ignore","multiple":true`:                     "on_conflict",
		`"failed":[{"in":"json","name":"a","values":["x",""]}]`:      "failed",
		`"failed":[{"in":"cookie","name":"a","values":["x"]}]`:       "failed",
		`"failed":[{"in":"header","name":"Cookie","values":["x"]}]`:  "failed",
		`"failed":[{"in":"header","name":"Alt-Svc","values":["x"]}]`: "failed",
		`"progress":[{"in":"query","name":"","values":["x"]}]`:       "progress",
		`"progress":[{"in":"json","name":"/a~","values":["x"]}]`:     "progress",
		`"error_code":{"in":"header","name":"X-Code"}`:               "",
		`"error_code":{"in":"header"}`:                               "error_code",
		`"error_text":{"in":"header","name":"Authorization"}`:        "error_text",
		`"document_statuses":["Rejected",""]`:                        "document_statuses",
		`"failed_status":400`:                                        "",
		`"failed_status":599`:                                        "",
		`"failed_status":399`:                                        "failed_status",
		`"failed_status":600`:                                        "failed_status",
		`"failed_status":-1`:                                         "failed_status",
		`"keys":["sender","include"]`:                                "",
		`"keys":["sender"],"state_query":"state"`:                    "",
		`"keys":["include"],"state_query":"state"`:                   "key",
		`"keys":["sender","sender"]`:                                 "key",
		`"keys":["include","include"]`:                               "key",
		`"keys":["a b"]`:                                             "key",
		`"keys":["nobody"]`:                                          "key",
		`"keys":["reader"]`:                                          "send",
		`"inject":[{"in":"json","name":"a","value":"{http.callback.api_key}"}],"keys":["include"]`:       "",
		`"inject":[{"in":"json","name":"a","value":"{http.callback.api_key}"}]`:                          "key include",
		`"inject":[{"in":"json","name":"a","value":"{http.callback.api_key}"}],"keys":["sender"]`:        "key include",
		`"respond":{"body":"{http.callback.api_key}"}`:                                                   "key include",
		`"inject":[{"in":"json","name":"a","value":"{http.callback.failed_url}"}],"state_query":"state"`: "failed_url",
	} {
		_, err := newHandler(apptest.NewContext(t, keys), `{"mode":"hold",`+fields+"}")
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", fields, err)
		}
	}
}
