// Rsyncd_exporter receives what rsync daemons log and serves it as Prometheus counters.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"slices"
	_ "time/tzdata" // for --timezone in the image, which has no other files
)

func main() {
	// A panic shows its goroutine, not hundreds of connections besides; GOTRACEBACK may say more.
	debug.SetTraceback("single")
	if len(os.Args) > 1 && slices.Contains([]string{"report", "explain", "backfill"}, os.Args[1]) {
		collectForOldLogs()
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
