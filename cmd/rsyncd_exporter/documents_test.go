package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/monitoring"
)

var update = flag.Bool("update", false, "write the generated parts of docs/settings.md and docs/metrics.md")

const root = "../.." // of the repository

// generated compares the part of a page between two marks with what the program says, or writes it with -update.
func generated(t *testing.T, page, begin, end, want string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(page))
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

var (
	metricName   = regexp.MustCompile(`\brsyncd?_[a-z_]+(?:…|:[a-z0-9_:]+)?`)
	variableName = regexp.MustCompile(`\bRSYNCD_EXPORTER_[A-Z_]+`)
	flagName     = regexp.MustCompile(`(?m)^(?:\$ )?(?:bin/)?rsyncd_exporter(?: serve)?((?:\s+-[-a-z]+(?:=\S*|\s+/\S+|\s+-)?(?:\s*\\\n)?)+)`)
)

// Documents name no metric, variable or flag that the program doesn't have. The changelog and decisions may: they tell of old ones.
func TestDocumentsNameWhatThereIs(t *testing.T) {
	metric, set := map[string]bool{"rsyncd_exporter_build_info": true}, map[string]bool{
		"RSYNCD_EXPORTER_USER": true, "RSYNCD_EXPORTER_PASSWORD": true, // of who, no settings
	}
	for _, m := range describedMetrics(t) {
		metric[m.name] = true
	}
	rules, err := monitoring.ReadRules(filepath.Join(root, "deploy/prometheus/rsyncd_exporter.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			recorded[r.Record] = true
		}
	}
	for _, s := range config.Defaults() {
		set[s.Variable], set[s.Flag] = true, true
	}
	for _, old := range []string{"-p", "-f", "-s", "-x"} {
		set[old] = true
	}
	names := 0
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/logging/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			if name := filepath.Base(page); name == "CHANGELOG.md" || name == "decisions.md" {
				continue
			}
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range metricName.FindAllString(string(text), -1) {
				if strings.HasPrefix(name, "rsyncd_exporter") && !strings.HasPrefix(name, "rsyncd_exporter_") || strings.HasSuffix(name, "…") ||
					name == "rsyncd_session_log" { // a table in lnav
					continue
				}
				histogram := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")
				if names++; !metric[name] && !metric[histogram] && !recorded[name] {
					t.Errorf("%s: there is no metric %s", page, name)
				}
			}
			for _, name := range variableName.FindAllString(string(text), -1) {
				if names++; !set[name] {
					t.Errorf("%s: there is no setting %s", page, name)
				}
			}
			for _, m := range flagName.FindAllStringSubmatch(string(text), -1) {
				for _, word := range strings.Fields(m[1]) {
					flag, _, _ := strings.Cut(word, "=")
					if strings.HasPrefix(flag, "-") && len(flag) > 1 {
						if names++; !set[flag] {
							t.Errorf("%s: there is no flag %s", page, flag)
						}
					}
				}
			}
		}
	}
	if names < 200 {
		t.Errorf("%d names found, want at least 200", names)
	}
}
