package corpus_test

import (
	"os"
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/corpus"
)

func TestDatagrams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.raw")
	for _, c := range []struct{ dump, want string }{
		{"4 a\\\\b\\n\n", "a\\b\n"},
		{"3 \\xff\\x00\\x7f\n", "\xff\x00\x7f"},
		{"0 \n", ""},
	} {
		if err := os.WriteFile(path, []byte(c.dump), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := corpus.Datagrams(path); err != nil || len(got) != 1 || string(got[0]) != c.want {
			t.Errorf("%q: %q, %v; want %q", c.dump, got, err, c.want)
		}
	}
	for _, dump := range []string{"5 a\\xfg\n", "x a\n", "\n", "2 a\\\n3 b\n"} {
		if err := os.WriteFile(path, []byte(dump), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := corpus.Datagrams(path); err == nil {
			t.Errorf("%q is read as %q", dump, got)
		}
	}
}

func TestExamples(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines.tsv")
	if err := os.WriteFile(path, []byte("connect\tall\tconnect from\ta\nstart\t3.0+\trsync on {long}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := corpus.Examples(path)
	if err != nil || len(got) != 2 || got[0] != (corpus.Example{"connect", "all", "connect from\ta"}) || len(got[1].Text) < 2047 {
		t.Errorf("%.200q, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("connect\tall\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := corpus.Examples(path); err == nil {
		t.Errorf("a line of two columns is read as %q", got)
	}
}
