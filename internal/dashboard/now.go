package main

import (
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// now is what is going on: who is connected, how full it is, and what is wrong.
func now() row {
	return row{"Now", slices.Concat(figuresNow(), sessionsNow(), listsNow())}
}

func figuresNow() panels {
	return panels{
		number("Sessions",
			"Sessions that were let through and have not ended. A session that went silent counts until "+
				"SESSION_TTL is over. The status page has each of them.",
			units.Short,
			q(`sum(rsync_sessions_active{MODULE})`, "sessions")),
		number("Connections now",
			"Clients that connected, a minute: refused ones and health checks among them.",
			units.CountsPerMinute,
			q(`sum(rate(rsync_connections_total{HOST}[$__rate_interval])) * 60`, "connections")).
			Decimals(1),
		number("Sent",
			"Bytes a second that the daemons sent. rsync logs a session's bytes when it ends, so a long session "+
				"shows as one peak at its end, and running sessions don't show at all.",
			units.BytesPerSecondIEC,
			q(`sum(rate(rsync_sent_bytes_total{MODULE}[$__rate_interval]))`, "sent")),
		number("Received",
			"Bytes a second that the daemons received. rsync logs a session's bytes when it ends; failed uploads "+
				"log none.",
			units.BytesPerSecondIEC,
			q(`sum(rate(rsync_received_bytes_total{MODULE}[$__rate_interval]))`, "received")),
		total("Refused in the last hour",
			"Clients that were turned away. The row Outcomes has the reasons. Clients that the network or a "+
				"firewall turned away leave no line in the log.",
			units.Short,
			q(`sum(increase(rsync_rejected_total{MODULE}[1h]))`, "refused")).
			Decimals(0).
			Thresholds(steps(good, step{1, fair})),
		total("Backups overdue",
			"Expected backups (EXPECT) whose time and grace are over. It is empty where no backup is expected: "+
				"then the exporter can't know that one is missing.",
			units.Short,
			q(`sum(rsync_backup_overdue{BACKUP})`, "overdue")).
			NoValue("none expected").
			Thresholds(steps(good, step{1, bad})),
	}
}

func sessionsNow() panels {
	return panels{
		lines("Sessions by module",
			"Sessions that were let through and have not ended, and each module's max connections where "+
				"RSYNCD_CONF is set. Peaks between two scrapes don't show.",
			units.Short,
			q(byModule(`sum by (module) (rsync_sessions_active{MODULE})`), "{{module}}"),
			q(`sum by (module) (rsync_module_max_connections{BACKUP})`, "{{module}}: max connections")).
			Span(12).
			OverrideByRegexp(".*: max connections", dashed()),
		bars("Places taken",
			"Share of a module's max connections that is taken, at the host where it is most. It needs RSYNCD_CONF. "+
				"Modules with the same lock file share their places.",
			units.PercentUnit,
			q(`max by (`+exporters+`, module) (rsync_module_places_taken{MODULE})`+
				` / on (`+exporters+`, module) max by (`+exporters+`, module) (rsync_module_max_connections{BACKUP})`,
				"{{module}} at {{instance}}")).
			Span(6).
			Max(1).
			Thresholds(steps(good, step{0.75, fair}, step{0.9, bad})),
		bars("Oldest session",
			"Age of each module's oldest session that has not ended. A session of which nothing was heard for "+
				"SESSION_TTL ends as unknown; until then a killed client looks like a slow one.",
			units.Seconds,
			q(byModule(`time() - min by (module) (rsync_oldest_session_start_timestamp_seconds{MODULE})`),
				"{{module}}")).
			Span(6).
			NoValue("no session"),
	}
}

func listsNow() panels {
	return panels{
		list("Alerts firing",
			"Alerts of the shipped rules that fire now. It needs rsyncd_exporter.rules.yml in Prometheus. The "+
				"runbook says what to do. A silenced alert shows here, too.",
			units.Short,
			q(`sort_desc(max by (alertname, severity, instance, host, module, user, name, file) `+
				`(ALERTS{alertstate="firing", alertname=~"`+alertNames+`", cluster=~"$cluster"}))`, "")).
			Span(12).Height(6).
			NoValue("none fires").
			WithTransformation(columns([]string{"Value", "Value #A"}, [2]string{"alertname", "alert"},
				[2]string{"severity", "severity"}, [2]string{"name", "backup"}, [2]string{"module", "module"},
				[2]string{"user", "user"}, [2]string{"file", "file"},
				[2]string{"host", "host"}, [2]string{"instance", "exporter"})).
			OverrideByName("severity", []dashboard.DynamicConfigValue{
				property("mappings", words(word{"critical", "critical", bad}, word{"warning", "warning", poor},
					word{"info", "info", plain})),
				property("custom.cellOptions", map[string]any{"type": "color-text"}),
			}).
			OverrideByName("alert", []dashboard.DynamicConfigValue{property("links", []map[string]any{
				{"title": "Runbook", "url": runbook, "targetBlank": true},
			})}),
		list("Exporters",
			"Each exporter with its version, and whether Prometheus reaches it. The address is Prometheus' own; "+
				"where a browser reaches it, too, it leads to the status page with sessions, clients and "+
				"errors one by one.",
			units.Short,
			q(`max by (`+exporters+`, version) (rsyncd_exporter_build_info{TARGET})`, ""),
			q(`max by (`+exporters+`) (up{TARGET})`, ""),
			q(`time() - max by (`+exporters+`) (rsyncd_exporter_last_message_timestamp_seconds{TARGET} > 0)`, ""),
			q(`min by (`+exporters+`) (rsyncd_exporter_state_ok{TARGET})`, "")).
			Span(12).Height(6).
			WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}}).
			WithTransformation(columns([]string{"Value #A", "cluster", "job"}, [2]string{"instance", "exporter"},
				[2]string{"version", "version"}, [2]string{"Value #B", "up"}, [2]string{"Value #C", "last message"},
				[2]string{"Value #D", "state saved"})).
			OverrideByName("exporter", []dashboard.DynamicConfigValue{property("links", statusPage("__value.raw"))}).
			OverrideByRegexp("up|state saved", []dashboard.DynamicConfigValue{
				property("mappings", words(word{"1", "yes", good}, word{"0", "no", bad})),
				property("custom.cellOptions", map[string]any{"type": "color-text"}),
			}).
			OverrideByName("last message", []dashboard.DynamicConfigValue{
				property("unit", units.Seconds), property("custom.align", common.FieldTextAlignmentLeft),
			}),
	}
}
