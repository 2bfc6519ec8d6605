package main

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// states are those of an expected backup, the best first; the timeline numbers them so.
var states = []word{
	{"ok", "ok", good}, {"running", "running", plain}, {"paused", "paused", quiet}, {"late", "late", fair},
	{"failed", "failed", poor}, {"overdue", "overdue", bad}, {"never", "never", "purple"},
}

// backups is whether each expected backup came, and as large as usual.
func backups() row {
	const gauges = " The gauges are of the last session that ended, whatever its outcome."
	return row{"Backups", panels{
		expected(),
		statetimeline.NewPanelBuilder().
			Title("States of expected backups").
			Description("The state of each expected backup over time. late: it is due, and the grace isn't over. " +
				"failed: the last attempt failed. never: none has ever come. A scrape that Prometheus missed " +
				"leaves a gap.").
			Datasource(datasource()).
			Unit(units.NoUnit).
			Height(8).Span(24).
			Targets(targets([]query{q(numberedStates(), "{{name}}")}, overTime)).
			Mappings(timelineStates()).
			MergeValues(true).
			ShowValue(common.VisibilityModeAuto).
			RowHeight(0.8).
			FillOpacity(80).
			ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
			Thresholds(steps(quiet)),
		lines("Listed bytes",
			"Size of all files in the last session's list, changed or not, by module and user. A source that is "+
				"empty or not mounted shows as a fall. It is no traffic."+
				gauges,
			units.BytesIEC,
			q(moduleAndUser(`max by (module, user) (rsync_last_session_listed_bytes{MODULE, direction="receive"})`),
				"{{module}} {{user}}")),
		lines("Duration of the last session",
			"How long the last session of each module and user took, from connect to its last line."+
				gauges,
			units.Seconds,
			q(moduleAndUser(`max by (module, user) (rsync_last_session_duration_seconds{MODULE, direction="receive"})`),
				"{{module}} {{user}}")),
		lines("Deletions",
			"Files and directories that transfers deleted, a minute, by module. It needs transfer logging in "+
				"rsyncd.conf. Many at once may be a source that was emptied, or an attacker; or a tidy user.",
			units.CountsPerMinute,
			q(byModule(`sum by (module) (rate(rsync_files_total{MODULE, operation="del."}[$__rate_interval]) * 60)`),
				"{{module}}")),
	}}
}

func expected() cog.Builder[dashboard.Panel] {
	const lastSuccess = "rsync_last_success_timestamp_seconds"
	const each = `max by (` + exporters + `, name, module, user%s) (%s)`
	return list("Expected backups",
		"Each backup that EXPECT or EXPECT_FILE names. The state is the exporter's judgement: it knows the "+
			"schedule, the client, the least size. The other figures are those of all sessions of its module and "+
			"user, pushes where there are any, so that a restore or a second client can move them. A dry "+
			"run looks like a run.",
		units.Short,
		q(fmt.Sprintf(each, ", state", `rsync_backup_state{BACKUP} == 1`), ""),
		q(`time() - (`+ofBackups(lastSuccess)+`)`, ""),
		q(fmt.Sprintf(each, "", `rsync_backup_expected_max_age_seconds{BACKUP}`), ""),
		q(`(time() - (`+ofBackups(lastSuccess)+`)) / on (`+exporters+`, name, module, user) `+
			fmt.Sprintf(each, "", `rsync_backup_expected_max_age_seconds{BACKUP}`), ""),
		q(ofBackups("rsync_last_session_duration_seconds"), ""),
		q(ofBackups("rsync_last_session_listed_bytes"), "")).
		Span(24).Height(9).
		NoValue("-").
		WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}}).
		WithTransformation(columns([]string{"Value #A", "cluster", "job"}, [2]string{"name", "backup"},
			[2]string{"state", "state"},
			[2]string{"Value #B", "last success"}, [2]string{"Value #C", "overdue after"},
			[2]string{"Value #D", "of that age"},
			[2]string{"Value #E", "duration"}, [2]string{"Value #F", "listed bytes"}, [2]string{"module", "module"},
			[2]string{"user", "user"}, [2]string{"instance", "exporter"})).
		OverrideByName("state", []dashboard.DynamicConfigValue{
			property("mappings", words(states...)),
			property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}),
		}).
		OverrideByRegexp("last success|overdue after|duration",
			[]dashboard.DynamicConfigValue{property("unit", units.Seconds)}).
		OverrideByName("listed bytes", []dashboard.DynamicConfigValue{property("unit", units.BytesIEC)}).
		OverrideByName("of that age", []dashboard.DynamicConfigValue{
			property("unit", units.PercentUnit), property("min", 0), property("max", 1),
			property("custom.cellOptions", map[string]any{"type": "gauge", "mode": "basic"}),
			property("thresholds", map[string]any{"mode": "absolute", "steps": []map[string]any{
				{"value": nil, "color": good}, {"value": 0.9, "color": fair}, {"value": 1, "color": bad},
			}}),
		}).
		OverrideByName("exporter", []dashboard.DynamicConfigValue{property("links", statusPage("__value.raw"))})
}

// ofBackups gives a gauge of module and user the names of the expected backups that it belongs to:
// of pushes where there are any, else of pulls. A backup without a user is its module's.
func ofBackups(metric string) string {
	of := func(by, direction string) string {
		return fmt.Sprintf(`max by (%s, %s) (%s{MODULE, direction="%s"})`, exporters, by, metric, direction)
	}
	one := func(by, user string) string {
		return fmt.Sprintf(`(%s or %s) * on (%s, %s) group_right () `+
			`max by (%s, name, module, user) (rsync_backup_seen{BACKUP, user%s""} == 1)`,
			of(by, "receive"), of(by, "send"), exporters, by, exporters, user)
	}
	return one("module, user", "!=") + " or " + one("module", "=")
}

// numberedStates is the number of the state that each backup is in.
func numberedStates() string {
	var each []string
	for i, state := range states {
		each = append(each, fmt.Sprintf(`rsync_backup_state{BACKUP, state="%s"} * %d`, state.value, i))
	}
	return `max by (name) (` + strings.Join(each, " or ") + `)`
}

func timelineStates() []dashboard.ValueMapping {
	var all []word
	for i, state := range states {
		all = append(all, word{fmt.Sprint(i), state.text, state.colour})
	}
	return words(all...)
}

func moduleAndUser(expr string) string { return byModule(named("user", "(no user)", expr)) }
