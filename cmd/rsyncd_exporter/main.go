// Rsyncd_exporter receives what rsync daemons log and serves it as Prometheus counters.
package main

import (
	"context"
	"os"
	"runtime/debug"
	_ "time/tzdata" // for --timezone in the image, which has no other files
)

func main() {
	// A panic shows its goroutine, not hundreds of connections besides; GOTRACEBACK may say more.
	debug.SetTraceback("single")
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
