// Rsyncd_exporter receives what rsync daemons log and serves it as Prometheus counters.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
