package report

import (
	"testing"
	"time"
)

// Where TZ is UTC, or a container knows no zones, Go calls this machine's zone UTC, and elsewhere Local. Reports of two
// such machines add up.
func TestTheNameOfUTC(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	for _, here := range []*time.Location{time.UTC, time.FixedZone("UTC", 0), time.FixedZone("Local", 0)} {
		time.Local = here
		if a, b := zoneName(time.UTC), zoneName(time.Local); a != "UTC" || b != "UTC" {
			t.Errorf("%s: %q and %q, want UTC", here, a, b)
		}
	}
	time.Local = time.FixedZone("Local", 3600)
	if got := zoneName(time.Local); got != "UTC+01:00" {
		t.Error(got)
	}
}
