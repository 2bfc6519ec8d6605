package syslog_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A message that was cut has no newline, and the next record follows at once.
func TestFileGluedLines(t *testing.T) {
	for name, test := range map[string]struct{ line, want []string }{
		"plain":   {[]string{headerA, plainText, headerB, "sent 1"}, []string{headerA + plainText, headerB + "sent 1"}},
		"escaped": {[]string{headerA, escapedText, headerB, "sent 1"}, []string{headerA + escapedText, headerB + "sent 1"}},
		"three": {[]string{headerA, escapedText, headerB, plainText, headerA, "x"},
			[]string{headerA + escapedText, headerB + plainText, headerA + "x"}},
		"one that is cut at the newline": {[]string{headerA, plainText}, []string{headerA + plainText}},
		"one byte too early":             {[]string{headerA, plainText[1:], headerB, "x"}, []string{headerA + plainText[1:] + headerB + "x"}},
		"one byte too late":              {[]string{headerA, plainText, "N", headerB, "x"}, []string{headerA + plainText + "N" + headerB + "x"}},
		"within an escape": {[]string{headerA, plainText[:2046], `\#012`, headerB, "x"},
			[]string{headerA + plainText[:2046] + `\#012`, headerB + "x"}},
		"an escaped backslash": {[]string{headerA, plainText[:2042], `\#134#012`, headerB, "x"},
			[]string{headerA + plainText[:2042] + `\#134#012`, headerB + "x"}},
		"no escape":       {[]string{headerA, plainText[:2042], `\#09z`, headerB, "x"}, []string{headerA + plainText[:2042] + `\#09z`, headerB + "x"}},
		"no header there": {[]string{headerA, plainText, "2026/11/24 02:45:53 [] x"}, []string{headerA + plainText + "2026/11/24 02:45:53 [] x"}},
		// A client's texts without a line feed (headerB) may reach the place with anything: what is there is never a record.
		"a header before": {[]string{headerA, plainText[:1000], headerB, plainText[:2047-1000-len(headerB)], headerA, "sent 7"},
			[]string{headerA + plainText[:1000] + headerB + plainText[:2047-1000-len(headerB)] + headerA + "sent 7"}},
		"a header just before": {[]string{headerA, plainText[:2047-len(headerB)], headerB, headerA, "sent 7"},
			[]string{headerA + plainText[:2047-len(headerB)] + headerB + headerA + "sent 7"}},
		"a header at once": {[]string{headerA, headerB, plainText[:2047-len(headerB)], headerA, "sent 7"},
			[]string{headerA + headerB + plainText[:2047-len(headerB)] + headerA + "sent 7"}},
		"not rsync's file": {[]string{"Nov 24 02:45:52 host rsyncd[1]: ", plainText, headerB, "x"}, []string{"Nov 24 02:45:52 host rsyncd[1]: " + plainText + headerB + "x"}},
	} {
		line := []byte(strings.Join(test.line, ""))
		var s receiver.Slab
		var skip syslog.Skipped
		if n := syslog.TakeLines(&s, append(line, '\n'), 0, &skip); n != len(line)+1 {
			t.Errorf("%s: %d bytes taken, want %d", name, n, len(line)+1)
		}
		if got := messages(&s); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %d messages of %v bytes, want %v", name, len(got), lengths(got), lengths(test.want))
		}
	}
	if len(plainText) != syslog.RsyncText || len(escapedText) != syslog.RsyncText+80 {
		t.Errorf("the texts are of %d and %d bytes", len(plainText), len(escapedText))
	}
}

func messages(s *receiver.Slab) (all []string) {
	for _, m := range s.Messages {
		all = append(all, string(m))
	}
	return all
}

func lengths(all []string) (n []int) {
	for _, s := range all {
		n = append(n, len(s))
	}
	return n
}

// Deleting a tree whose paths are all too long makes one line of any length, of which no record is lost; it need not have ended.
func TestFileLineOfManyCutRecords(t *testing.T) {
	const records = 3 * receiver.MaxMessage / syslog.RsyncText
	line := strings.Repeat(headerA+plainText, records)
	for _, end := range []string{headerB + "sent 1\n", headerB + strings.Repeat("x", receiver.MaxMessage) + "\n", ""} {
		var s receiver.Slab
		var skip syslog.Skipped
		n := syslog.TakeLines(&s, []byte(line+end), 0, &skip)
		got := messages(&s)
		for _, m := range got[:min(len(got), 2*records/3)] {
			if m != headerA+plainText {
				t.Errorf("a record of %d bytes, want %d", len(m), len(headerA+plainText))
			}
		}
		whole := n == len(line+end) && !skip.Rest && s.Discarded[receiver.Oversize] == 0 && len(got) == records+1 && got[records] == headerB+"sent 1"
		last := n == len(line+end) && !skip.Rest && s.Discarded[receiver.Oversize] == 1 && len(got) == records
		first := n == len(got)*len(headerA+plainText) && len(line)-n <= receiver.MaxMessage && s.Discarded[receiver.Oversize] == 0
		if strings.HasPrefix(end, headerB+"sent") && !whole || strings.HasPrefix(end, headerB+"x") && !last || end == "" && !first {
			t.Errorf("%d bytes of %d taken as %d records, %d oversize, skip.rest %t", n, len(line+end), len(got), s.Discarded[receiver.Oversize], skip.Rest)
		}
	}
}

// unglue does what appendRecords does, by splitting the line into the bytes that rsync counted.
func unglue(line string) []string {
	if len(line) <= syslog.RsyncText {
		return []string{line}
	}
	head := headerPattern.FindString(line)
	rest := line[len(head):]
	var latin []rune // a rune for each byte, since regular expressions know no others
	for _, c := range []byte(rest) {
		latin = append(latin, rune(c))
	}
	counted := countedPattern.FindAllString(string(latin), syslog.RsyncText)
	if head == "" || len(counted) < syslog.RsyncText {
		return []string{line}
	}
	cut := len([]rune(strings.Join(counted, "")))
	if !headerPattern.MatchString(rest[cut:]) || anyHeader.FindStringIndex(rest)[0] < cut {
		return []string{line}
	}
	return append([]string{head + rest[:cut]}, unglue(rest[cut:])...)
}

var (
	headerPattern    = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] `)
	anyHeader        = regexp.MustCompile(strings.TrimPrefix(headerPattern.String(), "^"))
	containerPattern = regexp.MustCompile(`(?s)^(?:\{|\d.{9}T)`)

	countedPattern = regexp.MustCompile(`(?s)\\#[0-7]{3}|.`)
)

// TakeLines against a plain way to do the same, with the data cut into two reads anywhere. Lines that may be a
// container's have a limit of their own: FuzzParts has those.
func FuzzFileLines(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), 2)
	f.Add([]byte(headerA+plainText+headerB+escapedText+headerA+"x\n"), 2100)
	f.Add([]byte(headerA+escapedText+headerB+"y\n"+strings.Repeat("z", receiver.MaxMessage+1)+"\nw\n"), 20000)
	f.Add(bytes.Repeat([]byte{0}, 2*receiver.MaxMessage), receiver.MaxMessage+1)
	f.Add([]byte("\x00\x00a\n"+strings.Repeat("\x00", receiver.MaxMessage+1)+"b\x00c\n"), receiver.MaxMessage)
	f.Add(bytes.Repeat([]byte{'\n'}, syslog.SlabLines+1), 1)
	f.Add(append([]byte("{"), bytes.Repeat([]byte{0}, receiver.MaxMessage+46)...), 10279)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if len(data) > 1<<20 {
			return
		}
		cut = min(max(cut, 0), len(data))
		var s receiver.Slab
		var got []string
		var skip syslog.Skipped
		oversize, at := 0, 0
		for _, end := range []int{cut, len(data)} {
			for {
				n := syslog.TakeLines(&s, data[:end], at, &skip)
				got = append(got, messages(&s)...)
				oversize += int(s.Discarded[receiver.Oversize])
				s.Reset()
				if at += n; n == 0 {
					break
				}
				if !skip.Rest && data[at-1] != '\n' && data[at-1] != 0 && syslog.RsyncHeader(data[at:]) == 0 {
					t.Fatalf("offset %d is not the start of a line or record", at)
				}
			}
		}
		whole := bytes.Split(data, []byte("\n"))
		for i, line := range whole {
			whole[i] = bytes.TrimLeft(line, "\x00")
			if containerPattern.Match(whole[i]) {
				return
			}
		}
		rest := whole[len(whole)-1]
		var want []string
		tooLong := 0
		for _, line := range whole[:len(whole)-1] {
			for _, record := range unglue(string(line)) {
				if len(record) > receiver.MaxMessage {
					tooLong++
				} else {
					want = append(want, record)
				}
			}
		}
		for len(rest) > receiver.MaxMessage {
			record := unglue(string(rest))[0]
			rest = rest[len(record):]
			if len(record) > receiver.MaxMessage {
				tooLong++
				break
			}
			want = append(want, record)
		}
		if !skip.Rest && at != len(data)-len(rest) {
			t.Errorf("offset %d, want %d", at, len(data)-len(rest))
		}
		if !slices.Equal(got, want) || oversize != tooLong {
			t.Errorf("%d messages and %d oversize, want %d and %d", len(got), oversize, len(want), tooLong)
		}
	})
}
