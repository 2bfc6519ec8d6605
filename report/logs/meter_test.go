package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// What has been read is told in bytes on disk, of compressed files too, and of several logs at once.
func TestMeter(t *testing.T) {
	var text, packed bytes.Buffer
	for i := range 20_000 {
		fmt.Fprintf(&text, "2026/11/23 18:40:52 [7] send a.example [192.0.2.1] data () x/%x %d\n", i*i*i, i)
	}
	z := gzip.NewWriter(&packed)
	z.Write(text.Bytes())
	z.Close()
	dir := t.TempDir()
	for name, content := range map[string][]byte{"L": text.Bytes(), "packed.gz": packed.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var told []Progress
	c := Config{
		Pipeline: pipeline.Config{LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd"}, Limits: rsynclog.DefaultLimits()},
		Lines:    syslog.Lines{}, Now: time.Now(), Progress: func(p Progress) { told = append(told, p) }, Abreast: 2,
	}
	sets, errs := Find(c, []string{dir})
	if errs != nil || len(sets) != 2 {
		t.Fatal(sets, errs)
	}
	m := NewMeter(&c, sets)
	var all [2]*Cursor
	for i := range sets {
		cur, err := Open(context.Background(), c, &sets[i])
		if err != nil {
			t.Fatal(err)
		}
		defer cur.Close()
		m.Reads(cur)
		all[i] = cur
	}
	for open := 2; open > 0; {
		open = 0
		for _, cur := range all {
			m.told = time.Time{} // long ago
			if _, _, more := cur.Next(); more {
				open++
			}
		}
	}
	size := int64(text.Len() + packed.Len())
	for i, p := range told {
		if p.All != size || p.Read > size || i > 0 && (p.Read < told[i-1].Read || p.Lines <= told[i-1].Lines) {
			t.Fatalf("%+v of %d, after %+v", p, size, told[max(0, i-1)])
		}
	}
	if n := len(told); n < 100 || told[n-1].Read < size*9/10 || told[n-1].Lines < 39_000 {
		t.Errorf("told %d times: %+v of %d", n, told[max(0, n-1)], size)
	}
}
