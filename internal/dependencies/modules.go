package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// systems are those that packages are made for. Each has modules that the others lack.
var systems = []string{"linux", "freebsd", "darwin"}

// A module is one that the program or a test is built from.
type module struct {
	path, version string
	dir           string          // its root
	packages      map[string]bool // directories of the packages that are in the program; empty if none is
	direct        bool            // go.mod requires it for the project's own imports
	licences      []string        // SPDX identifiers, sorted
}

// listed is what go list prints of a package or module.
type listed struct {
	Path, Version, Dir string
	Main, Indirect     bool
	Module             *listed
}

// goList runs go list -json for a system and hands over each value of its output.
func goList(system string, visit func(listed), args ...string) error {
	command := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	command.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("go list %s for %s, said above: %w", strings.Join(args, " "), system, err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("what go list prints, at byte %d: %w", d.InputOffset(), err)
		}
		visit(l)
	}
}

// listShipped returns the modules that are in the program, on any system.
func listShipped() (map[string]*module, error) {
	all := map[string]*module{}
	for _, system := range systems {
		err := goList(system, func(p listed) {
			if p.Module == nil || p.Module.Main {
				return
			}
			m := all[p.Module.Path]
			if m == nil {
				m = &module{path: p.Module.Path, version: p.Module.Version, dir: p.Module.Dir,
					packages: map[string]bool{}}
				all[m.path] = m
			}
			m.packages[p.Dir] = true
		}, "-deps", "./cmd/rsyncd_exporter")
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// listDirect returns the modules that go.mod requires for the project's own imports.
func listDirect() (map[string]*module, error) {
	all := map[string]*module{}
	err := goList(runtime.GOOS, func(m listed) {
		if !m.Main && !m.Indirect {
			all[m.Path] = &module{path: m.Path, version: m.Version, dir: m.Dir, direct: true}
		}
	}, "-m", "all")
	return all, err
}

// goItself is the standard library, which every program in Go contains.
func goItself() *module {
	return &module{path: "Go", version: strings.TrimPrefix(runtime.Version(), "go"), dir: goRoot()}
}

func goRoot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

var (
	// licenceName matches the names of files that hold licences.
	licenceName = regexp.MustCompile(`(?i)^(licen[sc]e|copying)([-.].*)?$`)
	// licenceOrNotice matches those that licences want passed on, as well.
	licenceOrNotice = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents)([-.].*)?$`)
)

// licenceDirs returns the module's root and each directory between it and a package that is in the
// program: parts of a module may have licences of their own.
func (m *module) licenceDirs() []string {
	dirs := map[string]bool{m.dir: true}
	for dir := range m.packages {
		for ; dir != m.dir && strings.HasPrefix(dir, m.dir); dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
	}
	sorted := make([]string, 0, len(dirs))
	for dir := range dirs {
		sorted = append(sorted, dir)
	}
	slices.Sort(sorted)
	return sorted
}

// A legal text is what stands in one file.
type legal struct {
	file string
	text []byte
}

// texts returns what stands in the files whose names match, each text once.
func (m *module) texts(names *regexp.Regexp) ([]legal, error) {
	var texts []legal
	for _, dir := range m.licenceDirs() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !names.MatchString(e.Name()) {
				continue
			}
			file := filepath.Join(dir, e.Name())
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(texts, func(l legal) bool { return bytes.Equal(l.text, text) }) {
				texts = append(texts, legal{file, text})
			}
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("no file LICENSE in %q: look up what its licence is, or do without it", m.dir)
	}
	return texts, nil
}
