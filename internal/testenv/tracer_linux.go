package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Tracer follows the system calls by which a program touches a directory: those that name it, or
// what is in it, and those on a descriptor of such. It counts them over all threads, in the order
// in which they happen, and can kill the program at one of them. Each is two events: it begins,
// when nothing has been done, and it ends.
type Tracer struct {
	Dir    string // absolute and without symbolic links
	KillAt int    // SIGKILL at this event, from 1; 0: never

	// When the process has ended:
	Events []string // the call's name each
	Killed bool     // at KillAt
	Err    error    // why it couldn't be followed, or not to its end; then it was killed, too

	pid    int
	memory *os.File
	begun  map[int]string // calls that touch the directory, by thread
}

// A touch is a system call that can touch a directory. It begins with a descriptor, or with so many
// pairs of one and a path that is relative to it.
type touch struct {
	name  string
	paths int
}

var touches = map[uint64]touch{
	unix.SYS_OPENAT:     {"openat", 1},
	unix.SYS_OPENAT2:    {"openat2", 1},
	unix.SYS_MKDIRAT:    {"mkdirat", 1},
	unix.SYS_UNLINKAT:   {"unlinkat", 1},
	unix.SYS_RENAMEAT:   {"renameat", 2},
	unix.SYS_RENAMEAT2:  {"renameat2", 2},
	unix.SYS_LINKAT:     {"linkat", 2},
	unix.SYS_READLINKAT: {"readlinkat", 1},
	unix.SYS_FACCESSAT:  {"faccessat", 1},
	unix.SYS_FACCESSAT2: {"faccessat2", 1},
	fstatat:             {"fstatat", 1},
	unix.SYS_STATX:      {"statx", 1},
	unix.SYS_FCHMODAT:   {"fchmodat", 1},
	unix.SYS_READ:       {"read", 0},
	unix.SYS_PREAD64:    {"pread64", 0},
	unix.SYS_GETDENTS64: {"getdents64", 0},
	unix.SYS_WRITE:      {"write", 0},
	unix.SYS_WRITEV:     {"writev", 0},
	unix.SYS_PWRITE64:   {"pwrite64", 0},
	unix.SYS_FTRUNCATE:  {"ftruncate", 0},
	unix.SYS_FSYNC:      {"fsync", 0},
	unix.SYS_FDATASYNC:  {"fdatasync", 0},
	unix.SYS_FLOCK:      {"flock", 0},
	unix.SYS_FSTAT:      {"fstat", 0},
	unix.SYS_FCHMOD:     {"fchmod", 0},
	unix.SYS_FCNTL:      {"fcntl", 0},
	unix.SYS_LSEEK:      {"lseek", 0},
	unix.SYS_CLOSE:      {"close", 0},
}

// fstatat is the only one that package unix calls otherwise on each machine, and the older calls
// without "at" are missing on some. Go doesn't use those.
var fstatat = map[string]uint64{"amd64": 262, "arm64": 79}[runtime.GOARCH]

// StartTraced is Start for a program that a Tracer follows. The Tracer belongs to it until the
// process has ended.
func StartTraced(t testing.TB, cmd *exec.Cmd, tracer *Tracer) *Process {
	t.Helper()
	if fstatat == 0 {
		t.Fatalf("testenv.Tracer doesn't know the number of fstatat on %s: add it", runtime.GOARCH)
	}
	cmd.SysProcAttr = tracedAttr()
	return start(t, cmd, tracer.follow)
}

// tracedAttr makes a program that waits to be followed, in a process group of its own.
func tracedAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Ptrace: true, Setpgid: true} }

// follow runs on the thread that has started the process, which therefore is the tracer. When the
// process has ended it returns, and leaves it to be waited for: whoever waits before would be told
// of every stop.
func (tr *Tracer) follow(pid int) {
	tr.pid, tr.begun = pid, map[int]string{}
	_, err := unix.Wait4(pid, nil, unix.WALL, nil) // it stops when exec has loaded the program
	if err == nil {
		tr.memory, err = os.Open(fmt.Sprintf("/proc/%d/mem", pid))
		defer tr.memory.Close()
	}
	if err == nil {
		err = unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL)
	}
	if err == nil {
		err = unix.PtraceSyscall(pid, 0)
	}
	for ended := false; !ended; {
		if err != nil && tr.Err == nil {
			tr.Err = fmt.Errorf("following process %d by ptrace(2), after event %d: %w", pid, len(tr.Events), err)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		ended, err = tr.next()
	}
}

// next waits for what the next thread tells, and lets that go on, unless the process is to die:
// then no thread begins another call.
func (tr *Tracer) next() (ended bool, err error) {
	// This thread's, in the program's process group: not what other tests have started, which may have
	// been on this thread.
	const ours = unix.WALL | unix.WNOTHREAD
	var info struct { // siginfo_t of a SIGCHLD
		_, _, code, _, pid int32
		_                  [108]byte
	}
	err = unix.Waitid(unix.P_PGID, tr.pid, (*unix.Siginfo)(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|ours, nil)
	if err != nil {
		return err == unix.ECHILD, besides(err, unix.EINTR)
	}
	const dumped = 3 // CLD_DUMPED; the two below it are ends as well
	thread := int(info.pid)
	if thread == tr.pid && info.code <= dumped { // told when all its threads have been waited for
		return true, nil
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(thread, &status, ours, nil); err != nil || !status.Stopped() || tr.Err != nil {
		return false, besides(err, unix.EINTR)
	}
	signal := status.StopSignal()
	switch {
	case signal == unix.SIGTRAP|0x80: // PTRACE_O_TRACESYSGOOD's
		signal = 0
		err = tr.call(thread)
	case status.TrapCause() > 0, signal == unix.SIGSTOP: // it has made a thread, or is one that was made
		signal = 0
	}
	if err == nil && !tr.Killed {
		err = unix.PtraceSyscall(thread, int(signal))
	}
	return false, besides(err, unix.ESRCH) // somebody else has killed it
}

// besides returns an error that isn't the one that is expected.
func besides(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// call looks at the system call that a thread begins or ends, and kills the process where it is to
// die.
func (tr *Tracer) call(thread int) error {
	var info struct { // struct ptrace_syscall_info
		op   uint8
		_    [23]byte
		nr   uint64
		args [6]uint64
		_    [8]byte
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), unsafe.Sizeof(info),
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("PTRACE_GET_SYSCALL_INFO, which is there since Linux 5.3: %w", errno)
	}
	name, touching := tr.begun[thread]
	delete(tr.begun, thread)
	if info.op == unix.PTRACE_EVENTMSG_SYSCALL_ENTRY {
		call, known := touches[info.nr]
		if name, touching = call.name, known && tr.touches(call, info.args[:]); touching {
			tr.begun[thread] = name
		}
	}
	if !touching {
		return nil
	}
	tr.Events = append(tr.Events, name)
	if len(tr.Events) != tr.KillAt {
		return nil
	}
	tr.Killed = true
	return unix.Kill(tr.pid, unix.SIGKILL) // a call that is about to begin isn't done then
}

// touches reports whether a call concerns the directory.
func (tr *Tracer) touches(call touch, args []uint64) bool {
	for i := range max(call.paths, 1) {
		file, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tr.pid, int32(args[2*i])))
		path := make([]byte, len(tr.Dir)+1)
		n := 0
		if call.paths > 0 {
			n, _ = tr.memory.ReadAt(path, int64(args[2*i+1])) // fewer, where its memory ends
		}
		if tr.holds(file) || tr.holds(string(path[:n])) {
			return true
		}
	}
	return false
}

// holds reports whether a path, of which only the beginning need be known, is the directory's or
// leads into it.
func (tr *Tracer) holds(path string) bool {
	rest, ok := strings.CutPrefix(path, tr.Dir)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == 0)
}
