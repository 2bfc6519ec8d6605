package show_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"rsyncd_exporter/report"
	"rsyncd_exporter/report/show"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file under testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
		for i := range min(len(g), len(w)) {
			if !bytes.Equal(g[i], w[i]) {
				t.Fatalf("%s:%d:\n got %q\nwant %q\n(-update writes it)", name, i+1, g[i], w[i])
			}
		}
		t.Fatalf("%s: %d lines, want %d", name, len(g), len(w))
	}
}

func text(t *testing.T, s *report.Summary, o show.TextOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := show.Text(&b, s, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTextLooksAsItDid(t *testing.T) {
	golden(t, "month-80.txt", text(t, realistic(), show.TextOptions{}))
	golden(t, "month-120.txt", text(t, withComparison(realistic()), show.TextOptions{Width: 120, Top: 5}))
	golden(t, "month-colour.txt", text(t, realistic(), show.TextOptions{Width: 80, Color: true}))
}
