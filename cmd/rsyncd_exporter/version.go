package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set at link time, by -ldflags "-X main.version=…". See buildInfo.
var version string

type build struct {
	Version  string // "devel" where nobody said
	Revision string // commit, "-modified" behind it where the tree was; "unknown" where the build did not record it
	Go       string // Go's version
}

func buildInfo() build {
	b := build{Version: version, Revision: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if v := info.Main.Version; b.Version == "" && v != "(devel)" {
		b.Version = v
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	b.Revision += modified
	return b
}

func runVersion(_ context.Context, args []string, std stdio) int {
	if len(args) > 0 {
		return usageError(std, fmt.Errorf("version: unexpected argument %q: it takes none", args[0]))
	}
	b := buildInfo()
	fmt.Fprintf(std.out, "rsyncd_exporter %s (revision %s, %s, %s/%s)\n",
		b.Version, b.Revision, b.Go, runtime.GOOS, runtime.GOARCH)
	return exitOK
}
