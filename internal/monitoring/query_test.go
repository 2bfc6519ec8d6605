package monitoring_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/monitoring"
)

// What a query may ask for, and what it may not: then the error says what there is instead.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	t.Parallel()
	c := monitoring.Exporter()
	for _, q := range []string{
		`up{job="rsyncd_exporter"} == 0`,
		`sum without (module, status_code) (rate(rsync_errors_total{status_code!~"23|24|25"}[5m]))`,
		`sum by (job, instance, le) (rate(rsync_session_duration_seconds_bucket{direction="send"}[5m]))`,
		`histogram_quantile(0.9, sum by (le) (rate(rsync_session_duration_seconds_bucket[5m])))`,
		`histogram_quantile(0.9, sum by (module) (rate(rsync_session_duration_seconds[5m])))`,
		`rsync_sessions_active / on (module) group_left () sum by (module) (rsync_module_max_connections)`,
		`rsync_sessions_total{outcome=~"a.*"}`,
		`rsync_sessions_total{host=~"$host", direction=""}`,
		`rsync_backup_state{state="overdue"} == 1 and ignoring (state) rsync_backup_overdue == 1`,
		`label_replace(rsync_daemon_info, "v", "$1", "version", "([0-9]+).*")`,
		`ALERTS{severity="critical", module="x"}`,
		`process_resident_memory_bytes / go_memstats_heap_alloc_bytes`,
		`go_gc_duration_seconds{quantile="1"}`,
		`rsyncd_exporter_build_info{version="1"} * 0 + time()`,
		`count_values("n", rsyncd_exporter_host_addresses)`,
		`absent(up{job="x"})`,
		`label_replace(up, "v", "constant", "", "")`,
		`rsync_sessions_active unless ignoring (host, module, direction) up == 0 or rsync_daemon_info`,
	} {
		if err := c.CheckQuery(q); err != nil {
			t.Error(err)
		}
	}
	for _, test := range []struct{ query, want string }{
		{`rsync_session_total`, "no metric rsync_session_total; similar ones are rsync_sessions_total,"},
		{`rate(rsync_sessions_total{module="a", user="b"}[5m])`, "rsync_sessions_total has no label user; it has cluster, direction, host"},
		{`rsync_sessions_total{outcome="failed"}`, `never has outcome="failed"; it can have unknown, ok, partial`},
		{`rsync_errors_total{status_code=~"12|99"}`, `never has status_code="99"`},
		{`rsync_errors_total{status_code!="twelve"}`, `never has status_code="twelve"`},
		{`rsync_rejected_total{reason=~"max_con.*s_"}`, `never has reason="max_con.*s_"`},
		{`rsyncd_exporter_discarded_total{reason="kept"}`, `never has reason="kept"`},
		{`rsyncd_exporter_file_gaps_total{reason="lost"}`, `it can have truncated, unread`},
		{`rsyncd_exporter_refused_connections_total{reason="auth"}`, `it can have too_many`},
		{`rsync_files_total{operation="del"}`, `it can have send, recv, del.`},
		{`rsync_backup_state{state="bad"}`, `it can have ok, running`},
		{`rsync_messages_total{kind="unknown"}`, "it can have unrecognised"},
		{`sum by (outcomes) (rsync_sessions_total)`, "has no label outcomes"},
		{`sum without (user) (rsync_sessions_total)`, "has no label user"},
		{`topk by (user) (3, rsync_sessions_total)`, "has no label user"},
		{`rsync_sessions_active / on (host, user) rsync_last_success_timestamp_seconds`, "has no label user"},
		{`rsync_sessions_active / ignoring (user) rsync_executions_total`, "neither side of /"},
		{`rsync_sessions_active / on (host) group_left (version) rsync_connections_total`, "the one side of"},
		{`label_replace(up, "v", "$1", "version", ".*")`, "up has no label version"},
		{`label_join(up, "v", "-", "job", "version")`, "up has no label version"},
		{`rsync_sessions_active / rsync_connections_total`, "can match nothing"},
		{`sum by (job, instance) (up) / up`, "can match nothing: one side has the labels instance, job, the other cluster, instance, job"},
		{`rsync_sessions_active and up == 1`, "can match nothing"},
		{`rsync_sessions_active / ignoring (host) group_left () up`, "can match nothing"},
		{`rate(rsync_sessions_active[5m])`, "rate() is for counters, and rsync_sessions_active is a gauge"},
		{`delta(rsync_executions_total[5m])`, "delta() is for gauges, and rsync_executions_total is a counter"},
		{`{module="x"}`, "names no metric"},
		{`sum(`, "unclosed left parenthesis"},
	} {
		if err := c.CheckQuery(test.query); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.query, err, test.want)
		}
	}
}

// Rules may use what rules before them record, with the labels that it has.
func TestRecordedMetricsHaveTheLabelsOfTheirRules(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yml")
	write := func(text string) *monitoring.RuleFile {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := monitoring.ReadRules(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := write(`groups:
- name: g
  rules:
  - {record: "a:b", expr: "sum without (module, direction) (rate(rsync_sessions_total[5m]))", labels: {window: 5m}}
  - {record: "a:limit", expr: "10"}
  - {alert: A, expr: 'a:b{outcome="ok", window="5m"} > on () group_left () a:limit'}
`)
	c := monitoring.Exporter()
	if err := c.Record(f); err != nil {
		t.Fatal(err)
	}
	if l := c["a:b"]; !slices.Equal(l["window"], []string{"5m"}) || !slices.Contains(l["outcome"], "ok") || len(l) != 6 {
		t.Errorf("a:b has the labels %v", l)
	}
	if len(f.Alerts()) != 1 {
		t.Errorf("the alerts are %v, want A alone", f.Alerts())
	}
	for query, want := range map[string]string{
		`a:b{module="m"}`:    "a:b has no label module",
		`a:b{outcome="bad"}`: "never has outcome",
		`a:limit{job="j"}`:   "a:limit has no label job; it has none",
	} {
		if err := c.CheckQuery(query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", query, err, want)
		}
	}
	err := monitoring.Exporter().Record(write("groups: [{name: g, rules: [{alert: A, expr: later}, {record: later, expr: up}]}]"))
	if err == nil || !strings.Contains(err.Error(), "group g, rule A: query \"later\"") {
		t.Errorf("a rule that uses what is recorded behind it: %v", err)
	}
	if err := os.WriteFile(path, []byte("groups: [{name: g, rules: [{alert: A, exp: up}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := monitoring.ReadRules(path); err == nil || !strings.Contains(err.Error(), "exp not found") {
		t.Errorf("an unknown key: %v", err)
	}
}
