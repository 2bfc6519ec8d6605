package receivertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// CRIStamp is the time of cri and jsonFile.
const CRIStamp = "2026-11-23T17:40:52.1Z"

// HeaderA and headerB are those of two processes.
const (
	HeaderA = "2026/11/24 02:45:52 [17846] "
	HeaderB = "2026/11/24 02:45:53 [9] "
)

// PlainText and escapedText are messages that rsync 3.5.0 cuts, as the daemon writes them for a
// file at the end of ten directories of 200 bytes: names of plain letters, and names that start
// with "a", LF and 0x01. Worked out by hand: "send localhost [127.0.0.1] data () " is 35 bytes and
// the path 2048 at the least, so the cut falls within it, 2047 bytes after the header; each of the
// ten names has two escapes of 5 bytes for 1, so the second is 2047 + 10*2*4 = 2127 bytes in the
// file.
var (
	PlainText = ("send localhost [127.0.0.1] data () plain/" +
		strings.Repeat(strings.Repeat("N", 200)+"/", 11))[:2047]
	EscapedText = ("send localhost [127.0.0.1] data () ctl/" +
		strings.Repeat(`a\#012\#001`+strings.Repeat("M", 197)+"/", 11))[:2127]
)

// CRI writes a line as CRI does, in parts of at most size bytes.
func CRI(stream, line string, size int) string {
	var b strings.Builder
	for len(line) > size {
		fmt.Fprintf(&b, "%s %s P %s\n", CRIStamp, stream, line[:size])
		line = line[size:]
	}
	fmt.Fprintf(&b, "%s %s F %s\n", CRIStamp, stream, line)
	return b.String()
}

// JSONFile writes a line as docker's json-file does: parts are those of a longer line, and have no
// LF.
func JSONFile(t testing.TB, line string) string {
	t.Helper()
	var b strings.Builder
	for line += "\n"; line != ""; {
		n := min(len(line), 16<<10)
		text, err := json.Marshal(line[:n])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, `{"log":%s,"stream":"stdout","time":%q}`+"\n", text, CRIStamp)
		line = line[n:]
	}
	return b.String()
}
