package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// logOf makes the lines of a daemon's log.
func logOf(daemon string, lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "2026/11/28 14:47:%02d [%d] connect from %s (192.0.2.1)\n", i%60, 3+i, daemon)
	}
	return b.String()
}

// FAULTS F28: a file that is called as the pattern that names it doesn't stop /metrics, and each of the two has its own series.
func TestFaultsFileCalledAsThePattern(t *testing.T) {
	testenv.SetEnv(t)
	dir := testenv.Dir(t)
	pattern := filepath.Join(dir, "*.log")
	testenv.WriteFile(t, filepath.Join(dir, "a.log"), logOf("a", 10))
	testenv.WriteFile(t, pattern, logOf("star", 20))
	p := startReal(t, nil, nil, "--listen-udp=off", "--file="+pattern, "--file-start=beginning", "--file-poll=100ms")
	answer, body := testenv.Fetch(t, http.DefaultClient, http.MethodGet, p.url+"/metrics")
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s:\n%s", answer.Status, body)
	}
	series := p.until(30, "rsync_messages_total")
	p.want(series, float64(len(logOf("star", 20))), "rsyncd_exporter_file_offset_bytes", `file="`+pattern+`"`)
	p.want(series, float64(len(logOf("a", 10))), "rsyncd_exporter_file_offset_bytes", `file="`+filepath.Join(dir, "a.log")+`"`)
	names := map[string]bool{} // of labels that tell the two apart
	for s := range series {
		for _, name := range regexp.MustCompile(`(\w+)="`+regexp.QuoteMeta(pattern)+`"`).FindAllStringSubmatch(s, -1) {
			names[name[1]] = true
		}
	}
	if len(names) != 2 {
		t.Errorf("the file and the pattern have series by the labels %v, want one label each", names)
	}
}

// FAULTS F33: with fewer open files than logs, HTTP answers and the logs are read in turn, what is written later too.
func TestFaultsFewerOpenFilesThanLogs(t *testing.T) {
	const logs = 40
	for _, named := range []string{"by a pattern", "each"} {
		t.Run(named, func(t *testing.T) {
			testenv.SetEnv(t)
			dir := testenv.Dir(t)
			var paths []string
			for i := range logs {
				paths = append(paths, filepath.Join(dir, fmt.Sprintf("%d.log", i)))
				testenv.WriteFile(t, paths[i], logOf(fmt.Sprint("daemon", i), 10))
			}
			files := filepath.Join(dir, "*.log")
			if named == "each" {
				files = strings.Join(paths, ",")
			}
			web := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
			p := startProcess(t, web, nil, nil, []string{"NOFILE=64"}, "--http-listen="+web, "--listen-udp=off",
				"--file="+files, "--file-start=beginning", "--file-poll=100ms", "--state-dir="+testenv.Dir(t))
			counted := func(want int) {
				t.Helper()
				end, got := time.Now().Add(4*time.Minute), 0.0 // many turns of all logs
				testenv.Until(t, 5*time.Minute, "the logs' lines", func() bool {
					got = total(p.scrape(), "rsync_messages_total")
					return got == float64(want) || time.Now().After(end)
				})
				if got != float64(want) {
					t.Errorf("%v lines are counted, want %d", got, want)
				}
			}
			counted(10 * logs)
			for i, path := range slices.Backward(paths) {
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
				if err == nil {
					_, err = f.WriteString(logOf(fmt.Sprint("later", i), 1))
					f.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			counted(11 * logs)
			p.want(p.lastScrape(p.terminate()), 11*logs, "rsync_messages_total")
		})
	}
}

// What serve would not read check names, with the reason.
func TestFaultsCheckNamesWhatIsNotRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		make   func(t *testing.T, log, odd string) error
		files  string // behind the directory's path each
		reason string
	}{
		{"missing", nil, "log,odd", "doesn't exist"},
		{"a directory", func(_ *testing.T, _, odd string) error { return os.Mkdir(odd, 0o755) }, "log,odd", "directory"},
		{"a link", func(_ *testing.T, log, odd string) error { return os.Symlink(log, odd) }, "log,odd", "same file"},
		{"a hard link", func(_ *testing.T, log, odd string) error { return os.Link(log, odd) }, "log,odd", "same file"},
		{"a copy", copyOf, "log,odd", "copy|same lines"},
		{"a hard link under a pattern", func(_ *testing.T, log, odd string) error { return os.Link(log, odd) }, "*", "same file"},
		{"a copy under a pattern", copyOf, "*", "copy|same lines"},
		{"a compressed file under a pattern", func(t *testing.T, _, odd string) error {
			testenv.WriteFile(t, odd+".gz", "\x1f\x8b")
			return nil
		}, "*", "compressed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t)
			dir := testenv.Dir(t)
			log, odd := filepath.Join(dir, "log"), filepath.Join(dir, "odd")
			testenv.WriteFile(t, log, logOf("a", 100))
			if c.make != nil {
				if err := c.make(t, log, odd); err != nil {
					t.Fatal(err)
				}
			}
			var paths []string
			for name := range strings.SplitSeq(c.files, ",") {
				paths = append(paths, filepath.Join(dir, name))
			}
			_, out, errs := runProgram(t, "check", "--listen-udp=off", fmt.Sprintf("--http-listen=127.0.0.1:%d", testenv.Port(t)),
				"--file-start=beginning", "--file="+strings.Join(paths, ","))
			says := regexp.MustCompile(`(?m)^.*` + regexp.QuoteMeta(odd) + `.*(` + c.reason + `)|(` + c.reason + `).*` + regexp.QuoteMeta(odd))
			if !says.MatchString(out + errs) {
				_, out, _ = strings.Cut(out, "LOG_LEVEL") // the settings
				t.Errorf("no line names %q and says %q:\n%s%s", odd, c.reason, out, errs)
			}
		})
	}
}

func copyOf(t *testing.T, log, odd string) error {
	b, err := os.ReadFile(log)
	testenv.WriteFile(t, odd, string(b))
	return err
}
