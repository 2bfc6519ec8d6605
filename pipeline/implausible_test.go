package pipeline_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
)

// dishonest lists the scenarios in whose logs clients write what a daemon would, and how.
var dishonest = map[string]string{
	"malicious.v3_5_0":       "clients that send lines of the daemon as messages (MSG_INFO, MSG_ERROR)",
	"hostile_names.v3_0_9":   "names that hold line feeds and whole lines of a daemon, raw before 3.5.0",
	"hostile_names.v3_5_0":   "the same names: a datagram holds them raw in every version",
	"hostile_names_download": "names with line feeds and forged lines",
}

// No line of an honest log is implausible: what a daemon and its sessions write is believed, whatever clients
// come, break off or are refused, and whatever pids the sessions have. By hand: the corpus has 102 logs of 52
// scenarios, the captures have 33, and six of them are dishonest.
func TestHonestLogsHoldNothingImplausible(t *testing.T) {
	honest, skipped := 0, 0
	each := func(table, dir string) {
		truth := readTruthIn(t, dir)
		for key := range readTableIn(t, table) {
			scenario, form := key[0], key[1]
			if dishonest[scenario] != "" {
				skipped++
				continue
			}
			honest++
			t.Run(filepath.Base(dir)+"/"+form+"/"+scenario, func(t *testing.T) {
				messages, src := recorded(t, dir, scenario, form)
				for _, c := range []pipeline.Config{truth[scenario].config(), {}} {
					if n := implausible(t, replay(t, c, src, messages)); n > 0 {
						t.Errorf("%d implausible lines (modules from the settings: %q), want none:", n, c.Modules)
						quoteImplausible(t, c, src, messages)
					}
				}
			})
		}
	}
	each("testdata/truth.tsv", corpusDir)
	each("testdata/captures.tsv", captures)
	if honest != 128 || skipped != 6 {
		t.Errorf("%d honest logs and %d dishonest ones, want 128 and 6", honest, skipped)
	}
}

// recorded returns the datagrams or lines of a scenario, and the source that they come from.
func recorded(t *testing.T, dir, scenario, form string) ([][]byte, *receiver.Source) {
	t.Helper()
	if form == "syslog" {
		return corpus.ReadDatagrams(t, filepath.Join(dir, "syslog", scenario+".raw")), syslogSource()
	}
	names, err := filepath.Glob(filepath.Join(dir, "file", scenario+".*log"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no log: %v", err)
	}
	var lines [][]byte
	for _, n := range names {
		lines = append(lines, corpus.ReadLines(t, n)...)
	}
	return lines, fileSource()
}

func implausible(t *testing.T, p *pipeline.Pipeline) int {
	t.Helper()
	return byLabel(gathered(t, p), "rsync_messages_total", "kind")["implausible"]
}

// quoteImplausible replays a log up to each of its lines, and logs those that are implausible.
func quoteImplausible(t *testing.T, c pipeline.Config, src *receiver.Source, messages [][]byte) {
	t.Helper()
	p := replay(t, c, src, nil)
	before := 0
	for i, m := range messages {
		p.Deliver(src, &receiver.Slab{Messages: [][]byte{m}})
		if n := implausible(t, p); n > before {
			t.Logf("line %d: %s", i+1, bytes.TrimSpace(m))
			before = n
		}
	}
}
