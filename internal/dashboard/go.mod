module rsyncd_exporter/internal/dashboard

go 1.26.0

toolchain go1.26.6

require (
	github.com/grafana/grafana-foundation-sdk/go v0.0.22
	rsyncd_exporter v0.0.0
)

replace rsyncd_exporter => ../..
