package follow

import (
	"testing"

	"rsyncd_exporter/receiver"
)

// A save calls a file a copy only if the save counts all that it holds. Otherwise it may be all that is left of these lines after a kill.
func TestRecordOfCopies(t *testing.T) {
	log, copyID := receiver.FileID{Inode: 1}, receiver.FileID{Inode: 2}
	position := func(offset int64) receiver.FilePosition { return receiver.FilePosition{ID: log, Offset: offset} }
	for name, test := range map[string]struct {
		counted int64 // of the log, -1 if the Sink has counted nothing of it since the start, which was at 0
		ahead   bool
		want    Verdict
		size    int64
	}{
		"all is counted":                       {1000, false, Copied, 900},
		"just all is counted":                  {900, false, Copied, 900},
		"not all is counted":                   {899, false, Unsure, -1},
		"nothing is counted":                   {-1, false, Unsure, -1},
		"its lines were cut before their turn": {1000, true, Unsure, -1},
	} {
		c := newCatalogue()
		c.put(entry{FileRecord: FileRecord{Pos: position(1000), Verdict: Read}, begin: position(0)})
		c.put(entry{FileRecord: FileRecord{Pos: receiver.FilePosition{ID: copyID, Offset: 900}, Verdict: Copied, Of: log, Size: 900, Ahead: test.ahead}})
		counted := map[receiver.FileID]receiver.FilePosition{}
		if test.counted >= 0 {
			counted[log] = position(test.counted)
		}
		var saved Catalogue
		c.record(&saved, counted)
		if len(saved.Known) != 2 {
			t.Fatalf("%s: %d files are saved, want 2", name, len(saved.Known))
		}
		if got := saved.Known[0].Pos.Offset; got != max(test.counted, 0) {
			t.Errorf("%s: the log is saved as counted to %d", name, got)
		}
		if r := saved.Known[1]; r.Verdict != test.want || r.Size != test.size {
			t.Errorf("%s: the copy is saved with verdict %d and size %d, want %d and %d", name, r.Verdict, r.Size, test.want, test.size)
		}
	}
}
