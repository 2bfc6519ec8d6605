package main

import (
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// pipe is whether the exporter sees everything.
func pipe() row {
	return row{"Pipe health", slices.Concat(messages(), files(), program(), forwarders())}
}

func messages() panels {
	return panels{
		stacked("Messages by input",
			"Messages a second that arrived, those of other programs and discarded ones among them. What was lost "+
				"on the way here doesn't show.",
			units.MessagesPerSecond,
			q(`sum by (input) (rate(rsyncd_exporter_received_total{TARGET}[$__rate_interval]))`, "{{input}}")),
		lines("Discarded messages",
			"Messages a second that arrived and were thrown away, by input and reason. Each is a message that no "+
				"counter has.",
			units.MessagesPerSecond,
			q(`sum by (input, reason) (rate(rsyncd_exporter_discarded_total{TARGET}[$__rate_interval])) > 0`,
				"{{input}} {{reason}}")).
			DrawStyle(common.GraphDrawStyleBars).
			NoValue("none"),
		lines("Dropped before the exporter",
			"Messages a second that the kernel dropped as a socket's buffer was full, and that a forwarder says it "+
				"dropped. A network drops datagrams without a word.",
			units.MessagesPerSecond,
			q(`sum by (input) (rate(rsyncd_exporter_socket_drops_total{TARGET}[$__rate_interval]))`,
				"kernel {{input}}"),
			q(`sum(rate(rsync_upstream_lost_messages_total{HOST}[$__rate_interval]))`, "forwarder")),
		lines("Not understood",
			"rsyncd's lines a second that are of no known kind, or that can't be what they look like, as a "+
				"client's text in the log can't. On an honest log implausible stays 0. explain shows such lines of a "+
				"file.",
			units.MessagesPerSecond,
			q(`sum by (kind) (rate(rsync_messages_total{HOST, kind=~"unrecognised|implausible"}[$__rate_interval]))`,
				"{{kind}}")),
	}
}

func files() panels {
	return panels{
		lines("Age of the last message",
			"How long ago each input's last message arrived. A quiet night looks like a broken forwarder.",
			units.Seconds,
			q(`time() - max by (input) (rsyncd_exporter_last_message_timestamp_seconds{TARGET} > 0)`, "{{input}}")),
		lines("Lag of followed files",
			"How long ago all that was in a followed file had been read; 0 if it is now. While a backlog is read "+
				"after a start, /metrics answers 503 and nothing shows.",
			units.Seconds,
			q(`max by (file) (rsyncd_exporter_file_lag_seconds{TARGET})`, "{{file}}"),
			limit("file_lag_seconds")).
			OverrideByName(limitLegend, dashed()).
			NoValue("no file is followed"),
		lines("Gaps of followed files",
			"Times in the last hour that lines of a followed file may have been lost, by reason. copytruncate "+
				"counts as a gap even if nothing is lost.",
			units.Short,
			q(`sum by (file, reason) (increase(rsyncd_exporter_file_gaps_total{TARGET}[1h])) > 0`,
				"{{file}} {{reason}}"),
			q(`sum by (pattern, reason) (increase(rsyncd_exporter_pattern_gaps_total{TARGET}[1h])) > 0`,
				"{{pattern}} {{reason}}")).
			DrawStyle(common.GraphDrawStyleBars).
			NoValue("none"),
		lines("Age of the counters shown",
			"How old the counters are that /metrics shows: they are saved in STATE_DIR before they are shown, so "+
				"they age while saving fails.",
			units.Seconds,
			q(`max by (instance) (rsyncd_exporter_state_age_seconds{TARGET})`, "{{instance}}"),
			limit("state_age_seconds")).
			OverrideByName(limitLegend, dashed()).
			NoValue("no STATE_DIR"),
	}
}

func program() panels {
	return panels{
		lines("Series in use",
			"Samples of each scrape; sample_limit in prometheus.yml bounds them. Names beyond MAX_SERIES count as "+
				"_other, which the second query shows, a minute.",
			units.Short,
			q(`max by (instance) (scrape_samples_post_metric_relabeling{TARGET})`, "{{instance}}"),
			q(`sum by (label) (rate(rsyncd_exporter_label_overflow_total{TARGET}[$__rate_interval]) * 60) > 0`,
				"_other {{label}} a minute")),
		lines("Memory",
			"Resident memory of the exporter. In a control group Go keeps to three quarters of the limit.",
			units.BytesIEC,
			q(`max by (instance) (process_resident_memory_bytes{TARGET})`, "{{instance}}")),
		lines("Processor",
			"Share of one processor that the exporter takes.",
			units.PercentUnit,
			q(`max by (instance) (rate(process_cpu_seconds_total{TARGET}[$__rate_interval]))`, "{{instance}}")),
		lines("Duration of scrapes",
			"How long Prometheus waited for /metrics. It contains the save to STATE_DIR, so a slow disk shows here "+
				"first.",
			units.Seconds,
			q(`max by (instance) (scrape_duration_seconds{TARGET})`, "{{instance}}")),
	}
}

func forwarders() panels {
	return panels{
		lines("Connections of forwarders",
			"Open TCP and TLS connections that syslog comes through, and those a minute that were refused, by "+
				"reason. The README says what to do about each.",
			units.Short,
			q(`sum by (input) (rsyncd_exporter_connections{TARGET})`, "{{input}} open"),
			q(`sum by (input, reason) (rate(rsyncd_exporter_refused_connections_total{TARGET}`+
				`[$__rate_interval]) * 60) > 0`,
				"{{input}} refused a minute: {{reason}}")).
			NoValue("no TCP or TLS"),
		lines("Certificates expire in",
			"Time until what LISTEN_TLS uses expires: certificate, client CA, and the revocation list's next "+
				"update. Certificates of clients don't show.",
			units.Seconds,
			q(`min by (instance, file) (rsyncd_exporter_tls_certificate_expiry_timestamp_seconds{TARGET}) - time()`,
				"{{file}} {{instance}}"),
			limit("certificate_remaining_seconds")).
			OverrideByName(limitLegend, dashed()).
			NoValue("no TLS"),
		lines("Alerts",
			"Alerts of the shipped rules that fired. It needs rsyncd_exporter.rules.yml in Prometheus.",
			units.Short,
			q(`count by (alertname) (ALERTS{alertstate="firing", alertname=~"`+alertNames+`", cluster=~"$cluster"})`,
				"{{alertname}}")).
			DrawStyle(common.GraphDrawStyleBars).
			NoValue("none"),
	}
}
