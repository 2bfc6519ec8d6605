package pipeline_test

import (
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/receiver"
)

// captures holds logs of rsync 2.6.9 to 3.5.0 that tell what the corpus doesn't; see its README.
const captures = "../testdata/captures"

// TestCaptures replays every capture, datagrams or lines, and compares with captures.tsv, which has truth.tsv's
// columns and whose rows were worked out from the clients' knowledge; what the log can't tell stands in the last
// column. By hand: upload_max_delete.v3_5_0 are seven uploads, six of which stopped deleting; every client's exit
// code was 0, and only the last logged a summary, "sent 73 bytes  received 137". pid_reuse_daemons are twelve starts,
// each with a push, a pull and a refusal, and every third with a push that is killed: 12*3+4 = 40 connections, 12*2+4
// = 28 executions. pid_reuse_laps are three laps of 140 connections, with two more at each of the two wraps: 424.
func TestCaptures(t *testing.T) {
	truth := readTruthIn(t, captures)
	table := readTableIn(t, "testdata/captures.tsv")
	for key, want := range table {
		scenario, form := key[0], key[1]
		t.Run(form+"/"+scenario, func(t *testing.T) {
			var messages [][]byte
			var src *receiver.Source
			switch form {
			case "syslog":
				messages, src = corpus.ReadDatagrams(t, filepath.Join(captures, "syslog", scenario+".raw")), syslogSource()
			case "file":
				messages, src = corpus.ReadLines(t, filepath.Join(captures, "file", scenario+".log")), fileSource()
			}
			agreeInEveryConfig(t, truth[scenario].config(), src, messages, want)
		})
	}
	isTheClients(t, table, truth)
}
