package main

import (
	"bufio"
	"bytes"
	"log/slog"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// A container's memory limit is a control group's (cgroups(7)). Go doesn't know of it, lets garbage
// grow to as much as is in use, and is killed where collecting it would have been enough.

// memoryFiles hold the limit in bytes: of version 2, and of version 1, whose hierarchy has a name.
var memoryFiles = [...]struct{ controller, mount, file string }{
	{"", "sys/fs/cgroup", "memory.max"},
	{"memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"},
}

// limitMemory has garbage collected before the container's limit is reached, unless GOMEMLIMIT says
// when. Buffers of sockets and pages of files count for the container, too: they have a quarter.
func limitMemory(log *slog.Logger) {
	limit := memoryLimit("/")
	if os.Getenv("GOMEMLIMIT") != "" || limit == math.MaxInt64 {
		return
	}
	debug.SetMemoryLimit(limit / 4 * 3)
	log.Debug("memory is limited by the control group", "limit", limit)
}

// memoryLimit returns the least limit of the control groups that the process is in, math.MaxInt64
// if there is none. What a container sees are its own group's files at the place of the root's;
// outside of one they are below, at the path that /proc/self/cgroup says.
func memoryLimit(root string) int64 {
	least := int64(math.MaxInt64)
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return least
	}
	for lines := bufio.NewScanner(bytes.NewReader(groups)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3) // ID:CONTROLLER,...:PATH
		if len(fields) != 3 {
			continue
		}
		for _, m := range memoryFiles {
			if !listHas(fields[1], m.controller) {
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

// listHas reports whether a list with commas has a member.
func listHas(list, member string) bool {
	return strings.Contains(","+list+",", ","+member+",")
}

// limitIn returns what a file says; math.MaxInt64 for no limit, which is "max" or a number that no
// machine has.
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
