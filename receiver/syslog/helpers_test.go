package syslog

import "rsyncd_exporter/internal/receivertest"

const (
	corpusDir = receivertest.CorpusDir
	criStamp  = receivertest.CRIStamp
	headerA   = receivertest.HeaderA
	headerB   = receivertest.HeaderB
)

var (
	must               = receivertest.Must
	corpusFiles        = receivertest.CorpusFiles
	readDatagrams      = receivertest.ReadDatagrams
	readLines          = receivertest.ReadLines
	readOctetCounted   = receivertest.ReadOctetCounted
	forwardedScenarios = receivertest.ForwardedScenarios
	cri                = receivertest.CRI
	jsonFile           = receivertest.JSONFile
	plainText          = receivertest.PlainText
	escapedText        = receivertest.EscapedText
)
