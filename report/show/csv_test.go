package show_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/report"
	"rsyncd_exporter/report/show"
)

// read returns the cells of a table.
func read(t *testing.T, dir, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cells, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return cells
}

func TestTablesHaveNumbersWithoutUnits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "reports")
	if err := show.CSV(dir, realistic()); err != nil {
		t.Fatal(err)
	}
	// 260 TiB are 260 * 2^40 = 285,873,023,221,760 bytes, 40 GiB 42,949,672,960.
	want := "debian,send,310400,301002,104,8210,9400,1100,0,12.5,410,86000,309000,0,285873023221760,42949672960,"
	if got := strings.Join(read(t, dir, "modules.csv")[1], ","); !strings.HasPrefix(got, want) {
		t.Errorf("modules.csv has %q, want %q", got, want)
	}
	for name, rows := range map[string]int{"days.csv": 30, "clients.csv": 14, "heat.csv": 7 * 24, "hours.csv": 24,
		"errors.csv":  7,
		"changes.csv": 0, "concurrency.csv": 41 + 23, "users.csv": 5, "sources.csv": 5} {
		if got := len(read(t, dir, name)) - 1; got != rows {
			t.Errorf("%s has %d rows, want %d", name, got, rows)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "days.csv")); !strings.HasPrefix(string(text), "date,sessions,") ||
		strings.Count(string(text), "\r\n") != 31 || strings.Count(string(text), "\n") != 31 {
		t.Errorf("days.csv doesn't have 31 lines that end in CR LF: %.80q", text)
	}
}

func TestNoCellIsAFormula(t *testing.T) {
	formulas := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", `"=1`, `'=1`, "\u00a0=1", "＝1", "-2+3|cmd", "\ufeff=1", "a;=1;b"}
	harmless := []string{"a=b", "a-b", "data", "192.0.2.1", "mail@example.org", "x y", ""}
	s := &report.Summary{}
	for _, f := range append(formulas, harmless...) {
		s.Paths = append(s.Paths, report.Path{Path: f, Module: f, Count: 1})
	}
	dir := t.TempDir()
	if err := show.CSV(dir, s); err != nil {
		t.Fatal(err)
	}
	rows := read(t, dir, "paths.csv")[1:]
	for i, f := range formulas {
		for _, part := range strings.Split(rows[i][0], ";") { // where semicolons separate
			if strings.ContainsRune("=+-@\t\r＝", firstOf(strings.TrimLeft(part, "\" \u00a0\ufeff"))) {
				t.Errorf("%q became %q", f, rows[i][0])
			}
		}
		if !strings.HasPrefix(rows[i][0], "'") && f != "a;=1;b" {
			t.Errorf("%q became %q, without an apostrophe at its beginning", f, rows[i][0])
		}
	}
	for i, h := range harmless {
		if got := rows[len(formulas)+i][0]; got != h {
			t.Errorf("%q became %q", h, got)
		}
	}
	text, _ := os.ReadFile(filepath.Join(dir, "paths.csv"))
	if !strings.Contains(string(text), `"a;'=1;b",`) {
		t.Errorf("a semicolon within words isn't in quotes: %s", text)
	}
}

func firstOf(s string) rune {
	for _, r := range s {
		return r
	}
	return 'x'
}

// A report's own tables are replaced. What somebody else made stays, and then nothing is written.
func TestTablesReplaceOnlyTheirOwn(t *testing.T) {
	dir := t.TempDir()
	if err := show.CSV(dir, realistic()); err != nil {
		t.Fatal(err)
	}
	if err := show.CSV(dir, &report.Summary{}); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if got := len(read(t, dir, "clients.csv")); got != 1 {
		t.Errorf("clients.csv still has %d lines, want its head only", got)
	}
	own := filepath.Join(dir, "days.csv")
	if err := os.WriteFile(own, []byte("my,own,days\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := show.CSV(dir, realistic())
	if err == nil || !strings.Contains(err.Error(), "days.csv") {
		t.Fatalf("error %v, want one about days.csv", err)
	}
	if got := len(read(t, dir, "clients.csv")); got != 1 {
		t.Error("clients.csv was written all the same")
	}
	if text, _ := os.ReadFile(own); string(text) != "my,own,days\r\n" {
		t.Errorf("days.csv is now %q", text)
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", own); err != nil {
		t.Fatal(err)
	}
	if err := show.CSV(dir, realistic()); err == nil {
		t.Error("a symbolic link was replaced")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestHostileTablesCanBeRead(t *testing.T) {
	dir := t.TempDir()
	if err := show.CSV(dir, hostile()); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(names) < 15 {
		t.Fatalf("%d tables, %v", len(names), err)
	}
	for _, n := range names {
		read(t, dir, filepath.Base(n))
	}
}
