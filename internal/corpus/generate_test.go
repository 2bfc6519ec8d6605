package corpus_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
)

func shape(seed uint64, lines int64) corpus.Shape {
	return corpus.Shape{Seed: seed, Lines: lines, Clients: 50, Paths: 300, Files: 8, AtOnce: 4,
		Start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Step: time.Second}
}

// The same shape gives the same bytes, another seed others, and the truth agrees with what simple searches find.
func TestGenerate(t *testing.T) {
	var a, b, c bytes.Buffer
	truth, err := corpus.Generate(&a, shape(1, 3000))
	if err != nil {
		t.Fatal(err)
	}
	corpus.Generate(&b, shape(1, 3000))
	corpus.Generate(&c, shape(2, 3000))
	if !bytes.Equal(a.Bytes(), b.Bytes()) || bytes.Equal(a.Bytes(), c.Bytes()) {
		t.Error("the seed doesn't decide")
	}
	if name := os.Getenv("GENERATED"); name != "" {
		os.WriteFile(name, a.Bytes(), 0o644)
	}
	text := a.String()
	for what, want := range map[string]uint64{
		"\n": uint64(truth.Lines), "] connect from ": truth.Connections, "] rsync ": 0, "] del. ": truth.Files["del."],
		"] send ": truth.Files["send"], "] recv ": truth.Files["recv"], "(code 10)": truth.Errors["10"], "denied (13)": truth.FileErrors["13"],
		"] module-list": truth.ModuleLists, "(20) reached": truth.Rejected["max_connections"], "starting": truth.DaemonStarts,
	} {
		if got := uint64(strings.Count(text, what)); want > 0 && got != want || got == 0 {
			t.Errorf("%q occurs %d times, the truth has %d", what, got, want)
		}
	}
	if len(text) != int(truth.Bytes) || truth.Lines < 3000 || len(truth.Cuts) < 2 || truth.Cuts[len(truth.Cuts)-1] != truth.Bytes {
		t.Errorf("%d bytes, %d lines, cuts %v", truth.Bytes, truth.Lines, truth.Cuts)
	}
	for _, at := range truth.Cuts {
		if at > 0 && text[at-1] != '\n' {
			t.Errorf("cut at %d, which is no line's end", at)
		}
	}
}

// A report that says as much as the truth has no differences. Each number that is wrong or missing is one.
func TestDifferences(t *testing.T) {
	truth, err := corpus.Generate(&bytes.Buffer{}, shape(1, 500))
	if err != nil {
		t.Fatal(err)
	}
	report := map[string]any{}
	b, _ := json.Marshal(truth)
	json.Unmarshal(b, &report)
	var modules []any
	for name, m := range truth.Modules {
		half := m
		half.Sent, half.Files = 1, 0
		m.Sent, m.Executions, m.Received, m.Deleted = m.Sent-1, 0, 0, 0
		modules = append(modules, map[string]any{"module": name, "executions": m.Executions, "sent_bytes": m.Sent, "files": m.Files},
			map[string]any{"module": name, "executions": half.Executions, "sent_bytes": 1, "received_bytes": half.Received, "deleted": half.Deleted})
	}
	report["modules"], report["more"] = modules, 7
	check := func(want string) {
		t.Helper()
		b, _ := json.Marshal(report)
		got, err := truth.Differences(b)
		if err != nil || !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") || (want == "") != (len(got) == 0) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	check("")
	report["rejected"].(map[string]any)["auth"] = 0
	check("")
	report["lines"] = truth.Lines - 1
	delete(report["files"].(map[string]any), "del.")
	modules[0].(map[string]any)["sent_bytes"] = 5
	b, _ = json.Marshal(report)
	if got, err := truth.Differences(b); err != nil || len(got) != 3 || !strings.HasPrefix(got[0], "files: ") || !strings.HasPrefix(got[1], "lines: 499") && !strings.HasPrefix(got[1], "lines: ") {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := truth.Differences([]byte("{")); err == nil {
		t.Error("half a report is no error")
	}
}
