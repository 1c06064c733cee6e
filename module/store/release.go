package store

import (
	"os"
	"reflect"
	"runtime/debug"
	"strings"
)

// ThisNode returns what is known of this process without a store.
func ThisNode() NodeInfo {
	host, _ := os.Hostname()
	info, _ := debug.ReadBuildInfo()
	return NodeInfo{Release: releaseIn(info), Host: host}
}

// ownModule is the path of this module.
var ownModule, _, _ = strings.Cut(reflect.TypeFor[Hint]().PkgPath(), "/module/")

// unreleased is what a build from a working copy says of its release.
const unreleased = "devel"

// releaseIn returns the release of this module in a build.
func releaseIn(info *debug.BuildInfo) string {
	if info == nil {
		return unreleased
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path != ownModule {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if version := strings.TrimPrefix(m.Version, "v"); version != "" && version != "(devel)" {
			return version
		}
	}
	return unreleased
}
