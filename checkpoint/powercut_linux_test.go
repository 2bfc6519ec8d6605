package checkpoint_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/checkpoint"
)

// A disk is a model of what a file system promises about a power cut, and no more: the content of a file is certain after its fsync; names
// are certain after the fsync of their directory, and until then each change to one of them may have reached the disk or not, whatever the
// others have done. It follows the calls that strace has recorded of the real program, and leaves out those on other
// files: with -cover the program writes its counters at its end.
type disk struct {
	open map[string]*node // by descriptor, as strace writes it
	root *node            // the parent of the state directory
	base string           // the path of root
}

// A node is a file or a directory.
type node struct {
	content, synced string // of a file: now, and at its last fsync
	certain         bool   // content is synced
	now, durable    map[string]*node
	pending         []change // of now, since the last fsync
}

// A change moves a node to a name in a directory, and takes away the name that it had there. One of them may be empty.
type change struct {
	to, from string
	node     *node
}

func newNode(directory bool) *node {
	if !directory {
		return &node{}
	}
	return &node{now: map[string]*node{}, durable: map[string]*node{}}
}

func (c change) apply(names map[string]*node) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

func (n *node) change(c change) {
	c.apply(n.now)
	n.pending = append(n.pending, c)
}

var quoted = regexp.MustCompile(`"(?:\\x[0-9a-f]{2})*"`)

// do follows one call.
func (d *disk) do(t testing.TB, c call) {
	t.Helper()
	if strings.HasPrefix(c.result, "-") {
		return // it failed, or strace made it fail and it was not done
	}
	args := strings.Split(c.args, ", ")
	var names []string
	for _, q := range quoted.FindAllString(c.args, -1) {
		s, err := strconv.Unquote(q)
		if err != nil {
			t.Fatalf("%s: %v", c.line, err)
		}
		names = append(names, s)
	}
	in := func(at, name string) (*node, string) { // the directory that a name is in
		if at != "AT_FDCWD" {
			return d.open[at], name
		}
		if filepath.Dir(name) != d.base {
			return nil, "" // nothing of ours
		}
		return d.root, filepath.Base(name)
	}
	switch c.name {
	case "openat":
		dir, name := in(args[0], names[0])
		switch {
		case names[0] == d.base:
			d.open[c.result] = d.root
		case dir == nil:
			delete(d.open, c.result)
		case name == ".":
			d.open[c.result] = dir
		default:
			if dir.now[name] == nil {
				if !strings.Contains(args[2], "O_CREAT") {
					t.Fatalf("%s: no such file in the model", c.line)
				}
				dir.change(change{to: name, node: newNode(false)})
			}
			d.open[c.result] = dir.now[name]
		}
	case "mkdirat":
		if dir, name := in(args[0], names[0]); dir != nil {
			dir.change(change{to: name, node: newNode(true)})
		}
	case "renameat":
		from, old := in(args[0], names[0])
		to, name := in(args[2], names[1])
		switch {
		case from == nil && to == nil:
		case from != to || from.now[old] == nil:
			t.Fatalf("%s: not what the model can do", c.line)
		default:
			to.change(change{to: name, from: old, node: from.now[old]})
		}
	case "unlinkat":
		if dir, name := in(args[0], names[0]); dir != nil {
			dir.change(change{from: name})
		}
	case "write":
		if f := d.open[args[0]]; f != nil {
			n, err := strconv.Atoi(c.result)
			if err != nil || n > len(names[0]) {
				t.Fatalf("%s: %v", c.line, err)
			}
			f.content, f.certain = f.content+names[0][:n], false
		}
	case "fsync":
		f := d.open[args[0]]
		if f == nil {
			return
		}
		f.synced, f.certain = f.content, true
		if f.now != nil {
			f.durable, f.pending = map[string]*node{}, nil
			for name, n := range f.now {
				f.durable[name] = n
			}
		}
	case "close":
		delete(d.open, args[0])
	case "ftruncate", "pwrite64", "writev", "rename", "renameat2", "linkat", "link", "unlink", "fdatasync", "sync", "syncfs":
		t.Fatalf("%s: the model doesn't know that call", c.line)
	}
}

// after calls f with the names that a directory may have after a power cut.
func (n *node) after(f func(names map[string]*node)) {
	for subset := range 1 << len(n.pending) {
		names := map[string]*node{}
		for name, at := range n.durable {
			names[name] = at
		}
		for i, c := range n.pending {
			if subset>>i&1 == 1 {
				c.apply(names)
			}
		}
		f(names)
	}
}

// contents returns what a file may hold after a power cut.
func (n *node) contents() []string {
	if n.certain {
		return []string{n.synced}
	}
	half := len(n.content) / 2
	list := []string{n.synced, n.content, n.content[:half], strings.Repeat("\x00", len(n.content)),
		n.content[:half] + strings.Repeat("\x00", len(n.content)-half)}
	slices.Sort(list)
	return slices.Compact(list)
}

// states calls f with every pair of copies that may be there after a power cut; an empty pointer is one that isn't.
func (d *disk) states(f func(files [2][]byte)) {
	d.root.after(func(names map[string]*node) {
		dir := names["state"]
		if dir == nil {
			f([2][]byte{})
			return
		}
		dir.after(func(names map[string]*node) {
			variants := [2][][]byte{{nil}, {nil}}
			for i, name := range checkpoint.CopyNames {
				if n := names[name]; n != nil {
					variants[i] = nil
					for _, c := range n.contents() {
						variants[i] = append(variants[i], append([]byte{}, c...))
					}
				}
			}
			for _, a := range variants[0] {
				for _, b := range variants[1] {
					f([2][]byte{a, b})
				}
			}
		})
	})
}

// FAULTS D5: after a power cut at any moment of a life that makes the directory and saves three times, one of them perhaps in vain, the state
// is what was shown last or newer, also if one copy is lost besides.
func TestPowerCut(t *testing.T) {
	total := 0
	for _, fault := range []string{"", "fsync:error=EIO:when=4", "fsync:error=EIO:when=5", "fsync:error=EIO:when=6", "fsync:error=EIO:when=7",
		"renameat:error=ENOSPC:when=3", "renameat:error=ENOSPC:when=4", "unlinkat:error=EIO"} {
		base := t.TempDir()
		var options []string
		if fault != "" {
			options = []string{"-e", "inject=" + fault}
		}
		if fault == "unlinkat:error=EIO" { // the file that can't be removed is in the way of the next one
			options = append(options, "-e", "inject=renameat:error=EIO:when=3")
		}
		calls, said := record(t, "save", filepath.Join(base, "state"), options...)
		d := &disk{open: map[string]*node{}, root: newNode(true), base: base}
		bench := newBench(t)
		shown, seen := 0, map[string]bool{}
		for _, c := range calls {
			d.do(t, c)
			if c.name == "write" && strings.HasPrefix(c.args, "1, ") {
				line, err := strconv.Unquote(quoted.FindString(c.args))
				if err != nil {
					t.Fatal(err)
				}
				shown = lastSaved(t, line, shown)
			}
			d.states(func(files [2][]byte) {
				key := fmt.Sprintf("%d %t%t%s|%s", shown, files[0] == nil, files[1] == nil, files[0], files[1])
				if seen[key] {
					return
				}
				seen[key] = true
				if err := bench.holds(files, shown); err != nil {
					t.Fatalf("a power cut after %s with the fault %q: %v", c.line, fault, err)
				}
			})
		}
		if shown < 1 || fault == "" && shown != 3 || fault != "" && !strings.Contains(said, "failed") {
			t.Errorf("fault %q: %q", fault, said)
		}
		total += len(seen)
	}
	t.Logf("%d states of the disk", total)
	if total < 50 {
		t.Errorf("only %d states of the disk came about", total)
	}
}

// When SetAside, and then Settle, has returned the copies don't come back.
func TestPowerCutAfterSetAside(t *testing.T) {
	base := t.TempDir()
	calls, said := record(t, "aside", filepath.Join(base, "state"))
	d := &disk{open: map[string]*node{}, root: newNode(true), base: base}
	for _, c := range calls {
		d.do(t, c)
	}
	n := 0
	d.states(func(files [2][]byte) {
		n++
		if files[0] != nil || files[1] != nil {
			t.Errorf("after a power cut there are copies of %d and %d bytes", len(files[0]), len(files[1]))
		}
	})
	if n == 0 || !strings.HasSuffix(said, "set aside\n") || d.root.now["state"].now["state.a.aside"] == nil {
		t.Errorf("%d states, the helper said %q", n, said)
	}
}
