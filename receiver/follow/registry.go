package follow

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// A registry tells whose a file is where several Files are followed: each belongs to the path that held it first, as long as that holds
// or remembers it, and all others leave it alone. So what two paths lead to, or a pattern names again after a rotation, counts once.
type registry struct {
	mu     sync.Mutex
	owners map[receiver.FileID]string // paths
	paths  []string                   // that are followed, in the order in which they began

	unpacking chan struct{} // capacity 1: holds a token while somebody unpacks, since a decoder takes megabytes
}

func newRegistry() *registry {
	return &registry{owners: map[receiver.FileID]string{}, unpacking: make(chan struct{}, 1)}
}

// claim makes the file path's, unless it is another's, which it returns.
func (r *registry) claim(id receiver.FileID, path string) (other string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if owner, claimed := r.owners[id]; claimed && owner != path {
		return owner, false
	}
	r.owners[id] = path
	return "", true
}

// release is the opposite of claim, if it is path's.
func (r *registry) release(id receiver.FileID, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owners[id] == path {
		delete(r.owners, id)
	}
}

// owner returns whose the file is, "" if nobody's.
func (r *registry) owner(id receiver.FileID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[id]
}

// follow adds a path that is followed from now on, if it isn't yet; leave takes it away with all that is its.
func (r *registry) follow(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.paths, path) {
		r.paths = append(r.paths, path)
	}
}

func (r *registry) leave(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.paths {
		if p == path {
			r.paths = append(r.paths[:i:i], r.paths[i+1:]...)
			break
		}
	}
	for id, owner := range r.owners {
		if owner == path {
			delete(r.owners, id)
		}
	}
}

// pastLimit is how many positions each path may remember, so that what is kept for a restart stays small however many paths there are.
func (r *registry) pastLimit() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return min(maxPast, max(minPast, maxPastAll/max(1, len(r.paths))))
}

// follows reports whether the path is one that is followed.
func (r *registry) follows(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.paths, path)
}

// namedBefore returns the path that leads to the same file now and is followed for longer than path, "" if there is none. So a symbolic
// link and its target, or two mounts of one directory, don't take turns after each rotation.
func (r *registry) namedBefore(id receiver.FileID, path string) string {
	r.mu.Lock()
	paths := r.paths
	r.mu.Unlock()
	for _, p := range paths {
		if p == path {
			return ""
		}
		if info, err := statPath(p, true); err == nil && info.id == id {
			return p
		}
	}
	return ""
}

// twinOf returns the other path whose the file is, so that path has to leave it alone; "" if there is none.
func (r *registry) twinOf(id receiver.FileID, path string) string {
	if owner := r.owner(id); owner != "" {
		if owner == path {
			return ""
		}
		return owner
	}
	return r.namedBefore(id, path)
}

var errTaken = errors.New("another path's")

// isTwin looks whether the file that has the name belongs to another path, and keeps the answer.
func (f *File) isTwin(info fileInfo) bool {
	twin := ""
	if f.held(info.id) == nil {
		twin = f.shared.twinOf(info.id, f.opt.Path)
	}
	f.setTwin(twin)
	return twin != ""
}

func (f *File) setTwin(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.twin = path
}

// isOthers reports whether a sibling is another path's, or has a name that is followed by itself.
func (f *File) isOthers(x sibling) bool {
	owner := f.shared.owner(x.info.id)
	if owner != "" {
		return owner != f.opt.Path
	}
	return f.shared.follows(x.path)
}

// twinOf returns the path whose the file is that has this one's name, too, or "".
func (f *File) twinOf() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.twin
}

// alwaysTwin reports whether the name leads to another path's file, and never led to one that was read here.
func (f *File) alwaysTwin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.twin != "" && !f.everHeld
}

// pastPositions returns how far the files have been read that are no longer held.
func (f *File) pastPositions() (all []receiver.FilePosition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.pastOrder {
		all = append(all, f.past[id].pos)
	}
	return all
}

// resembles reports whether the open file holds what has been read here, as far as size tells: it starts as a file that is held, or
// has been, and has the bytes before the place up to which that was read, or is shorter.
func (f *File) resembles(fd int, size int64) bool {
	var head, buf [receiver.AnchorSize]byte
	n := min(size, receiver.AnchorSize)
	if !f.hasBytes(fd, head[:n], nil, 0) {
		return false
	}
	like := func(p receiver.FilePosition) bool {
		m := min(n, p.Offset)
		start := p.Head[:]
		if p.Offset < receiver.AnchorSize {
			start = anchorOf(&p)
		}
		return m > 0 && bytes.Equal(start[:m], head[:m])
	}
	is := func(p receiver.FilePosition) bool {
		anchor := anchorOf(&p)
		return p.Offset > size || f.hasBytes(fd, buf[:len(anchor)], anchor, p.Offset-int64(len(anchor)))
	}
	held, fds := f.heldFiles()
	defer func() {
		for _, held := range fds {
			closeFD(held)
		}
	}()
	for _, p := range held {
		if like(p) && is(p) {
			return true
		}
	}
	for _, held := range fds {
		if f.hasBytes(held, buf[:n], head[:n], 0) && f.sameEnd(held, fd, size) {
			return true
		}
	}
	return slices.ContainsFunc(f.positions(like), func(p knownPosition) bool { return is(p.pos) })
}

// heldFiles returns how far the generations have been read that are held, and descriptors of those that aren't compressed, for the caller to
// close: another goroutine than the looker may read from these alone, and must not hold mu then.
func (f *File) heldFiles() (held []receiver.FilePosition, fds []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.generations {
		held = append(held, g.shown())
		if g.packed != nil {
			continue
		}
		if fd, err := unix.FcntlInt(uintptr(g.fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	return held, fds
}

// sameEnd reports whether two files have the same bytes before offset.
func (f *File) sameEnd(a, b int, offset int64) bool {
	var one, other [receiver.AnchorSize]byte
	n := min(offset, receiver.AnchorSize)
	return f.hasBytes(a, one[:n], nil, offset-n) && f.hasBytes(b, other[:n], one[:n], offset-n)
}

// yield gives up a file that this path has held and let go, or never found again after a restart, and returns how far it was read; false
// where there is nothing to give up: it is held, or still looked for, or has not grown. The caller knows that no look of this File's can
// meet it.
func (f *File) yield(id receiver.FileID, size int64) (receiver.FilePosition, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, past := f.past[id]
	_, owed := f.owed[id]
	if !past || owed || f.held(id) != nil || size <= p.pos.Offset {
		return receiver.FilePosition{}, false
	}
	f.forget(id)
	f.shared.release(id, f.opt.Path)
	return p.pos, true
}

// inherit takes over what yield has given up.
func (f *File) inherit(p receiver.FilePosition) {
	if _, ok := f.shared.claim(p.ID, f.opt.Path); !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remember(pastFile{pos: p, begin: p, saved: true})
}

// isSiblingName reports whether path is beside the file called base and called like it, so that looks at base take note of it.
func isSiblingName(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && len(rest) > 1 && (rest[0] == '.' || rest[0] == '-')
}
