package report_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/report"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// beside gives everything to a metrics.Store, too.
type beside struct {
	*report.Fold
	store *metrics.Store
}

func (b beside) Line(p logs.Place, l *pipeline.Line) {
	b.Fold.Line(p, l)
	if l.Ours {
		b.store.Message(l.Origin, l.Event.Kind, l.Believed, now.UnixNano())
		b.store.Apply(l.Changes, now.UnixNano(), now.UnixNano())
	}
}

func (b beside) Ended(changes []rsynclog.Change) {
	b.Fold.Ended(changes)
	b.store.Apply(changes, now.UnixNano(), now.UnixNano())
}

// totals adds up what the store has.
func totals(store *metrics.Store) (t report.Totals, lasting map[string]string) {
	count := func() byName { return byName{} }
	t = report.Totals{Sessions: count(), Errors: count(), FileErrors: count(), Rejected: count(), Files: count(),
		FileBytes: count(), WireBytes: count(), Kinds: count()}
	add := func(m byName, name string, n uint64) {
		if n > 0 {
			m[name] += n
		}
	}
	number := func(n int16) string {
		if n < 0 {
			return rsynclog.Other
		}
		return strconv.Itoa(int(n))
	}
	lasting = map[string]string{}
	snap := store.Snapshot(rsynclog.NewSessions(rsynclog.DefaultLimits(), nil, nil), 0)
	for _, h := range snap.Hosts {
		t.Connections, t.ModuleLists = t.Connections+h.Connections, t.ModuleLists+h.Lists
		t.DaemonStarts, t.Lost = t.DaemonStarts+h.Starts, t.Lost+h.Lost
		for k, n := range h.MessagesByKind {
			name := "implausible"
			if k < int(rsynclog.NumKinds) {
				name = rsynclog.Kind(k).String()
			}
			add(t.Kinds, name, n)
		}
		for _, m := range h.Modules {
			for _, c := range m.Exits {
				add(t.Errors, number(c.Number), c.N)
			}
			for _, c := range m.FileErrors {
				add(t.FileErrors, number(c.Number), c.N)
			}
			for r, n := range m.RejectedByReason {
				add(t.Rejected, rsynclog.Reason(r).String(), n)
			}
			for op := rsynclog.OpSend; int(op) < len(m.FilesByOp); op++ { // the first one is not served
				add(t.Files, op.String(), m.FilesByOp[op])
				add(t.FileBytes, op.String(), m.FileBytesByOp[op])
				add(t.WireBytes, op.String(), m.WireBytesByOp[op])
			}
			for _, f := range m.Flows {
				t.Executions += f.Executions
				t.Sent, t.Received, t.Listed = t.Sent+f.Sent, t.Received+f.Received, t.Listed+f.Listed
				for o, n := range f.SessionsByOutcome {
					add(t.Sessions, rsynclog.Outcome(o).String(), n)
				}
				if f.Duration.Count > 0 {
					lasting["took "+m.Module+" "+f.Direction.String()] = fmt.Sprintf("%d %.3f", f.Duration.Count, f.Duration.Sum)
				}
				for _, u := range f.Users {
					lasting["user "+m.Module+" "+f.Direction.String()+" "+u.User] = moment(u.LastSuccess) + " " + moment(u.LastAttempt)
				}
			}
		}
	}
	return t, lasting
}

func moment(nanos int64) string {
	if nanos == 0 {
		return ""
	}
	return time.Unix(0, nanos).UTC().Format(time.RFC3339)
}

// oddLog has an upload that is taken for ended for its silence and goes on, and lines without a pid.
const oddLog = `2026/11/23 01:00:00 [21] connect from h (192.0.2.10)
2026/11/23 01:00:00 [21] rsync allowed access on module data from h (192.0.2.10)
2026/11/23 01:00:01 [21] rsync to data/ from anna@h (192.0.2.10)
2026/11/23 01:00:02 [21] recv h [192.0.2.10] data (anna) a 100
2026/11/23 01:00:02 [21] rsync: [receiver] mkstemp "/.a.x" (in data) failed: Permission denied (13)
2026/11/23 01:20:00 [22] connect from h (192.0.2.11)
2026/11/23 01:30:00 [21] sent 90 bytes  received 400 bytes  total size 350
Nov 23 01:31:00 h rsyncd: rsync on pub/ from h (192.0.2.12)
Nov 23 01:31:01 h rsyncd: sent 30 bytes  received 20 bytes  total size 10
Nov 23 01:31:02 h rsyncd: sent 30 bytes  received 20 bytes  total size 10
`

// Every log of the corpus, and one with all exit codes and errnos there are, count as in /metrics.
func TestTotalsAreThoseOfTheMetrics(t *testing.T) {
	paths := corpus.Files(t, "file/*.log")
	if len(paths) < 50 {
		t.Fatalf("%d logs, want at least 50", len(paths))
	}
	numbers := filepath.Join(t.TempDir(), "numbers")
	text := ""
	for n := range 300 {
		text += fmt.Sprintf("2026/11/23 01:00:00 [%d] rsync error: what (code %d) at io.c(1) [sender=3.2.7]\n", n+1, n)
		text += fmt.Sprintf("2026/11/23 01:00:00 [%d] rsync: [sender] send_files failed to open \"/f\" (in m): What (%d)\n", n+1, n)
	}
	if err := os.WriteFile(numbers, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, []byte(oddLog), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, numbers, odd) {
		f := report.NewFold(report.Options{Zone: time.UTC, Now: now})
		store := metrics.NewStore(metrics.Config{MaxSeries: 10000, Start: monday})
		set := logs.Set{Name: path, Files: []logs.File{{Path: path, Written: now}}}
		if errs := logs.Read(context.Background(), logsConfig(), []logs.Set{set}, beside{f, store}); len(errs) > 0 {
			t.Fatal(errs)
		}
		s := f.Summary()
		want, lasting := totals(store)
		same(t, filepath.Base(path), s.Totals, want)
		got := map[string]string{}
		for _, m := range s.Modules {
			if d := m.Duration; d.N > 0 {
				got["took "+m.Module+" "+m.Direction] = fmt.Sprintf("%d %.3f", d.N, d.Sum)
			}
		}
		for _, u := range s.Users {
			if u.LastAttempt != "" {
				got["user "+u.Module+" "+u.Direction+" "+u.User] = u.LastSuccess + " " + u.LastAttempt
			}
		}
		same(t, filepath.Base(path), got, lasting)
		if path == numbers && (s.Errors["12"] != 1 || s.Errors["_other"] != 300-25 || s.FileErrors["133"] != 1) {
			t.Errorf("numbers: %v", s.Totals)
		}
		// The upload's summary adds its bytes and moves its end; its outcome stays what it was. Twice there was no pid.
		if path == odd && (s.Sent != 90+30+30 || s.Sessions["partial"] != 1 || s.Executions != 2 ||
			lasting["user data receive anna"] != " 2026-11-23T01:30:00Z") {
			t.Errorf("odd: %v, %v", s.Totals, lasting)
		}
	}
}
