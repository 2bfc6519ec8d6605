package pipeline_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// forwarded reads one forwarder's whole output, message by message.
func forwarded(t *testing.T, name string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	switch {
	case strings.HasSuffix(name, "-udp.raw"):
		return datagrams(t, name)
	case strings.HasSuffix(name, "-lf.raw"):
		return bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
	default: // octet-counted
		for len(b) > 0 {
			size, rest, _ := bytes.Cut(b, []byte(" "))
			n, err := strconv.Atoi(string(size))
			if err != nil || n > len(rest) {
				t.Fatalf("%s: a frame of %q bytes", name, size)
			}
			out = append(out, rest[:n])
			b = rest[n:]
		}
	}
	return out
}

// TestForwardedLikeDirect replays every scenario as six forwarders passed it on: sessions, outcomes, rejections, files, file errors, bytes
// and exit codes are those of the table, as in the direct form, also where rsyslog has cut a long tag and the pid with it
// (syslog_tag_facility). What a forwarder damages is in forwardersDamage.
func TestForwardedLikeDirect(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(corpusDir, "forwarded", "order.json"))
	if err != nil {
		t.Fatal(err)
	}
	var order [][2]any
	if err := json.Unmarshal(b, &order); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(corpusDir, "forwarded", "*.raw"))
	if len(names) != 6 {
		t.Fatalf("%d forwarded streams, want 6", len(names))
	}
	table, truth := readTable(t), readTruth(t)
	for _, name := range names {
		stream := strings.TrimSuffix(filepath.Base(name), ".raw")
		messages := forwarded(t, name)
		for _, o := range order {
			scenario, n := o[0].(string), int(o[1].(float64))
			var part [][]byte
			part, messages = messages[:n], messages[n:]
			t.Run(stream+"/"+scenario, func(t *testing.T) {
				want, ok := table[[2]string{scenario, "syslog"}]
				if !ok {
					t.Fatal("not in the table")
				}
				conf := truth[scenario].config()
				got := agreeInEveryConfig(t, conf, &receiver.Source{Input: "udp", Name: stream, Dialect: syslog.Auto{}}, part, want)
				direct := count(t, replay(t, conf, syslogSource(), datagrams(t, filepath.Join(corpusDir, "syslog", scenario+".raw"))))
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
