package testenv

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// released is what Released returns.
var released struct {
	sync.Once
	dir string
	err error
}

// Released builds the exporter as it is released, where every user can start it. With the race
// detector it takes several times the memory, so that a limit says little, and several times the
// CPU. TestMain of a package that calls it calls RemoveReleased.
func Released(t testing.TB) string {
	t.Helper()
	released.Do(func() {
		if released.dir, released.err = os.MkdirTemp("", "rx"); released.err != nil {
			return
		}
		program := filepath.Join(released.dir, "rsyncd_exporter")
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./cmd/rsyncd_exporter")
		cmd.Dir = Root(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			released.err = fmt.Errorf("go build: %w\n%s", err, out)
			return
		}
		released.err = errors.Join(os.Chmod(released.dir, 0o755), os.Chmod(program, 0o755)) // whatever the umask
	})
	if released.err != nil {
		t.Fatal(released.err)
	}
	return filepath.Join(released.dir, "rsyncd_exporter")
}

// RemoveReleased removes what Released has made.
func RemoveReleased() { os.RemoveAll(released.dir) }

// An Exporter is the program as it is released, as a process of its own.
type Exporter struct {
	*Process
	Address string // where HTTP answers
}

// StartExporter starts the exporter with these flags, and no settings in its environment. Within is
// a command that starts it, SmallDisk.Within; nil: none.
func StartExporter(t testing.TB, within []string, flags ...string) *Exporter {
	t.Helper()
	return startExporter(t, nil, within, flags...)
}

// StartExporterOn is StartExporter on a UDP socket that the exporter is passed, as by systemd.
func StartExporterOn(t testing.TB, udp *os.File, flags ...string) *Exporter {
	t.Helper()
	// LISTEN_PID must be the exporter's, which only a process that becomes it knows beforehand.
	return startExporter(t, []*os.File{udp}, []string{"/bin/sh", "-c",
		`export LISTEN_FDS=1 LISTEN_FDNAMES=udp LISTEN_PID=$$; exec "$@"`, "sh"}, flags...)
}

func startExporter(t testing.TB, passed []*os.File, within []string, flags ...string) *Exporter {
	t.Helper()
	e := &Exporter{Address: fmt.Sprintf("127.0.0.1:%d", Port(t))}
	command := append(slices.Clone(within), Released(t), "--http-listen="+e.Address)
	command = append(command, flags...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.ExtraFiles = passed
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "RSYNCD_EXPORTER_")
	})
	e.Process = Start(t, cmd)
	e.Ready(t, "the exporter to be ready", func() bool {
		resp, err := http.Get("http://" + e.Address + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return e
}
