package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

const noClients = " Single clients are no series, as there may be millions: the status page and a report list them."

// who is where clients come from, and what they try.
func who() row {
	const bytesOf = `increase(rsync_client_sent_bytes_total{TARGET}[$__range]) + ` +
		`increase(rsync_client_received_bytes_total{TARGET}[$__range])`
	return row{"Who", panels{
		bars("Groups of clients by bytes",
			"Bytes to and from the networks that CLIENT_GROUPS names, in the time chosen above; other is the rest."+
				noClients,
			units.BytesIEC,
			q(named("group", "(CLIENT_GROUPS isn't set)", `topk(10, sum by (group) (`+bytesOf+`))`), "{{group}}")),
		bars("Countries or networks by bytes",
			"Bytes to and from each country or autonomous system, as GEOIP_DB has them, in the time chosen above; "+
				"the fifteen with the most. Beyond 300 places they count as _other. A database is wrong about some "+
				"addresses.",
			units.BytesIEC,
			q(named("country", "(GEOIP_DB isn't set)", `topk(15, sum by (country) (`+
				`increase(rsync_client_sent_bytes_total{TARGET, asn=""}[$__range]) + `+
				`increase(rsync_client_received_bytes_total{TARGET, asn=""}[$__range])))`), "{{country}}"),
			q(`topk(15, sum by (asn) (increase(rsync_client_sent_bytes_total{TARGET, asn!=""}[$__range]) + `+
				`increase(rsync_client_received_bytes_total{TARGET, asn!=""}[$__range])))`, "AS {{asn}}")),
		bars("IPv4 and IPv6",
			"Bytes by address family in the time chosen above. unknown is what had only a name, as behind some "+
				"proxies.",
			units.BytesIEC,
			q(`sum by (family) (`+bytesOf+`)`, "{{family}}")),
		stacked("Sessions by group",
			"Sessions a minute that ended, by the networks that CLIENT_GROUPS names; other is the rest."+
				noClients,
			units.CountsPerMinute,
			q(named("group", "(CLIENT_GROUPS isn't set)",
				`sum by (group) (rate(rsync_client_sessions_total{TARGET}[$__rate_interval]) * 60)`), "{{group}}")),
		stacked("Sessions by family",
			"Sessions a minute that ended, by address family. An address counts as the daemon saw it: behind a "+
				"proxy that is the proxy's.",
			units.CountsPerMinute,
			q(`sum by (family) (rate(rsync_client_sessions_total{TARGET}[$__rate_interval]) * 60)`, "{{family}}")),
		lines("Probing",
			"Requests a minute for modules that don't exist, logins that failed, addresses that hosts deny turned "+
				"away, and module lists. One forgotten cron job can make as many as somebody who tries names.",
			units.CountsPerMinute,
			q(`sum by (reason) (rate(rsync_rejected_total{MODULE, reason=~"unknown_module|auth|hosts_deny"}`+
				`[$__rate_interval]) * 60)`,
				"{{reason}}"),
			q(`sum(rate(rsync_module_list_requests_total{HOST}[$__rate_interval]) * 60)`, "module list")),
	}}
}
