package follow

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"rsyncd_exporter/receiver"
)

// A registry records which path owns each file where several Files are followed: the path that held
// it first, as long as that holds or remembers it. All others leave it alone. So what two paths
// lead to, or a pattern names again after a rotation, counts once.
type registry struct {
	mu     sync.Mutex
	owners map[receiver.FileID]string // paths
	paths  []string                   // that are followed, in the order in which they began

	unpacking chan struct{} // capacity 1: holds a token while somebody unpacks, since a decoder takes megabytes
}

func newRegistry() *registry {
	return &registry{owners: map[receiver.FileID]string{}, unpacking: make(chan struct{}, 1)}
}

// claim makes path the owner of a file. It returns false if another path is.
func (r *registry) claim(id receiver.FileID, path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if owner, claimed := r.owners[id]; claimed && owner != path {
		return false
	}
	r.owners[id] = path
	return true
}

func (r *registry) release(id receiver.FileID, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owners[id] == path {
		delete(r.owners, id)
	}
}

func (r *registry) owner(id receiver.FileID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[id]
}

// follow adds a path that is followed from now on, if it isn't yet.
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
	kept := slices.Clone(r.paths) // twinOf may be reading the old ones
	r.paths = slices.DeleteFunc(kept, func(p string) bool { return p == path })
	maps.DeleteFunc(r.owners, func(_ receiver.FileID, owner string) bool { return owner == path })
}

// pastLimit is how many positions each path may remember, so that the saved state stays small.
func (r *registry) pastLimit() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return min(maxPast, max(minPast, maxPastAll/max(1, len(r.paths))))
}

func (r *registry) follows(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.paths, path)
}

// twinOf returns the other path that the file belongs to, "" if there is none. A file without owner
// belongs to the path that leads to it and is followed for longest. So a symbolic link and its
// target, or two mounts of one directory, don't take turns after each rotation.
func (r *registry) twinOf(id receiver.FileID, path string) string {
	r.mu.Lock()
	owner, paths := r.owners[id], r.paths
	r.mu.Unlock()
	if owner == path {
		return ""
	}
	if owner != "" {
		return owner
	}
	for _, p := range paths {
		if p == path {
			break
		}
		if leadsTo(p, id) {
			return p
		}
	}
	return ""
}

func leadsTo(path string, id receiver.FileID) bool {
	info, err := statPath(path, true)
	return err == nil && info.id == id
}

var errTaken = errors.New("another path's")

// isOthers reports whether a sibling belongs to another path, or is followed by its own name.
func (f *File) isOthers(x sibling) bool {
	if owner := f.shared.owner(x.info.id); owner != "" {
		return owner != f.opt.Path
	}
	return f.shared.follows(x.path)
}

// twinOf returns the path that owns the file with this one's name, or "".
func (f *File) twinOf() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.twin
}

// alwaysTwin reports whether the name never led to a file that was read here.
func (f *File) alwaysTwin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.twin != "" && !f.everHeld
}

func (f *File) pastPositions() (all []receiver.FilePosition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.pastOrder {
		all = append(all, f.past[id].pos)
	}
	return all
}

// yield gives up a file that this path doesn't hold any more, and returns how far it was read. It
// returns false if the file is held, still looked for, or hasn't grown. The caller knows that no
// look of this File's can meet it.
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
	if !f.shared.claim(p.ID, f.opt.Path) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remember(pastFile{pos: p, begin: p, saved: true})
}
