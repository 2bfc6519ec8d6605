package pipeline

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestTagsAreGlobsAndSlashesAreOrdinary(t *testing.T) {
	f := tagFilter{globs: []string{"rsyncd*", "mirror-?"}, seen: map[string]bool{}}
	for tag, want := range map[string]bool{
		"rsyncd": true, "rsyncd.alice": true, "rsyncd/m1": true, "mirror-2": true, "mirror-22": false, "sshd": false, "": false,
	} {
		if got := f.match([]byte(tag)); got != want {
			t.Errorf("%q: %v, want %v", tag, got, want)
		}
	}
	for i := range 10 * maxTags {
		f.match(fmt.Append(nil, i))
	}
	if len(f.seen) > maxTags {
		t.Errorf("%d answers remembered, want at most %d", len(f.seen), maxTags)
	}
}

// The sessions' clock goes on when the machine's time is set; only what is shown in seconds of the epoch follows the wall.
func TestSessionClockDoesNotJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes between two looks at the clock
		c := clock{start: time.Now().Add(-time.Hour)} // Add moves the monotonic reading too
		if d := time.Duration(c.now() - c.start.UnixNano()); d != time.Hour {
			t.Errorf("an hour after its start the clock shows %v", d)
		}
		wall := c.wall()
		for _, x := range []struct {
			waited time.Duration
			counts bool
		}{{0, true}, {10 * time.Second, true},
			{-time.Hour, false}, {time.Hour, false}} { // the time was set meanwhile
			now, at, _ := c.received(wall - int64(x.waited))
			if late := time.Duration(c.now() - now); (late == x.waited) != x.counts {
				t.Errorf("received %v ago: the sessions see it %v ago", x.waited, late)
			}
			if (at == wall-int64(x.waited)) != x.counts {
				t.Errorf("received %v ago: shown %v ago", x.waited, time.Duration(wall-at))
			}
		}
	})
}
