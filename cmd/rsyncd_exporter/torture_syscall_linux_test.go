package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// Gate Q3, FAULTS L3: the program is killed at each event of its life that touches the state directory: where the first, second, third … system
// call on it begins, and where it ends (testenv.Tracer). A life finds a state or none, saves one before it is ready, at scrapes, and at SIGTERM.
// Its threads, and scrapes that come at once, don't share the work in the same way each time, so the n-th event isn't the same call each time:
// what is certain is that each n is tried, until three in a row are more events than their lives had. After that one copy of the state gets
// lost, or the other, or none. `make torture` tries all; here it is a random few.
func TestKillAtEverySyscall(t *testing.T) {
	t.Parallel()
	seed := testenv.Seed(t)
	random := rand.New(rand.NewPCG(seed, 3))
	t.Run("first start", func(t *testing.T) {
		killAtEach(t, random, 2, 150, func(n int, lost string) *testenv.Tracer { return firstLife(t, random.Uint64(), n, lost) })
	})
	t.Run("restart", func(t *testing.T) {
		socket := filepath.Join(testenv.Dir(t), "dev-log")
		s := newSiege(t, seed, "--listen-unixgram="+socket)
		s.lossy = []string{seriesName("rsync_messages_total", "kind", "unrecognised")}
		for _, w := range s.w.all() {
			w.every, w.keeps = 60, true
		}
		for _, scraper := range s.scrapers {
			scraper.end() // from now on it scrapes when it is told to
		}
		s.counted()
		s.kill()
		killAtEach(t, random, 3, 200, func(n int, lost string) *testenv.Tracer { return s.life(socket, n, lost) })
		s.start()
		s.ready()
		s.finish()
	})
}

// killAtEach makes lives that end at their n-th event and then lose a copy of the state, or none: all with TORTURE, otherwise some random ones,
// at events that every life has; there are so many at least.
func killAtEach(t *testing.T, random *rand.Rand, short, fewest int, life func(n int, lost string) *testenv.Tracer) {
	t.Helper()
	all := []string{"", "state.a", "state.b"}
	died, most := map[string]int{}, 0
	one := func(n int, lost string) (killed bool) {
		t.Logf("to be killed at event %d, and then to lose %q", n, lost)
		tracer := life(n, lost)
		if tracer.Killed {
			died[tracer.Events[n-1]]++
			return true
		}
		most = max(most, len(tracer.Events))
		if n <= fewest {
			t.Errorf("a life had %d events that touch the state directory, want %d at least: %q", len(tracer.Events), fewest, tracer.Events)
		}
		return false
	}
	if testenv.Tortured(1, 0) > 0 {
		for range short {
			one(1+random.IntN(fewest), all[random.IntN(len(all))])
		}
	} else {
		for n, survived := 1, 0; survived < 3; n++ {
			killed := false
			for _, lost := range all {
				killed = one(n, lost) || killed
			}
			if survived++; killed {
				survived = 0
			}
		}
	}
	t.Logf("lives ended by each system call: %v; the longest of the others had %d events", died, most)
}

// startTraced starts the program, which a tracer kills at the n-th event.
func (v *victim) startTraced(n int) *testenv.Tracer {
	v.t.Helper()
	real, err := filepath.EvalSymlinks(filepath.Dir(v.state))
	if err != nil {
		v.t.Fatal(err)
	}
	tracer := &testenv.Tracer{Dir: filepath.Join(real, filepath.Base(v.state)), KillAt: n}
	v.Process = testenv.StartTraced(v.t, v.command(), tracer)
	return tracer
}

// readyOrKilled waits.
func (v *victim) readyOrKilled() (ready bool) {
	v.t.Helper()
	testenv.Until(v.t, patient, "the program to be ready, or to be killed", func() bool {
		select {
		case <-v.Ended():
			return true
		default:
		}
		ready = v.isReady()
		return ready
	})
	return ready
}

// over ends the program, unless it was killed, and then loses a copy of the state, if one is named.
func (v *victim) over(tracer *testenv.Tracer, lost string) {
	v.t.Helper()
	err := v.Stop() // or it is killed as it saves its last state
	v.wait()
	if tracer.Err != nil {
		v.t.Fatal(tracer.Err)
	}
	if !tracer.Killed && err != nil {
		v.t.Errorf("after SIGTERM: %v\n%s", err, v.Output())
	}
	if lost == "" {
		return
	}
	if err := os.Remove(filepath.Join(v.state, lost)); err != nil && !errors.Is(err, os.ErrNotExist) { // there may have been no save yet
		v.t.Fatal(err)
	}
}

// firstLife is one that finds an empty directory. All lines are counted that come after it was ready, or if it never was, the next one.
func firstLife(t *testing.T, seed uint64, n int, lost string) *testenv.Tracer {
	t.Helper()
	dir := testenv.Dir(t)
	w := newWorld(filepath.Join(dir, "log"), seed)
	write := func(lines uint64) {
		t.Helper()
		end := w.lines + lines
		if err := w.run(func() bool { return w.lines >= end }); err != nil {
			t.Fatal(err)
		}
	}
	write(50)
	if err := w.end(); err != nil { // it may have been rotated, and nobody looks for what has gone before the first start
		t.Fatal(err)
	}
	v := unbornVictim(t, newStateDir(t, dir), worldArgs(w)...)
	tracer := v.startTraced(n)
	ready := v.readyOrKilled()
	before := w.lines
	if ready {
		write(20)
		_, _ = received(v.url) // a save
		write(20)
	}
	v.over(tracer, lost)
	if ready {
		write(20)
	}
	v.start()
	v.ready()
	write(20)
	if err := caughtUp(v.url, w.lines-before); err != nil {
		t.Fatalf("ready %v: %v\n%s", ready, err, v.Output())
	}
	v.kill()
	return tracer
}

// life is one that finds a state. It is scraped by one and by two at once, while messages come by a socket, which a kill may cost: but not once
// they were shown.
func (s *siege) life(socket string, n int, lost string) *testenv.Tracer {
	s.t.Helper()
	tracer := s.startTraced(n)
	if s.readyOrKilled() {
		stop := send(s.t, socket)
		s.write(30)
		s.scrapers[0].scrape()
		s.write(30)
		var both sync.WaitGroup
		for _, scraper := range s.scrapers {
			both.Go(func() { scraper.scrape() })
		}
		s.write(30)
		both.Wait()
		stop()
	}
	s.over(tracer, lost)
	s.write(20)
	s.start()
	s.ready()
	for _, scraper := range s.scrapers {
		scraper.scrape()
		if len(scraper.problems) > 0 {
			s.t.Fatalf("%q", scraper.problems)
		}
	}
	s.counted()
	for _, w := range s.w.all() {
		if err := tried(w.purge); err != nil {
			s.t.Fatal(err)
		}
	}
	s.kill()
	return tracer
}

// send sends messages of no kind that is known, until it is told to stop or nobody receives them any more.
func send(t *testing.T, socket string) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		c, err := net.Dial("unixgram", socket)
		if err != nil {
			return // it was killed
		}
		defer c.Close()
		for err == nil {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				_, err = c.Write([]byte("<30>Nov 23 18:40:52 rsyncd[505]: what no rsync says"))
			}
		}
	}()
	return func() { close(done); <-stopped }
}
