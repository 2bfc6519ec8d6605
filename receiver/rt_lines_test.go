package receiver

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// criStamp is the time of cri and jsonFile.
const criStamp = "2026-11-23T17:40:52.1Z"

// headerA and headerB are those of two processes.
const (
	headerA = "2026/11/24 02:45:52 [17846] "
	headerB = "2026/11/24 02:45:53 [9] "
)

// plainText and escapedText are messages that rsync 3.5.0 cuts, as the daemon writes them for a file at the end of ten directories of
// 200 bytes: names of plain letters, and names that start with "a", LF and 0x01. Worked out by hand: "send localhost [127.0.0.1]
// data () " is 35 bytes and the path 2048 at the least, so the cut falls within it, 2047 bytes after the header; each of the ten
// names has two escapes of 5 bytes for 1, so the second is 2047 + 10*2*4 = 2127 bytes in the file.
var (
	plainText   = ("send localhost [127.0.0.1] data () plain/" + strings.Repeat(strings.Repeat("N", 200)+"/", 11))[:2047]
	escapedText = ("send localhost [127.0.0.1] data () ctl/" + strings.Repeat(`a\#012\#001`+strings.Repeat("M", 197)+"/", 11))[:2127]
)

// cri writes a line as CRI does, in parts of at most size bytes.
func cri(stream, line string, size int) string {
	var b strings.Builder
	for len(line) > size {
		fmt.Fprintf(&b, "%s %s P %s\n", criStamp, stream, line[:size])
		line = line[size:]
	}
	fmt.Fprintf(&b, "%s %s F %s\n", criStamp, stream, line)
	return b.String()
}

// jsonFile writes a line as docker's json-file does: parts are those of a longer line, and have no LF.
func jsonFile(t testing.TB, line string) string {
	t.Helper()
	var b strings.Builder
	for line += "\n"; line != ""; {
		n := min(len(line), 16<<10)
		text, err := json.Marshal(line[:n])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, `{"log":%s,"stream":"stdout","time":%q}`+"\n", text, criStamp)
		line = line[n:]
	}
	return b.String()
}
