package follow

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	partConnect  = "2026/11/23 18:40:52 [505] connect from localhost (127.0.0.1)"
	partShutdown = "2026/11/23 18:40:53 [9] sent 0 bytes  received 0 bytes  total size 0"
)

// A followed file goes on behind such a part, and a compressed one does, too, and doesn't hold up the one that came after.
func TestFilesWithPartsThatNeverEnd(t *testing.T) {
	const first, part = headerA + "first of all lines, and longer than an anchor: xxxxxxxxxxxxxxxxxxxxxxx\n", criStamp + " stdout P y\n"
	path := filepath.Join(t.TempDir(), "a.log")
	opt := setOptions(path)
	opt.FromBeginning = true
	writeFile(t, path, []byte(first+part+text(lines(0, 20000))))
	sink := newMergeSink()
	set := followSet(t, sink, opt)
	stop := runSet(t, set)
	reach(t, "the end of the file", func() bool { return sink.count() == 20001 })
	stop()
	state := set.Catalogue(sink.counted())
	must(t, os.Remove(path))
	writeFile(t, path+".1.gz", gzipped(t, first+part+text(lines(0, 20000))+part+text(lines(20000, 40000))))
	writeFile(t, path, []byte(text(lines(40000, 40002))))
	opt.Resume = state
	stop = runSet(t, followSet(t, sink, opt))
	defer stop()
	reach(t, "the end of both files", func() bool { return sink.count() == 40003 })
}

// A line in parts holds up neither its file nor another of the same daemon.
func TestMergedFilesWithParts(t *testing.T) {
	const other = "2026/11/23 18:40:52 [505] rsync on m/ from localhost (127.0.0.1)\n"
	long := headerA + strings.Repeat("x", 20000)
	for name, write := range map[string]func(string) string{
		"CRI":                func(line string) string { return cri("stdout", line, 16<<10) },
		"docker's json-file": func(line string) string { return jsonFile(t, line) },
	} {
		files := newSplitFiles(t, 2)
		writeFile(t, files.paths[0], []byte(write(partConnect)+write(long)+write(partShutdown)))
		writeFile(t, files.paths[1], []byte(other))
		sink := newMergeSink()
		set := followSet(t, sink, files.opt)
		stop := runSet(t, set)
		reach(t, name+": the end of both files", func() bool {
			status := set.Status()
			return isClosed(set.CaughtUp()) && status[0].Lag+status[1].Lag == 0
		})
		stop()
		if n := sink.count(); n != 4 { // the long one is for the pipeline to discard
			t.Errorf("%s: %d lines, want 4: %.60q", name, n, sink.lines)
		}
	}
}
