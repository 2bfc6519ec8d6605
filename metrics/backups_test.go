package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
)

// Two backups of one module and user, one of which never came: their names tell their series apart.
func TestSeriesOfBackups(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	now := time.Unix(1_000_000, 0)
	id := backups.Identity{Module: "data", User: "alice", Direction: rsynclog.Receive}
	expected := []backups.Expectation{
		{Name: "nightly", Identity: id, Every: 24 * time.Hour, Grace: time.Hour},
		{Name: "weekly", Identity: id, Every: 7 * 24 * time.Hour},
	}
	known := backups.Record{Entries: []backups.Entry{
		{Since: 1, Success: backups.Run{At: now.Add(-24*time.Hour - 30*time.Minute).UnixNano(), Enough: true}},
		{Since: now.Add(-8 * 24 * time.Hour).UnixNano()},
	}}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(func() *metrics.Snapshot { return b.store.Snapshot(b.sessions, 0) },
		func() metrics.Live { return metrics.Live{Backups: known.List(expected, now)} }))
	want := `
# HELP rsync_backup_expected_max_age_seconds Age of an expected backup's last success from which on it is overdue; before the first, of the expectation.
# TYPE rsync_backup_expected_max_age_seconds gauge
rsync_backup_expected_max_age_seconds{module="data",name="nightly",user="alice"} 90000
rsync_backup_expected_max_age_seconds{module="data",name="weekly",user="alice"} 604800
# HELP rsync_backup_overdue 1 if an expected backup has not come, and its grace is over; 0 if not, or while it is paused.
# TYPE rsync_backup_overdue gauge
rsync_backup_overdue{module="data",name="nightly",user="alice"} 0
rsync_backup_overdue{module="data",name="weekly",user="alice"} 1
# HELP rsync_backup_seen 1 if an expected backup has ever come, 0 if not.
# TYPE rsync_backup_seen gauge
rsync_backup_seen{module="data",name="nightly",user="alice"} 1
rsync_backup_seen{module="data",name="weekly",user="alice"} 0
# HELP rsync_backup_state 1 for the state that an expected backup is in, 0 for the others.
# TYPE rsync_backup_state gauge
`
	for _, name := range []string{"nightly", "weekly"} {
		for _, state := range []string{"failed", "late", "never", "ok", "overdue", "paused", "running"} {
			value := " 0\n"
			if name+state == "nightlylate" || name+state == "weeklynever" {
				value = " 1\n"
			}
			want += `rsync_backup_state{module="data",name="` + name + `",state="` + state + `",user="alice"}` + value
		}
	}
	names := []string{"rsync_backup_expected_max_age_seconds", "rsync_backup_overdue", "rsync_backup_seen", "rsync_backup_state"}
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(r, names...); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
