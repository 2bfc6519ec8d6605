// Command dependencies says what the program is made of. It runs in the repository's root.
//
//	dependencies check     compares docs/dependencies.md with go.mod, the sources and the licences
//	dependencies write     brings its tables up to date, and keeps what they say a module is for
//	dependencies licences  prints the texts of all licences, which every copy of the program must bring
package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// pageName is the document that lists the dependencies.
const pageName = "docs/dependencies.md"

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dependencies:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	if len(args) != 1 || !slices.Contains([]string{"check", "write", "licences"}, args[0]) {
		return fmt.Errorf("arguments %q: say check, write or licences", args)
	}
	shipped, err := listShipped()
	if err != nil {
		return err
	}
	if args[0] == "licences" {
		return printLicences(stdout, shipped)
	}
	direct, err := listDirect()
	if err != nil {
		return err
	}
	all := join(shipped, direct)
	if err := identifyAll(all); err != nil {
		return err
	}
	old, err := os.ReadFile(pageName)
	if err != nil {
		return err
	}
	updated, err := update(string(old), all)
	switch {
	case err != nil:
		return err
	case args[0] == "write":
		if err := os.WriteFile(pageName, []byte(updated), 0o644); err != nil {
			return err
		}
	case updated != string(old):
		return fmt.Errorf("%s is not what go.mod, the sources and the licences say: "+
			"run \"make dependencies\" and look at the difference", pageName)
	}
	return nil
}

// identifyAll fills in the licences of all modules. What only tests use isn't passed on: there, a
// licence that isn't known is left out.
func identifyAll(all []*module) error {
	var wrong []error
	for _, m := range all {
		texts, err := m.texts(licenceName)
		for _, t := range texts {
			names, terr := identify(string(t.text))
			if terr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", t.file, terr))
			}
			m.licences = append(m.licences, names...)
		}
		slices.Sort(m.licences)
		m.licences = slices.Compact(m.licences)
		if err != nil && len(m.packages) > 0 {
			wrong = append(wrong, fmt.Errorf("module %s: %w", m.path, err))
		}
	}
	return errors.Join(wrong...)
}

// join returns the modules of both, sorted by path. A module that is in the program is not repeated.
func join(shipped, direct map[string]*module) []*module {
	all := maps.Clone(direct)
	for path, m := range shipped {
		m.direct = direct[path] != nil
		all[path] = m
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *module) int { return cmp.Compare(a.path, b.path) })
}

// printLicences prints the texts in the order of the modules. One that stands twice in a module is
// printed once.
func printLicences(w io.Writer, shipped map[string]*module) error {
	var out bytes.Buffer
	out.WriteString("rsyncd_exporter contains the following software, under these licences.\n")
	modules := slices.SortedFunc(maps.Values(shipped), func(a, b *module) int { return cmp.Compare(a.path, b.path) })
	for _, m := range append([]*module{goItself()}, modules...) {
		fmt.Fprintf(&out, "\n---- %s %s\n", m.path, m.version)
		texts, err := m.texts(licenceOrNotice)
		if err != nil {
			return fmt.Errorf("module %s: %w", m.path, err)
		}
		for _, t := range texts {
			fmt.Fprintf(&out, "\n%s\n", bytes.TrimRight(t.text, "\n"))
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}
