package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// legacyFormat is the format file that came with the replaced program: a regular expression of
// Python's.
const legacyFormat = `(?P<date>\d{4}/\d{2}/\d{2}) (?P<timestamp>\d{2}:\d{2}:\d{2}) \[(?P<pid>\d+)\] (?P<description>.*)` + "\n"

// legacySample is what its sample log looks like: clients are addresses, without names and
// parentheses.
const legacySample = `2017/09/01 03:10:16 [17161] connect from 2001:db8:4f8:191:1056::2
2017/09/01 03:10:16 [17161] rsync on sources/ from 2001:db8:4f8:191:1056::2
2017/09/01 03:10:17 [17161] building file list
2017/09/01 03:10:31 [17163] connect from 192.0.2.46
2017/09/01 03:10:31 [17163] rsync on sources/ from 192.0.2.46
2017/09/01 03:10:31 [17163] building file list
2017/09/01 03:11:02 [17161] sent 6092862 bytes  received 55750 bytes  total size 302215840
2017/09/01 03:11:40 [17170] connect from 192.0.2.47
2017/09/01 03:11:40 [17170] unknown module 'nosuch' tried from 192.0.2.47 (192.0.2.47)
2017/09/01 03:12:00 [17163] rsync error: error in rsync protocol data stream (code 12) at io.c(600) [sender=3.0.9]
2017/09/01 03:12:08 [17177] connect from 192.0.2.48
2017/09/01 03:12:08 [17177] rsync to incoming/ from alice@192.0.2.48
2017/09/01 03:12:08 [17177] receiving file list
2017/09/01 03:12:09 [17177] sent 97 bytes  received 3021 bytes  total size 2940
`

// The replaced program's flags, format file and log, in the real program: -p FILE -f FORMAT -s 1 -x
// PORT. By hand: four lines connect, three start, the two summaries sum to 6092862 + 97 = 6092959
// and 55750 + 3021 = 58771 bytes, and one error has code 12.
func TestTheReplacedProgramsSampleLog(t *testing.T) {
	t.Parallel()
	dir := testenv.Dir(t)
	log, format, port := filepath.Join(dir, "rsyncd.log"), filepath.Join(dir, "format"), testenv.Port(t)
	testenv.WriteFile(t, format, legacyFormat)
	appendFile(t, log, "2017/09/01 03:10:00 [17001] connect from 192.0.2.45\n") // read by none: the program begins at the end
	e := launchExporterProcess(t, nil, nil, "-p", log, "-f", format, "-s", "1", "-x", fmt.Sprint(port))
	e.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	e.Ready(t, "the exporter to be ready", func() bool {
		r, err := http.Get(e.url + "/-/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	appendFile(t, log, legacySample)
	s := e.until(2, "rsync_sessions_total", `outcome="ok"`)
	for _, w := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{4, "rsync_connections_total", nil},
		{3, "rsync_executions_total", nil},
		{2, "rsync_executions_total", []string{`direction="send"`}},
		{1, "rsync_executions_total", []string{`direction="receive"`}},
		{6092959, "rsync_sent_bytes_total", nil},
		{58771, "rsync_received_bytes_total", nil},
		{6092959 + 58771, "rsync_exchanged_bytes_total", nil},
		{302215840, "rsync_listed_bytes_total", []string{`direction="send"`}},
		{1, "rsync_errors_total", []string{`status_code="12"`}},
		{1, "rsync_rejected_total", []string{`reason="unknown_module"`}},
		{1, "rsync_sessions_total", []string{`outcome="aborted"`}},
		{0, "rsync_messages_total", []string{`kind="unrecognised"`}},
		{0, "rsync_messages_total", []string{`kind="implausible"`}},
		{0, "rsyncd_exporter_discarded_total", nil},
		{14, "rsyncd_exporter_received_total", []string{`input="file"`}},
	} {
		e.want(s, w.value, w.name, w.labels...)
	}
}
