package rsynclog_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// A moved is one file's transfer, to be logged as rsync does.
type moved struct {
	op, path     string
	length, wire uint64
	rest         map[byte]string // other escapes' values, where they aren't those of value
	old          bool            // as before 3.1: no %%, no %C, no ', and numbers padded with zeros
}

// render writes a log format with a file's values, letter by letter as log.c: log_formatted does.
func render(format string, m moved) string {
	const variable = "%RSYNC_USER_NAME%"
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		if v := m.rest['R']; v != "" && !m.old && strings.HasPrefix(format[i:], variable) { // loadparm.c: expand_vars
			out.WriteString(v)
			i += len(variable) - 1
			continue
		}
		j, quotes := i+1, 0
		for ; !m.old && j < len(format) && format[j] == '\''; j++ {
			quotes++
		}
		from := j
		if j < len(format) && format[j] == '-' {
			j++
		}
		for ; j < len(format) && '0' <= format[j] && format[j] <= '9' && j-from < 23; j++ {
		}
		width := format[from:j]
		for ; !m.old && j < len(format) && format[j] == '\''; j++ {
			quotes++
		}
		value, ok := "", j < len(format)
		if ok {
			value, ok = m.value(format[j], quotes)
		}
		if !ok { // verbatim; the search goes on behind the width
			out.WriteString(format[i:j])
			i = j - 1
			continue
		}
		out.WriteString(m.pad(format[j], width, value))
		i = j
	}
	return out.String()
}

// pad is printf's: by bytes. Numbers have their zeros; before 3.1 %l, %b and %c were numbers, too
// ("%.0f").
func (m moved) pad(letter byte, width, value string) string {
	digits := strings.TrimPrefix(width, "-")
	n, _ := strconv.Atoi(digits)
	missing := max(0, n-len(value))
	switch {
	case letter == 'L' && width != "": // " -> " or " => " isn't part of what is padded
		front, rest := "    ", value
		if value != "" {
			front, rest = value[:4], value[4:]
		}
		missing = max(0, n-len(rest))
		if width[0] == '-' {
			return front + rest + strings.Repeat(" ", missing)
		}
		return front + strings.Repeat(" ", missing) + rest
	case strings.HasPrefix(width, "-"):
		return value + strings.Repeat(" ", missing)
	case strings.HasPrefix(width, "0") && (letter == 'p' || letter == 'U' || letter == 'G' && value != "DEFAULT" ||
		m.old && strings.IndexByte("lbc", letter) >= 0):
		return strings.Repeat("0", missing) + value
	}
	return strings.Repeat(" ", missing) + value
}

func (m moved) value(letter byte, quotes int) (string, bool) {
	if letter == 'R' || m.old && (letter == '%' || letter == 'C') {
		return "", false
	}
	if v, ok := m.rest[letter]; ok {
		return v, true
	}
	switch letter {
	case 'o':
		return m.op, true
	case 'i':
		return map[string]string{"send": "<f+++++++++", "recv": ">f.st......", "del.": "*deleting  "}[m.op], true
	case 'l':
		return bigNumber(m.length, quotes), true
	case 'b':
		return bigNumber(m.wire, quotes), true
	case 'c':
		return bigNumber(16, quotes), true
	}
	v, ok := map[byte]string{'h': "localhost", 'a': "fe80::1%eth0", 'f': m.path, 'n': m.path, 'L': "", 'm': "my module", 'u': "alice",
		'P': "/srv/x", 'C': strings.Repeat(" ", 32), 'p': "4180", 'U': "0", 'G': "DEFAULT", 't': "2026/11/23 23:55:05",
		'M': "2026/11/23-23:55:05", 'B': "rwxr-xr-x", '%': "%"}[letter]
	return v, ok
}

// bigNumber is lib/compat.c: do_big_num.
func bigNumber(n uint64, quotes int) string {
	base := 1000.0
	if quotes > 2 {
		base = 1024
	}
	if quotes > 1 && float64(n) >= base {
		x := float64(n) / base
		for _, unit := range "KMGT" {
			if x < base {
				return fmt.Sprintf("%.2f%c", x, unit)
			}
			x /= base
		}
		return fmt.Sprintf("%.2fP", x)
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; quotes > 0 && i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func FuzzLogFormat(f *testing.F) {
	for i, c := range corpusFormats {
		f.Add(c.format, "a.txt", uint64(i)<<20, uint64(1310256), byte(i))
	}
	for _, format := range []string{rsynclog.DefaultLogFormat, "", "%", "%%", "%n%L", "%5%", "%'l", "%''''l", "%-24l|%24b|%l", "%a%h", "%l%b", "%f%l %o",
		"%00000000000000000000000000000l", "%f %l %m", "%o %m: %u/%f %'l,%b", "%i|%-15i|%15i %n", "%'l,%'b", "%t %M %B %G %U %o %n", "%f %l %n %b"} {
		f.Add(format, "x 99999999", uint64(6), uint64(49), byte(0))
	}
	known := mustParser(f, "")
	f.Fuzz(func(t *testing.T, format, path string, length, wire uint64, op byte) {
		p, err := rsynclog.NewParser(format)
		if err != nil || format == "" || path == "" {
			if err != nil && !strings.Contains(err.Error(), "column ") {
				t.Errorf("%v names no column", err)
			}
			return
		}
		m := moved{op: []string{"send", "recv", "del."}[op%3], path: path, length: length % (1<<60 + 1), wire: wire % (1<<60 + 1)}
		text := render(format, m)
		var ev rsynclog.Event
		if known.Parse([]byte(text), &ev); ev.Kind != rsynclog.Unrecognised || len(text) >= rsynclog.MaxText {
			return // a line of the daemon's own wins, and a cut one says less
		}
		p.Parse([]byte(text), &ev)
		if ev.Kind != rsynclog.Transfer {
			if len(p.Warnings()) == 0 {
				t.Errorf("%q, %q is %s", format, text, show(ev))
			}
			return
		}
		ops, done := rsynclog.SetOf(ev.Op)|ev.Ops, map[string]rsynclog.Op{"send": rsynclog.OpSend, "recv": rsynclog.OpRecv, "del.": rsynclog.OpDel}[m.op]
		if !ops.Has(done) && !ev.OpUnnamed || ev.HasLength && ev.Length != m.length || ev.HasWire && ev.Wire != m.wire {
			t.Errorf("%q, %q is %s, want %+v", format, text, show(ev), m)
		}
		if ev.Path != nil && string(ev.Path) != path {
			t.Errorf("%q, %q: path %q, want %q", format, text, ev.Path, path)
		}
	})
}

func TestLogFormatsThatCannotBeRead(t *testing.T) {
	for format, want := range map[string]string{
		"%o %l%b":                    `log format "%o %l%b", column 6: "%l" and "%b" run into each other, so that a number can't be told from its neighbour; put a space between them`,
		"%l2 %f":                     `column 3: "%l" and "2 " run into each other`,
		"%f v2%l":                    `column 6: " v2" and "%l" run into each other`,
		"%o %''lK %f":                `column 8: "%''l" and "K " run into each other`,
		"%'l,%'b %f":                 `column 4: "%'l" and "," run into each other`,
		"%o %''l,K %f":               `column 8: "%''l" and ",K " run into each other`,
		"%o %B%G %f":                 `column 6: "%B" and "%G" run into each other`,
		"%o %M.%'l %f":               `column 6: "%M" and "." run into each other`,
		"%t%M %f":                    `column 3: "%t" and "%M" run into each other`,
		"%p%a":                       `column 3: "%p" and "%a" run into each other`,
		"%9999l":                     `column 1: %9999l is wider than a line; use a width of at most 4096`,
		"a\nb":                       `column 2: a control character`,
		strings.Repeat("x", 5000):    `column 4096: longer than rsync accepts`,
		"%o %h [%a] %m (%u) %f %U%l": `column 25: "%U" and "%l" run into each other`,
	} {
		if _, err := rsynclog.NewParser(format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", format, err, want)
		}
	}
}

func TestWarningsNameTheColumn(t *testing.T) {
	for format, want := range map[string][]string{
		rsynclog.DefaultLogFormat:    nil,
		"%o %f %l":                   nil,
		"%i %n%L":                    {"column 6: %L follows %n without anything between them"},
		"%f %l":                      {"column 1: neither %o nor %i", "column 1: %f begins the line"},
		"%f":                         {"column 1: neither %o nor %i", "column 1: nothing but text"},
		"%o %f%l":                    {"column 6: %l stands beside or between texts"},
		"%f %o %n":                   {"column 1: nothing but text", "column 4: %o stands between texts"},
		"%o %f,%'l":                  {"column 7: %'l stands beside"}, // "y,1,234" is y,1 and 234, or y and 1,234
		"%o %f %l %n":                {"column 7: %l stands beside or between texts"},
		"%o %f 100%%o":               {"column 10: %% before \"o\" is read as rsync 3.5.0 writes it; older versions expand %o"},
		"%o %f %''l":                 {"column 7: %''l is rounded to a unit (1.00K), which is no byte count, and isn't used; write %l"},
		"%o %''b %'''10l %c %''c %f": {"column 4: %''b is rounded to a unit", "column 9: %'''10l is rounded to a unit"},
		"%o %''l %f %n":              {"column 4: %''l is rounded to a unit"},
		"%o %f %''l %n":              {"column 7: %''l stands beside or between texts"},
		"%o %h-%a %f":                {"column 4: %h can't be told from what stands beside it", "column 7: %a can't be told"},
		"no escapes":                 {"column 1: neither %o nor %i"},
		"%o %m%u %f %l":              {"column 6: %u follows %m"},
		"%o %h|%a|%f|%l|%'b":         nil,
		"%o %m %l %f":                {"column 7: %l stands beside or between texts"}, // "backup 2" and 7, or "backup" and 2
		"%o %m (%u) %l %f":           nil,
		"%o %m %b/%l %f":             nil,
		"%o %m %h (%f":               {"column 7: %h stands between texts"},
		"%o %a:%l:%f":                {"column 4: %a can't be told from", "column 7: %l stands beside or between texts"}, // 2001:db8::7:7
		"%o %a%m:%l:%f":              {"column 4: %a can't be told", "column 6: %m follows %a", "column 9: %l stands beside or between texts"},
		"%o %f:%l: %m%a":             {"column 13: %a can't be told", "column 7: %l stands beside or between texts", "column 13: %a follows %m"},
		"%o %f%M":                    {"column 6: %M stands beside or between texts that may end in digits"},
		"%o 5%%07p %f":               {"column 5: %% before \"07p\" is read as rsync 3.5.0 writes it; older versions expand %07p"},
		"%RSYNC_REQUEST%: %o %f":     {"column 1: nothing but text", "column 18: %o stands between texts"},
	} {
		got := mustParser(t, format).Warnings()
		if len(got) != len(want) {
			t.Errorf("%q: %q", format, got)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) || !strings.Contains(got[i], fmt.Sprintf("%q", format)) {
				t.Errorf("%q: %q, want %q", format, got[i], want[i])
			}
		}
	}
}

// What a file is named must not reach into the numbers, whichever side they stand on.
func TestHostileNamesInOtherFormats(t *testing.T) {
	names := []string{"x 99", "99", " 99 ", "a 1/2 <f+++++++++ b", "send|9|9", "%l", "\n", "x 99 data 99", `","len":9,"bytes":9}`, "recv", "*deleting  "}
	for _, format := range []string{"%o %f %l", "%o %l %f", "%o|%b|%f|%l", "%o %h [%a] %m (%u) %b/%l %i %f", "%l %o %f %b %m", "%o %f %l (%m)",
		`{"op":"%o","len":%l,"file":"%f","bytes":%b}`, "%10l|%-10o|%-30f|%'b", "%o %n%L %l", "%i %f %''b %l", "%f %l %o"} {
		for _, name := range names {
			m := moved{op: "send", path: name, length: 6, wire: 149}
			ev := parseWith(t, format, render(format, m))
			if ev.Kind != rsynclog.Transfer || ev.Op != rsynclog.OpSend || ev.Length != 6 || !ev.HasLength || ev.HasWire && ev.Wire != 149 {
				t.Errorf("%q, %q: %s", format, name, show(ev))
			}
		}
	}
}

func TestItemizeTellsFilesFromTheRest(t *testing.T) {
	for item, want := range map[string]rsynclog.Op{
		"<f+++++++++": rsynclog.OpSend, ">f.st......": rsynclog.OpRecv, "*deleting  ": rsynclog.OpDel, "cd+++++++++": rsynclog.NoOp, "cL+++++++++": rsynclog.NoOp, "hf         ": rsynclog.NoOp,
		".f...p.....": rsynclog.NoOp, ".d..t......": rsynclog.NoOp, "cS+++++++++": rsynclog.NoOp, ">f?????????": rsynclog.OpRecv,
		"<f+++++++": rsynclog.OpSend, "*deleting": rsynclog.OpDel, ".d..t....": rsynclog.NoOp, // 2.6.9
	} {
		ev := parseWith(t, "%o %i %n", "send "+item+" x")
		if ev.Kind != rsynclog.Transfer || ev.Op != want || ev.OpUnnamed || string(ev.Path) != "x" {
			t.Errorf("%q: %s", item, show(ev))
		}
	}
	for _, item := range []string{"<f++++++++", "<f+++++++++ x", "<x+++++++++", "<f+.+++++++", "deleting  ", "<ft........"} {
		if ev := parseWith(t, "%o %i", "send "+item); ev.Kind != rsynclog.Unrecognised {
			t.Errorf("%q: %s", item, show(ev))
		}
	}
	if ev := parseWith(t, "%f %l", "x 7"); !ev.OpUnnamed || ev.Op != rsynclog.NoOp {
		t.Errorf("without %%o and %%i: %s", show(ev))
	}
}

func TestLinesThatAFormatDidNotWrite(t *testing.T) {
	for format, text := range map[string]string{
		"%o %10l %f":   "send 6          x", // padded on the wrong side
		"%o %-10l|%f":  "send          6|x",
		"%o %f %10l":   "send x 6",
		"%o %n|%f %l":  "send a b 6",
		"%o %n| %L|%l": "send a |6",
		"%o %B %f":     "send rwxr-xr-y x",
		"%o %t %f":     "send 2026/11/23-23:55:05 x",
		"%o %f %G":     "send x FAULT",
		"%o %m %l":     "send data 6 ",
		"%o %f":        "send ",
		"%o %a %f":     "send host x",
	} {
		if ev := parseWith(t, format, text); ev.Kind != rsynclog.Unrecognised {
			t.Errorf("%q, %q: %s", format, text, show(ev))
		}
	}
}

// A number with two or three ' has units of 1000 or 1024: rounded, but for the smallest. A sum of
// the smallest files' lengths would be none of all.
func TestNumbersWithUnitsAreNoByteCounts(t *testing.T) {
	for _, quotes := range []string{"''", "'''", "''''"} {
		for _, number := range []string{"1.23M", "999", "0", "1.00K", "1,23K"} {
			format := "%o %f %" + quotes + "l|%" + quotes + "b"
			ev := parseWith(t, format, "send x "+number+"|"+number)
			if ev.Kind != rsynclog.Transfer || ev.HasLength || ev.HasWire || ev.Length != 0 || ev.Wire != 0 {
				t.Errorf("%s, %q: %s", format, number, show(ev))
			}
		}
	}
	if ev := parseWith(t, "%o %f %'l", "send x 1,234,567"); ev.Length != 1234567 {
		t.Errorf("%s", show(ev))
	}
}

func TestAPathIsGivenOnlyWhereItIsAFilesName(t *testing.T) {
	for _, c := range []struct{ format, text, want string }{
		{"%o %f", "send a b", "a b"}, {"%o %n %l", "send a b 6", "a b"}, {"%o %RSYNC_REQUEST%", "send a b", ""}, {"%o %L", "send  -> b", ""},
		{"%o %i%f", "recv >f.st....a.txt", ""}, // "a.txt" of 2.6.9 or "txt"
		{"%o %f%M", "recv x20261/11/23-23:55:05", ""},
		{"%i %f", ">f.st...... a.txt", "a.txt"},
		{"%o %h%u|%f", "send |x", ""}, // what stands for a host that can't be told may be empty
	} {
		if ev := parseWith(t, c.format, c.text); ev.Kind != rsynclog.Transfer || string(ev.Path) != c.want {
			t.Errorf("%q, %q: %s, want path %q", c.format, c.text, show(ev), c.want)
		}
	}
}

// What is read in a place where the rest then doesn't fit is forgotten.
func TestNothingIsKeptOfAnAttempt(t *testing.T) {
	for format, text := range map[string]string{
		"%o %P %''b [%B %f":   "send /srv/my data 7 51.77M [rwxr-xr-x x", // 7 isn't followed by " ["
		"%o %f [%B] %''b %m|": "send x [rwxr-xr-x] 51.77M 7 data|",
	} {
		if ev := parseWith(t, format, text); ev.Kind != rsynclog.Transfer || ev.HasWire || ev.Wire != 0 {
			t.Errorf("%q, %q: %s", format, text, show(ev))
		}
	}
}

// What 2.6.9 to 3.4 write differently, and values that are rare.
func TestOtherVersionsWriteTheSameFormatDifferently(t *testing.T) {
	for _, c := range []struct{ format, text, want string }{
		{"%o %010l %f", "send 0000001234 x", "1234"}, // before 3.1: "%.0f"
		{"%o %010l %f", "send       1234 x", "1234"},
		{"%o %010l %f", "send 00000012345 x", ""},
		{"%o 5%% %f %l", "send 5% x 6", "6"}, // 3.5.0
		{"%o 5%% %f %l", "send 5%% x 6", "6"},
		{"%o %5% %f %l", "send     % x 6", "6"},
		{"%o %5% %f %l", "send %5% x 6", "6"},
		{"%o %f|%5%|%l", "send x|%5%|6", "6"},
		{"%o %f|%5%|%l", "send x|    %|6", "6"},
		{"%o %M %f %l", "send 292277026596/12/04-15:30:07 x 6", "6"}, // the last year of 64 bits
		{"%o %f", "send x", ""},
		{"%o %M %f %l", "send 58891/03/04-05:06:07 x 6", "6"},
		{"%o %RSYNC_USER_NAME% %f %l", "send %RSYNC_USER_NAME% x 6", "6"}, // before 3.1
		{"%o %RSYNC_USER_NAME% %f %l", "send alice x 6", "6"},
	} {
		ev := parseWith(t, c.format, c.text)
		if got := fmt.Sprint(ev.Length); ev.Kind != rsynclog.Transfer && c.want != "" || ev.HasLength != (c.want != "") || ev.HasLength && got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.format, c.text, show(ev), c.want)
		}
	}
}

// rsync 3.5.0 escapes the literals of a log format, too, byte by byte; only into its own log file,
// not to syslog.
func TestLiteralsThatRsync35Escapes(t *testing.T) {
	for format, want := range map[string]string{
		"%o → %f %l":            `send \xe2\#206\#222 x 6`,
		"%o “%f” %l":            `send \xe2\#200\#234x\xe2\#200\#235 6`,
		"%o %f→%l":              `send x\xe2\#206\#2226`,
		"%o %f→%'l":             `send x\xe2\#206\#2226`,
		"%o %f→%3l":             `send x\xe2\#206\#222  6`,
		"%o %f→%-3l|":           `send x\xe2\#206\#2226  |`,
		"%o %f →%M %l":          `send x \xe2\#206\#2222026/11/23-23:55:05 6`,
		"%o %f →%G %l":          `send x \xe2\#206\#222DEFAULT 6`,
		"%o\x01%a\x1f %f\x02%l": `send\#001fe80::1%eth0\#037 x\#0026`,
		"%o é %f %l":            "send é x 6",
		`%o \#123 %f %l`:        `send \#134#123 x 6`,
		"%f→%o→%n→%l":           `x\xe2\#206\#222send\xe2\#206\#222x\xe2\#206\#2226`,
	} {
		raw := render(format, moved{op: "send", path: "x", length: 6})
		line := escaped(raw)
		if got := strings.ReplaceAll(line, "\xe2", `\xe2`); got != want && format[3:5] != "é" {
			t.Errorf("%q is written as %s, want %s", format, got, want)
		}
		for _, text := range []string{raw, line} {
			ev := parseWith(t, format, text)
			if ev.Kind != rsynclog.Transfer || ev.Op != rsynclog.OpSend || !ev.HasLength || ev.Length != 6 || ev.Path != nil && string(ev.Path) != "x" {
				t.Errorf("%q, %q: %s", format, text, show(ev))
			}
		}
	}
	// A name may hold both forms of a literal.
	for _, name := range []string{"a→b", `a\xe2\#206\#222b`, "→", `\#222`} {
		for _, text := range []string{"send→" + name + "→7", escaped("send→" + name + "→7")} {
			if ev := parseWith(t, "%o→%f→%l", text); ev.Op != rsynclog.OpSend || ev.Length != 7 || len(ev.Path) < len(name) {
				t.Errorf("%q: %s", text, show(ev))
			}
		}
	}
}

// The compiled matcher and the scanner of the default format are two implementations of one thing.
func TestCompiledDefaultFormatAgreesWithItsScanner(t *testing.T) {
	compiled, scanned, err := rsynclog.DefaultMatchers()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, form := range []string{"file", "syslog"} {
		for _, l := range readCorpus(t, form) {
			var want, got rsynclog.Event
			ok := scanned([]byte(l.text), &want)
			if compiled([]byte(l.text), &got) != ok || ok && show(got) != strings.Replace(show(want), " Path=", "", 1) {
				t.Errorf("%q:\n got %s\nwant %s", l.text, show(got), show(want))
			}
			if ok {
				n++
			}
		}
	}
	if n < 2000 {
		t.Errorf("only %d transfers", n)
	}
}
