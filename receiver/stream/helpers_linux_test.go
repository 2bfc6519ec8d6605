package stream_test

import "rsyncd_exporter/internal/receivertest"

var (
	inNetworkOfMachines = receivertest.InNetworkOfMachines
	bounds              = receivertest.Bounds
	duplicate           = receivertest.Duplicate
	pass                = receivertest.Pass
	filters             = receivertest.NeedFilters
)
