//go:build !race

package harness

// raceFlags make the binary under test as strict as the test that drives it.
var raceFlags []string

// MemoryFactor multiplies the memory that the binary under test may take.
const MemoryFactor = 1

// TimeFactor multiplies the time that everything may take.
const TimeFactor = 1
