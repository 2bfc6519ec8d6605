package follow

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// splitLines makes lines of one second: each begins with the number of its file, then the pid.
func splitLines(stamp string, lines ...string) (all []splitLine) {
	for _, l := range lines {
		file, rest, _ := strings.Cut(l, " ")
		pid, text, _ := strings.Cut(rest, " ")
		all = append(all, splitLine{file: int(file[0] - '0'), text: stamp + " [" + pid + "] " + text})
	}
	return all
}

// Within a second a module's lines come after its daemon's of the same session, and the next connect under a pid
// comes after the end of the session that had it. The end of a backlog is told once, after all of it.
func TestMergeWithinASecond(t *testing.T) {
	files := newSplitFiles(t, 2)
	log := splitLines("2026/11/23 12:00:00",
		"0 500 connect from c (192.0.2.1)", "0 500 rsync allowed access on module m from c (192.0.2.1)",
		"1 500 rsync on m/ from c (192.0.2.1)")
	log = append(log, splitLines("2026/11/23 12:00:01", "1 500 sent 1 bytes  received 2 bytes  total size 3",
		"0 500 connect from d (192.0.2.2)", "0 500 rsync allowed access on module m from d (192.0.2.2)",
		"1 500 rsync on m/ from d (192.0.2.2)", "1 500 sent 4 bytes  received 5 bytes  total size 6")...)
	files.write(log)
	sink := newMergeSink()
	s := followSet(t, sink, files.opt)
	stop := runSet(t, s)
	reach(t, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
	stop()
	sink.check(t, log)
	if !slices.Equal(sink.told, []int{len(log)}) {
		t.Errorf("told after %v lines, want once, after %d", sink.told, len(log))
	}
}

// A live line of one file waits until the other has been looked at, which may hold an older one that nobody has
// noticed yet: nothing here tells of it, and the next look by itself would be an hour later.
func TestMergeLooksBeforeALiveLine(t *testing.T) {
	files := newSplitFiles(t, 2)
	files.opt.pollOnly, files.opt.Poll = true, time.Hour
	for i := range files.paths {
		create(t, files.paths[i])
	}
	sink := newMergeSink()
	s := followSet(t, sink, files.opt)
	stop := runSet(t, s)
	reach(t, "it has caught up", func() bool { return isClosed(s.CaughtUp()) })
	log := splitLines(time.Now().Format("2006/01/02 15:04:05"),
		"0 500 connect from c (192.0.2.1)", "1 500 rsync on m/ from c (192.0.2.1)")
	files.write(log)
	module := s.targetAt(files.paths[1])
	module.mu.Lock()
	for _, g := range module.generations {
		poke(g.wake)
	}
	module.mu.Unlock()
	reach(t, "a line", func() bool { return sink.count() > 0 })
	sink.mu.Lock()
	first := sink.lines[0]
	sink.mu.Unlock()
	if first != log[0].text {
		t.Fatalf("first came %q, want %q", first, log[0].text)
	}
	reach(t, "both lines", func() bool { return sink.count() == 2 })
	stop()
	sink.check(t, log)
}
