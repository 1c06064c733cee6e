//go:build !failpoint

// Package failpoint lets tests interrupt the server at a named point, and set its
// clock. It does nothing, and costs nothing, unless it is built with the tag
// failpoint.
package failpoint

import "time"

// Enabled says whether points do anything.
const Enabled = false

// Hit is called at a point. If it returns an error, the caller must fail with it.
func Hit(string) error { return nil }

// Now returns the time of the system's clock.
func Now() time.Time { return time.Now().Round(0) }
