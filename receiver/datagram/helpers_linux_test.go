package datagram

import "rsyncd_exporter/internal/receivertest"

var (
	inNetwork           = receivertest.InNetwork
	inNetworkOfMachines = receivertest.InNetworkOfMachines
	setInterface        = receivertest.SetInterface
	bounds              = receivertest.Bounds
	senderOf            = receivertest.SenderOf
	duplicate           = receivertest.Duplicate
	pass                = receivertest.Pass
	filters             = receivertest.NeedFilters
)
