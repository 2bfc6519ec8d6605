package main

import (
	"slices"

	"fmt"
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"

	"rsyncd_exporter/rsynclog/codes"
)

// outcomes is how sessions ended, and why.
func outcomes() row {
	return row{"Outcomes", slices.Concat(howSessionsEnded(), whatFailed(), meanings())}
}

func howSessionsEnded() panels {
	return panels{
		stacked("Outcomes of sessions",
			"Sessions a minute that ended, by outcome. partial: some files are missing. aborted: any other exit "+
				"code, or cut off. rejected: turned away. listing: a module list. unknown: no word at the end, as "+
				"with a killed push, or a push whose client could not read some of its files.",
			units.CountsPerMinute,
			q(`sum by (outcome) (rate(rsync_sessions_total{MODULE}[$__rate_interval]) * 60)`, "{{outcome}}")).
			Span(12).
			DrawStyle(common.GraphDrawStyleBars).
			OverrideByName("ok", coloured(good)).
			OverrideByName("partial", coloured(fair)).
			OverrideByName("aborted", coloured(bad)).
			OverrideByName("rejected", coloured(poor)).
			OverrideByName("listing", coloured(plain)).
			OverrideByName("unknown", coloured(quiet)),
		lines("Share of aborted sessions",
			"Of the sessions that were let through and ended, the share that was aborted. Health checks that reset "+
				"their connection count as aborted. A push that was killed is unknown, not aborted. The alert goes by "+
				"the last hour.",
			units.PercentUnit,
			q(byModule(`sum by (module) (rate(rsync_sessions_total{MODULE, outcome="aborted"}[$__rate_interval])) `+
				`/ (sum by (module) (rate(rsync_sessions_total{MODULE, outcome=~"ok|partial|aborted|unknown"}`+
				`[$__rate_interval])) > 0)`), "{{module}}"),
			limit("aborted_ratio")).
			Span(12).
			AxisSoftMax(1).
			OverrideByName(limitLegend, dashed()),
	}
}

func whatFailed() panels {
	return panels{
		lines("Errors by exit code",
			"rsync error and warning lines a minute by exit code. A session can have several. The daemon doesn't "+
				"log codes 23 and 24 of a pull.",
			units.CountsPerMinute,
			q(`sum by (status_code) (rate(rsync_errors_total{MODULE}[$__rate_interval]) * 60) > 0`,
				"code {{status_code}}")).
			DrawStyle(common.GraphDrawStyleBars).
			NoValue("none"),
		lines("File errors by errno",
			"Files a minute that could not be transferred, by errno: 28 is a full disk, 13 a missing permission, 0 "+
				"a file that vanished or an error without errno.",
			units.CountsPerMinute,
			q(`sum by (errno) (rate(rsync_file_errors_total{MODULE}[$__rate_interval]) * 60) > 0`, "errno {{errno}}")).
			DrawStyle(common.GraphDrawStyleBars).
			NoValue("none"),
		lines("Refused by reason",
			"Clients a minute that were turned away, by reason. auth and unknown_module in numbers are somebody "+
				"who tries names and passwords; max_connections is a daemon that is full.",
			units.CountsPerMinute,
			q(`sum by (reason) (rate(rsync_rejected_total{MODULE}[$__rate_interval]) * 60) > 0`, "{{reason}}")).
			DrawStyle(common.GraphDrawStyleBars).
			NoValue("none"),
	}
}

func meanings() panels {
	return panels{
		list("Exit codes and what they mean",
			"Error lines in the time chosen above, by exit code and module. The first line of a code may be "+
				"missing: a series that begins at 1 has no increase, unless Prometheus takes created timestamps.",
			units.Short,
			q(`sum by (status_code, module) (increase(rsync_errors_total{MODULE}[$__range])) > 0.5`, "")).
			Span(12).
			NoValue("none").
			SortBy(downBy("lines")).
			WithTransformation(columns(nil, [2]string{"status_code", "exit code"}, [2]string{"module", "module"},
				[2]string{"Value", "lines"})).
			OverrideByName("exit code", []dashboard.DynamicConfigValue{
				property("mappings", exitCodes()), property("custom.width", 420),
			}).
			OverrideByName("lines", []dashboard.DynamicConfigValue{property("decimals", 0)}),
		list("File errors and what they mean",
			"Files in the time chosen above that could not be transferred, by errno and module. The first one of "+
				"an errno may be missing: a series that begins at 1 has no increase, unless Prometheus takes created "+
				"timestamps.",
			units.Short,
			q(`sum by (errno, module) (increase(rsync_file_errors_total{MODULE}[$__range])) > 0.5`, "")).
			Span(12).
			NoValue("none").
			SortBy(downBy("files")).
			WithTransformation(columns(nil, [2]string{"errno", "errno"}, [2]string{"module", "module"},
				[2]string{"Value", "files"})).
			OverrideByName("errno", []dashboard.DynamicConfigValue{
				property("mappings", errnos()), property("custom.width", 420),
			}).
			OverrideByName("files", []dashboard.DynamicConfigValue{property("decimals", 0)}),
	}
}

func downBy(column string) []cog.Builder[common.TableSortByFieldState] {
	return []cog.Builder[common.TableSortByFieldState]{
		common.NewTableSortByFieldStateBuilder().DisplayName(column).Desc(true),
	}
}

func coloured(colour string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{property("color", map[string]any{"mode": "fixed", "fixedColor": colour})}
}

// exitCodes are rsync's exit codes with rsync's words.
func exitCodes() []dashboard.ValueMapping {
	var all []word
	for code := range 256 {
		if meaning := codes.ExitMeaning(code); meaning != "" {
			all = append(all, word{strconv.Itoa(code), fmt.Sprintf("%d: %s", code, meaning), ""})
		}
	}
	return words(append(all, word{codes.Label(codes.Unknown), "no exit code of rsync", ""})...)
}

// errnos are Linux' errnos with their names and the C library's words.
func errnos() []dashboard.ValueMapping {
	all := []word{{"0", "vanished, or without errno", ""}}
	for n := range 134 {
		if name, text := codes.ErrnoName(n); name != "" {
			all = append(all, word{strconv.Itoa(n), fmt.Sprintf("%d %s: %s", n, name, text), ""})
		}
	}
	return words(append(all, word{codes.Label(codes.Unknown), "no errno of Linux", ""})...)
}
