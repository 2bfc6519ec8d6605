package main

import (
	"log/slog"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"rsyncd_exporter/internal/config"
)

// The most connections that are open at once, where open files are not scarce.
const (
	maxHTTPConnections   = 256
	maxStreamConnections = 1024 // of each TCP and TLS listener
)

// A share is how many connections may be open at once, and which descriptors followed logs may use.
type share struct {
	http, stream int
	logs         int // a followed log's descriptor is lower, see follow.Options.Descriptors; 0: no limit
}

// sharesOf divides the open files (RLIMIT_NOFILE), so that a scraper always gets one.
func sharesOf(cfg *config.Config) share {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return share{http: maxHTTPConnections, stream: maxStreamConnections}
	}
	listeners := len(cfg.ListenTCP) + len(cfg.ListenTLS)
	for _, p := range cfg.Passed {
		if p.Role == config.RoleTCP || p.Role == config.RoleTLS {
			listeners++
		}
	}
	sockets := len(cfg.ListenUDP)*max(1, cfg.UDPSockets) + len(cfg.Passed)
	return shareOf(int(min(uint64(limit.Cur), math.MaxInt32)), sockets, listeners, len(cfg.Files) > 0)
}

// shareOf is sharesOf for so many open files. own are the program's, with a few sockets; each
// further socket has a duplicate. spare are open for a moment. Logs and senders share what scrapers
// leave.
func shareOf(files, sockets, listeners int, follows bool) share {
	const own, spare, few, least = 24, 8, 4, 2
	rest := max(files-own-2*max(0, sockets-few), 4*least)
	s := share{http: min(maxHTTPConnections, rest/4)}
	forStreams := rest - s.http
	if follows {
		forStreams /= 2
	}
	s.stream = min(maxStreamConnections, max(least, forStreams/max(listeners, 1)))
	if follows {
		s.logs = max(1, files-s.http-s.stream*listeners-spare)
	}
	return s
}

// memoryFiles hold the memory limit of a control group in bytes (cgroups(7)), for version 2 and 1.
var memoryFiles = [...]struct{ controller, mount, file string }{
	{"", "sys/fs/cgroup", "memory.max"},
	{"memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"},
}

// limitMemory makes Go collect garbage before the container's memory limit is reached, of which Go
// doesn't know. GOMEMLIMIT overrides it. A quarter is left to socket buffers and file pages.
func limitMemory(log *slog.Logger) {
	limit := memoryLimit("/")
	if os.Getenv("GOMEMLIMIT") != "" || limit == math.MaxInt64 {
		return
	}
	debug.SetMemoryLimit(limit / 4 * 3)
	log.Debug("memory is limited by the control group", "limit", limit)
}

// memoryLimit returns the least limit of the process' control groups, or math.MaxInt64. A container
// sees its own group's files in the place of the root's.
func memoryLimit(root string) int64 {
	least := int64(math.MaxInt64)
	groups, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range strings.SplitSeq(string(groups), "\n") {
		fields := strings.SplitN(line, ":", 3) // ID:CONTROLLER,...:PATH
		if len(fields) != 3 {
			continue
		}
		for _, m := range memoryFiles {
			if !slices.Contains(strings.Split(fields[1], ","), m.controller) {
				continue
			}
			for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
				least = min(least, limitIn(filepath.Join(root, m.mount, group, m.file)))
				if group == "/" {
					break
				}
			}
		}
	}
	return least
}

// limitIn returns the limit in a file, math.MaxInt64 for none: "max", or more than any machine has.
func limitIn(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n <= 0 || n >= 1<<60 {
		return math.MaxInt64
	}
	return n
}
