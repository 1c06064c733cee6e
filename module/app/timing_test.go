package app

import (
	"crypto/rand"
	"encoding/hex"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// timings is the number of comparisons that are timed, and confident the t value
	// from which two of them count as different in duration (Reparaz, Balasch and
	// Verbauwhede, "Dude, is my code constant time?", 2017).
	timings   = 100_000
	confident = 4.5
)

// A key that is wrong only at its end must not take longer to refuse than one that is
// wrong at its beginning. To show that the test can tell, it must detect a plain comparison.
func TestTimeToRefuseAKeyTellsNothingOfIt(t *testing.T) {
	secret := make([]byte, 512)
	_, _ = rand.Read(secret)
	key := hex.EncodeToString(secret)
	ring, err := newKeyRing([]Key{{Name: "partner", Secret: sumOf(key), Permissions: []string{PermissionSend}}})
	if err != nil {
		t.Fatal(err)
	}
	nearly, hardly := key[:len(key)-1]+"-", "-"+key[1:]
	refuse := func(shown string) {
		if ring.caller([]string{shown}, PermissionSend).Known {
			t.Error("a wrong key is known")
		}
	}
	compare := func(shown string) {
		if shown == key {
			t.Error("a wrong key is known")
		}
	}
	if apart := difference(compare, hardly, nearly); apart < confident {
		t.Errorf("a plain comparison is not found out: t is %.1f", apart)
	}
	// A large difference may be chance, or the work of a process that runs beside; one that
	// is real is there each time.
	var apart [6]float64
	for i := range apart {
		if apart[i] = difference(refuse, hardly, nearly); apart[i] < confident {
			return
		}
	}
	t.Errorf("a key that is nearly right takes another time each time: t is %.1f", apart)
}

// difference times do with one of two keys, chosen at random, and returns how surely
// their durations differ: the absolute t value of Welch's test. The slowest tenth is left
// out, because other work has delayed it.
func difference(do func(key string), a, b string) float64 {
	keys := [2]string{a, b}
	var times [2][]float64
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for range timings {
		which := random.IntN(2)
		// A copy each time: the key's place in memory must not matter either.
		key := strings.Clone(keys[which])
		began := time.Now()
		do(key)
		times[which] = append(times[which], float64(time.Since(began)))
	}
	limit := slices.Sorted(slices.Values(slices.Concat(times[0], times[1])))[timings*9/10]
	var mean, variance [2]float64
	for i, all := range times {
		mean[i], variance[i] = spread(slices.DeleteFunc(all, func(t float64) bool { return t > limit }))
	}
	return math.Abs(mean[0]-mean[1]) / math.Sqrt(variance[0]+variance[1])
}

// spread returns the mean, and the variance of the mean.
func spread(all []float64) (mean, variance float64) {
	n := float64(len(all))
	for _, t := range all {
		mean += t / n
	}
	for _, t := range all {
		variance += (t - mean) * (t - mean) / (n - 1) / n
	}
	return mean, variance
}
