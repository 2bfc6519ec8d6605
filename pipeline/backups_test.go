package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// withBackups expects the entries of EXPECT.
func withBackups(t *testing.T, entries ...string) (pipeline.Config, []backups.Expectation) {
	var expected []backups.Expectation
	for _, text := range entries {
		e, err := backups.ParseEntry(text)
		if err != nil {
			t.Fatal(err)
		}
		expected = append(expected, e)
	}
	return pipeline.Config{Books: func(from *pipeline.Checkpoint) pipeline.Books {
		if from == nil {
			from = &pipeline.Checkpoint{}
		}
		return pipeline.Books{Backups: backups.NewBook(expected, from.Backups, time.Now().UnixNano())}
	}}, expected
}

// backupStates are the states of what is expected now, in the order of their names.
func backupStates(p *pipeline.Pipeline, expected []backups.Expectation) string {
	_, known := p.Records()
	states := map[string]backups.State{}
	for _, s := range known.List(expected, time.Now()) {
		states[s.Expected.Name] = s.State
	}
	return strings.TrimPrefix(fmt.Sprint(states), "map")
}

func syslogOf(pid int, texts ...string) *receiver.Slab {
	var raw []string
	for _, text := range texts {
		raw = append(raw, fmt.Sprintf("<30>%s vm rsyncd[%d]: %s", time.Now().Format(time.Stamp), pid, text))
	}
	return slabOf(raw...)
}

// The exporter is started anew while a backup runs, and again when it is over. Nobody else's lines make it fresh.
func TestABackupThroughRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
		c, expected := withBackups(t, "data@alice<2h", "data@bob<2h")
		p := newPipeline(t, c)
		restart := func() {
			t.Helper()
			_, st := p.Save(nil)
			time.Sleep(10 * time.Minute)
			p = again(t, st, c)
		}
		want := func(when, states string) {
			t.Helper()
			p.Tick()
			if got := backupStates(p, expected); got != states {
				t.Errorf("%s: %s, want %s", when, got, states)
			}
		}
		want("at first", "[data@alice:never data@bob:never]")
		p.Deliver(src, syslogOf(7, "connect from pc (192.0.2.1)", "rsync allowed access on module data from pc (192.0.2.1)",
			"rsync to data/ from alice@pc (192.0.2.1)"))
		want("it begins", "[data@alice:running data@bob:never]")
		restart()
		want("it runs on", "[data@alice:running data@bob:never]")
		p.Deliver(src, syslogOf(7, "sent 100 bytes  received 11 bytes  total size 3"))
		time.Sleep(3 * time.Second)
		want("it is over", "[data@alice:ok data@bob:never]")
		restart()
		restart()
		want("later", "[data@alice:ok data@bob:never]")
		if _, known := p.Records(); known.Entries[0].Success.Took != 10*time.Minute || known.Entries[0].Success.At != time.Now().Add(-20*time.Minute-3*time.Second).UnixNano() {
			t.Errorf("%+v", known.Entries[0])
		}

		// A client of the same process has a session of bob's logged, as any client can.
		p.Deliver(src, syslogOf(9, "connect from evil (192.0.2.66)", "rsync allowed access on module data from evil (192.0.2.66)",
			"rsync on data/ from carol@evil (192.0.2.66)", "connect from pc (192.0.2.1)",
			"rsync allowed access on module data from pc (192.0.2.1)", "rsync to data/ from bob@pc (192.0.2.1)",
			"sent 100 bytes  received 11 bytes  total size 3"))
		time.Sleep(3 * time.Second)
		want("a forgery", "[data@alice:ok data@bob:never]")
		time.Sleep(3 * time.Hour)
		want("nothing comes", "[data@alice:overdue data@bob:never]")
		if v := p.Look(); len(v.Backups.Entries) != 2 || v.Backups.Entries[1].Attempt.At != 0 {
			t.Errorf("bob: %+v", v.Backups)
		}
	})
}
