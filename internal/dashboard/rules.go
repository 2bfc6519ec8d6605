package main

// What the alert rules of deploy/prometheus have.
const (
	runbook    = "https://github.com/rsyncd-exporter/rsyncd_exporter/blob/main/docs/runbook.md"
	alertNames = "Rsync.*"
	dailyCap   = `sum(increase(rsync_exchanged_bytes_total{MODULE}[24h])) / 3e12`
)
