package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/api"
)

// sharedPlaces has two modules with the lock file that all have by default, though here it is one of
// the test's own; one that says it for itself; one without a limit; and one that is limited for each
// client.
const sharedPlaces = `
use chroot = no
path = DIR
lock file = DIR/lock
[archive]
	max connections = 3
[mirror]
	max connections = 2
[alone]
	max connections = 4
	lock file = DIR/%RSYNC_MODULE_NAME%.lock
[open]
[each]
	max connections = 1
	lock file = DIR/%RSYNC_HOST_ADDR%.lock
`

// By hand: two sessions in archive leave none of mirror's two places free, and one of archive's three.
// rsyncd turns mirror's first client away, and lets a third into archive.
func TestModulesShareTheirPlaces(t *testing.T) {
	t.Parallel()
	dir := testenv.Dir(t)
	socket := filepath.Join(dir, "log")
	conf := filepath.Join(dir, "rsyncd.conf")
	text := strings.ReplaceAll(sharedPlaces, "DIR", dir)
	testenv.WriteFile(t, conf, text)
	e := startExporter(t, "--listen-unixgram="+socket, "--listen-udp=off", "--rsyncd-conf="+conf)
	d := testenv.StartRsyncdConf(t, dir, "127.0.0.1", socket, text)

	full := func(module string) bool {
		return strings.Contains(testenv.Dial(t, d).AskFor(t, module), "max connections")
	}
	for _, module := range []string{"archive", "archive", "alone", "open"} {
		c := testenv.Dial(t, d)
		c.AskFor(t, module)
		c.Pull(t, module+"/")
	}
	s := e.until(4, "rsync_sessions_active")
	for module, taken := range map[string]float64{"archive": 2, "mirror": 2, "alone": 1} {
		e.want(s, taken, "rsync_module_places_taken", fmt.Sprintf("module=%q", module))
	}
	e.want(s, 5, "rsync_module_places_taken")
	e.want(s, 9, "rsync_module_max_connections")
	for _, m := range askAPI[api.Modules](t, e, "modules").Modules {
		if m.Module == "mirror" && (m.Active != 0 || m.PlacesTaken != 2) {
			t.Errorf("mirror: %+v", m)
		}
	}
	if !full("mirror") || full("archive") {
		t.Error("rsyncd counts otherwise")
	}
	// each lets in one session of each address: it isn't limited as a whole.
	c := testenv.Dial(t, d)
	c.AskFor(t, "each")
	if code, out := testenv.Rsync(t, d.URL("", "each/")); code != 5 {
		t.Errorf("a second session of an address: exit code %d: %s", code, out)
	}
	if code, out := testenv.Rsync(t, "--address=127.0.0.2", d.URL("", "each/")); code != 0 {
		t.Errorf("one of another address: exit code %d: %s", code, out)
	}
}
