// Command dashboard writes the Grafana dashboard that is shipped for the exporter:
//
//	go run -C internal/dashboard . ../../deploy/grafana/dashboards/rsyncd_exporter.json
//
// It is a module of its own, so that neither the exporter's go.mod nor its builds have Grafana's
// Foundation SDK.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboard FILE.json")
		os.Exit(2)
	}
	made, err := boardJSON()
	if err == nil {
		err = os.WriteFile(os.Args[1], made, 0o644)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "dashboard: %v\n", err)
		os.Exit(1)
	}
}
