package explain_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/report/explain"
)

var update = flag.Bool("update", false, "write the golden files")

func story(t *testing.T, target string, path string) string {
	t.Helper()
	session, err := explain.ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := explained(t, explain.Options{Session: session}, path)
	return strings.ReplaceAll(out, path, filepath.Base(path))
}

// The stories of recorded sessions. By hand, from the logs: 859 is a pull of 75305 bytes in three files; 2914 is a failed login of
// three lines; 3575 ended with code 30 after 4 s (23:53:22 to 23:53:26); 3175 has two file errors and no exit line; 3001 came at max
// connections; the daemon behind the hooks log forked 4481 for 4480; 2449 ended with code 11 of both processes.
func TestStories(t *testing.T) {
	for _, c := range [][2]string{
		{"download_small", "859"}, {"auth_fail", "2914"}, {"timeout_io", "3575"}, {"protocol_garbage", "3890#1"},
		{"partial_unreadable_file", "3175"}, {"max_connections", "3001"}, {"xfer_exec_hooks", "4480"},
		{"xfer_exec_hooks", "4481"}, {"xfer_exec_hooks", "4470"}, {"upload_disk_full", "2449"}, {"download_small", "857"},
	} {
		got := story(t, c[1], filepath.Join(corpus.Dir(), "file", c[0]+".log"))
		golden(t, c[0]+"-"+strings.ReplaceAll(c[1], "#", "-"), got)
	}
}

// A pid that comes again has a story for each life; #N picks one. The third one, of the last minute of the year, runs where the log
// ends.
func TestLivesOfOnePID(t *testing.T) {
	life := func(at, module string) string {
		return at + "[3] rsyncd version 3.5.0 starting, listening on port 873\n" + at + "[7] connect from a.example (192.0.2.1)\n" +
			at + "[7] rsync allowed access on module " + module + " from a.example (192.0.2.1)\n" +
			at + "[7] rsync on " + module + "/ from a.example (192.0.2.1)\n"
	}
	const sum = "[7] sent 100 bytes  received 20 bytes  total size 3000\n"
	path := file(t, life("2026/11/23 01:00:00 ", "one")+"2026/11/23 01:00:01 "+sum+
		life("2026/11/23 04:00:00 ", "two")+"2026/11/23 04:00:01 "+sum+life("2026/12/31 23:59:59 ", "three")+
		"2026/12/31 23:59:59 [8] connect from b.example (192.0.2.2)\n")
	all := story(t, "7", path)
	for _, want := range []string{"session 7#1\n", "session 7#2\n", "session 7#3\n", "not yet: it runs on", "     11  lines", "      3  stories"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%s\nhas %q %d times", all, want, strings.Count(all, want))
		}
	}
	if n := strings.Count(all, "ended     ok"); n != 2 {
		t.Errorf("%d sessions ended well, want 2:\n%s", n, all)
	}
	two := story(t, "7#2", path)
	if !strings.Contains(two, "module    two") || strings.Contains(two, "7#1") || !strings.Contains(two, "      4  lines") {
		t.Errorf("the second:\n%s", two)
	}
	if none := story(t, "9", path); none != "" {
		t.Errorf("nobody's story: %s", none)
	}
}

// Of very many lines the first and the last ones are told: 200 and 100 of 5003 with the heading, so 4,704 are left out.
func TestLongStory(t *testing.T) {
	var text strings.Builder
	text.WriteString("2026/11/23 01:00:00 [7] connect from a.example (192.0.2.1)\n2026/11/23 01:00:00 [7] rsync on data/ from a.example (192.0.2.1)\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "2026/11/23 01:00:00 [7] send a.example [192.0.2.1] data () f%d 5\n", i)
	}
	text.WriteString("2026/11/23 01:00:09 [7] sent 100 bytes  received 20 bytes  total size 3000\n")
	got := story(t, "7", file(t, text.String()))
	for _, want := range []string{"… 4704 lines more …", "path=f0 ", "path=f4999 ", "ended     ok", "   5003  lines"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in a story of %d bytes", want, len(got))
		}
	}
	if n := strings.Count(got, "\n"); n > 330 {
		t.Errorf("%d lines", n)
	}
}

// In a log of many hosts a pid is several processes; HOST/PID picks one.
func TestStoriesOfHosts(t *testing.T) {
	path := file(t, "Nov 23 23:51:22 alpha rsyncd[7]: connect from a.example (192.0.2.1)\n"+
		"Nov 23 23:51:22 beta rsyncd[7]: connect from b.example (192.0.2.2)\n")
	if all := story(t, "7", path); !strings.Contains(all, "session alpha/7#1\n") || !strings.Contains(all, "session beta/7#1\n") {
		t.Errorf("both:\n%s", all)
	}
	if beta := story(t, "beta/7", path); strings.Contains(beta, "alpha") || !strings.Contains(beta, "192.0.2.2") {
		t.Errorf("beta's:\n%s", beta)
	}
}

func TestParseTarget(t *testing.T) {
	for s, want := range map[string]explain.Target{
		"7": {PID: 7}, "7#2": {PID: 7, Life: 2}, "a.example/7": {PID: 7, Host: "a.example"},
		"a/box/2147483647#3": {PID: 1<<31 - 1, Life: 3, Host: "a/box"},
	} {
		got, err := explain.ParseTarget(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("%q is %+v (%s), %v; want %+v", s, got, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1", "x", "7#", "7#0", "7#x", "2147483648", "a/", "7/a", "#1", "7#1#1"} {
		if got, err := explain.ParseTarget(s); err == nil || got != (explain.Target{}) {
			t.Errorf("%q is %+v, %v", s, got, err)
		}
	}
}
