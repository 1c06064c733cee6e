//go:build !race

package harness

// raceFlags make the binary under test as strict as the test that drives it.
var raceFlags []string
