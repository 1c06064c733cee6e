//go:build !race

package harness

// raceFlags make the binary under test as strict as the test that drives it.
var raceFlags []string

// MemoryFactor is how many times the memory the binary under test may take.
const MemoryFactor = 1

// TimeFactor is how many times as long everything may take.
const TimeFactor = 1
