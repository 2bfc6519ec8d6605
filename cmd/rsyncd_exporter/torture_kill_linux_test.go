package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/api"
)

// A victim is the program with a state directory, started again and again at one address.
type victim struct {
	*exporter
	*testenv.Process
	state   string // the directory
	args    []string
	wrapper []string // a program that starts it, where one is needed
	lost    int      // lives that ended

	released bool // it is testenv.Released's
}

func newVictim(t *testing.T, state string, args ...string) *victim {
	t.Helper()
	return newVictimWithin(t, nil, state, args...)
}

func newVictimWithin(t *testing.T, wrapper []string, state string, args ...string) *victim {
	t.Helper()
	v := unbornVictim(t, state, args...)
	v.wrapper = wrapper
	v.start()
	v.ready()
	return v
}

// unbornVictim is one that hasn't been started yet.
func unbornVictim(t *testing.T, state string, args ...string) *victim {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	return &victim{
		exporter: &exporter{t, "http://" + address}, state: state, args: append([]string{"--http-listen=" + address, "--state-dir=" + state}, args...),
	}
}

// start starts the program anew, and doesn't wait until it is ready.
func (v *victim) start() {
	v.t.Helper()
	v.Process = testenv.Start(v.t, v.command())
}

func (v *victim) command() *exec.Cmd {
	v.t.Helper()
	self, err := os.Executable()
	if err != nil {
		v.t.Fatal(err)
	}
	program := []string{self, "-test.run=^TestHelperProcess$"}
	if v.released {
		program = append([]string{testenv.Released(v.t)}, v.args...)
	}
	command := slices.Concat(v.wrapper, program)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), helperVariable+"=run", helperArgs+"="+strings.Join(v.args, "\n"), quickExit)
	return cmd
}

func (v *victim) isReady() bool {
	r, err := http.Get(v.url + "/-/ready")
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

func (v *victim) ready() {
	v.t.Helper()
	v.Ready(v.t, "the exporter to be ready", v.isReady)
}

// kill sends SIGKILL and waits for the end.
func (v *victim) kill() {
	v.t.Helper()
	if err := v.Signal(syscall.SIGKILL); err != nil {
		v.t.Fatal(err)
	}
	v.wait()
}

// wait waits for the program's end and looks at what it said.
func (v *victim) wait() {
	v.t.Helper()
	select {
	case <-v.Ended():
	case <-time.After(patient):
		v.t.Fatalf("the program hasn't ended:\n%s", v.Output())
	}
	v.lost++
	v.sound()
}

// sound fails the test if the program met a mistake of its own, or threw a state away that it wrote itself.
func (v *victim) sound() {
	v.t.Helper()
	for _, bad := range []string{"panic", "DATA RACE", "fatal error", "set aside"} {
		if out := v.Output(); strings.Contains(out, bad) {
			v.t.Errorf("%q in the output of life %d:\n%s", bad, v.lost, out)
		}
	}
}

// terminate sends SIGTERM, which must end the program well.
func (v *victim) terminate() {
	v.t.Helper()
	err := v.Stop()
	v.wait()
	if err != nil {
		v.t.Errorf("after SIGTERM: %v\n%s", err, v.Output())
	}
}

// A siege is a world of two log files, the program that follows it with a state directory, and two scrapers that are there from the beginning.
type siege struct {
	*victim
	w        *world
	scrapers [2]*scraper
	lossy    []string // series of which a kill may cost something: what was shown is all that is known
}

func newSiege(t *testing.T, seed uint64, args ...string) *siege {
	t.Helper()
	return newSiegeWithin(t, seed, newStateDir(t, testenv.Dir(t)), nil, args...)
}

func newStateDir(t *testing.T, dir string) string {
	t.Helper()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	return state
}

func newSiegeWithin(t *testing.T, seed uint64, state string, wrapper []string, args ...string) *siege {
	t.Helper()
	dir := testenv.Dir(t)
	w := newWorld(filepath.Join(dir, "log"), seed)
	w.beside = []*world{newWorld(filepath.Join(dir, "other"), seed+1)}
	return newSiegeOf(t, w, seed, state, wrapper, args...)
}

func newSiegeOf(t *testing.T, w *world, seed uint64, state string, wrapper []string, args ...string) *siege {
	t.Helper()
	s := &siege{w: w, victim: newVictimWithin(t, wrapper, state, worldArgs(w, args...)...)}
	for i, w := range s.w.all() {
		w.minute = i
		w.caughtUp = func() error { return caughtUp(s.url, s.w.written()) }
	}
	for i := range s.scrapers {
		s.scrapers[i] = startScraper(t, s.url, seed+uint64(i))
	}
	return s
}

// write writes so many lines, and rotates meanwhile.
func (s *siege) write(lines uint64) {
	s.t.Helper()
	end := s.w.written() + lines
	if err := s.w.run(func() bool { return s.w.written() >= end }); err != nil {
		s.t.Fatal(err)
	}
}

// counted waits until the program has counted all that was written.
func (s *siege) counted() {
	s.t.Helper()
	if err := s.w.caughtUp(); err != nil {
		s.t.Fatalf("%v\n%s", err, s.Output())
	}
}

// finish ends all sessions and compares what the scrapers have counted with what is true.
func (s *siege) finish() {
	s.t.Helper()
	if err := s.w.end(); err != nil {
		s.t.Fatal(err)
	}
	s.counted()
	truth := s.w.truth()
	for _, name := range s.lossy {
		truth[name] = s.scrape()[name]
	}
	for _, scraper := range s.scrapers {
		for _, w := range s.w.all() {
			scraper.deleted += w.deleted
		}
		scraper.finish(s.t, truth)
	}
	s.want(s.scrape(), 1, "rsyncd_exporter_state_ok")
	s.backups()
	s.terminate()
}

// backups compares what is known of expected backups with the gauges that are there without them.
func (s *siege) backups() {
	s.t.Helper()
	all := askAPI[api.Backups](s.t, s.exporter, "backups").Backups
	if expected := strings.Count(strings.Join(s.args, " "), "<26h"); len(all) != expected {
		s.t.Errorf("%d backups are expected, want %d", len(all), expected)
	}
	for _, b := range all {
		want, got := 0.0, 0.0
		for name, at := range s.scrape() {
			if strings.HasPrefix(name, "rsync_last_success_timestamp_seconds{") && strings.Contains(name, `direction="receive"`) &&
				strings.Contains(name, `module="`+b.Module+`"`) {
				want = max(want, at)
			}
		}
		if b.LastSuccess != nil {
			got = float64(b.LastSuccess.UnixNano()) / 1e9
		}
		if math.Abs(got-want) > 0.001 || (b.State == "never") != (want == 0) {
			s.t.Errorf("backup %s is %s, and came last at %v; by the gauges at %v", b.Name, b.State, got, want)
		}
	}
}

// pause waits for a random time: for once a test wants to hit anything but a certain moment.
func pause(r *rand.Rand, most time.Duration) { time.Sleep(time.Duration(r.Int64N(int64(most)))) }

// addGuests adds log files that only patterns name, and that come and go.
func (w *world) addGuests(t *testing.T, seed uint64) {
	t.Helper()
	dir := filepath.Join(filepath.Dir(w.path), guests)
	for i, name := range []string{"modules/a.log", "modules/b.log", "modules/c.log", "hosts/a", "hosts/b"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		guest := newWorld(path, seed+uint64(10+i))
		guest.pattern = filepath.Join(filepath.Dir(path), "*"+filepath.Ext(name))
		guest.every, guest.mortal = testenv.Tortured(60, 500), testenv.Tortured(500, 20_000)
		guest.shy = filepath.Ext(name) == ""
		guest.leave()
		w.beside = append(w.beside, guest)
	}
}

// Gate Q3, FAULTS L2: the program is killed at random times, ready or not, while lines are written, files rotated and others come and go,
// also while it is down. Two scrapers see each line once, the session log, which is rotated too, has each session once, and expected backups
// came when they did. `make torture` does it 1,000 times.
func TestKillTorture(t *testing.T) {
	t.Parallel()
	seed := testenv.Seed(t)
	dir := testenv.Dir(t)
	w, other := newWorld(filepath.Join(dir, "log"), seed), newWorld(filepath.Join(dir, "other"), seed+1)
	w.rate, w.every, other.every = testenv.Tortured(3000, 10_000), testenv.Tortured(150, 600), testenv.Tortured(100, 500)
	w.beside = []*world{other}
	w.addGuests(t, seed)
	sessions := rotatedLog{path: filepath.Join(dir, "sessions")}
	s := newSiegeOf(t, w, seed, newStateDir(t, dir), nil, "--session-log="+sessions.path,
		"--expect=mirror<26h,backup<26h,nobodys<26h")
	var over atomic.Bool
	written := make(chan error, 1)
	go func() { written <- s.w.run(over.Load) }()
	defer over.Store(true)

	random := rand.New(rand.NewPCG(seed, 3))
	for range testenv.Tortured(8, 1000) {
		ready := random.IntN(3) > 0
		if ready {
			s.ready()
		}
		pause(random, 250*time.Millisecond)
		sessions.rotate(t, random)
		if ready && random.IntN(4) == 0 { // before, SIGTERM may come before the program minds it
			s.terminate()
		} else {
			s.kill()
		}
		if random.IntN(2) == 0 {
			pause(random, 150*time.Millisecond)
			sessions.rotate(t, random)
		}
		s.start()
	}
	s.ready()
	over.Store(true)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	rotated, vanished := 0, 0
	for _, w := range s.w.all() {
		rotated, vanished = rotated+w.rotated, vanished+w.vanished
	}
	t.Logf("%d lines, %d rotations, %d files that went for good, %d lives", s.w.written(), rotated, vanished, s.lost+1)
	s.finish()
	sessions.compare(t, s.w.all())
}

// received returns how many lines of files the program shows, and an error where it shows nothing.
func received(url string) (float64, error) {
	r, err := http.Get(url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	series, err := counters(r.Body)
	got, ok := series[`rsyncd_exporter_received_total{input="file"}`]
	if err == nil && !ok {
		err = errors.New(r.Status)
	}
	return got, err
}
