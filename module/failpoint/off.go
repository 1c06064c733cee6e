//go:build !failpoint

// Package failpoint lets tests break the server off at a named point. It does nothing,
// and costs nothing, unless it is built with the tag failpoint.
package failpoint

// Enabled says whether points do anything.
const Enabled = false

// Hit passes a point. The error is what the point is to fail with, nil for nothing.
func Hit(string) error { return nil }
