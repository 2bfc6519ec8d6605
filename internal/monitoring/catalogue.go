// Package monitoring checks what is shipped for monitoring: rules of Prometheus and queries of
// dashboards ask only for metrics, labels and values that the exporter has. Only tests use it.
package monitoring

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// Labels are the labels of a metric, each with the values that it can have. No values stand for a
// label that can have any, such as the name of a module.
type Labels map[string][]string

// A Catalogue has the labels of each metric that a query may ask for, by the metric's name.
type Catalogue map[string]Labels

// targetLabels are those that Prometheus adds to all series of a target. cluster stands for what
// users add to tell their exporters apart: a query that loses it loses theirs.
var targetLabels = []string{"job", "instance", "cluster"}

// anyLabel marks metrics of which nobody knows all labels, such as ALERTS.
const anyLabel = "*"

// Exporter returns the metrics of the exporter, as its packages describe them, and those that
// Prometheus makes of each scrape.
func Exporter() Catalogue {
	c := Catalogue{}
	for _, name := range []string{"up", "scrape_duration_seconds", "scrape_samples_scraped",
		"scrape_samples_post_metric_relabeling", "scrape_series_added"} {
		c.add(name, nil)
	}
	c["ALERTS"] = Labels{anyLabel: nil}
	c["ALERTS_FOR_STATE"] = Labels{anyLabel: nil}
	c.describe(metrics.NewCollector(nil, nil))
	c.describe(metrics.NewClients(nil))
	c.describe(prometheus.NewGaugeFunc(prometheus.GaugeOpts{ // as cmd/rsyncd_exporter makes it
		Name:        "rsyncd_exporter_build_info",
		ConstLabels: prometheus.Labels{"version": "", "revision": "", "goversion": ""},
	}, func() float64 { return 1 }))
	c.describe(collectors.NewGoCollector())
	c.describe(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// A description doesn't say that its metric is a histogram or a summary.
	c.histogram("rsync_session_duration_seconds")
	c.summary("go_gc_duration_seconds")
	return c
}

// add adds a metric of the exporter, with the labels of its target.
func (c Catalogue) add(name string, labels Labels) {
	all := Labels{}
	for _, l := range targetLabels {
		all[l] = nil
	}
	maps.Copy(all, labels)
	c[name] = all
}

func (c Catalogue) histogram(name string) {
	bucket := maps.Clone(c[name])
	bucket["le"] = nil
	c[name+"_bucket"], c[name+"_sum"], c[name+"_count"] = bucket, c[name], c[name]
}

func (c Catalogue) summary(name string) {
	c[name+"_sum"], c[name+"_count"] = c[name], c[name]
	c[name] = maps.Clone(c[name])
	c[name]["quantile"] = nil
}

var descRE = regexp.MustCompile(`fqName: "([^"]+)", .*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)

// describe adds what a collector describes. client_golang shows a description as a text only.
func (c Catalogue) describe(from prometheus.Collector) {
	descs := make(chan *prometheus.Desc)
	go func() {
		from.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		m := descRE.FindStringSubmatch(d.String())
		if m == nil {
			panic(fmt.Sprintf("%s is not as client_golang used to show it", d))
		}
		labels := Labels{}
		for _, pair := range strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' }) {
			name, _, _ := strings.Cut(pair, "=")
			labels[name] = nil
		}
		for _, name := range strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' }) {
			labels[name] = valuesOf(m[1], name)
		}
		c.add(m[1], labels)
	}
}

// valuesOf returns the values that a label of a metric can have, or nil where it can have any.
func valuesOf(metric, label string) []string {
	switch label {
	case "direction":
		return []string{"", "send", "receive"}
	case "outcome":
		return enum.Names(rsynclog.NumOutcomes, rsynclog.Outcome.String)
	case "operation":
		return enum.Names(rsynclog.NumOps, rsynclog.Op.String)[1:]
	case "kind":
		return append(enum.Names(rsynclog.NumKinds, rsynclog.Kind.String), "implausible", rsynclog.Other)
	case "status_code":
		return numbers(codes.Exit)
	case "errno":
		return numbers(codes.Errno)
	case "state":
		return enum.Names(uint8(len(backups.States())), func(i uint8) string { return string(backups.States()[i]) })
	case "start":
		return metrics.StateStarts[:]
	case "family":
		all := clients.Families()
		return all[:]
	case "input":
		return []string{string(config.RoleUDP), string(config.RoleTCP), string(config.RoleTLS),
			string(config.RoleUnixgram), "stdin", "file"}
	}
	switch metric + " " + label {
	case "rsync_rejected_total reason":
		return enum.Names(rsynclog.NumReasons, rsynclog.Reason.String)[1:]
	case "rsyncd_exporter_discarded_total reason":
		return receiver.DiscardReasons()[1:]
	case "rsyncd_exporter_refused_connections_total reason":
		return enum.Names(stream.NumRefusals, stream.Refusal.String)[1:]
	case "rsyncd_exporter_file_gaps_total reason", "rsyncd_exporter_pattern_gaps_total reason":
		return enum.Names(follow.NumGaps, follow.Gap.String)
	case "rsyncd_exporter_label_overflow_total label":
		return []string{"host", "module", "user", "errno", "status_code"}
	case "rsyncd_exporter_tls_certificate_expiry_timestamp_seconds file":
		return []string{"certificate", "client_ca", "crl"}
	}
	return nil
}

// numbers returns the exit codes or errnos that there are, as labels show them.
func numbers(known func(int16) int16) (all []string) {
	for n := range int16(256) {
		if known(n) == n {
			all = append(all, strconv.Itoa(int(n)))
		}
	}
	return append(all, codes.Label(codes.Unknown))
}
