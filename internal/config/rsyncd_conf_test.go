package config

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// exampleConf makes files that use everything that matters to the names of modules, in the directory that %[1]s stands for, and
// returns the main one's path and the names.
func exampleConf(t *testing.T) (path string, want []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.conf": `use chroot = no
# [comment] \
[ one   two ] # after the bracket
	path = /tmp \
[in a value]
[GLO BAL]
timeout = 600
  [Mod]
path=/tmp
;[commented]
[mod]
comment = the one above again
a bad line
&include %[1]s/inc
&merge	%[1]s/merge
[con\
tinued]
path=/tmp
[tab	name]
path=/tmp
&INCLUDE = %[1]s/single
\[backslash]
path=/tmp
&include
`,
		"inc/b.conf":   "[from b]\npath=/tmp\n",
		"inc/a.conf":   "[from a]\npath=/tmp\n&include %[1]s/inc/nested\n",
		"inc/.h.conf":  "[hidden]\npath=/tmp\n",
		"inc/nested":   "[nested]\npath=/tmp\n[from a]\n",
		"inc/x.inc":    "[not this one]\npath=/tmp\n",
		"merge/y.inc":  "[merged]\npath=/tmp\n",
		"merge/z.conf": "[nor this one]\npath=/tmp\n",
		"single":       "[single]\r\npath=/tmp\r\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		testenv.WriteFile(t, file, strings.ReplaceAll(text, "%[1]s", dir))
	}
	return filepath.Join(dir, "main.conf"), []string{
		"one two", "Mod", "hidden", "from a", "nested", "from b", "merged", "continued", "tab name", "single", "backslash",
	}
}

func TestModulesOfRsyncdConf(t *testing.T) {
	path, want := exampleConf(t)
	modules, err := readRsyncdConf(path)
	if got := names(modules); !slices.Equal(got, want) || err != nil {
		t.Errorf("modules %q, error %v\nwant    %q", got, err, want)
	}
}

// readRsyncdConf returns the modules of an rsyncd.conf.
func readRsyncdConf(path string) ([]confModule, error) {
	r, err := loadRsyncdConf(path)
	if err != nil {
		return nil, err
	}
	return r.modules, nil
}

func names(modules []confModule) (names []string) {
	for _, m := range modules {
		names = append(names, m.name)
	}
	return names
}

func TestRsyncdConfThatRsyncdRefuses(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"[a]\n[unterminated\n":      `:2: section "unterminated" has no closing bracket`,
		"[]\n":                      ":1: section without a name",
		"[ ]\n":                     ":1: section without a name",
		"\n\n[a/b]\n":               `:3: section "a/b": a module's name has no slash`,
		"x = a\\\nb\n[":             `:3: section "" has no closing bracket`,
		"&includes x\n":             `:1: directive "&includes" is unknown`,
		"& include x\n":             `:1: directive "&" is unknown`,
		"&include " + dir + "/no\n": ":1: stat " + dir + "/no: no such file",
		"[a\x1b[2J/]\n":             `:1: section "a\x1b[2J/": a module's name`,
		"[a]\n\x00":                 "",
	} {
		path := dir + "/x.conf"
		testenv.WriteFile(t, path, text)
		modules, err := readRsyncdConf(path)
		if want = path + want; strings.Contains(text, "\x00") {
			want = `"` + path + `": it holds a NUL byte`
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || modules != nil {
			t.Errorf("%q: modules %v, error %v; want %s", text, modules, err, want)
		}
	}
}

func TestRsyncdConfThatIncludesItself(t *testing.T) {
	path := t.TempDir() + "/x.conf"
	testenv.WriteFile(t, path, "&merge "+path+"\n")
	_, err := readRsyncdConf(path)
	// The file, and 8 deeper; the 9th is refused.
	if want := strings.Repeat(path+":1: ", 9) + `"` + path + `": files that include each other, more than 8 deep`; err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

func TestRsyncdConfIsBounded(t *testing.T) {
	path := t.TempDir() + "/large.conf"
	testenv.WriteFile(t, path, strings.Repeat("#\n", maxConfSize/2)+"\n")
	if _, err := readRsyncdConf(path); err == nil || !strings.HasSuffix(err.Error(), "larger than 4MiB") {
		t.Errorf("a file of 4 MiB and a byte: %v", err)
	}
	var many strings.Builder
	other := t.TempDir() + "/small.conf"
	testenv.WriteFile(t, other, "[a]\n")
	for range maxConfFiles {
		fmt.Fprintf(&many, "&include %s\n", other)
	}
	testenv.WriteFile(t, path, many.String())
	if _, err := readRsyncdConf(path); err == nil || !strings.Contains(err.Error(), "more than 1000 files") {
		t.Errorf("1001 files: %v", err)
	}
}

// FuzzRsyncdConf: names are never empty, have no slash, no bracket and no space at their ends, and none is there twice; written out again they are read again.
func FuzzRsyncdConf(f *testing.F) {
	for _, seed := range []string{"[a]\npath = /x\n[b c]\n", "[ a \t b ]x\n#[c]\n;[d]\n", "x = \\\n[a]\n", "[con\\\ntinued]\n", "[global]\n[GLOBAL]\n[glo bal]", "\\[a]\n", "[a]\x00[b]", "[a/b]", "[\r\v\f]\n", "[", "[a"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.ContainsRune(text, '&') {
			t.Skip("would read files")
		}
		r := newConfReader()
		if err := r.text("fuzz", text, 0); err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz:") && !strings.HasPrefix(err.Error(), `"fuzz": it holds a NUL`) {
				t.Fatalf("error without its place: %v", err)
			}
			return
		}
		var again strings.Builder
		for _, m := range names(r.modules) {
			if m == "" || strings.ContainsAny(m, "/]\n\t") || strings.Trim(m, " ") != m || strings.Contains(m, "  ") || foldSection(m) == "GLOBAL" {
				t.Fatalf("module %q from %q", m, text)
			}
			fmt.Fprintf(&again, "[%s]\n", m)
		}
		second := newConfReader()
		if err := second.text("again", []byte(again.String()), 0); err != nil || !slices.Equal(names(second.modules), names(r.modules)) {
			t.Fatalf("%q gives %v, read again %v, %v", text, r.modules, second.modules, err)
		}
	})
}

// Modules share places unless they have lock files of their own. A lock file for each client limits no module.
func TestLimits(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "rsyncd.conf")
	testenv.WriteFile(t, conf, `max connections = 4
[default]
[same]
	lockfile = /var/run/rsyncd.lock
[own one]
	lock file = /run/%RSYNC_MODULE_NAME%.lock
	max connections = 5
[each address]
	lock file = /run/%RSYNC_HOST_ADDR%.lock
[each name]
	lock file = /run/%RSYNC_HOST_NAME%.lock
[nobody]
	max connections = -1
[all]
	max connections = 0
`)
	modules, err := readRsyncdConf(conf)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Limit{}
	for i := range modules {
		if l, ok := modules[i].limit(); ok {
			got[modules[i].name] = l
		}
	}
	want := map[string]Limit{"default": {4, "/var/run/rsyncd.lock"}, "same": {4, "/var/run/rsyncd.lock"}, "own one": {5, "/run/own one.lock"}}
	if !maps.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
