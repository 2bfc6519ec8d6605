package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// The least limit of all groups that the process is in counts, of either version, seen from within a container or from outside.
func TestMemoryLimit(t *testing.T) {
	const none = math.MaxInt64
	for name, x := range map[string]struct {
		groups string
		files  map[string]string // below sys/fs/cgroup
		want   int64
	}{
		"no groups":             {"", nil, none},
		"version 2, container":  {"0::/\n", map[string]string{"memory.max": "67108864\n"}, 64 << 20},
		"version 2, no limit":   {"0::/\n", map[string]string{"memory.max": "max\n"}, none},
		"version 2, a service":  {"0::/system.slice/x.service\n", map[string]string{"system.slice/x.service/memory.max": "1000\n", "system.slice/memory.max": "max\n"}, 1000},
		"version 2, its parent": {"0::/a/b\n", map[string]string{"a/b/memory.max": "1000\n", "a/memory.max": "500\n"}, 500},
		"version 1, outside":    {"3:cpu:/\n4:memory:/docker/x\n", map[string]string{"memory/docker/x/memory.limit_in_bytes": "2000\n"}, 2000},
		"version 1, container":  {"4:memory:/docker/x\n0::/\n", map[string]string{"memory/memory.limit_in_bytes": "2000\n"}, 2000},
		"version 1, no limit":   {"4:memory:/\n", map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, none},
		"another controller's":  {"4:cpu,cpuacct:/\n", map[string]string{"memory/memory.limit_in_bytes": "2000\n"}, none},
		"no numbers":            {"0::/\nx\n", map[string]string{"memory.max": "-1\n"}, none},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put := func(path, text string) {
				t.Helper()
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put("proc/self/cgroup", x.groups)
			for file, text := range x.files {
				put("sys/fs/cgroup/"+file, text)
			}
			if got := memoryLimit(root); got != x.want {
				t.Errorf("%d, want %d", got, x.want)
			}
		})
	}
}

// FAULTS Q11: in a control group of 64 MiB, as docker run -m 64m makes one, the tables are filled by senders who make names up, and the
// kernel kills nobody.
func TestAFloodOfNamesInASmallContainer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		mebi  int
		looks bool
	}{{"scrapes", 64, false}, {"people who look", 96, true}} {
		t.Run(c.name, func(t *testing.T) { floodOfNames(t, c.mebi<<20, c.looks) })
	}
}

func floodOfNames(t *testing.T, memory int, people bool) {
	group, limit := newMemoryGroup(t, memory)
	dir := testenv.Dir(t)
	socket := filepath.Join(dir, "dev-log")
	v := unbornVictim(t, newStateDir(t, dir), "--listen-udp=off", "--listen-unixgram="+socket)
	v.released = true
	v.wrapper = []string{"/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group}
	v.start()
	v.ready()
	conn := dialDatagram(t, "unixgram", socket)
	const sessions = 40000
	for i := range sessions {
		for _, text := range []string{
			"connect from c (10.0.0.1)",
			fmt.Sprintf("rsync allowed access on module m%d from c (10.0.0.1)", i%700),
			fmt.Sprintf("rsync to m%d/ from user%d@c (10.0.0.1)", i%700, i%3000),
			fmt.Sprintf("recv c [10.0.0.1] m%d (user%d) a/b %d", i%700, i%3000, i),
		} {
			if _, err := fmt.Fprintf(conn, "<30>Nov 29 00:00:00 rsyncd[%d]: %s", 100+i, text); err != nil {
				t.Fatal(err)
			}
		}
		if i%(sessions/8) == 0 {
			v.scrape()
		}
	}
	if people {
		looks(t, v.url)
	}
	series := v.until(4*sessions, "rsyncd_exporter_received_total", `input="unixgram"`)
	v.want(series, 0, "rsyncd_exporter_socket_drops_total", `input="unixgram"`)
	if !limit() {
		t.Error("the group has no limit any more")
	}
	v.terminate()
}

// looks has as many people look at once as are served at once.
func looks(t *testing.T, url string) {
	t.Helper()
	for range 3 {
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				resp, err := http.Get(url + []string{"/api/v1/sessions", "/"}[i/3])
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK || i < 3 && n < 5<<20 {
					t.Errorf("%s, %d bytes: %v", resp.Status, n, err)
				}
			})
		}
		all.Wait()
	}
}

// newMemoryGroup makes a control group that may have so many bytes.
func newMemoryGroup(t *testing.T, bytes int) (path string, holds func() bool) {
	t.Helper()
	file := "memory.limit_in_bytes"
	path = filepath.Join("/sys/fs/cgroup/memory", fmt.Sprintf("rsyncd_exporter_test_%d", os.Getpid()))
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
		path, file = filepath.Join("/sys/fs/cgroup", filepath.Base(path)), "memory.max"
	}
	err := os.Mkdir(path, 0o755)
	if err == nil {
		t.Cleanup(func() { os.Remove(path) })
		err = os.WriteFile(filepath.Join(path, file), fmt.Append(nil, bytes), 0)
	}
	if err != nil {
		t.Skipf("no control group for memory can be made here: %v", err)
	}
	return path, func() bool {
		b, _ := os.ReadFile(filepath.Join(path, file))
		return strings.TrimSpace(string(b)) == fmt.Sprint(bytes)
	}
}
