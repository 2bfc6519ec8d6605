// Package releasetest holds tests of the scripts that build and release. They stop before anything
// is built.
package releasetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a git repository with the scripts, go.mod and a CHANGELOG.md, all committed.
func tree(t *testing.T, changelog string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"scripts/lib.sh", "scripts/release.sh", "scripts/deps.sh", "go.mod"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(text))
	}
	write(t, filepath.Join(dir, "CHANGELOG.md"), changelog)
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-qm", "all"}} {
		git(t, dir, args...)
	}
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	args = append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)
	if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

const section = "# Changelog\n\n## 1.2.3 - 2026-11-30\n\n- new\n\n## 1.2.2 - 2026-01-01\n\n- old\n"

// A release that can't be is refused before anything runs, in a sentence.
func TestReleaseIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, version, changelog, want string
		before                         func(t *testing.T, dir string)
	}{
		{"no version", "", section, `VERSION="" is no version to release`, nil},
		{"a v before it", "v1.2.3", section, `VERSION="v1.2.3" is no version to release`, nil},
		{"a tag", "1.2.3", section, "the tag v1.2.3 exists", func(t *testing.T, dir string) { git(t, dir, "tag", "v1.2.3") }},
		{"a change", "1.2.3", section, "changes that are not committed: ?? new", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "new"), "")
		}},
		{"no section", "1.2.4", section, `no section "## 1.2.4" and nothing under "## Unreleased"`, nil},
		{"a section of a longer version", "1.2.3", strings.Replace(section, "1.2.3", "1.2.30", 1), `no section "## 1.2.3"`, nil},
		{"an empty section", "1.2.3", strings.Replace(section, "- new", "", 1), `no section "## 1.2.3"`, nil},
		{"no date", "1.2.3", strings.Replace(section, " - 2026-11-30", "", 1), "has no date", nil},
		{"something unreleased", "1.2.3", strings.Replace(section, "## 1.2.3", "## Unreleased\n\n- more\n\n## 1.2.3", 1),
			`something under "## Unreleased"`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, tt.changelog)
			if tt.before != nil {
				tt.before(t, dir)
			}
			cmd := exec.Command(filepath.Join(dir, "scripts/release.sh"))
			cmd.Env = append(os.Environ(), "VERSION="+tt.version, "DRY=")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "release.sh: ") || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v, want %q in:\n%s", err, tt.want, out)
			}
		})
	}
}

// What stands under Unreleased becomes the section of the version, for somebody to read and commit.
func TestReleaseWritesTheSection(t *testing.T) {
	t.Parallel()
	dir := tree(t, "# Changelog\n\n## Unreleased\n\n- newest\n\n## 1.2.3 - 2026-11-30\n\n- old\n")
	cmd := exec.Command(filepath.Join(dir, "scripts/release.sh"))
	cmd.Env = append(os.Environ(), "VERSION=1.3.0", "DRY=")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read it, commit it, and release again") {
		t.Errorf("%v:\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "# Changelog\n\n## 1.3.0 - 20") || strings.Contains(string(text), "Unreleased") {
		t.Errorf("CHANGELOG.md is\n%s", text)
	}
}

// A Go that is older than go.mod's toolchain line is refused, or fetches that one where it may.
func TestOlderGoIsRefused(t *testing.T) {
	t.Parallel()
	for have, want := range map[string]string{
		"go1.26.5": "deps.sh: Go 1.26.6 or later is needed and Go 1.26.5 is here",
		"go1.9":    "deps.sh: Go 1.26.6 or later is needed and Go 1.9 is here",
		"go1.26.6": "", "go1.26.10": "", "go1.27.0": "",
	} {
		t.Run(have, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, section)
			bin := t.TempDir()
			write(t, filepath.Join(bin, "go"), "#!/bin/sh\ncase $2 in GOVERSION) echo "+have+" ;; GOTOOLCHAIN) echo local ;; esac\n")
			cmd := exec.Command(filepath.Join(dir, "scripts/deps.sh"), "go")
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if (err == nil) != (want == "") || !strings.Contains(string(out), want) {
				t.Errorf("%v, want %q in:\n%s", err, want, out)
			}
		})
	}
}
