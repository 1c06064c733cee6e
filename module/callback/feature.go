package callback

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/inject"
)

// feature is something that judging by a policy can require beyond what the first release
// could do.
type feature struct {
	// name is stored in policies, and must never change.
	name string
	// used reports whether a policy uses the feature.
	used func(*Policy) bool
}

// features are all that this release knows. An option that a release without it would
// misjudge calls by belongs here: such a release does not judge them at all.
var features = []feature{
	{"xml", func(p *Policy) bool { return p.judgesBy(inject.XML) }},
	{"fetch", func(p *Policy) bool { return p.Fetch }},
	{"deliver progress", (*Policy).DeliversProgress},
	{"redirect to the page", (*Policy).leadsToPage},
	{"confirm", func(p *Policy) bool { return p.Confirm != nil }},
}

// judgesBy reports whether the policy judges calls by a value in a place.
func (p *Policy) judgesBy(in inject.Place) bool {
	return slices.ContainsFunc(slices.Concat(p.Failed, p.Progress, p.Succeeded), func(m Match) bool { return m.Location.In == in })
}

// ErrNeeds is returned for a policy by which this release cannot judge calls.
var ErrNeeds = errors.New("judging the call needs a later release, because of features that this one does not know")

// CanJudge returns nil if this release knows all features that judging by the policy
// requires, else an error that wraps ErrNeeds. Such a policy is good for everything but
// judging.
func (p *Policy) CanJudge() error { return p.unmet }

// needs returns the names of the features that the policy uses.
func (p *Policy) needs() (names []string) {
	for _, f := range features {
		if f.used(p) {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return names
}

// checkNeeds returns what CanJudge does.
func (p *Policy) checkNeeds() error {
	unknown := slices.DeleteFunc(slices.Clone(p.Needs), func(name string) bool {
		return slices.ContainsFunc(features, func(f feature) bool { return f.name == name })
	})
	if len(unknown) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNeeds, strings.Join(unknown, ", "))
}
