package pipeline_test

import (
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// TestForwardedLikeDirect replays every scenario as six forwarders passed it on: sessions, outcomes, rejections, files, file errors, bytes
// and exit codes are those of the table, as in the direct form, also where rsyslog has cut a long tag and the pid with it
// (syslog_tag_facility). What a forwarder damages is in forwardersDamage.
func TestForwardedLikeDirect(t *testing.T) {
	names, _ := filepath.Glob(filepath.Join(corpusDir, "forwarded", "*.raw"))
	if len(names) != 6 {
		t.Fatalf("%d forwarded streams, want 6", len(names))
	}
	table, truth := readTable(t), readTruth(t)
	for _, name := range names {
		stream := strings.TrimSuffix(filepath.Base(name), ".raw")
		messages := corpus.ReadForwarded(t, name)
		for _, part := range corpus.Order(t) {
			scenario, n := part.Scenario, part.Messages
			var said [][]byte
			said, messages = messages[:n], messages[n:]
			t.Run(stream+"/"+scenario, func(t *testing.T) {
				want, ok := table[[2]string{scenario, "syslog"}]
				if !ok {
					t.Fatal("not in the table")
				}
				conf := truth[scenario].config()
				got := agreeInEveryConfig(t, conf, &receiver.Source{Input: "udp", Name: stream, Dialect: syslog.Auto{}}, said, want)
				direct := count(t, replay(t, conf, syslogSource(), corpus.ReadDatagrams(t, filepath.Join(corpusDir, "syslog", scenario+".raw"))))
				if got != direct {
					t.Errorf("forwarded %+v\ndirect    %+v", got, direct)
				}
			})
		}
		if len(messages) > 0 {
			t.Errorf("%s: %d messages more than order.json has", stream, len(messages))
		}
	}
}
