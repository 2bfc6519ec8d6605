package syslog_test

import (
	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/receivertest"
)

var corpusDir = corpus.Dir()

const (
	criStamp = receivertest.CRIStamp
	headerA  = receivertest.HeaderA
	headerB  = receivertest.HeaderB
)

var (
	must               = receivertest.Must
	corpusFiles        = corpus.Files
	readDatagrams      = corpus.ReadDatagrams
	readLines          = corpus.ReadLines
	readOctetCounted   = corpus.ReadOctetCounted
	forwardedScenarios = corpus.Direct
	cri                = receivertest.CRI
	jsonFile           = receivertest.JSONFile
	plainText          = receivertest.PlainText
	escapedText        = receivertest.EscapedText
)
