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
