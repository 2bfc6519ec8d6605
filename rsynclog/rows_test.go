package rsynclog

import (
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
)

// A row that is never the first to fit is in vain, or stands behind one that takes its lines.
func TestEveryRowHasAnExampleThatItIsTheFirstToFit(t *testing.T) {
	first := map[*line]bool{}
	examples, err := corpus.Examples("testdata/lines.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		text := []byte(e.Text)
		lines, pos := ownLines.find(text), 0
		if strings.HasPrefix(e.Text, "rsync: [") {
			pos = strings.Index(e.Text, "] ") + 2
			lines = failureLines.find(text[pos:])
		} else if strings.HasPrefix(e.Text, "[") {
			pos = strings.Index(e.Text, "] ") + 2
			lines = processLines.find(text[pos:])
		}
		var ev Event
		for _, l := range lines {
			if l.match(text, pos, &ev) {
				first[l] = true
				break
			}
		}
	}
	for _, index := range []*index{ownLines, failureLines, processLines} {
		all := index.firsts[:]
		for i := range index.slots {
			all = append(all, index.slots[i].lines)
		}
		for _, lines := range all {
			for _, l := range lines {
				if !first[l] {
					t.Errorf("no example of %s, %q … %q", l.kind, l.front, l.end)
					first[l] = true
				}
			}
		}
	}
}
