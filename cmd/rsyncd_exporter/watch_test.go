package main

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"rsyncd_exporter/receiver/follow"
)

// Why a file isn't read is logged once, when it lasts, and that it is read again.
func TestFileWatch(t *testing.T) {
	var out bytes.Buffer
	bad := errors.New("it is a copy")
	states := map[string]error{"/a": errors.New("known at the start"), "/b": fs.ErrNotExist, "*.log": nil}
	status := func() (all []follow.Status) {
		for _, path := range []string{"/a", "/b"} {
			all = append(all, follow.Status{Path: path, Err: states[path]})
		}
		return append(all, follow.Status{Pattern: "*.log", Err: states["*.log"]})
	}
	w := newFileWatch(status, slog.New(slog.NewTextHandler(&out, nil)))
	for i, step := range []struct {
		path string
		err  error
		want string
	}{
		{"*.log", bad, ""}, // it may be a rotation
		{"*.log", nil, `isn't read" path=/b err="file does not exist"`},
		{"*.log", bad, ""},
		{"*.log", bad, `isn't read" path=*.log err="it is a copy"`},
		{"*.log", bad, ""},
		{"/b", nil, `read again" path=/b`},
		{"/a", nil, `read again" path=/a`},
	} {
		out.Reset()
		states[step.path] = step.err
		w.check()
		if got := out.String(); strings.Count(got, "\n") != min(len(step.want), 1) || !strings.Contains(got, step.want) {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
