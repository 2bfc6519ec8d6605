package rsynclog_test

import (
	"fmt"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// before32 is a pull from a daemon before 3.2: its request names one module, and its transfer line another.
func before32(pid int, request, logged string) string {
	return fmt.Sprintf(`
		%[1]d connect from localhost (127.0.0.1)
		%[1]d rsync on %[2]s from localhost (127.0.0.1)
		%[1]d building file list
		%[1]d send localhost [127.0.0.1] %[3]s () a.txt 6
		%[1]d sent 9 bytes  received 8 bytes  total size 7
	`, pid, request, logged)
}

// named is what is executed and ended, by module, and whether it proves a backup.
func named(t *testing.T, script string, modules ...string) (executed, ended, doubtful string) {
	t.Helper()
	b := newTable(t, rsynclog.DefaultLimits(), modules...)
	b.say(script)
	if s := b.sessions.Session(b.host, 7); s != nil {
		executed, doubtful = s.Module, fmt.Sprint(s.Doubted)
	}
	b.say("+2s")
	if b.book.executed != 1 {
		t.Errorf("executed %d times, want once", b.book.executed)
	}
	return executed, b.book.ended[len(b.book.ended)-1], doubtful
}

func TestWhichModuleBefore32(t *testing.T) {
	const denied = "6 connect from localhost (127.0.0.1)\n6 rsync denied on module data from localhost (127.0.0.1)\n"
	both := []string{"pub", "backup"}
	for _, c := range []struct {
		name, script string
		modules      []string
		want         string
	}{
		{"both agree", before32(7, "pub/x", "pub"), both, "pub, pub send ok 9/8, false"},
		{"two paths", before32(7, "pub pub/y", "pub"), both, "pub, pub send ok 9/8, false"},
		{"the request lies", before32(7, "backup/x", "pub"), both, "pub, pub send ok 9/8, true"},
		{"the line names none", before32(7, "backup/x", "evil"), both, ",  send ok 9/8, true"},
		{"the lines lie to each other", before32(7, "backup/x", "pub") + "7 send localhost [127.0.0.1] backup () b 6", both, ",  send ok 9/8, true"},
		{"both name what nobody knows", before32(7, "evil/x", "evil"), nil, ",  send ok 9/8, false"},
		{"the daemon has named it before", denied + before32(7, "data/x", "data"), nil, "data, data send ok 9/8, false"},
		{"and not the other", denied + before32(7, "evil/x", "evil"), nil, ",  send ok 9/8, false"},
	} {
		module, ended, doubtful := named(t, c.script, c.modules...)
		if got := module + ", " + ended + ", " + doubtful; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Where nothing was transferred only the request says what module it was. It counts when the session is over.
func TestARequestNamesTheModuleAtTheEnd(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits(), "backup")
	b.say(`
		7 connect from localhost (127.0.0.1)
		7 rsync to backup/ from alice@localhost (127.0.0.1)
		7 receiving file list
		7 sent 9 bytes  received 8 bytes  total size 7`)
	b.want("executed before", b.book.executed, 0)
	b.say("+2s")
	b.want("executed", b.book.executed, 1)
	b.want("ended", b.book.ended, []string{"backup receive ok 9/8"})
}
