package follow

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// eventPause is how long the notifier sleeps after each read. So a writer of 50,000 lines a second
// makes 100 wake-ups, and the kernel folds the rest of its events into one, see inotify(7).
const eventPause = 10 * time.Millisecond

const (
	dirEvents = unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_DELETE_SELF |
		unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	fileEvents = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF
)

// A notifier turns inotify's events into wake-ups. Nothing depends on it but delay: where a watch
// can't be had (the user's limit, no /proc) or an event is lost, the next poll finds what there is.
// A nil notifier does nothing.
type notifier struct {
	file *os.File // the inotify instance
	fd   int      // its descriptor
	look chan struct{}

	mu    sync.Mutex
	dirs  map[int32]map[watcher]string // how the names start that matter in it, by watch descriptor
	files map[int32]watchedFile        // by watch descriptor
}

type watchedFile struct {
	reader chan struct{}
	owner  watcher
}

// newNotifier returns nil where inotify isn't to be had, or half of the descriptors
// (SetOptions.Descriptors) are in use: logs need the rest more than their events.
func newNotifier(look chan struct{}, descriptors int) *notifier {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	if descriptors > 0 && fd >= descriptors/2 {
		unix.Close(fd)
		return nil
	}
	return &notifier{
		file: os.NewFile(uintptr(fd), "inotify"), fd: fd, look: look,
		dirs: map[int32]map[watcher]string{}, files: map[int32]watchedFile{},
	}
}

// watchDirs watches the directories of these paths for w, and no others any more, for names that
// start like theirs; for all names where a path ends with a slash. It is called at each look, since
// a path may lead to another directory by now.
func (n *notifier) watchDirs(w watcher, paths ...string) {
	if n == nil {
		return
	}
	now := make(map[int32]string, len(paths))
	for _, path := range paths {
		dir, name := filepath.Split(path)
		wd, err := unix.InotifyAddWatch(n.fd, dir+".", dirEvents) // the same number again for the same directory
		if err != nil {
			continue
		}
		if other, twice := now[int32(wd)]; twice && other != name {
			name = ""
		}
		now[int32(wd)] = name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for wd, name := range now {
		if n.dirs[wd] == nil {
			n.dirs[wd] = map[watcher]string{}
		}
		n.dirs[wd][w] = name
	}
	for wd, watchers := range n.dirs {
		if _, kept := now[wd]; kept {
			continue
		}
		if delete(watchers, w); len(watchers) == 0 {
			delete(n.dirs, wd)
			_, _ = unix.InotifyRmWatch(n.fd, uint32(wd))
		}
	}
}

// watchFile sends to wake when the open file is written to, until unwatchFile; w is woken up when
// anything else happens to it.
func (n *notifier) watchFile(w watcher, fd int, wake chan struct{}) (watch int32) {
	if n == nil {
		return -1
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	wd, err := unix.InotifyAddWatch(n.fd, "/proc/self/fd/"+strconv.Itoa(fd), fileEvents)
	if err != nil {
		return -1
	}
	n.files[int32(wd)] = watchedFile{wake, w}
	return int32(wd)
}

func (n *notifier) unwatchFile(watch int32) {
	if n == nil || watch < 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.files, watch)
	_, _ = unix.InotifyRmWatch(n.fd, uint32(watch))
}

// run reads events until ctx ends.
func (n *notifier) run(ctx context.Context) {
	if n == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = n.file.SetReadDeadline(time.Now()) })
	defer stop()
	buf := make([]byte, 16<<10)
	pause := time.NewTimer(eventPause)
	defer pause.Stop()
	for {
		size, err := n.file.Read(buf)
		if err != nil {
			return
		}
		n.wake(buf[:size])
		pause.Reset(eventPause)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// wake wakes the file's reader, and the looker unless the file has only been written to.
func (n *notifier) wake(events []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		end := min(len(events), unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(events[12:])))
		name := events[unix.SizeofInotifyEvent:end] // padded with NUL
		events = events[end:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			for _, f := range n.files {
				poke(f.reader)
				f.owner.wake()
			}
		}
		file, isFile := n.files[wd]
		if isFile {
			poke(file.reader)
		}
		if mask&unix.IN_MODIFY != 0 {
			continue
		}
		if isFile {
			file.owner.wake()
		}
		for w, start := range n.dirs[wd] {
			if len(name) == 0 || bytes.HasPrefix(name, []byte(start)) {
				w.wake()
			}
		}
		poke(n.look)
	}
}

// close is called when run has returned and nobody will call the others any more.
func (n *notifier) close() {
	if n != nil {
		n.file.Close()
	}
}
