package pipeline_test

import (
	"testing"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
)

// What is looked at has each session with the file of its last line, also where lines of several
// sessions stand in one slab, and however they are read.
func TestLook(t *testing.T) {
	for _, full := range []bool{false, true} {
		p := newPipeline(t, pipeline.Config{InFull: full})
		slab := slabOf(
			"2026/11/23 18:40:52 [7] connect from pc.example.org (192.0.2.1)",
			"2026/11/23 18:40:52 [7] rsync on data/ from pc.example.org (192.0.2.1)",
			"2026/11/23 18:40:52 [8] connect from UNKNOWN (192.0.2.2)",
			"2026/11/23 18:40:52 [8] rsync to data/x from UNKNOWN (192.0.2.2)",
			"2026/11/23 18:40:53 [7] send pc.example.org [192.0.2.1] data () a 1",
			"2026/11/23 18:40:53 [8] recv UNKNOWN [192.0.2.2] data () k 5",
			"2026/11/23 18:40:53 [7] send pc.example.org [192.0.2.1] data () b 2",
			"2026/11/23 18:40:53 [7] send pc.example.org [192.0.2.1] data () c 3",
			"2026/11/23 18:40:53 [8] del. UNKNOWN [192.0.2.2] data () l 0",
			"2026/11/23 18:40:53 [7] send pc.example.org [192.0.2.1] data () dir/d 4",
			"2026/11/23 18:40:53 [9] connect from UNKNOWN (192.0.2.3)",
		)
		p.Deliver(fileSource(), slab)
		for _, m := range slab.Messages { // as its reader does
			clear(m)
		}
		v := p.Look()
		if len(v.Sessions) != 3 {
			t.Fatalf("%d sessions, want 3", len(v.Sessions))
		}
		for _, want := range []struct {
			pid                        int32
			state, name, request, path string
			sent, received, deleted    uint64
		}{
			{9, "connected", "", "", "", 0, 0, 0},
			{7, "running", "pc.example.org", "data/", "dir/d", 4, 0, 0},
			{8, "running", "", "data/x", "l", 0, 1, 1},
		} {
			for _, s := range v.Sessions {
				if s.PID != want.pid {
					continue
				}
				if s.State != want.state || s.Name != want.name || s.Request != want.request || rsynclog.PathText(s.Path) != want.path ||
					s.Files != (rsynclog.FileCounts{rsynclog.OpSend: want.sent, rsynclog.OpRecv: want.received, rsynclog.OpDel: want.deleted}) {
					t.Errorf("in full %v: pid %d is %s, %q, %q, at %q, files %v; want %+v", full, s.PID, s.State, s.Name, s.Request,
						s.Path, s.Files, want)
				}
			}
		}
	}
}
