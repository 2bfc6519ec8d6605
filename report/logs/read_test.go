package logs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

func config() logs.Config {
	return logs.Config{
		Pipeline: pipeline.Config{LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits()},
		Lines:    syslog.Lines{}, Zone: time.UTC, Now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// A diary keeps what a Book is told.
type diary struct {
	lines   []string // file base, number, raw
	kinds   map[rsynclog.Kind]int
	lost    [receiver.NumDiscards]uint64
	ended   int
	running int
	times   []int64
}

func (d *diary) Begin(*logs.Set) {}

func (d *diary) Line(at logs.Place, l *pipeline.Line) {
	d.lines = append(d.lines, fmt.Sprintf("%s:%d %s", filepath.Base(at.File), at.Number, l.Raw))
	if d.kinds == nil {
		d.kinds = map[rsynclog.Kind]int{}
	}
	if l.Ours {
		d.kinds[l.Event.Kind]++
		d.times = append(d.times, l.At)
	}
	d.changes(l.Changes)
}

func (d *diary) Lost(_ logs.Place, reason receiver.Discard, n uint64) { d.lost[reason] += n }
func (d *diary) Ended(c []rsynclog.Change)                            { d.changes(c) }
func (d *diary) Running(*rsynclog.Session)                            { d.running++ }

func (d *diary) changes(all []rsynclog.Change) {
	for _, c := range all {
		if c.Kind == rsynclog.Ended {
			d.ended++
		}
	}
}

func read(t *testing.T, c logs.Config, paths ...string) (*diary, []error) {
	t.Helper()
	sets, errs := logs.Find(c, paths)
	d := &diary{}
	return d, append(errs, logs.Read(context.Background(), c, sets, d)...)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// session is one pull of three lines that ends, in the given minute.
func session(pid, minute int) string {
	at := fmt.Sprintf("2026/11/23 18:%02d:00 [%d] ", minute, pid)
	return at + "connect from a.example (192.0.2.1)\n" +
		at + "rsync on data/ from a.example (192.0.2.1)\n" +
		at + "sent 100 bytes  received 20 bytes  total size 3000\n"
}

// Every line of a file comes once, with its number, however the blocks fall: here 40,000 lines, more than two slabs and many blocks.
func TestReadEachLineOnce(t *testing.T) {
	var text strings.Builder
	var want []string
	for i := 1; i <= 40_000; i++ {
		line := fmt.Sprintf("2026/11/23 18:40:52 [7] send a.example [192.0.2.1] data () x%s %d", strings.Repeat("x", i%300), i)
		if i%7 == 0 {
			line = ""
		}
		fmt.Fprintln(&text, line)
		want = append(want, fmt.Sprintf("L:%d %s", i, line))
	}
	path := filepath.Join(t.TempDir(), "L")
	write(t, path, text.String())
	d, errs := read(t, config(), path)
	if errs != nil || !slices.Equal(d.lines, want) {
		for i := range min(len(want), len(d.lines)) {
			if d.lines[i] != want[i] {
				t.Fatalf("line %d is %q, want %q", i, d.lines[i], want[i])
			}
		}
		t.Fatalf("%d lines, want %d; %v", len(d.lines), len(want), errs)
	}
	if n := d.kinds[rsynclog.Transfer]; n != 40_000-40_000/7 {
		t.Errorf("%d transfers", n)
	}
}

// The last line needs no LF. NULs before a line are a hole. Of a line that is too long nothing is left but its count, and the numbers
// go on behind it.
func TestReadOddLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "L")
	write(t, path, "\x00\x00\x002026/11/23 18:40:52 [7] one\n"+strings.Repeat("z", 400_000)+"\n\n2026/11/23 18:40:52 [7] three")
	d, errs := read(t, config(), path)
	want := []string{"L:1 2026/11/23 18:40:52 [7] one", "L:3 ", "L:4 2026/11/23 18:40:52 [7] three"}
	if errs != nil || !slices.Equal(d.lines, want) {
		t.Errorf("%q, %v; want %q", d.lines, errs, want)
	}
	if d.lost != [receiver.NumDiscards]uint64{receiver.Oversize: 1} {
		t.Errorf("lost %v", d.lost)
	}
}

// A rotated set is read in the order of its stamps, compressed by whatever program, its files named in any order, and gives what one
// file gives. Its session that goes over a rotation is one.
func TestReadRotatedSet(t *testing.T) {
	dir := t.TempDir()
	whole := session(1, 1) + session(2, 2) + session(3, 3) + session(4, 4) + session(5, 5)
	all := strings.SplitAfter(whole, "\n")
	one := filepath.Join(dir, "one")
	write(t, one, whole)
	want, errs := read(t, config(), one)
	if errs != nil || want.ended != 5 || len(want.lines) != 15 {
		t.Fatalf("%+v, %v", want, errs)
	}
	log := filepath.Join(dir, "rotated", "rsyncd.log")
	if err := os.Mkdir(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, pack := range [][]string{{"xz"}, {"zstd", "-q", "--rm"}, {"bzip2"}, {"gzip"}, nil} {
		path := log
		if i < 4 {
			path = fmt.Sprintf("%s.%d", log, 4-i)
		}
		write(t, path, strings.Join(all[i*3+i/2:min(i*3+3+(i+1)/2, len(all))], "")) // cut within sessions
		if pack == nil {
			continue
		}
		if _, err := exec.LookPath(pack[0]); err != nil { // decompressed by us alike
			continue
		}
		if out, err := exec.Command(pack[0], append(pack[1:], path)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v, %s", pack, err, out)
		}
	}
	for _, paths := range [][]string{{filepath.Dir(log)}, {log + ".2.bz2", log, log + ".1.gz", log + ".3", log + ".3.zst", log + ".4.xz"}} {
		d, errs := read(t, config(), existing(paths)...)
		var got []string
		for _, l := range d.lines {
			_, line, _ := strings.Cut(l, " ")
			got = append(got, line+"\n")
		}
		if errs != nil || strings.Join(got, "") != whole || d.ended != 5 || d.running != 0 {
			t.Errorf("%q: %d lines, %d sessions, %v", paths, len(d.lines), d.ended, errs)
		}
	}
}

func existing(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		_, err := os.Stat(p)
		return err != nil
	})
}

// What can't be read is named with its reason, and the rest is read.
func TestReadBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	good := session(1, 1)
	write(t, in("good"), good)
	write(t, in("binary"), "\x7fELF\x02\x01\x01\x00\x00\x00abc\n")
	write(t, in("empty"), "")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, session(2, 2)+session(3, 3))
	z.Close()
	write(t, in("torn.gz"), packed.String()[:packed.Len()-9])
	write(t, in("broken.gz"), "\x1f\x8bnot gzip at all")
	if err := os.Mkdir(in("bare"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, errs := read(t, config(), in("good"), in("binary"), in("empty"), in("missing"), in("torn.gz"), in("broken.gz"), in("bare"))
	for _, want := range []string{
		`binary": it is binary, and no log`, `empty": it is empty`, `missing": no such file or directory`,
		`torn.gz": it is cut off: what is there has been read`, `broken.gz": gzip: invalid header`, `bare": the directory has no files`,
	} {
		if !slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), want) }) {
			t.Errorf("no error says %q: %v", want, errs)
		}
	}
	if len(errs) != 6 {
		t.Errorf("%d errors", len(errs))
	}
	if d.ended < 1 || !strings.Contains(d.lines[0], "connect from") {
		t.Errorf("%+v", d)
	}
}

// A context that ends stops the reading, and what was read is told to its end.
func TestReadIsInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "L")
	write(t, path, strings.Repeat(session(1, 1)+session(2, 2), 20_000))
	ctx, cancel := context.WithCancel(context.Background())
	c := config()
	sets, _ := logs.Find(c, []string{path})
	d := &diary{}
	errs := logs.Read(ctx, c, sets, &stopper{diary: d, stop: cancel})
	if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("%v", errs)
	}
	if n := len(d.lines); n < 1000 || n > 60_000 {
		t.Errorf("%d lines were read", n)
	}
}

// A stopper interrupts the reading after a thousand lines.
type stopper struct {
	*diary
	stop func()
}

func (s *stopper) Line(at logs.Place, l *pipeline.Line) {
	if s.diary.Line(at, l); len(s.lines) == 1000 {
		s.stop()
	}
}

// A stamp without a year is of the year in which the file was written.
func TestReadYearlessStamps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "syslog")
	write(t, path, "Nov 23 18:40:52 nas rsyncd[505]: connect from a.example (192.0.2.1)\n")
	then := time.Date(2019, 12, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	d, errs := read(t, config(), path)
	if want := time.Date(2019, 11, 23, 18, 40, 52, 0, time.UTC).UnixNano(); errs != nil || len(d.times) != 1 || d.times[0] != want {
		t.Errorf("%v, %v; want %d", d.times, errs, want)
	}
}

func TestSetName(t *testing.T) {
	for path, want := range map[string]string{
		"/var/log/rsyncd.log": "/var/log/rsyncd.log", "/var/log/rsyncd.log.1": "/var/log/rsyncd.log",
		"/var/log/rsyncd.log.12.gz": "/var/log/rsyncd.log", "rsyncd.log-20261123.xz": "rsyncd.log",
		"rsyncd.log-20261123-1795459252.zst": "rsyncd.log", "rsyncd.log.2026-11-23": "rsyncd.log",
		"rsyncd-1795459252": "rsyncd", "rsyncd.log.old": "rsyncd.log", "web-1": "web-1", "a/1": "a/1", "a/.1": "a/.1",
		"rsyncd.log.gz": "rsyncd.log", "2026-11-23": "2026-11-23", "log.2026": "log",
	} {
		if got := logs.SetName(path); got != want {
			t.Errorf("%q is of %q, want %q", path, got, want)
		}
	}
}

// What follows the last whole line of a file that is cut off is no line: a number may have lost its last digits.
func TestReadTornFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "torn.gz")
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	io.WriteString(z, session(2, 2))
	z.Close()
	write(t, path, packed.String()[:packed.Len()-16]) // "00\n" of "3000", the end of the data in 5 bytes and of gzip in 8
	d, errs := read(t, config(), path)
	if len(errs) != 1 || len(d.lines) != 2 || d.lost[receiver.Incomplete] != 1 {
		t.Errorf("%q, %v, lost %v", d.lines, errs, d.lost)
	}
}

// Copies of a log are read once: compressed ones, and those that were made earlier. What only has the name of a copy is read.
func TestReadCopiesOnce(t *testing.T) {
	one, two, three := session(1, 1), session(2, 2), session(3, 3)
	for name, files := range map[string]struct {
		files map[string]string
		lines int
	}{
		"compressed":              {map[string]string{"L.1": one + two, "L.1.gz": one + two}, 6},
		"another one":             {map[string]string{"L.1": two, "L.1.gz": one}, 6},
		"twice compressed":        {map[string]string{"L.1.gz": one, "L.1.bz2": one}, 3},
		"copied before it grew":   {map[string]string{"L": one + two + three, "L.1": one + two, "L-20261123": one}, 9},
		"the same beginning":      {map[string]string{"L": one + two, "L.1": one + three}, 12},
		"no stamps":               {map[string]string{"L": "x\nx\n", "L.1": "x\n"}, 3},
		"compressed, no stamps":   {map[string]string{"L": "x\nx\n", "L.1": "x\n", "L.1.gz": "x\n"}, 3},
		"half a compressed file":  {map[string]string{"L.1": one + two, "L.1.gz": one}, 6},
		"logs of other programs":  {map[string]string{"web": one, "web-1": one}, 6},
		"a copy that is named so": {map[string]string{"L": one, "L.bak": one}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range files.files {
				if strings.HasSuffix(name, ".gz") {
					var packed bytes.Buffer
					z := gzip.NewWriter(&packed)
					io.WriteString(z, text)
					z.Close()
					text = packed.String()
				}
				write(t, filepath.Join(dir, name), text)
			}
			if d, errs := read(t, config(), dir); errs != nil || len(d.lines) != files.lines {
				t.Errorf("%d lines, want %d; %v\n%q", len(d.lines), files.lines, errs, d.lines)
			}
		})
	}
}

// The first line of a file may have been logged by a clock that was ahead, or in another zone: a set's order doesn't go by it alone.
func TestOrderOfFilesByMoreThanOneStamp(t *testing.T) {
	dir := t.TempDir()
	first, second := strings.Replace(session(1, 1), "18:01", "23:01", 1), session(2, 2)
	write(t, filepath.Join(dir, "L-20261123"), first)
	write(t, filepath.Join(dir, "L"), second)
	d, errs := read(t, config(), dir)
	if errs != nil || len(d.lines) != 6 || !strings.HasPrefix(d.lines[0], "L-20261123:1 ") {
		t.Errorf("%q, %v", d.lines, errs)
	}
}

// A directory may be named by a link, and one file by two spellings of its path.
func TestFindByOtherPaths(t *testing.T) {
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")
	if err := errors.Join(os.Mkdir(logs, 0o700), os.Symlink("logs", filepath.Join(dir, "link")),
		os.Symlink("..", filepath.Join(logs, "loop"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(logs, "L"), session(2, 2))
	write(t, filepath.Join(logs, "L.1"), session(1, 1))
	for _, paths := range [][]string{{filepath.Join(dir, "link")}, {dir + "/logs/L", dir + "/logs/../logs/L.1", dir + "/link/L"}} {
		sets, errs := find(paths...)
		if errs != nil || len(sets) != 1 || len(sets[0].Files) != 2 {
			t.Errorf("%q: %v, %v", paths, sets, errs)
		}
	}
}

func find(paths ...string) ([]logs.Set, []error) { return logs.Find(config(), paths) }

// Standard input has one end, and an empty one is named as an empty file is.
func TestReadStandardInputOnce(t *testing.T) {
	c := config()
	c.Stdin = strings.NewReader(session(1, 1))
	if d, errs := read(t, c, "-", "-"); errs != nil || len(d.lines) != 3 {
		t.Errorf("%q, %v", d.lines, errs)
	}
	c.Stdin = strings.NewReader("")
	if _, errs := read(t, c, "-"); len(errs) != 1 || errs[0].Error() != `"-": it is empty` {
		t.Error(errs)
	}
}

// An interrupt ends the wait for a pipe that says nothing, and what came before counts.
func TestInterruptWhileNothingComes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	io.WriteString(w, session(1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	c := config()
	c.Stdin = r
	waits := 0
	c.Wait = func(ctx context.Context, in io.Reader) error {
		if waits++; waits == 2 { // the lines have been read
			time.AfterFunc(50*time.Millisecond, cancel)
		}
		return stream.Wait(ctx, in)
	}
	sets, _ := logs.Find(c, []string{"-"})
	d := &diary{}
	if errs := logs.Read(ctx, c, sets, d); len(errs) != 1 || len(d.lines) != 3 {
		t.Errorf("%q, %v", d.lines, errs)
	}
}

// Of a line that a container's runtime has cut into parts, the first has the number. The next line's is right, too.
func TestNumbersOfPartsOfLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	const at = "2026-11-23T18:40:52.177037036+01:00 stdout "
	write(t, path, at+"F 2026/11/23 18:40:52 [7] one\n"+at+"P 2026/11/23 18:40:52 [7] tw\n"+at+"F o\n"+at+"F 2026/11/23 18:40:52 [7] three\n")
	d, errs := read(t, config(), path)
	if errs != nil || len(d.lines) != 3 {
		t.Fatalf("%q, %v", d.lines, errs)
	}
	for i, number := range []string{"0.log:1 ", "0.log:2 ", "0.log:4 "} {
		if !strings.HasPrefix(d.lines[i], number) {
			t.Errorf("%q isn't line %s", d.lines[i], number)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "L")
	lines, err := corpus.AppendLog(path, filepath.Join(corpus.Dir(), "file"), 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	c := config()
	sets, _ := logs.Find(c, []string{path})
	n := 0
	for b.Loop() {
		if errs := logs.Read(context.Background(), c, sets, nobody{}); errs != nil {
			b.Fatal(errs)
		}
		n++
	}
	b.ReportMetric(float64(n)*float64(lines)/b.Elapsed().Seconds()/1e6, "Mlines/s")
}

type nobody struct{}

func (nobody) Begin(*logs.Set)                           {}
func (nobody) Line(logs.Place, *pipeline.Line)           {}
func (nobody) Lost(logs.Place, receiver.Discard, uint64) {}
func (nobody) Ended([]rsynclog.Change)                   {}
func (nobody) Running(*rsynclog.Session)                 {}

// A ledger keeps what lines count as.
type ledger struct{ diary }

func (d *ledger) Line(_ logs.Place, l *pipeline.Line) {
	entry := fmt.Sprintf("%s: %v %v %v", l.Raw, l.Event.Kind, l.Believed, l.At)
	if l.Session != nil {
		entry += fmt.Sprintf(" %+v %q", l.Session.SessionRecord, l.Event.File(l.Session.Module))
	}
	for _, c := range l.Changes {
		entry += fmt.Sprintf(" %d×%d %v %d %d %d", c.Kind, c.N, c.Op, c.Length, c.Sent, c.Received)
		if c.Session != nil {
			entry += fmt.Sprintf(" of %d", c.Session.PID)
		}
	}
	d.lines = append(d.lines, entry)
}

// Lines that resemble the one before count as they do where each is read in full.
func TestShortcutsCountTheSame(t *testing.T) {
	for seed := range uint64(4) {
		var text bytes.Buffer
		shape := corpus.Shape{Seed: seed, Lines: 8000, Clients: 200, Paths: 500, Files: 5 + int(seed)*9, AtOnce: 2 + int(seed)*20,
			Start: time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), Step: time.Duration(seed) * 20 * time.Second}
		if _, err := corpus.Generate(&text, shape); err != nil {
			t.Fatal(err)
		}
		// Names that look like lines, and transfers that their session can't have made.
		log := strings.NewReplacer("/file_7", "/\\#012 send h [192.0.2.1] m () 7", " recv host1", " send host1").Replace(text.String())
		var got, want ledger
		for full, d := range map[bool]*ledger{false: &got, true: &want} {
			c := config()
			c.Pipeline.InFull, c.Together, c.Stdin = full, seed%2 == 1, strings.NewReader(log)
			if errs := logs.Read(t.Context(), c, []logs.Set{{Name: "-", Files: []logs.File{{Path: "-"}}}}, d); errs != nil {
				t.Fatal(errs)
			}
		}
		if len(got.lines) != len(want.lines) || got.ended != want.ended || got.running != want.running {
			t.Fatalf("seed %d: %d lines, in full %d", seed, len(got.lines), len(want.lines))
		}
		for i := range want.lines {
			if got.lines[i] != want.lines[i] {
				t.Fatalf("seed %d, line %d:\n%s\nin full:\n%s", seed, i+1, got.lines[i], want.lines[i])
			}
		}
	}
}
