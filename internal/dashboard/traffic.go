package main

import (
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

const atTheirEnd = "rsync logs a session's bytes when it ends: a long session shows as one peak, and running ones " +
	"don't show. "

// traffic is how much moves, where, and when.
func traffic() row {
	return row{"Traffic", slices.Concat(bytesMoved(), totals(), busiest(), shape())}
}

func bytesMoved() panels {
	return panels{
		stacked("Traffic by module",
			"Bytes a second sent and received. direction is the daemon's: send is a pull, receive a push. "+
				atTheirEnd+
				"Choose a longer time to see the level.",
			units.BytesPerSecondIEC,
			q(byModule(`sum by (module, direction) (rate(rsync_exchanged_bytes_total{MODULE}[$__rate_interval]))`),
				"{{module}} {{direction}}")).
			Span(12),
		lines("Sent and received",
			"Bytes a second that the daemons sent, and below the axis those that they received. "+
				atTheirEnd+
				"Failed uploads log none.",
			units.BytesPerSecondIEC,
			q(`sum(rate(rsync_sent_bytes_total{MODULE}[$__rate_interval]))`, "sent"),
			q(`-sum(rate(rsync_received_bytes_total{MODULE}[$__rate_interval]))`, "received")).
			Span(12).
			AxisCenteredZero(false).
			OverrideByName("received", []dashboard.DynamicConfigValue{property("min", nil)}),
	}
}

func totals() panels {
	return panels{
		total("Bytes today",
			"Bytes sent and received since midnight, by sessions that have ended. Where Prometheus missed scrapes, "+
				"the sum is estimated.",
			units.BytesIEC,
			q(`sum(increase(rsync_exchanged_bytes_total{MODULE}[$__range]))`, "today")).
			TimeFrom("now/d"),
		total("Bytes this month",
			"Bytes sent and received since the first of the month, by sessions that have ended. It reaches back as "+
				"far as Prometheus keeps its data, 15 days by default.",
			units.BytesIEC,
			q(`sum(increase(rsync_exchanged_bytes_total{MODULE}[$__range]))`, "this month")).
			TimeFrom("now/M"),
		total("Sent this month",
			"Bytes sent since the first of the month, by sessions that have ended: what most caps count. It "+
				"reaches back as far as Prometheus keeps its data, 15 days by default.",
			units.BytesIEC,
			q(`sum(increase(rsync_sent_bytes_total{MODULE}[$__range]))`, "sent")).
			TimeFrom("now/M"),
		total("Of the daily cap",
			"Bytes of the last 24 hours, as a share of the cap that the alert rules have at their top. It needs "+
				"rsyncd_exporter.rules.yml in Prometheus.",
			units.PercentUnit,
			q(dailyCap, "of the cap")).
			NoValue("no cap").
			Thresholds(steps(good, step{0.8, fair}, step{1, bad})),
		total("Sessions in this time",
			"Sessions that ended in the time chosen above, module lists and refusals among them.",
			units.Short,
			q(`sum(increase(rsync_sessions_total{MODULE}[$__range]))`, "sessions")).
			Decimals(0),
		total("Listed, not moved",
			"Size of the files in the file lists of sessions that ended in the time chosen above, changed or not. "+
				"It is what clients looked at, and no traffic.",
			units.BytesIEC,
			q(`sum(increase(rsync_listed_bytes_total{MODULE}[$__range]))`, "listed")),
	}
}

func busiest() panels {
	return panels{
		bars("Modules by bytes",
			"Bytes sent and received in the time chosen above, by sessions that have ended; the ten modules with "+
				"the most.",
			units.BytesIEC,
			q(byModule(`topk(10, sum by (module) (increase(rsync_exchanged_bytes_total{MODULE}[$__range])))`),
				"{{module}}")),
		bars("Hosts by bytes",
			"Bytes sent and received in the time chosen above, by sessions that have ended; the ten hosts with the "+
				"most. A host is the syslog header's; what has none is local.",
			units.BytesIEC,
			q(byHost(`topk(10, sum by (host) (increase(rsync_exchanged_bytes_total{MODULE}[$__range])))`), "{{host}}")),
		stacked("Files",
			"Transfer lines a second: files sent (send), received (recv) and deleted (del.). It needs transfer "+
				"logging in rsyncd.conf. A file is logged once it is through; dry runs log none.",
			units.CountsPerSecond,
			q(`sum by (operation) (rate(rsync_files_total{MODULE}[$__rate_interval]))`, "{{operation}}")),
		stacked("Connections a minute",
			"Clients that connected, by host of the syslog header; what has none is local. Health checks that "+
				"connect and close count, too.",
			units.CountsPerMinute,
			q(byHost(`sum by (host) (rate(rsync_connections_total{HOST}[$__rate_interval]) * 60)`), "{{host}}")),
	}
}

func shape() panels {
	minutes := q(`label_replace(sum(rate(rsync_connections_total{HOST}[$__rate_interval]) * 60) `+
		`* on () group_right () count_values("minute", minute(vector(time()))), `+
		`"minute", "0$1", "minute", "(.)")`, "{{minute}}")
	return panels{
		lines("Duration of sessions",
			"Median and 95th percentile of the time from connect to the last line, of sessions that ended, by "+
				"direction. They are estimated from the histogram's buckets, or exact to a few percent with native "+
				"histograms.",
			units.Seconds,
			q(quantile("0.5"), "median {{direction}}"),
			q(quantile("0.95"), "95 % {{direction}}")),
		bars("Minute of the hour",
			"Connections a minute in each minute of the hour, on average over the last day. A cron job that "+
				"everybody has at the full hour stands out. Scrapes are 10 s apart or more, so a peak spreads over "+
				"the minutes beside it.",
			units.CountsPerMinute,
			minutes).
			Targets(targets([]query{minutes}, overTime)).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"mean"})).
			Orientation(common.VizOrientationVertical).
			NamePlacement(common.BarGaugeNamePlacementAuto).
			ValueMode(common.BarGaugeValueModeHidden).
			ShowUnfilled(false).
			Interval("1m").
			MaxDataPoints(1500).
			TimeFrom("now-24h"),
	}
}

// quantile is of classic buckets, or of a native histogram where Prometheus keeps only that.
func quantile(of string) string {
	return `histogram_quantile(` + of + `, sum by (le, direction) (` +
		`rate(rsync_session_duration_seconds_bucket{MODULE}[$__rate_interval]))) ` +
		`or histogram_quantile(` + of + `, sum by (direction) (` +
		`rate(rsync_session_duration_seconds{MODULE}[$__rate_interval])))`
}
