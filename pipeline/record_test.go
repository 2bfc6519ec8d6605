package pipeline_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// aPush is what a backup's process logs.
func aPush(user string) []string {
	return []string{
		"connect from client (192.0.2.1)", "rsync allowed access on module data from client (192.0.2.1)",
		"rsync to data/ from " + user + "@client (192.0.2.1)", "receiving file list",
		"sent 10 bytes  received 20 bytes  total size 30",
	}
}

// direct is a slab of such lines as they come in datagrams, and of what the kernel says of their sender.
func direct(from receiver.Sender, pid int, lines ...string) *receiver.Slab {
	s := &receiver.Slab{}
	for _, l := range lines {
		s.Messages = append(s.Messages, fmt.Appendf(nil, "<30>Nov 23 18:40:52 rsyncd[%d]: %s", pid, l))
		s.Senders = append(s.Senders, from)
	}
	return s
}

func wantSeries(t *testing.T, p *pipeline.Pipeline, when string, want map[string]float64) {
	t.Helper()
	series := gathered(t, p)
	checkIdentities(t, series)
	for name, v := range want {
		if series[name] != v {
			t.Errorf("%s: %s = %v, want %v", when, name, series[name], v)
		}
	}
}

// The kernel's word reaches the sessions: two processes of one pid have a session each; of two that one process
// logs only the first counts.
func TestTheKernelsStartTimesReachTheSessions(t *testing.T) {
	for started, want := range map[uint64]float64{1000: 1, 2000: 2} {
		p := newPipeline(t, pipeline.Config{})
		p.Deliver(syslogSource(), direct(receiver.Sender{Started: 1000}, 9, aPush("alice")...))
		p.Deliver(syslogSource(), direct(receiver.Sender{Started: started}, 9, aPush("bob")...))
		wantSeries(t, p, fmt.Sprintf("begun at %d", started), map[string]float64{
			`rsync_connections_total{}`:                                 want,
			`rsync_executions_total{direction="receive",module="data"}`: want,
			`rsync_messages_total{kind="implausible"}`:                  3 * (2 - want), // its connect, its access and its start
		})
	}
}

// What the kernel says to be another process' than the sender's counts as implausible only, and makes no series.
func TestNobodySpeaksForAnotherProcess(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	alices, forged := aPush("alice"), receiver.Sender{Forged: true}
	p.Deliver(syslogSource(), direct(receiver.Sender{}, 8, alices[:4]...))
	p.Deliver(syslogSource(), direct(forged, 8, alices[4]))
	p.Deliver(syslogSource(), direct(forged, 9, aPush("eve")...))
	p.Deliver(syslogSource(), direct(forged, 1, "rsyncd version 6.6.6 starting, listening on port 873"))
	wantSeries(t, p, "forged", map[string]float64{
		`rsync_connections_total{}`:                                 1,
		`rsync_daemon_starts_total{}`:                               0,
		`rsync_executions_total{direction="receive",module="data"}`: 1,
		`rsync_messages_total{kind="connect"}`:                      1,
		`rsync_messages_total{kind="implausible"}`:                  7,
	})
	if n := p.Sessions().Len(); n != 1 {
		t.Errorf("%d sessions, want alice's", n)
	}
}

// Lines that were in a file before it was read have the times of their stamps, and while they are read no
// session ends by the clock. By hand: the session took the 30 s from 40 s ago until 10 s ago; it settles for 2
// s.
func TestABacklogsLinesHaveTheirStampsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, pipeline.Config{})
		time.Sleep(time.Hour)
		src := fileSource()
		stamp := func(ago time.Duration) string { return time.Now().Add(-ago).Format("2006/01/02 15:04:05 ") }
		slab := func(stamp string, lines ...string) *receiver.Slab {
			s := &receiver.Slab{Backlog: true}
			for _, l := range lines {
				s.Messages = append(s.Messages, []byte(stamp+"[9] "+l))
			}
			return s
		}
		last := time.Now().Add(-10 * time.Second).Unix()
		push := aPush("alice")
		p.Deliver(src, slab(stamp(40*time.Second), push[:4]...))
		p.Deliver(src, slab(stamp(10*time.Second), push[4]))
		time.Sleep(time.Minute)
		name := `rsync_sessions_total{direction="receive",module="data",outcome="ok"}`
		wantSeries(t, p, "while it is read", map[string]float64{name: 0})
		p.Deliver(src, &receiver.Slab{At: time.Now().UnixNano()})
		wantSeries(t, p, "read to its end", map[string]float64{
			name: 1,
			`rsync_last_session_duration_seconds{direction="receive",module="data",user="alice"}`:  30,
			`rsync_last_success_timestamp_seconds{direction="receive",module="data",user="alice"}`: float64(last),
		})
	})
}

// One tick ends all that is due, and lets the lock go between the portions.
func TestATickEndsAllThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, src := newPipeline(t, pipeline.Config{}), syslogSource()
		src.Live = true
		const sessions = 5 * pipeline.Portion
		for i := range sessions {
			p.Deliver(src, direct(receiver.Sender{}, 1000+i, aPush("alice")...))
		}
		time.Sleep(3 * time.Second)
		if more := p.TickOnce(); !more {
			t.Errorf("%d sessions ended in one portion", sessions)
		}
		p.Tick()
		if n := p.End(sessions); n != 0 {
			t.Errorf("a tick has left %d changes", n)
		}
		wantSeries(t, p, "after it", map[string]float64{
			`rsync_sessions_total{direction="receive",module="data",outcome="ok"}`: sessions,
			`rsync_sessions_active{direction="receive",module="data"}`:             0,
			`rsync_received_bytes_total{direction="receive",module="data"}`:        20 * sessions,
		})
	})
}

// A stamp without a time zone says nothing of a live input that its messages' arrival doesn't: their daemons'
// zones may be any.
func TestStampsOfALiveInputAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &receiver.Source{Input: "unixgram", Name: "unixgram", Live: true, Dialect: syslog.Auto{Local: true}}
		p := newPipeline(t, pipeline.Config{})
		push := aPush("alice")
		say := func(ago time.Duration, lines ...string) {
			s := &receiver.Slab{}
			for _, l := range lines {
				s.Messages = append(s.Messages, []byte("<30>"+time.Now().Add(-ago).Format(time.Stamp)+" rsyncd[9]: "+l))
			}
			p.Deliver(src, s)
		}
		say(100*time.Minute, push[:4]...)
		time.Sleep(20 * time.Second)
		say(100*time.Minute, push[4])
		last := time.Now().Unix()
		time.Sleep(3 * time.Second)
		wantSeries(t, p, "", map[string]float64{
			`rsync_last_session_duration_seconds{direction="receive",module="data",user="alice"}`:  20,
			`rsync_last_success_timestamp_seconds{direction="receive",module="data",user="alice"}`: float64(last),
		})
	})
}

// What was logged to a file while nobody ran is read after a restart, and shows which of its sessions are over by then.
func TestAFilesSessionsEndByItsLinesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, src := newPipeline(t, pipeline.Config{}), fileSource()
		src.Scope = receiver.StdinScope + 1
		say := func(at time.Time, pid int, lines ...string) {
			s := &receiver.Slab{Backlog: true}
			for _, l := range lines {
				s.Messages = append(s.Messages, fmt.Appendf(nil, "%s [%d] %s", at.Format("2006/01/02 15:04:05"), pid, l))
			}
			p.Deliver(src, s)
		}
		begun := time.Now()
		say(begun, 9, aPush("alice")...)
		_, st := p.Save(nil)
		time.Sleep(time.Hour)
		p = again(t, st, pipeline.Config{})
		name := `rsync_sessions_total{direction="receive",module="data",outcome="ok"}`
		wantSeries(t, p, "before its file is read", map[string]float64{name: 0})
		say(begun.Add(30*time.Minute), 10, "connect from client (192.0.2.1)")
		wantSeries(t, p, "half an hour of it read", map[string]float64{name: 1})
	})
}
