//go:build !failpoint

// Package failpoint lets tests break the server off at a named point, and set its clock.
// It does nothing, and costs nothing, unless it is built with the tag failpoint.
package failpoint

import "time"

// Enabled says whether points do anything.
const Enabled = false

// Hit passes a point. The error is what the point is to fail with, nil for nothing.
func Hit(string) error { return nil }

// Ahead returns how far the clock is set forward.
func Ahead() time.Duration { return 0 }
