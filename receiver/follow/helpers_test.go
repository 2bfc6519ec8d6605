package follow

import "rsyncd_exporter/internal/receivertest"

const (
	criStamp = receivertest.CRIStamp
	headerA  = receivertest.HeaderA
)

var (
	start    = receivertest.Start
	reach    = receivertest.Reach
	must     = receivertest.Must
	clip     = receivertest.Clip
	cri      = receivertest.CRI
	jsonFile = receivertest.JSONFile
)
