package corpus

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Dir returns the path of testdata/corpus, seen from the package whose tests run.
func Dir() string {
	for up := "."; ; up = filepath.Join("..", up) {
		if _, err := os.Stat(filepath.Join(up, "go.mod")); err == nil || len(up) > len("../../../..") {
			return filepath.Join(up, "testdata", "corpus")
		}
	}
}

// Files returns the paths of the corpus files that match a pattern, and fails the test if there are
// none.
func Files(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(Dir(), pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file of the corpus matches %s: %v", pattern, err)
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

// ReadDatagrams is Datagrams for a test.
func ReadDatagrams(t testing.TB, path string) [][]byte {
	t.Helper()
	all, err := Datagrams(path)
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

// ReadForwarded returns the messages of a forwarder's output, which its name says the form of.
func ReadForwarded(t testing.TB, path string) [][]byte {
	t.Helper()
	switch {
	case strings.HasSuffix(path, "-udp.raw"):
		return ReadDatagrams(t, path)
	case strings.HasSuffix(path, "-lf.raw"):
		return ReadLines(t, path)
	}
	return ReadOctetCounted(t, path)
}

// A Part is a scenario's part of each forwarder's output.
type Part struct {
	Scenario string
	Messages int
}

// Order returns the parts in their order.
func Order(t testing.TB) (parts []Part) {
	t.Helper()
	var order [][2]any
	if err := json.Unmarshal(ReadFile(t, filepath.Join(Dir(), "forwarded", "order.json")), &order); err != nil {
		t.Fatal(err)
	}
	for _, entry := range order {
		parts = append(parts, Part{entry[0].(string), int(entry[1].(float64))})
	}
	return parts
}

// Direct returns the direct records that each forwarder's output was made from, in its order.
func Direct(t testing.TB) (all [][]byte) {
	t.Helper()
	for _, p := range Order(t) {
		records := ReadDatagrams(t, filepath.Join(Dir(), "syslog", p.Scenario+".raw"))
		if len(records) != p.Messages {
			t.Fatalf("%s has %d records, order.json says %d", p.Scenario, len(records), p.Messages)
		}
		all = append(all, records...)
	}
	return all
}
