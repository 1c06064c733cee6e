package callback

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// withFeatures lets the test have features of its own.
func withFeatures(t *testing.T, all ...feature) {
	t.Helper()
	before := features
	t.Cleanup(func() { features = before })
	features = all
}

func TestFeaturesHaveNamesOfTheirOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range features {
		if f.name == "" || seen[f.name] || f.used == nil {
			t.Errorf("%q is no feature, or another has its name", f.name)
		}
		seen[f.name] = true
	}
}

func TestPolicySaysWhatItNeeds(t *testing.T) {
	withFeatures(t,
		feature{"waits", func(p *Policy) bool { return p.Multiple }},
		feature{"asks", func(p *Policy) bool { return p.Ask != "" }},
	)
	for name, tc := range map[string]struct {
		policy Policy
		needs  []string
	}{
		"nothing":     {Policy{Methods: []string{"POST"}, Needs: []string{"left over"}}, nil},
		"one feature": {Policy{Multiple: true}, []string{"waits"}},
		"both":        {Policy{Multiple: true, Ask: "/x"}, []string{"asks", "waits"}},
	} {
		p := tc.policy
		if err := p.Compile(); err != nil {
			t.Fatal(err)
		}
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodePolicy(b)
		if err != nil || !slices.Equal(p.Needs, tc.needs) || !slices.Equal(back.Needs, tc.needs) || back.Hash() != p.Hash() {
			t.Errorf("%s: %v, %v", name, p.Needs, err)
			continue
		}
		if p.CanJudge() != nil || back.CanJudge() != nil {
			t.Errorf("%s: %v, %v", name, p.CanJudge(), back.CanJudge())
		}
		if strings.Contains(string(b), "waits") != p.Multiple {
			t.Errorf("%s: %q is stored", name, b)
		}
	}
}

// later returns a policy of a later release, with some of its members replaced.
func later(t *testing.T, members map[int]any) []byte {
	t.Helper()
	p := &Policy{BaseURL: "https://app.example.com", HeaderPrefix: "X-Acme-", Retain: time.Minute}
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	b, err := p.Encode()
	var all map[int]any
	if err == nil {
		err = cbor.Unmarshal(b, &all)
	}
	for key, value := range members {
		all[key] = value
	}
	if err == nil {
		b, err = policyEncoding.Marshal(all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPolicyThatNeedsALaterReleaseDoesNotJudge(t *testing.T) {
	withFeatures(t, feature{"known", func(*Policy) bool { return false }})
	for name, tc := range map[string]struct {
		members map[int]any
		unknown string
	}{
		"more than is known":        {map[int]any{99: "new"}, ""},
		"a feature that is known":   {map[int]any{60: []string{"known"}, 99: "new"}, ""},
		"one that is not":           {map[int]any{60: []string{"known", "tomorrow"}}, "tomorrow"},
		"one that changes a member": {map[int]any{60: []string{"tomorrow"}, 5: map[int]any{1: "POST"}, 17: "pattern"}, "tomorrow"},
		"one that allows more":      {map[int]any{60: []string{"tomorrow"}, 5: []string{"QUERY"}, 7: map[int]any{1: "{http.callback.id}://done"}}, "tomorrow"},
	} {
		b := later(t, tc.members)
		p, err := DecodePolicy(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = p.CanJudge()
		switch {
		case tc.unknown == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.unknown != "" && (!errors.Is(err, ErrNeeds) || !strings.HasSuffix(err.Error(), ": "+tc.unknown)):
			t.Errorf("%s: %v", name, err)
		}
		if p.Hash() != sha256.Sum256(b) || p.BaseURL != "https://app.example.com" || p.Retain != time.Minute || p.Wire() != NewWire("X-Acme-") {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestPolicyThatCannotBeReadIsRefusedUnlessItNeedsALaterRelease(t *testing.T) {
	for name, members := range map[string]map[int]any{
		"changed member": {5: map[int]any{1: "POST"}}, "unknown method": {5: []string{"QUERY"}}, "refused scheme": {7: map[int]any{1: "javascript:done()"}},
		"needs nothing": {60: []string{}, 5: "POST"}, "needs that are none": {60: "tomorrow"},
	} {
		if p, err := DecodePolicy(later(t, members)); err == nil {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
}
