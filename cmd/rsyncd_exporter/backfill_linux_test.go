package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

const pulled = fileLine + "connect from a (192.0.2.1)\n" +
	fileLine + "rsync on odd \"\\module/x from a (192.0.2.1)\n" + fileLine + "building file list\n" +
	fileLine + "send a [192.0.2.1] odd \"\\module () x 5\n" +
	fileLine + "rsync error: some files could not be transferred (code 23) at main.c(1039) [sender=3.2.7]\n" +
	fileLine + "sent 10 bytes  received 20 bytes  total size 30\n"

// backfilled runs the command.
func backfilled(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(context.Background(), append([]string{"backfill", "--timezone=UTC"}, args...), strings.NewReader(pulled), &out, &err)
	return status, out.String(), err.String()
}

// What it prints for one time is what the exporter serves of the same log: the same series, and no strict parser has
// anything to say.
func TestBackfillIsWhatServeShows(t *testing.T) {
	testenv.SetEnv(t)
	path := t.TempDir() + "/log"
	testenv.WriteFile(t, path, pulled)
	const modules, open = `--modules=odd "\module,b`, "application/openmetrics-text; version=1.0.0"
	status, out, said := backfilled(modules, path)
	if status != exitOK || said != "" {
		t.Fatalf("status %d, %q", status, said)
	}
	got := readExposition(t, open, []byte(lastStep(out)))
	e := startExporter(t, "--listen-udp=off", "-p", path, "--file-start=beginning", modules)
	e.until(1, "rsync_executions_total")
	e.until(0, "rsync_sessions_active", "module", `odd "\module`, "direction", "send")
	kind, body := exposition(t, e.url, "application/openmetrics-text;version=1.0.0", false)
	want := readExposition(t, kind, body)
	maps.DeleteFunc(want, func(name string, _ []string) bool { return !strings.HasPrefix(name, "rsync_") })
	empty := regexp.MustCompile(`, [a-z]+=""`) // is no label to Prometheus
	for _, sets := range want {
		for i := range sets {
			sets[i] = empty.ReplaceAllString(sets[i], "")
		}
		slices.Sort(sets)
	}
	if len(want) < 20 || !maps.EqualFunc(got, want, slices.Equal) {
		for name := range want {
			if !slices.Equal(got[name], want[name]) {
				t.Errorf("%s: %q, want %q", name, got[name], want[name])
			}
		}
		t.Errorf("%d names, the exporter has %d", len(got), len(want))
	}
}

// lastStep returns an exposition of the samples of the last step, as a scrape would have had them.
func lastStep(history string) string {
	lines := strings.Split(strings.TrimSuffix(history, "\n# EOF\n"), "\n")
	at := lines[len(lines)-1][strings.LastIndexByte(lines[len(lines)-1], ' '):]
	metadata := map[string]string{} // of each family
	var b strings.Builder
	for _, line := range lines {
		if strings.HasPrefix(line, "# ") {
			metadata[strings.Fields(line)[2]] += line + "\n"
			continue
		}
		sample, ok := strings.CutSuffix(line, at)
		if !ok {
			continue
		}
		name := sample[:strings.IndexAny(sample, "{ ")]
		for _, end := range []string{"", "_total", "_bucket", "_count", "_sum"} {
			if family, ok := strings.CutSuffix(name, end); ok {
				b.WriteString(metadata[family])
				delete(metadata, family)
			}
		}
		b.WriteString(sample + "\n")
	}
	return b.String() + "# EOF\n"
}

func TestBackfillLabelsEverySample(t *testing.T) {
	testenv.SetEnv(t)
	status, out, said := backfilled("--label=job=rsyncd", "--label", "instance=x:1", "--step=10s", "-")
	if status != exitOK || said != "" {
		t.Fatalf("status %d, %q", status, said)
	}
	// Everything was logged at 18:40:52 UTC: the sample before is at 18:40:50, the one that has it at 18:41:00.
	const want = `rsync_connections_total{instance="x:1",job="rsyncd"} 0 1795459250
rsync_connections_total{instance="x:1",job="rsyncd"} 1 1795459260`
	var connections []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "rsync_connections_total") {
			connections = append(connections, strings.TrimSpace(line))
		}
		if line != "# EOF\n" && !strings.HasPrefix(line, "# ") && !strings.Contains(line, `{instance="x:1",job="rsyncd"`) {
			t.Errorf("%q", line)
		}
	}
	if got := strings.Join(connections, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Something that can't be read is named, and the rest is read.
func TestBackfillReadsTheRest(t *testing.T) {
	testenv.SetEnv(t)
	dir := t.TempDir()
	testenv.WriteFile(t, dir+"/log", pulled)
	testenv.WriteFile(t, dir+"/broken.gz", "\x1f\x8bnonsense that is longer than a header")
	status, out, said := backfilled(dir+"/missing", dir+"/broken.gz", dir+"/log")
	if status != exitUsage || !strings.Contains(said, "missing") || !strings.Contains(said, "broken.gz") ||
		!strings.Contains(out, "rsync_connections_total 1 ") ||
		!strings.HasSuffix(out, "\n# EOF\n") {
		t.Errorf("status %d, %q, %d bytes", status, said, len(out))
	}
}

func TestBackfillUsage(t *testing.T) {
	testenv.SetEnv(t)
	others := t.TempDir() + "/log"
	testenv.WriteFile(t, others, "Nov 23 18:40:52 a sshd[1]: hello\n")
	for _, c := range []struct {
		args   []string
		status int
		said   string
	}{
		{nil, exitUsage, "no log is named"},
		{[]string{"--step=x", "-"}, exitUsage, `--step="x": it takes a duration`},
		{[]string{"--step=0s", "-"}, exitUsage, "a step of 0s"},
		{[]string{"--gap=1s", "-"}, exitUsage, "a gap of 1s"},
		{[]string{"--until=soon", "-"}, exitUsage, `--until="soon"`},
		{[]string{"--label=host=x", "-"}, exitUsage, `label "host=x"`},
		{[]string{"--label=job=x", "--label=job=y", "-"}, exitUsage, "given twice"},
		{[]string{others}, exitOK, "there is no history"},
		{[]string{"--step=6m", "-"}, exitOK, "graphs will have holes"},
		{[]string{"--help"}, exitOK, ""},
	} {
		status, out, said := backfilled(c.args...)
		if status != c.status || !strings.Contains(said, c.said) || (status == exitUsage) != (out == "") {
			t.Errorf("%q: status %d, %q", c.args, status, said)
		}
	}
}

// Whoever reads a part only, as head does, is not told of it.
func TestBackfillIntoAClosedPipe(t *testing.T) {
	testenv.SetEnv(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var said bytes.Buffer
	if status := run(context.Background(), []string{"backfill", "-"}, strings.NewReader(pulled), w, &said); status != exitOK || said.Len() > 0 {
		t.Errorf("status %d, %q", status, &said)
	}
	full, w2 := io.Pipe()
	full.CloseWithError(os.ErrDeadlineExceeded)
	if status := run(context.Background(), []string{"backfill", "-"}, strings.NewReader(pulled), w2, &said); status != exitFailure ||
		!strings.Contains(said.String(), "backfill: i/o timeout") {
		t.Errorf("status %d, %q", status, &said)
	}
}

func TestBackfillInterrupted(t *testing.T) {
	testenv.SetEnv(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, said bytes.Buffer
	status := run(ctx, []string{"backfill", "-"}, strings.NewReader(pulled), &out, &said)
	if status != exitFailure || !strings.Contains(said.String(), "interrupted") || strings.Contains(out.String(), "# EOF") {
		t.Errorf("status %d, %q, %q", status, &said, &out)
	}
}
