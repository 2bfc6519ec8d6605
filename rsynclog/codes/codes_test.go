package codes_test

import (
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog/codes"
)

// The words stand against those of real lines, of rsync 3.5.0.
func TestExitCodesHaveRsyncsWords(t *testing.T) {
	for code, want := range map[int]string{
		1:  "syntax or usage error",
		4:  "requested action not supported",
		10: "error in socket IO",
		12: "error in rsync protocol data stream",
		20: "received SIGINT, SIGTERM, or SIGHUP",
		25: "the --max-delete limit stopped deletions",
		30: "timeout in data send/receive",
		35: "timeout waiting for daemon connection",
	} {
		if got := codes.ExitMeaning(code); got != want {
			t.Errorf("code %d means %q, want %q", code, got, want)
		}
	}
}

func TestEachExitCodeHasCauseAndRemedy(t *testing.T) {
	n := 0
	for code := -1; code < 300; code++ {
		c, ok := codes.ExitCodeOf(code)
		if c.Code != code {
			t.Errorf("ExitCodeOf(%d) is about code %d", code, c.Code)
		}
		if !ok {
			if c.Meaning+c.Cause+c.Remedy != "" {
				t.Errorf("code %d doesn't exist, and means %q", code, c.Meaning)
			}
			continue
		}
		n++
		if codes.Exit(int16(code)) != int16(code) {
			t.Errorf("code %d has a meaning, and is none of errcode.h", code)
		}
		for _, s := range []string{c.Cause, c.Remedy} {
			if len(s) < 20 || !strings.HasSuffix(s, ".") {
				t.Errorf("code %d: %q is no sentence", code, s)
			}
		}
	}
	// errcode.h of 3.5.0 has 1 to 5, 10 to 16, 19 to 25, 30 and 35: 5 + 7 + 7 + 2. It has no 6, which the manual
	// names.
	if n != 21 {
		t.Errorf("%d codes, want 21", n)
	}
}
