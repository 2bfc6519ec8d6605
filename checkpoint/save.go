package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrLocked says that another process, or another Dir of this one, has the directory open.
	ErrLocked = errors.New("another rsyncd_exporter uses it")
	// ErrNone says that there is no copy: nothing has been saved yet.
	ErrNone = errors.New("no state saved yet")
	// ErrUntrusted says that there is a copy and that none is valid.
	ErrUntrusted = errors.New("no copy can be trusted")
)

// Saved is what Load found.
type Saved struct {
	Payload  []byte    // the caller's
	Sequence uint64    // which attempt to save this was, over all processes; from 1
	At       time.Time // when that was, by the wall clock, which may have been wrong
	// Damaged has an error for each copy that isn't used though one is expected: it is missing, not
	// valid, or not of one mind with the one that is used. None of this makes the payload doubtful;
	// the next Save mends it.
	Damaged []error
}

// Dir is an open state directory. Its methods must not be called concurrently.
type Dir struct {
	path      string
	dir, lock int    // descriptors
	sequence  uint64 // of the last attempt to save
	loaded    bool   // so sequence is known

	unsynced, made bool // the directory's own name may not be durable, and whether this process has made it
}

// Open opens the directory for this process alone. If another process has it open, the error wraps
// ErrLocked. Open makes a missing directory, for its owner only, but not its parent. It refuses a
// symbolic link, a directory that everybody may write to, one of a user other than root or the
// process's, and one that can't be written to.
func Open(dir string) (*Dir, error) {
	d := &Dir{path: clean(dir), dir: -1, lock: -1}
	if err := d.open(); err != nil {
		return nil, d.wrap(err)
	}
	return d, nil
}

// open opens what the path names now. If it fails, what was open before stays open.
func (d *Dir) open() error {
	dir, made, err := openDirectory(d.path)
	d.made = d.made || made
	if err != nil {
		return err
	}
	d.unsynced = true
	lock, err := takeLock(dir, d.lock)
	if err != nil {
		unix.Close(dir)
		return err
	}
	if d.lock != lock {
		d.close()
	} else {
		unix.Close(d.dir)
	}
	d.dir, d.lock = dir, lock
	return nil
}

func (d *Dir) close() error {
	if d.dir < 0 {
		return nil
	}
	err := errors.Join(unix.Close(d.dir), unix.Close(d.lock))
	d.dir, d.lock = -1, -1
	return err
}

// Close lets others open the directory.
func (d *Dir) Close() error {
	if err := d.close(); err != nil {
		return d.wrap(fmt.Errorf("closing: %w", err))
	}
	return nil
}

// Load returns the newest valid copy. The caller calls it before the first Save, which goes on from
// the sequence number found. What it returns may not be durable: only after the next Save or Settle
// may it be shown. The error wraps ErrNone if there is no copy. It wraps ErrUntrusted and every
// reason if no copy is valid; then SetAside helps. With any other error the copies can't be read
// and may be good.
func (d *Dir) Load() (Saved, error) {
	copies := readCopies(d.dir)
	a, b := &copies[0], &copies[1]
	best, other := a, b
	if a.Err != nil || b.Err == nil && b.Sequence > a.Sequence {
		best, other = b, a
	}
	missing := func(c *Copy) bool { return errors.Is(c.Err, fs.ErrNotExist) }
	switch {
	case best.Err == nil:
	case missing(a) && missing(b):
		d.loaded = true
		return Saved{}, d.wrap(ErrNone)
	case passing(a.Err) || passing(b.Err):
		err := a.Err
		if !passing(err) {
			err = b.Err
		}
		return Saved{}, d.wrap(fmt.Errorf("%w%s", err, remedy(err)))
	default:
		d.loaded = true
		return Saved{}, d.wrap(fmt.Errorf("%w: %w; %w", ErrUntrusted, a.Err, b.Err))
	}
	d.loaded, d.sequence = true, max(d.sequence, best.Sequence)
	s := Saved{Payload: best.Payload, Sequence: best.Sequence, At: best.At}
	switch {
	case other.Err != nil:
		s.Damaged = append(s.Damaged, d.wrap(other.Err))
	case other.Sequence == best.Sequence && !bytes.Equal(other.Payload, best.Payload):
		// No Save does this; one of them was put there. An interrupted Save has the newer one in
		// the first copy.
		s.Damaged = append(s.Damaged, d.wrap(fmt.Errorf("%s: differs from %s and has the same sequence number, %d: "+
			"has it been restored from a backup?", other.Name, best.Name, best.Sequence)))
	}
	return s, nil
}

// Settle makes the names of the copies durable that Load has found. Then its payload may be shown
// even if no Save succeeds. It blocks as long as the disk takes.
func (d *Dir) Settle() error {
	if err := d.syncName(); err != nil {
		return d.wrap(err)
	}
	if err := syncDirectory(d.dir); err != nil {
		return d.wrap(fmt.Errorf("syncing the directory: %w%s", err, remedy(err)))
	}
	return nil
}

// syncName makes the name of the directory itself durable.
func (d *Dir) syncName() error {
	if !d.unsynced {
		return nil
	}
	if err := syncParent(d.path, d.made); err != nil {
		return err
	}
	d.unsynced, d.made = false, false
	return nil
}

// SetAside renames the copies to state.a.aside and state.b.aside, for people to look at, over what
// was set aside before. Until Settle or Save, a power cut may bring them back.
func (d *Dir) SetAside() error {
	for _, name := range copyNames {
		err := retry(func() error { return unix.Renameat(d.dir, name, d.dir, name+aside) })
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return d.wrap(fmt.Errorf("renaming %s to %s: %w%s", name, name+aside, err, remedy(err)))
		}
	}
	return nil
}

// Save makes the payload, at most MaxPayload bytes, durable in both copies. Only after it has
// returned nil may the payload be shown. After an error each copy holds this payload or what it
// held before, whole, and the next Save tries everything again. It blocks as long as the disk
// takes. If the directory was removed or replaced, Save makes or opens it anew.
func (d *Dir) Save(payload []byte) error {
	switch {
	case !d.loaded:
		return d.wrap(errors.New("Save before Load, so the sequence number isn't known"))
	case len(payload) > MaxPayload:
		return d.wrap(fmt.Errorf("a payload of %d bytes, of which %d are allowed", len(payload), MaxPayload))
	}
	if d.gone() != nil {
		if err := d.reopen(); err != nil {
			return d.wrap(fmt.Errorf("was removed or replaced, and can't be opened anew: %w", err))
		}
	}
	if d.sequence == math.MaxUint64 {
		return d.wrap(errors.New("the sequence numbers are used up, which no number of saves does " +
			"(remove the copies and start again)"))
	}
	d.sequence++
	head := header(d.sequence, time.Now(), payload)
	for _, name := range copyNames {
		if err := d.replace(name, head, payload); err != nil {
			return d.wrap(err)
		}
	}
	if err := d.Settle(); err != nil {
		return err
	}
	if err := d.gone(); err != nil {
		return d.wrap(fmt.Errorf("was removed or replaced while the state was saved: %w (the next save opens it anew)",
			err))
	}
	return nil
}

// gone returns why the path no longer names the open directory, or the lock that is held; or nil.
func (d *Dir) gone() error {
	if err := same(unix.AT_FDCWD, d.path, d.dir); err != nil {
		return err
	}
	if err := same(d.dir, lockName, d.lock); err != nil {
		return fmt.Errorf("%s: %w", lockName, err)
	}
	return nil
}

// reopen opens the directory that has taken the place of the open one. The next Save overwrites
// what it holds, since this process knows better.
func (d *Dir) reopen() error {
	if err := d.open(); err != nil {
		return err
	}
	for _, c := range readCopies(d.dir) {
		if c.Err == nil {
			d.sequence = max(d.sequence, c.Sequence)
		}
	}
	return nil
}

// replace replaces one copy by a new file.
func (d *Dir) replace(name string, header, payload []byte) (err error) {
	step := func(what string, err error) error {
		return fmt.Errorf("%s: %s %s: %w%s", name, what, tmpName, err, remedy(err))
	}
	remove := func() error { return retry(func() error { return unix.Unlinkat(d.dir, tmpName, 0) }) }
	create := func() (int, error) {
		return openat(d.dir, tmpName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	}

	fd, err := create()
	if errors.Is(err, unix.EEXIST) { // left by a process that was killed
		if err := remove(); err != nil {
			return step("removing an old", err)
		}
		fd, err = create()
	}
	if err != nil {
		return step("making", err)
	}
	defer func() {
		if err != nil {
			_ = remove() // if it can't be, the next Save says why
		}
	}()
	if what, err := fill(os.NewFile(uintptr(fd), tmpName), header, payload); err != nil {
		return step(what, err)
	}
	if err := retry(func() error { return unix.Renameat(d.dir, tmpName, d.dir, name) }); err != nil {
		return step("replacing it by", err)
	}
	return nil
}

// fill writes, syncs and closes a file. what names the step that failed.
func fill(f *os.File, header, payload []byte) (what string, err error) {
	what = "writing"
	if _, err = f.Write(header); err == nil {
		_, err = f.Write(payload)
	}
	if err == nil {
		what, err = "syncing", f.Sync()
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		what, err = "closing", cerr
	}
	return what, err
}

// wrap adds to an error which directory it is about.
func (d *Dir) wrap(err error) error { return fmt.Errorf("state directory %q: %w", d.path, err) }
