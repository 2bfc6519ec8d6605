package corpus

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

var pidField = regexp.MustCompile(`(?m)^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )\[(\d+)\] `)

// AppendLog appends the recorded lines of the log files in dir (testdata/corpus/file) to a log file
// again and again, up to size bytes of them, and returns how many lines that are. Each pass has
// pids of its own, so that its sessions are new ones.
func AppendLog(path, dir string, size int64) (lines int64, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("no recorded lines in %q: run this in the repository", dir)
	}
	slices.Sort(names)
	var recorded []byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		recorded = append(recorded, b...)
		if !bytes.HasSuffix(b, []byte("\n")) {
			recorded = append(recorded, '\n')
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for pass, written := 0, int64(0); written < size; pass++ {
		text := pidField.ReplaceAll(recorded, fmt.Appendf(nil, "${1}[${2}%02d] ", pass%100))
		if int64(len(text)) > size-written { // the last one ends with a whole line
			text = text[:bytes.LastIndexByte(text[:size-written], '\n')+1]
		}
		if len(text) == 0 {
			break
		}
		n, err := w.Write(text)
		if err != nil {
			return 0, err
		}
		written += int64(n)
		lines += int64(bytes.Count(text, []byte("\n")))
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return lines, f.Sync() // so that it isn't written to the disk while somebody measures how it is read
}
