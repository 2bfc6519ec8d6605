package status_test

import (
	"testing"

	"rsyncd_exporter/internal/browser"
	"rsyncd_exporter/status"
)

func TestShots(t *testing.T) {
	w := busy(t)
	s := w.serve(func(o *status.Options) { o.MaxConnections = map[string]int{"debian": 5, "home": 3, "fedora": 40} })
	b := browser.Start(t, 1280, 2400)
	b.Open(t, s.URL)
	b.Screenshot(t, "page-light")
	b.Prefer(t, "prefers-color-scheme", "dark")
	b.Screenshot(t, "page-dark")
	t.Log(b.Faults(), b.Requests())
}
