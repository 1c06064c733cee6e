package store

import (
	"runtime/debug"
	"testing"
)

func TestReleaseIsThatOfThisModule(t *testing.T) {
	t.Parallel()
	const own = "github.com/caddy-callback/caddy-callback"
	other := debug.Module{Path: "example.com/caddy", Version: "v9.9.9"}
	for want, info := range map[string]*debug.BuildInfo{
		"0.3.0":     {Main: debug.Module{Path: own, Version: "v0.3.0"}},
		"0.3.1":     {Main: other, Deps: []*debug.Module{&other, {Path: own, Version: "v0.3.1"}}},
		"0.3.2-fix": {Main: other, Deps: []*debug.Module{{Path: own, Version: "v0.3.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v0.3.2-fix"}}}},
	} {
		if got := releaseIn(info); got != want {
			t.Errorf("the release is %q, want %q", got, want)
		}
	}
	for name, info := range map[string]*debug.BuildInfo{
		"no information":     nil,
		"without the module": {Main: other},
		"a working copy":     {Main: debug.Module{Path: own, Version: "(devel)"}},
		"a local copy":       {Main: other, Deps: []*debug.Module{{Path: own, Version: "v0.3.0", Replace: &debug.Module{Path: "../copy"}}}},
	} {
		if got := releaseIn(info); got != unreleased {
			t.Errorf("%s: the release is %q", name, got)
		}
	}
	if here := ThisNode(); here.Release == "" || here.Host == "" {
		t.Errorf("this node is %+v", here)
	}
}
