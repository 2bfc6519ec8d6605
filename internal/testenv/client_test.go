//go:build linux

package testenv

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What a client tells a daemon to log stands in its log as it was told, under the session's pid, whether the client goes on as a pull
// does or breaks off; and what the daemon turns down it turns down in its own words.
func TestClientWritesIntoTheLog(t *testing.T) {
	log := filepath.Join(Dir(t), "rsyncd.log")
	r := StartRsyncd(t, "", "--dparam=log file="+log)
	for _, finish := range []bool{true, false} {
		c := Dial(t, r)
		if answer := c.AskFor(t, "mirror"); answer != "@RSYNCD: OK" {
			t.Fatalf("the daemon says %q", answer)
		}
		c.Pull(t, "mirror/")
		for i, kind := range []Message{MessageErrorXfer, MessageInfo, MessageError, MessageWarning} {
			c.Log(t, kind, "said "+string(rune('A'+i))+"\n")
		}
		c.Log(t, MessageDeleted, "gone")
		if c.Start(t); finish {
			c.Finish(t)
		} else {
			c.Hangup(t)
		}
	}
	if c := Dial(t, r); !strings.HasPrefix(c.AskFor(t, "nothing"), "@ERROR: Unknown module") {
		t.Error("an unknown module is granted")
	}
	c := Dial(t, r)
	if answer := c.AskFor(t, "backup"); !strings.HasPrefix(answer, "@RSYNCD: AUTHREQD ") {
		t.Errorf("for backup the daemon says %q", answer)
	}
	if answer := c.Authenticate(t, "alice"); !strings.HasPrefix(answer, "@ERROR: auth failed") {
		t.Errorf("to a wrong response the daemon says %q", answer)
	}
	session := regexp.MustCompile(`(?s)\[(\d+)\] rsync on mirror/ from localhost .*? \[(\d+)\] said A\n.*? \[(\d+)\] said B\n.*? \[(\d+)\] said C\n` +
		`.*? \[(\d+)\] said D\n.*? \[(\d+)\] del\. localhost \[127\.0\.0\.1\] mirror \(\) gone 0\n`)
	Until(t, patience, "every line", func() bool {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		found := session.FindAllStringSubmatch(string(text), -1)
		if len(found) != 2 {
			return false
		}
		for _, pids := range found {
			for _, pid := range pids[2:] {
				if pid != pids[1] {
					t.Fatalf("the text is another process' in %q", text)
				}
			}
		}
		return strings.Count(string(text), " sent ") == 2 && strings.Count(string(text), "rsync error: ") == 1 &&
			strings.Contains(string(text), " unknown module 'nothing' tried from ") &&
			strings.Contains(string(text), " auth failed on module backup from localhost (127.0.0.1) for alice: password mismatch\n")
	})
}
