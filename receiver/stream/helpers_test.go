package stream_test

import "rsyncd_exporter/internal/receivertest"

type holdSink = receivertest.Sink

const criStamp = receivertest.CRIStamp

var (
	newHoldSink = receivertest.NewSink
	start       = receivertest.Start
	reach       = receivertest.Reach
	send        = receivertest.Send
	must        = receivertest.Must
	clip        = receivertest.Clip
	allowList   = receivertest.AllowList
)
