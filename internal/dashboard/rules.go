package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// What deploy/prometheus/rsyncd_exporter.rules.yml has.
const (
	runbook    = "https://github.com/rsyncd-exporter/rsyncd_exporter/blob/main/docs/runbook.md"
	alertNames = "Rsyncd.+"
	dailyCap   = `max(rsyncd_target:exchanged_bytes:increase1d{TARGET}) ` +
		`/ on () (rsyncd:threshold:traffic_day_bytes > 0)`
)

const limitLegend = "alert threshold"

// limit is the threshold of an alert, by its name among the rules. It shows where the rules are loaded.
func limit(name string) query { return q("rsyncd:threshold:"+name, limitLegend) }

// dashed is how limits look beside what is measured.
func dashed() []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{
		property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{8, 8}}),
		property("custom.fillOpacity", 0),
		property("color", map[string]any{"mode": "fixed", "fixedColor": bad}),
	}
}
