package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/linear"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

func TestMembersThatDifferOnlyInCaseAreRefused(t *testing.T) {
	t.Parallel()
	for text, twice := range map[string]string{
		`{"a":1,"a":1}`: "a", `{"Name":1,"nAME":1}`: "nAME", `{"stop":1,"\u017ftop":1}`: "\u017ftop", `{"kelvin":1,"\u212aelvin":1}`: "\u212aelvin",
		`{"\u03c3":1,"x":1,"\u03c2":1}`: "\u03c2", `{"a":1,"b":1,"ab":1}`: "", `{"\u00df":1,"ss":1}`: "", `{"":1}`: "",
	} {
		members, err := membersOf([]byte(text), len(text))
		var p problem.Problem
		switch {
		case twice == "" && err != nil, twice != "" && !errors.As(err, &p):
			t.Errorf("%s: %d members, %v", text, len(members), err)
		case twice != "" && p.Members[0].Value != twice:
			t.Errorf("%s: %v", text, p.Members)
		}
	}
}

func TestManyMembersCostWhatTheirLengthCosts(t *testing.T) {
	linear.Check(t, 500, func(n int) func() {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"x%d":""`, i)
		}
		text := []byte("{" + b.String()[1:] + "}")
		return func() {
			if members, err := membersOf(text, n); err != nil || len(members) != n {
				t.Errorf("%d of %d members: %v", len(members), n, err)
			}
		}
	})
}

func TestMoreHeadersThanAReplyCanHaveAreNotRead(t *testing.T) {
	t.Parallel()
	headers := func(n int, last string) []byte {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"X-%d":"",`, i)
		}
		return []byte(`{"responseHeaders":{` + b.String() + last + `}}`)
	}
	for name, tc := range map[string]struct {
		body []byte
		says string
	}{
		"as many as allowed": {headers(maxReplyHeaders-1, `"X-Last":""`), ""},
		"one too many":       {headers(maxReplyHeaders, `"X-Last":""`), "more than 64 headers"},
		"what follows":       {headers(maxReplyHeaders, `"X-Last":7`), "more than 64 headers"},
		"one twice":          {headers(2, `"x-0":""`), "given twice"},
		"too long":           {headers(1, `"X-Last":"`+strings.Repeat("x", maxReplyHeaderBytes)+`"`), "16384 bytes"},
	} {
		c, err := parseCreation(tc.body)
		switch {
		case tc.says == "" && (err != nil || len(c.header) != maxReplyHeaders):
			t.Errorf("%s: %v", name, err)
		case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: %v", name, err)
		}
	}
}
