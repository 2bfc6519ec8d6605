// Rsyncd_exporter receives what rsync daemons log and serves it as Prometheus counters.
package main

import (
	"context"
	"os"
	"runtime/debug"
)

func main() {
	debug.SetTraceback("single") // of a panic: the goroutine that did it, not the hundreds of connections besides; GOTRACEBACK may say more
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
