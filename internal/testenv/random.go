package testenv

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Tortured returns how often a test does something: short as a rule, long where TORTURE is set, as
// `make torture` does.
func Tortured(short, long int) int {
	if os.Getenv("TORTURE") != "" {
		return long
	}
	return short
}

// Seed returns the seed of a random test: SEED where that is set, to play a failure again. It is
// printed when the test fails or is verbose.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED=%q: %v", s, err)
		}
		seed = n
	}
	t.Logf("SEED=%d", seed)
	return seed
}

// Streams returns numbers in orders that a bounded table of so much room has difficulty with, by what
// is difficult. Those of "one behind a flood" begin when it is full; 0 is the one.
func Streams(rnd *rand.Rand, room int) map[string][]int {
	zipf := rand.NewZipf(rnd, 1.1, 4, 1<<20)
	m := map[string][]int{}
	for i := range 20 * room {
		m["skewed"] = append(m["skewed"], int(zipf.Uint64()))
		m["all distinct"] = append(m["all distinct"], i)
		m["each twice, at once"] = append(m["each twice, at once"], i/2)
		m["in turns, just too many"] = append(m["in turns, just too many"], i%(room+1))
		heavy := i + 1
		if i > 2*room && i%100 == 99 { // only after the table was full
			heavy = 0
		}
		m["one behind a flood"] = append(m["one behind a flood"], heavy)
	}
	return m
}
