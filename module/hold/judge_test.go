package hold

import (
	"net/http"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

func TestAnswerMustSayAllThatAnAckDoes(t *testing.T) {
	in := func(place, name string, values ...string) Match {
		return Match{Location: inject.Location{In: inject.Place(place), Name: name}, Values: values}
	}
	header := http.Header{"X-Job": {"7"}, "X-Empty": {""}, "X-Two": {"a", "b"}, "X-Same": {"a", "a"}}
	for name, c := range map[string]struct {
		body string
		all  []Match
		says bool
		read bool
	}{
		"nothing to say":     {`x`, nil, true, true},
		"a value":            {`{"status":"accepted"}`, []Match{in("json", "status", "accepted", "queued")}, true, true},
		"another value":      {`{"status":"done"}`, []Match{in("json", "status", "accepted", "queued")}, false, true},
		"a value's case":     {`{"status":"Accepted"}`, []Match{in("json", "status", "accepted")}, false, true},
		"a class":            {`{"code":202}`, []Match{in("json", "code", "2xx")}, true, true},
		"a class as text":    {`{"code":"299"}`, []Match{in("json", "code", "2xx")}, true, true},
		"another class":      {`{"code":302}`, []Match{in("json", "code", "2xx")}, false, true},
		"no class":           {`{"code":2.5}`, []Match{in("json", "code", "2xx")}, false, true},
		"is there":           {`{"job":{"id":0}}`, []Match{in("json", "job.id")}, true, true},
		"is null":            {`{"job":null}`, []Match{in("json", "job")}, false, true},
		"is false":           {`{"job":false}`, []Match{in("json", "job")}, false, true},
		"is empty":           {`{"job":{}}`, []Match{in("json", "job")}, false, true},
		"is absent":          {`{}`, []Match{in("json", "job")}, false, true},
		"no body":            {``, []Match{in("json", "job")}, false, true},
		"a header":           {``, []Match{in("header", "x-job")}, true, true},
		"a header's value":   {``, []Match{in("header", "X-Job", "8", "7")}, true, true},
		"an empty header":    {``, []Match{in("header", "X-Empty")}, false, true},
		"no header":          {``, []Match{in("header", "X-None")}, false, true},
		"the same twice":     {``, []Match{in("header", "X-Same", "a")}, true, true},
		"two that differ":    {``, []Match{in("header", "X-Two", "a")}, false, false},
		"all of them":        {`{"a":1,"b":2}`, []Match{in("json", "a", "1"), in("header", "X-Job"), in("json", "b")}, true, true},
		"all but one":        {`{"a":1,"b":2}`, []Match{in("json", "a", "1"), in("header", "X-Job"), in("json", "b", "3")}, false, true},
		"no JSON":            {`accepted`, []Match{in("json", "status", "accepted")}, false, false},
		"cut short":          {`{"status":"accepted"`, []Match{in("json", "status", "accepted")}, false, false},
		"a member twice":     {`{"status":"accepted","status":"no"}`, []Match{in("json", "status", "accepted")}, false, false},
		"unread, and a no":   {`{"a":1,"a":1,"b":2}`, []Match{in("json", "a", "1"), in("json", "b", "3")}, false, true},
		"unread, and a yes":  {`{"a":1,"a":1,"b":2}`, []Match{in("json", "a", "1"), in("json", "b", "2")}, false, false},
		"a byte order mark":  {"\ufeff{\"a\":1}", []Match{in("json", "a")}, true, true},
		"whatever type":      {`{"a":1}`, []Match{in("json", "a")}, true, true},
		"a number as it was": {`{"a":1.0}`, []Match{in("json", "a", "1")}, true, true},
	} {
		says, err := saysAll(&inject.Message{Header: header, Body: []byte(c.body)}, c.all)
		if says != c.says || (err == nil) != c.read {
			t.Errorf("%s: says %v, error %v", name, says, err)
		}
	}
	packed := http.Header{"Content-Encoding": {"gzip"}}
	if says, err := saysAll(&inject.Message{Header: packed, Body: []byte("\x1f\x8b")}, []Match{in("json", "a")}); says || err == nil {
		t.Errorf("packed: says %v, error %v", says, err)
	}
}
