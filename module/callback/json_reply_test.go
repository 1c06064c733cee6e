package callback_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestReplyThatIsJSONStaysJSON(t *testing.T) {
	for name, c := range map[string]struct{ body, value, want string }{
		"in a string":             {`{"got":"{http.callback.call.body}"}`, `o"1\n`, `{"got":"o\"1\\n"}`},
		"as a value that is JSON": {`{"got":{http.callback.call.body}}`, `{"a":[1,2]}`, `{"got":{"a":[1,2]}}`},
		"as a value that is not":  {`{"got":{http.callback.call.body}}`, `plain`, `{"got":"plain"}`},
		"an absent value":         {`{"got":{http.callback.call.body}}`, ``, `{"got":""}`},
		"behind an escaped quote": {`{"\"":"a\"{http.callback.call.body}"}`, `"`, `{"\"":"a\"\""}`},
		"no JSON at all":          {`got {http.callback.call.body}`, `o"1`, `got o"1`},
	} {
		p := compiled(t, callback.Policy{Respond: &callback.Respond{Body: c.body}})
		v := receive(waiting(p), p, newCall("POST", c.value), born)
		if v.Reply.Body != c.want {
			t.Errorf("%s: %s, want %s", name, v.Reply.Body, c.want)
		}
	}
}

func TestNoValueBreaksAReplyThatIsJSON(t *testing.T) {
	p := compiled(t, callback.Policy{Respond: &callback.Respond{Body: `[{http.callback.call.body},{"a":"x{http.callback.call.body}","{http.callback.call.body}":1}]`}})
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`[{}\[\]",:0-9a\\\\]*`)).Draw(t, "value")
		v := receive(waiting(p), p, newCall("POST", value), born)
		if !json.Valid([]byte(v.Reply.Body)) {
			t.Fatalf("%q makes %s", value, v.Reply.Body)
		}
	})
}
