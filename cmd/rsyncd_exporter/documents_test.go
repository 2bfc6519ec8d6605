package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

var update = flag.Bool("update", false, "write the generated parts of docs/settings.md and docs/metrics.md")

// generated compares the part of a page between two marks with what the program says, or writes it with -update.
func generated(t *testing.T, page, begin, end, want string) {
	t.Helper()
	file := filepath.Join(testenv.Root(t), filepath.FromSlash(page))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin+"\n")
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no %q … %q", page, begin, end)
	case got != want && *update:
		if err := os.WriteFile(file, []byte(before+begin+"\n"+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != want:
		t.Errorf("%s is not what the program says between %q and %q: go test ./cmd/rsyncd_exporter -run Documents -update writes it",
			page, begin, end)
	}
}

// TestDocumentsListEverySetting holds docs/settings.md against --help.
func TestDocumentsListEverySetting(t *testing.T) {
	generated(t, "docs/settings.md", "<!-- settings: made by `rsyncd_exporter help --markdown`; a test compares -->", "<!-- /settings -->",
		settingsMarkdown())
	var help bytes.Buffer
	if status := run(t.Context(), []string{"--help"}, strings.NewReader(""), &help, &help); status != 0 {
		t.Fatalf("--help: exit status %d", status)
	}
	for _, set := range config.Defaults() {
		if !strings.Contains(help.String(), set.Variable) || !strings.Contains(help.String(), set.Flag) {
			t.Errorf("--help doesn't name %s and %s", set.Variable, set.Flag)
		}
	}
}
