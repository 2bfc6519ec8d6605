package report

import "rsyncd_exporter/rsynclog"

// Stubs of what another branch builds.

type clientTop struct{}

func newClientTop() *clientTop { return &clientTop{} }

func (c *clientTop) add(addr, name string, v Volume) {}

func (c *clientTop) list(n int) ([]Client, Rest) { return nil, Rest{} }

type pathTop struct{}

func newPathTop() *pathTop { return &pathTop{} }

func (p *pathTop) add(module string, path []byte, n, bytes uint64) {}

func (p *pathTop) list(n int) []Path { return nil }

type wasteSketch struct{}

func newWasteSketch() *wasteSketch { return &wasteSketch{} }

func (w *wasteSketch) add(s *rsynclog.Session, path []byte, length, n uint64) {}

func (w *wasteSketch) list(n int, days float64) Waste { return Waste{} }
