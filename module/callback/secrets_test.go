package callback_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestSecretOfACallbackIsFoundByItsMark(t *testing.T) {
	p := compiled(t, callback.Policy{})
	first, old, other := callback.NewSecret(), callback.NewSecret(), callback.NewSecret()
	unmarked := func(r *callback.Record) *callback.Record { r.DerivedFrom = 0; return r }
	made := func(s callback.Secret) *callback.Record {
		return callback.New(&s, p, callback.Spec{ExpiresIn: lifetime}, born)
	}
	for name, tc := range map[string]struct {
		known  *callback.Secrets
		record *callback.Record
		want   *callback.Secret
	}{
		"the only one":              {callback.NewSecrets(first), made(first), &first},
		"the first of two":          {callback.NewSecrets(first, old), made(first), &first},
		"an old one":                {callback.NewSecrets(first, old), made(old), &old},
		"the last of many":          {callback.NewSecrets(other, first, first, old), made(old), &old},
		"unknown":                   {callback.NewSecrets(first, old), made(other), nil},
		"of an earlier release":     {callback.NewSecrets(first), unmarked(made(first)), &first},
		"of one, and old":           {callback.NewSecrets(first, old), unmarked(made(old)), &old},
		"of one, and unknown":       {callback.NewSecrets(first, old), unmarked(made(other)), nil},
		"added":                     {callback.NewSecrets(first).With(old), made(old), &old},
		"the first, another added":  {callback.NewSecrets(first).With(old), made(first), &first},
		"itself added":              {callback.NewSecrets(first).With(first), made(first), &first},
		"a mark that nobody gives":  {callback.NewSecrets(first), &callback.Record{DerivedFrom: 1}, nil},
		"nothing but an odd record": {callback.NewSecrets(first), &callback.Record{}, nil},
	} {
		got := tc.known.Of(tc.record)
		if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
			t.Errorf("%s: it is another one", name)
		}
	}
	if known := callback.NewSecrets(first, old); *known.First() != first || !known.Know(old.Mark()) || known.Know(other.Mark()) || known.Know(0) {
		t.Error("the secrets do not know what they are")
	}
	if first.Mark() == old.Mark() || first.Mark() == 0 || first.Mark() != callback.NewSecrets(first).First().Mark() {
		t.Error("marks do not tell secrets apart")
	}
}

func TestURLsStayAsTheyWereGivenOut(t *testing.T) {
	before, after := callback.NewSecret(), callback.NewSecret()
	for name, p := range map[string]callback.Policy{"plain": {}, "own key": {OwnKey: true}, "state in the query": {StateQuery: "state"}} {
		p := compiled(t, p)
		r := callback.New(&before, p, callback.Spec{ExpiresIn: lifetime}, born)
		was := callback.Issued{Record: r, Policy: p, Secret: &before}
		is := callback.Issued{Record: r, Policy: p, Secret: callback.NewSecrets(after, before).Of(r)}
		gone := callback.Issued{Record: r, Policy: p, Secret: callback.NewSecrets(after).Of(r)}
		if was.SecretGone() || is.SecretGone() || !gone.SecretGone() {
			t.Errorf("%s: it is not known whether the secret is there", name)
		}
		for _, placeholder := range callback.PlaceholderNames() {
			want, _ := was.Placeholder(placeholder)
			if got, _ := is.Placeholder(placeholder); got != want {
				t.Errorf("%s: {%s} is %q, and was %q", name, placeholder, got, want)
			}
			derived := placeholder != "id" && placeholder != "correlation_id"
			missed := false
			if got := gone.Lookup(&callback.Call{}, &missed)(placeholder); missed != derived || (got == "") != derived && want != "" {
				t.Errorf("%s: without the secret {%s} is %q, and missed: %t", name, placeholder, got, missed)
			}
			missed = false
			if is.Lookup(&callback.Call{}, &missed)(placeholder); missed {
				t.Errorf("%s: {%s} is said to be missed", name, placeholder)
			}
		}
	}
}
