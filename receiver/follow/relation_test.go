package follow

import (
	"fmt"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
)

func contentOf(s string) *content {
	return newContent(func(p []byte, offset int64) (int, error) { return copy(p, s[min(int(offset), len(s)):]), nil }, int64(len(s)), true)
}

// Two logs whose lines differ have their starts in common, however the last lines end.
func TestCommonLength(t *testing.T) {
	const end = "  total size 5\n"
	for _, size := range []int{100, tailSize - 1, tailSize, tailSize + 3, 2*tailSize - 1, 2*tailSize + 5, 5*tailSize + 1} {
		log := strings.Repeat("a", size-len(end)) + end
		for _, at := range []int{0, 1, 70, tailSize - 1, tailSize, 2*tailSize - 1, size - len(end) - 1, size} {
			if at >= size-len(end) && at != size {
				continue
			}
			other := log[:at] + strings.Repeat("b", max(0, size-at-len(end))) + log[max(at, size-len(end)):]
			if got := commonLength(contentOf(log), contentOf(other), int64(size)); got != int64(at) {
				t.Errorf("%d of %d bytes in common, got %d", at, size, got)
			}
		}
	}
	if n := commonLength(contentOf(""), contentOf("a"), 0); n != 0 {
		t.Errorf("%d bytes in common with nothing", n)
	}
}

// logLines returns lines of a log, which are all different.
func logLines(daemon string, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "2026/11/23 18:%02d:%02d [%d] line %d of %s: send /srv/data/%d.bin to a client\n", i/60%60, i%60, 100+i, i, daemon, i)
	}
	return b.String()
}

// positionIn returns the position at an offset of a file that holds s.
func positionIn(t testing.TB, s string, offset int) (p receiver.FilePosition) {
	t.Helper()
	ok, err := newMarks().load(contentOf(s).pread, &p, int64(offset))
	must(t, err)
	if !ok {
		t.Fatalf("%d bytes have no offset %d", len(s), offset)
	}
	return p
}

// What a file holds is compared with what is counted of another one.
func TestRelate(t *testing.T) {
	log := logLines("a", 0, 400)
	other := logLines("b", 0, 400)
	size := int64(len(log))
	position := func(s string, offset int) receiver.FilePosition { return positionIn(t, s, offset) }
	lineEnd := strings.LastIndexByte(log[:len(log)-1], '\n') + 1
	packed := func(s string) *content {
		c := contentOf(s)
		c.whole = false
		return c
	}
	for name, test := range map[string]struct {
		content  *content
		position receiver.FilePosition
		want     relation
		shared   int64
	}{
		"nothing is counted of the other":               {contentOf(log), receiver.FilePosition{}, unrelated, 0},
		"it is empty":                                   {contentOf(""), position(log, 5000), unrelated, 0},
		"other lines":                                   {contentOf(other), position(log, 5000), unrelated, 0},
		"it begins within the other's lines":            {contentOf(log[3000:]), position(log, 9000), unrelated, 0},
		"the other's start is skipped and too short":    {contentOf(log), receiver.FilePosition{Offset: 10, Skipping: true}, unrelated, 0},
		"all that is counted":                           {contentOf(log), position(log, len(log)), within, size},
		"all that is counted, of a few bytes":           {contentOf(log[:40]), position(log, 40), within, 40},
		"fewer bytes than tell":                         {contentOf(log[:40]), position(log, len(log)), tooShort, 40},
		"the start of what is counted":                  {contentOf(log[:9000]), position(log, len(log)), within, 8 << 10},
		"the start of what is counted, and as the hash": {contentOf(log[:8<<10]), position(log, len(log)), within, 8 << 10},
		"more than is counted":                          {contentOf(log), position(log, 9000), continues, 9000},
		"more than the few bytes that are counted":      {contentOf(log), position(log, 40), continues, 40},
		"compressed, as far as it has been read":        {packed(log[:9000]), position(log, len(log)), continues, size},
		"compressed, all that is counted, or more":      {packed(log), position(log, len(log)), continues, size},
		"it differs in the first bytes":                 {contentOf("x" + log), position(log, 9000), unrelated, 0},
		"it differs soon":                               {contentOf(log[:100] + other), position(log, 9000), shares, 64},
		"it differs later":                              {contentOf(log[:5000] + other), position(log, 9000), shares, 4 << 10},
		"it differs in the last line":                   {contentOf(log[:lineEnd] + other), position(log, len(log)), shares, 16 << 10},
		"a line near the start was removed":             {contentOf(log[:300] + log[350:]), position(log, 9000), shares, 256},
		"no hashes are known":                           {contentOf(log), withoutHashes(position(log, 9000)), continues, 9000},
		"no hashes are known, and it differs":           {contentOf(log[:5000] + other), withoutHashes(position(log, 9000)), shares, 64},
	} {
		if got, shared := test.content.relate(&test.position); got != test.want || shared != test.shared {
			t.Errorf("%s: relation %d, and %d bytes, want %d and %d", name, got, shared, test.want, test.shared)
		}
	}
}

// withoutHashes returns a position as the version before kept it.
func withoutHashes(p receiver.FilePosition) receiver.FilePosition {
	clear(p.Sums[:])
	clear(p.Tails[:])
	p.Line, p.LineSum = 0, 0
	return p
}

// The end of what is counted is found wherever it stands.
func TestSearch(t *testing.T) {
	log := logLines("a", 0, 8000)
	other := logLines("b", 0, 100)
	line := func(n int) int { return len(logLines("a", 0, n)) } // where it begins
	counted := positionIn(t, log, line(500))
	for name, test := range map[string]struct {
		file     string
		position receiver.FilePosition
		want     int
	}{
		"where it was":                                {log, counted, line(500)},
		"the first lines were trimmed":                {log[line(300):], counted, line(500) - line(300)},
		"all but the last lines were trimmed":         {log[line(495):], counted, line(500) - line(495)},
		"all but the last line were trimmed":          {log[line(499):], counted, line(500) - line(499)},
		"it was trimmed, and is not logged to":        {log[line(300):line(500)], counted, line(500) - line(300)},
		"a line was removed":                          {log[:line(10)] + log[line(11):], counted, line(500) - line(11) + line(10)},
		"the line before the last was removed":        {log[:line(498)] + log[line(499):], counted, line(500) - line(499) + line(498)},
		"the last line was removed":                   {log[:line(499)] + log[line(500):], counted, -1},
		"other lines":                                 {other, counted, -1},
		"nothing":                                     {"", counted, -1},
		"it stands behind other lines":                {other + log[line(300):line(500)], counted, len(other) + line(500) - line(300)},
		"of two places the one with more lines of it": {log[line(300):line(500)] + other + log[line(497):line(500)], counted, line(500) - line(300)},
		"of two places the last":                      {log[:line(500)] + log[:line(500)], counted, 2 * line(500)},
		"too little is counted":                       {log, positionIn(t, log, 60), -1},
		"no hashes are known":                         {log, withoutHashes(counted), -1},
	} {
		if got := contentOf(test.file).search(&test.position); got != int64(test.want) {
			t.Errorf("%s: found at %d, want %d", name, got, test.want)
		}
	}
	const chunk = 256 << 10
	for before := chunk - 2*receiver.AnchorSize; before <= chunk+2*receiver.AnchorSize; before++ { // bytes behind the place
		file := log[line(400):line(500)] + strings.Repeat("x", before)
		if got, want := contentOf(file).search(&counted), int64(line(500)-line(400)); got != want {
			t.Fatalf("%d bytes before the end: found at %d, want %d", before, got, want)
		}
	}
}

// advanced returns the position behind data, read in blocks of these sizes, in turn.
func advanced(data []byte, sizes []byte) (p receiver.FilePosition) {
	m := newMarks()
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(sizes) > 0 {
			n = min(n, 1+int(sizes[i%len(sizes)])*int(sizes[(i+1)%len(sizes)])) // up to 64 KiB
		}
		m.advance(&p, data[:n])
		data = data[n:]
	}
	return p
}

// What a position says of the bytes before it doesn't depend on the blocks in which they came, nor on whether they came at all.
func TestMarks(t *testing.T) {
	for _, lines := range []string{logLines("a", 0, 60000), strings.Repeat(strings.Repeat("x", 5000)+"\n", 500), strings.Repeat("x", int(headMost)+tailSize+9)} {
		for _, size := range []int64{
			1, 63, 64, 65, 128, 255, 4095, 4096, 4097, 5001, 8191, 8192, 8193, 10002, headMost - 1, headMost, headMost + 1, headMost + tailSize - 1,
			headMost + tailSize, headMost + tailSize + 1, 2 * headMost,
		} {
			if size > int64(len(lines)) {
				continue
			}
			want := positionIn(t, lines, int(size))
			for _, blocks := range [][]byte{nil, {0}, {7, 9}, {64, 64}, {255, 1, 3}, {255}} {
				if size > 64<<10 && len(blocks) > 0 && blocks[0] < 64 { // it takes seconds
					continue
				}
				if got := advanced([]byte(lines[:size]), blocks); got != want {
					t.Errorf("%d bytes %.20q... in blocks %d: %+v, want %+v", size, lines, blocks, got, want)
				}
			}
		}
	}
}

// FuzzMarks holds marks.advance, fed in any blocks, against marks.load, and both against what is left of them behind a restart.
func FuzzMarks(f *testing.F) {
	f.Add([]byte(logLines("a", 0, 10)), []byte{1, 5}, uint16(70))
	f.Add([]byte(logLines("a", 0, 300)), []byte{64, 64}, uint16(4096))
	f.Add([]byte(strings.Repeat("x", 5000)+"\n"), []byte{8, 8, 30}, uint16(4999))
	f.Add([]byte("\n"+strings.Repeat("x", tailSize-1)+"\n"), []byte{255}, uint16(1))
	f.Add([]byte("\n\n\x00"), []byte{0}, uint16(2))
	f.Fuzz(func(t *testing.T, data, blocks []byte, restart uint16) {
		if len(data) == 0 {
			return
		}
		want := positionIn(t, string(data), len(data))
		if got := advanced(data, blocks); got != want {
			t.Errorf("in blocks %d: %+v, want %+v", blocks, got, want)
		}
		at := int(restart) % len(data)
		m, p := newMarks(), receiver.FilePosition{}
		if ok, err := m.load(contentOf(string(data)).pread, &p, int64(at)); !ok || err != nil {
			t.Fatalf("loading %d of %d bytes: %v, %v", at, len(data), ok, err)
		}
		if m.advance(&p, data[at:]); p != want {
			t.Errorf("loaded at %d: %+v, want %+v", at, p, want)
		}
		c := contentOf(string(data))
		if r, _ := c.relate(&want); r != within {
			t.Errorf("a file is in relation %d to itself", r)
		}
	})
}
