package report_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/report/show"
)

// hostileLog has names that clients would like to see in a report.
const hostileLog = `2026/11/23 01:10:00 [21] connect from evil.example (192.0.2.10)
2026/11/23 01:10:00 [21] rsync allowed access on module <script>alert(1)</script> from h (192.0.2.10)
2026/11/23 01:10:01 [21] rsync to <script>alert(1)</script>/ from =1+1@h (192.0.2.10)
2026/11/23 01:10:01 [21] receiving file list
2026/11/23 01:10:02 [21] recv h [192.0.2.10] <script>alert(1)</script> (=1+1) \#033]0;title\#007 100
2026/11/23 01:10:02 [21] recv h [192.0.2.10] <script>alert(1)</script> (=1+1) a"b,` + "\u202e\u009b31m" + ` 9223372036854775807
2026/11/23 01:10:02 [21] recv h [192.0.2.10] <script>alert(1)</script> (=1+1) ` + "\xff\xfe" + `@SUM(1) 9223372036854775807
2026/11/23 01:10:10 [21] sent 9223372036854775807 bytes  received 9223372036854775807 bytes  total size 1
1970/01/01 00:00:01 [22] connect from a (2001:db8::1)
1970/01/01 00:00:01 [22] rsync allowed access on module m from a (2001:db8::1)
1970/01/01 00:00:02 [22] rsync on m/ from a (2001:db8::1)
2026/11/23 01:10:11 [22] send a [2001:db8::1] m () ` + "`-@\t" + ` 1
2026/11/23 01:10:12 [22] send a [2001:db8::1] m () ` + "`-@\t" + ` 1
2026/11/23 01:10:20 [22] sent 1 bytes  received 1 bytes  total size 1
2199/01/01 00:00:00 [23] connect from b (192.0.2.11)
2026/11/23 01:10:21 [23] ` + "\x1b[31m\u2028\u2066" + `
`

// options are what a fuzzed byte says.
func options(b byte) report.Options {
	o := report.Options{Zone: time.UTC, Now: now, Top: 1 + int(b>>6)*7, SuggestExpect: true}
	if b&1 != 0 {
		o.Since = monday.Add(70 * time.Minute)
	}
	if b&2 != 0 {
		o.Until = monday.Add(26 * time.Hour)
	}
	if b&4 != 0 {
		o.Direction = "send"
	}
	if b&8 != 0 {
		o.Module = "m"
	}
	if b&16 != 0 {
		o.Client = "192.0.2.0/24"
	}
	if b&32 != 0 {
		o.Zone, _ = time.LoadLocation("America/Sao_Paulo")
	}
	return o
}

// readAs returns the report of a log, as another machine reads it.
func readAs(t *testing.T, o report.Options, name, text string) *report.Summary {
	t.Helper()
	c := logsConfig()
	c.Stdin = strings.NewReader(text)
	f := report.NewFold(o)
	logs.Read(context.Background(), c, []logs.Set{{Name: name, Files: []logs.File{{Path: "-", Written: now}}}}, f)
	return again(t, f.Summary())
}

// again returns what becomes of a Summary that is printed as JSON and read.
func again(t *testing.T, s *report.Summary) *report.Summary {
	t.Helper()
	text := jsonOf(t, s)
	read, err := report.ReadSummary(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if other := jsonOf(t, read); other != text {
		t.Errorf("%s\nbecomes\n%s", text, other)
	}
	return read
}

// Whatever a log says, its report can be printed, read, added to others, and shown in each form; its sums agree, and
// nothing in it does anything to a terminal, a browser or a spreadsheet.
func FuzzReport(f *testing.F) {
	for _, text := range []string{"", "\n", hostileLog, small + small2()} {
		for _, b := range []byte{0, 1, 12, 0x52, 0xff} {
			f.Add(text, b, len(text)/2)
		}
	}
	for i, path := range corpus.Files(f, "file/*.log") {
		text := string(corpus.ReadFile(f, path))
		f.Add(text, byte(i), len(text)/2)
	}
	f.Fuzz(func(t *testing.T, text string, b byte, cut int) {
		if len(text) > 64<<10 {
			return
		}
		cut = max(0, min(cut, len(text)))
		o := options(b)
		s := readAs(t, o, text[:min(len(text), 9)], text)
		first, second := readAs(t, o, "-", text[:cut]), readAs(t, o, "-", text[cut:])
		second.Interrupted = true // even two equal halves are two reports then
		merged, err := report.Merge([]*report.Summary{first, second}, o.Top)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := report.Merge([]*report.Summary{again(t, merged), s}, o.Top)
		if err != nil {
			t.Fatal(err)
		}
		s.Compare = report.Compared(s, first, "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z")
		for _, s := range []*report.Summary{again(t, s), merged, again(t, twice)} {
			for _, wrong := range wrongSums(s) {
				t.Error(wrong)
			}
		}
		isHarmless(t, s, 60, 80)
		isHarmless(t, twice, 120)
		areHarmlessTables(t, twice)
	})
}

// isHarmless shows a report as text of these widths, and as a page.
func isHarmless(t *testing.T, s *report.Summary, widths ...int) {
	t.Helper()
	for _, width := range widths {
		var b bytes.Buffer
		if err := show.Text(&b, s, show.TextOptions{Width: width, Top: 5}); err != nil {
			t.Fatal(err)
		}
		for _, r := range b.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%U in %s", r, b.String())
			}
		}
	}
	var page bytes.Buffer
	if err := show.HTML(&page, s); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(page.Bytes(), []byte("<script")) {
		t.Errorf("a script in %s", page.String())
	}
}

// areHarmlessTables shows a report as CSV.
func areHarmlessTables(t *testing.T, s *report.Summary) {
	t.Helper()
	dir := t.TempDir()
	if err := show.CSV(dir, s); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(path), err, text)
		}
		for _, row := range rows {
			for _, cell := range row {
				if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
					t.Errorf("%s: a cell is %q", filepath.Base(path), cell)
				}
			}
		}
	}
}
