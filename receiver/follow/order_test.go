package follow

import (
	"os"
	"strings"
	"testing"
	"time"
)

// What a file held before the next one came is delivered before that one's first line: a pid that ended in the older may be another's in
// the newer.
func TestFileGenerationsInTurn(t *testing.T) {
	const many = 30_000 // ten blocks
	sink := newLineSink()
	path := t.TempDir() + "/log"
	f := follow(t, sink, Options{Path: path, SetOptions: SetOptions{Poll: time.Minute}})
	// Both files are found before either is read.
	create(t, path).write(text(lines(0, many)))
	must(t, os.Rename(path, path+".1"))
	create(t, path).write(strings.ToUpper(line(0)) + "\n")
	f.look()
	start(t, f)
	reachCount(t, sink, many+1)
	sink.check(t, true, append(lines(0, many), strings.ToUpper(line(0)))...)
}
