//go:build race

package harness

// raceFlags make the binary under test as strict as the test that drives it.
var raceFlags = []string{"-race"}

// MemoryFactor multiplies the memory that the binary under test may take: the race
// detector keeps a shadow of all of it (its documentation says 5 to 10 times).
const MemoryFactor = 10

// TimeFactor multiplies the time that everything may take.
const TimeFactor = 4
