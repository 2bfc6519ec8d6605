package main

import (
	"bytes"
	"os"
	"testing"
)

// What is shipped is what the code makes. What it has to be is tested by internal/monitoring.
func TestShippedDashboardIsMade(t *testing.T) {
	const path = "../../deploy/grafana/dashboards/rsyncd_exporter.json"
	shipped, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	made, err := boardJSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := boardJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, again) {
		t.Error("two runs make two dashboards")
	}
	if !bytes.Equal(shipped, made) {
		t.Errorf("%s isn't what the code makes: run \"make dashboard\"", path)
	}
}
