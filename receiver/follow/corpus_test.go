package follow

import (
	"bytes"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
)

// No line of a real log is taken apart unless it is longer than one message can be.
func TestFileCorpusLines(t *testing.T) {
	names := corpus.Files(t, "file/*.log")
	if len(names) < 40 {
		t.Fatalf("%d log files in the corpus, want 40 and more", len(names))
	}
	for _, name := range names {
		b := corpus.ReadFile(t, name)
		opt := Options{Path: name, SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
		sink := newLineSink()
		f := follow(t, sink, opt)
		must(t, f.generations[0].drain())
		whole := b[:bytes.LastIndexByte(b, '\n')+1]
		want := strings.Split(strings.TrimSuffix(string(whole), "\n"), "\n")
		sink.check(t, true, want...)
		f.Close()
	}
}
