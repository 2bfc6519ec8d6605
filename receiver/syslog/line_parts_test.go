package syslog_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

const (
	forgedOwn   = "2026/11/23 18:40:52 [77] connect from evil (10.6.6.6)"
	ownConnect  = "2026/11/23 18:40:52 [505] connect from localhost (127.0.0.1)"
	ownShutdown = "2026/11/23 18:40:53 [9] sent 0 bytes  received 0 bytes  total size 0"
)

// taken reads data as TakeLines does, in reads that end anywhere, and returns the texts of the messages with their pids.
func taken(t *testing.T, data string, next func() int) (texts []string, discarded [receiver.NumDiscards]uint32) {
	t.Helper()
	var skip syslog.Skipped
	at, end := 0, 0
	for at < len(data) && end < len(data) {
		end = min(len(data), end+next())
		for {
			var s receiver.Slab
			n := syslog.TakeLines(&s, []byte(data[:end]), at, &skip)
			for i, v := range s.Discarded {
				discarded[i] += v
			}
			for _, raw := range s.Messages {
				var m receiver.Message
				if d := (syslog.Lines{}).Scan(raw, &m); d != receiver.Kept {
					discarded[d]++
				} else {
					texts = append(texts, fmt.Sprintf("%d %s", m.PID, m.Text))
				}
			}
			if at += n; n == 0 {
				break
			}
			if !skip.Rest && data[at-1] != '\n' && data[at-1] != 0 && syslog.RsyncHeader([]byte(data[at:])) == 0 {
				t.Fatalf("offset %d is not the start of a line or record", at)
			}
		}
	}
	return texts, discarded
}

func TestParts(t *testing.T) {
	connect, shutdown := strings.Replace(ownConnect[20:], "[505] ", "505 ", 1), strings.Replace(ownShutdown[20:], "[9] ", "9 ", 1)
	glued := headerA + plainText // and no LF
	// A client that sends texts without line feeds: its own lines' headers, and what it likes, as long as it likes.
	endless := strings.Repeat(headerA+forgedOwn+strings.Repeat("x", 900), 40)
	for name, test := range map[string]struct {
		data string
		want []string
		over uint32 // oversize
		lost uint32 // no header
	}{
		"whole":                         {cri("stdout", ownConnect, 999), []string{connect}, 0, 0},
		"three parts":                   {cri("stdout", ownConnect, 25) + cri("stdout", ownShutdown, 999), []string{connect, shutdown}, 0, 0},
		"cut in the stamp":              {cri("stdout", ownConnect, 3) + cri("stdout", ownShutdown, 1), []string{connect, shutdown}, 0, 0},
		"a part that looks like a line": {cri("stdout", headerA+strings.Repeat("x", 3)+forgedOwn, len(headerA)+3), []string{"17846 xxx" + forgedOwn}, 0, 0},
		"glued, CRI":                    {cri("stdout", glued+ownConnect, 9999), []string{"17846 " + plainText, connect}, 0, 0},
		"glued, CRI in parts":           {cri("stdout", glued+ownConnect, 1000), []string{"17846 " + plainText, connect}, 0, 0},
		"glued, docker logs -t":         {criStamp + " " + glued + ownConnect + "\n", []string{"17846 " + plainText, connect}, 0, 0},
		"glued, compose":                {"a-1  | " + glued + ownConnect + "\n", []string{"17846 " + plainText, connect}, 0, 0},
		"glued, docker's json-file":     {jsonFile(t, glued+ownConnect), []string{"17846 " + plainText, connect}, 0, 0},
		"docker's json-file":            {jsonFile(t, ownConnect) + jsonFile(t, ownShutdown), []string{connect, shutdown}, 0, 0},
		"docker's last words":           {strings.Replace(jsonFile(t, ownConnect), `\n`, "", 1) + jsonFile(t, ownShutdown), []string{connect, shutdown}, 0, 0},
		"escaped, not ended":            {jsonFile(t, headerA+`x\n`), []string{`17846 x\n`}, 0, 0},
		"an endless line, CRI":          {cri("stdout", endless, syslog.DockerPart) + cri("stdout", ownConnect, 99), []string{connect}, 1, 0},
		"an endless line, json-file":    {jsonFile(t, endless) + jsonFile(t, ownConnect), []string{connect}, 1, 0},
		"more parts than are kept":      {cri("stdout", strings.Repeat(endless, 9), syslog.DockerPart) + cri("stdout", ownConnect, 99), []string{connect}, 1, 0},
		// 128 KiB are eight of docker's parts: 8*16384 bytes of records, of which each has 27+2047; 63 are whole.
		"more of docker's, of records":   {jsonFile(t, strings.Repeat(glued, 200)+ownConnect) + jsonFile(t, ownConnect), append(slices.Repeat([]string{"17846 " + plainText}, 63), connect), 1, 0},
		"small parts, more than is kept": {cri("stdout", endless, 7) + cri("stdout", ownConnect, 99), []string{connect}, 1, 0},
		"journalctl's JSON":              {`{"MESSAGE":"` + strings.Repeat("x", 3000) + `","__REALTIME_TIMESTAMP":"1795459252123456"}` + "\n", []string{"0 " + strings.Repeat("x", 3000)}, 0, 0},
		"no JSON":                        {`{"log":"` + strings.Repeat("x", 20000) + "\n" + ownConnect + "\n", []string{connect}, 1, 0},
	} {
		for _, next := range []func() int{func() int { return 1 << 20 }, func() int { return 4001 }} {
			got, discarded := taken(t, test.data, next)
			if !slices.Equal(got, test.want) || discarded[receiver.Oversize] != test.over || discarded[receiver.NoHeader] != test.lost {
				t.Errorf("%s: %d messages %.200q, %d oversize, %d no_header; want %d, %d, %d", name, len(got), got, discarded[receiver.Oversize],
					discarded[receiver.NoHeader], len(test.want), test.over, test.lost)
			}
		}
	}
}

// A part whose line doesn't go on costs that line and nothing else, whoever wrote it; and what belongs to it later is no
// line. Each holds more than any buffer.
func TestPartsThatNeverEnd(t *testing.T) {
	const begun = criStamp + " stdout P y\n"
	many := strings.Repeat(ownConnect+"\n", 6000)
	connects := slices.Repeat([]string{"505 connect from localhost (127.0.0.1)"}, 6000)
	stderr, late := cri("stderr", ownShutdown, 999), criStamp+" stdout F "+forgedOwn+"\n"
	shutdown := "9 sent 0 bytes  received 0 bytes  total size 0"
	for name, test := range map[string]struct {
		data       string
		want       []string
		incomplete uint32
		over       uint32
	}{
		"in rsync's own log":        {begun + many, connects, 1, 0},
		"at the end":                {many + begun + many, slices.Concat(connects, connects), 1, 0},
		"of another stream":         {begun + strings.Repeat(stderr, 6000), slices.Repeat([]string{shutdown}, 6000), 1, 0},
		"another stream between":    {begun + stderr + late + cri("stdout", ownConnect, 99), []string{shutdown, connects[0]}, 1, 0},
		"both streams":              {begun + criStamp + " stderr P z\n" + late + stderr, nil, 2, 0},
		"after too many, a note":    {strings.Repeat(begun[:len(begun)-1]+strings.Repeat("x", syslog.DockerPart)+"\n", 9) + stderr + late + stderr, []string{shutdown, shutdown}, 0, 1},
		"too many, then another's":  {strings.Repeat(begun, 10000) + many, connects, 0, 1},
		"a long line without an LF": {begun + criStamp + " stdout P " + strings.Repeat("x", 2*syslog.PartsLimit) + "\n" + late + many, connects, 0, 0}, // how often, the reads decide
	} {
		for _, next := range []func() int{func() int { return 1 << 20 }, func() int { return 60001 }} {
			got, discarded := taken(t, test.data, next)
			if !slices.Equal(got, test.want) || discarded[receiver.Incomplete] != test.incomplete ||
				discarded[receiver.Oversize] != test.over && name != "a long line without an LF" {
				t.Errorf("%s: %d messages, %d incomplete, %d oversize; want %d, %d, %d", name, len(got), discarded[receiver.Incomplete],
					discarded[receiver.Oversize], len(test.want), test.incomplete, test.over)
			}
		}
	}
}

// A log in parts, cut anywhere and read in any portions, gives the messages of the log.
func TestPartsOfAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	log := readLines(t, corpusDir+"/file/hostile_names_download.log")
	var want []string
	var data bytes.Buffer
	for range 40 {
		for _, line := range log {
			var m receiver.Message
			if (syslog.Lines{}).Scan(line, &m) == receiver.Kept {
				want = append(want, fmt.Sprintf("%d %s", m.PID, m.Text))
			}
			data.WriteString(cri("stdout", string(line), 1+r.IntN(200)))
		}
	}
	for _, most := range []int{1 << 20, 30000, 700} {
		got, discarded := taken(t, data.String(), func() int { return 1 + r.IntN(most) })
		if !slices.Equal(got, want) || discarded[receiver.Oversize] != 0 {
			t.Errorf("portions up to %d: %d messages, %d oversize; want %d, 0", most, len(got), discarded[receiver.Oversize], len(want))
		}
	}
}

// FuzzParts holds parts against the line that they are of, whatever it is, as long as they are within their limit.
func FuzzParts(f *testing.F) {
	f.Add([]byte("2026/11/23 18:40 [5"+strings.Repeat("7", 7900)), uint16(0), uint16(60000)) // too long in parts of one byte
	f.Add([]byte(ownConnect), uint16(10), uint16(50))
	f.Add([]byte(headerA+plainText+headerB+"x"), uint16(1000), uint16(3000))
	f.Add([]byte(headerA+escapedText+headerA+forgedOwn), uint16(17), uint16(100))
	f.Fuzz(func(t *testing.T, line []byte, size, portion uint16) {
		if bytes.ContainsAny(line, "\n\r\x00") || len(line) > 8000 {
			return
		}
		parts := cri("stdout", string(line), 1+int(size))
		if len(parts) > syslog.PartsLimit {
			return
		}
		whole, wantDiscards := taken(t, criStamp+" stdout F "+string(line)+"\n", func() int { return 1 << 20 })
		got, discards := taken(t, parts, func() int { return 1 + max(int(portion), len(parts)/1000) }) // each read looks at all parts
		if !slices.Equal(got, whole) || discards[receiver.Oversize] != wantDiscards[receiver.Oversize] {
			t.Errorf("%q in parts of %d: %q %v, want %q %v", line, size, got, discards, whole, wantDiscards)
		}
	})
}
