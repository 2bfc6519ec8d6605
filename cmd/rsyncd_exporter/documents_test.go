package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
)

var update = flag.Bool("update", false, "write the settings table into docs/settings.md")

// TestDocumentsListEverySetting holds docs/settings.md's table against --help: go test ./cmd/... -run Documents -update writes it.
func TestDocumentsListEverySetting(t *testing.T) {
	const file, begin, end = "../../docs/settings.md", "<!-- settings: made by `rsyncd_exporter help --markdown`; a test compares -->\n", "<!-- /settings -->"
	want := settingsMarkdown()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/settings.md has no %q … %q", begin, end)
	}
	if got != want && *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Fatal("docs/settings.md's table is not the program's; go test ./cmd/... -run Documents -update writes it")
	}
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
