package receivertest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"rsyncd_exporter/internal/corpus"
)

// CorpusDir is where the corpus is, seen from a package of receiver.
const CorpusDir = "../../testdata/corpus/"

// CorpusFiles returns the paths of the corpus files that match a pattern, and fails the test if
// there are none.
func CorpusFiles(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(CorpusDir + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file matches %s%s: %v", CorpusDir, pattern, err)
	}
	return paths
}

// ReadFile returns what is in a file.
func ReadFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ReadDatagrams returns the datagrams of a .raw file of the corpus that has one "LEN SP TEXT" on
// each line, escapes undone.
func ReadDatagrams(t testing.TB, path string) [][]byte {
	t.Helper()
	all, err := corpus.Datagrams(path)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ReadOctetCounted returns the messages of a stream with octet counts, RFC 6587 section 3.4.1.
func ReadOctetCounted(t testing.TB, path string) [][]byte {
	t.Helper()
	var all [][]byte
	for b := ReadFile(t, path); len(b) > 0; {
		count, rest, _ := bytes.Cut(b, []byte(" "))
		n, err := strconv.Atoi(string(count))
		if err != nil || n > len(rest) {
			t.Fatalf("%s: octet count %.20q before message %d", path, count, len(all))
		}
		all, b = append(all, rest[:n]), rest[n:]
	}
	return all
}

// ReadLines returns the lines of a file or LF-framed stream, without their LF.
func ReadLines(t testing.TB, path string) [][]byte {
	t.Helper()
	return bytes.Split(bytes.TrimSuffix(ReadFile(t, path), []byte("\n")), []byte("\n"))
}

// ForwardedScenarios returns the direct records that every stream of the corpus's forwarded folder
// was made from, in its order.
func ForwardedScenarios(t testing.TB) [][]byte {
	t.Helper()
	var order [][2]any
	if err := json.Unmarshal(ReadFile(t, CorpusDir+"forwarded/order.json"), &order); err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, entry := range order {
		records := ReadDatagrams(t, CorpusDir+"syslog/"+entry[0].(string)+".raw")
		if want := int(entry[1].(float64)); len(records) != want {
			t.Fatalf("%v has %d records, order.json says %d", entry[0], len(records), want)
		}
		all = append(all, records...)
	}
	return all
}
