package main

import (
	"os"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// TestMain removes what testenv.Released has made.
func TestMain(m *testing.M) {
	status := m.Run()
	testenv.RemoveReleased()
	os.Exit(status)
}
