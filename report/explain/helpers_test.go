package explain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report/explain"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

func config() logs.Config {
	return logs.Config{
		Pipeline: pipeline.Config{LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, Limits: rsynclog.DefaultLimits(), InFull: true},
		Lines:    syslog.Lines{}, Zone: time.UTC, Now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// explained returns what is said of files, and the counts.
func explained(t testing.TB, o explain.Options, paths ...string) (string, [explain.NumClasses]uint64) {
	t.Helper()
	var out bytes.Buffer
	o.Zone, o.Tags = time.UTC, []string{"rsyncd*"}
	e := explain.New(&out, o)
	sets, errs := logs.Find(config(), paths)
	errs = append(errs, logs.Read(context.Background(), config(), sets, e)...)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), e.Counts()
}

// file writes a log.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rsyncd.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An object is what --json says of a line.
type object struct {
	Line    uint64         `json:"line"`
	File    string         `json:"file"`
	Kind    string         `json:"kind"`
	PID     int            `json:"pid"`
	Session string         `json:"session"`
	Fields  map[string]any `json:"fields"`
	Why     string         `json:"why"`
}

// objects reads what --json has written. Nothing may be in it that isn't in the contract.
func objects(t testing.TB, out string) (all []object) {
	t.Helper()
	for line := range bytes.Lines([]byte(out)) {
		var o object
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, o)
	}
	return all
}
