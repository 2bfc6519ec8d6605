package main

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// withoutClashes leaves out go_memstats_alloc_bytes, a gauge. In OpenMetrics a counter's family has
// its name without _total, so that it would be one family of two types with the counter
// go_memstats_alloc_bytes_total, which strict parsers refuse. Its value is that of
// go_memstats_heap_alloc_bytes, while nothing else has the counter's.
func withoutClashes(from prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := from.Gather()
		families = slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
			return f.GetName() == "go_memstats_alloc_bytes"
		})
		return families, err
	})
}
