package rsynclog_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog"
)

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomFormat makes a log format of literals, of every escape with and without width and ', and of
// what is no escape.
func randomFormat(r *rand.Rand, old bool) string {
	var b strings.Builder
	for range 1 + r.IntN(9) {
		switch r.IntN(12) {
		case 0:
			b.WriteString(pick(r, "%x", "%5", "%-", "% ", "%", "7", "K", "D", ".", ",", "-", "é", "→", "“", "\x9f", "\\#123", " %RSYNC_USER_NAME%", "%%"))
			continue
		case 1, 2:
			b.WriteString(pick(r, "|", ":", "/", " (", ") ", " [", "] ", "\"", "=", ", "))
		case 3:
		default:
			b.WriteByte(' ')
		}
		quote, width := "", ""
		if r.IntN(4) == 0 {
			width = pick(r, "3", "10", "15", "-10", "-20", "07", "012", "-012", "0", "-", "40")
		}
		letter := "abBcCfGhilLmMnopPtuU"[r.IntN(20)]
		if r.IntN(3) == 0 {
			letter = "ofl"[r.IntN(3)]
		}
		if !old && r.IntN(4) == 0 {
			quote = strings.Repeat("'", 1+r.IntN(3))
		}
		if r.IntN(2) == 0 {
			b.WriteString("%" + quote + width + string(letter))
		} else {
			b.WriteString("%" + width + quote + string(letter))
		}
	}
	return b.String()
}

func randomPath(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return pick(r, "a.txt", "x 99999999 6", " 7", "8 ", "send", "del. x", "a [1.2.3.4] b", "%l", "*deleting  ", "<f+++++++++ x", "x,1", "1.234")
	}
	var b strings.Builder
	for range 1 + r.IntN(12) {
		b.WriteString(pick(r, " ", "/", "%", ",", ".", "-", "[", "]", "(", ")", "1", "7", "0", "K", "a", "x", "'", `"`, `\`, ":", "é", "\xff", "\n", "=", "|"))
	}
	return b.String()
}

func randomMoved(r *rand.Rand, old bool) moved {
	size := func() uint64 { return r.Uint64() % (1<<60 + 1) >> r.IntN(60) }
	m := moved{op: pick(r, "send", "recv", "del."), path: randomPath(r), length: size(), wire: size(), old: old, rest: map[byte]string{
		'h': pick(r, "localhost", "mirror7.example.net", "UNKNOWN", "UNDETERMINED"),
		'a': pick(r, "127.0.0.1", "203.0.113.7", "2001:db8::7", "fe80::1%eth0"),
		'u': pick(r, "", "alice", "a@b", "bob(7)"), 'm': pick(r, "data", "my data (v2)", "backup 7"), 'P': pick(r, "/srv/x", "/srv/my data 7"),
		'L': pick(r, "", "", " -> a b 7", " => x/7"), 'G': pick(r, "DEFAULT", "0", "1000"), 'U': pick(r, "0", "65534"), 'p': pick(r, "9", "4194304"),
		'M': pick(r, "2026/11/23-23:55:05", "1970/01/01-00:00:00", "58891/03/04-05:06:07"),
		'B': pick(r, "rwxr-xr-x", "rwsr-sr-t", "---------", "rw-rwSr-T"), 'R': pick(r, "alice", "a b 7"),
	}}
	m.rest['i'] = pick(r, map[string][]string{"send": {"<f+++++++++", "<f.st......", ".d..t......", "cL+++++++++", "hf         "},
		"recv": {">f+++++++++", ">fcstpogbax", "cd+++++++++", ".f...pog..."}, "del.": {"*deleting  "}}[m.op]...)
	if old {
		m.rest['i'] = pick(r, map[string][]string{"send": {"<f+++++++", ".d..t....", "hf       "}, "recv": {">f.st....", "cd+++++++"},
			"del.": {"*deleting"}}[m.op]...)
	} else {
		m.rest['C'] = pick(r, strings.Repeat(" ", 32), strings.Repeat("0f9a", 8), strings.Repeat("7", 16))
	}
	return m
}

// toEscape are the bytes that rsync 3.5.0 writes as \#ooo into its log file (log.c:
// filtered_fwrite).
var toEscape = regexp.MustCompile(`\\#[0-9]{3}|(?s:.)`)

// escaped writes a line as rsync 3.5.0 does into its log file.
func escaped(s string) string {
	b := make([]rune, 0, len(s))
	for i := range len(s) {
		b = append(b, rune(s[i])) // a byte is a rune here, as regexp doesn't match single bytes
	}
	out := toEscape.ReplaceAllStringFunc(string(b), func(s string) string {
		c := []rune(s)[0]
		if len(s) > 4 || c < ' ' && c != '\t' || c >= 0x80 && c <= 0x9f {
			return fmt.Sprintf("\\#%03o", c) + strings.TrimPrefix(s, string(c))
		}
		return s
	})
	b = []rune(out)
	line := make([]byte, len(b))
	for i, c := range b {
		line[i] = byte(c)
	}
	return string(line)
}

// uses says what escapes a format has, as the letter. It knows nothing of the matcher:
// an escape is what changes a line when its value does.
func uses(format string, m moved) func(letter byte) bool {
	plain := render(format, m)
	return func(letter byte) bool {
		other := m
		other.rest = make(map[byte]string)
		for k, v := range m.rest {
			other.rest[k] = v
		}
		v, _ := m.value(letter, 0)
		if other.rest[letter] = v + "~"; letter == 'L' {
			other.rest[letter] = " -> ~"
		}
		return render(format, other) != plain
	}
}

// TestRandomLogFormats renders random values by random formats. What the matcher reads must be the
// values, and where it has no warning to give, it must have read them.
func TestRandomLogFormats(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	known := mustParser(t, "")
	refused, clean, warned, escapes, letters := 0, 0, 0, 0, map[byte]int{}
	for range 20000 {
		old := r.IntN(4) == 0
		format := randomFormat(r, old)
		p, err := rsynclog.NewParser(format)
		if err != nil {
			if !strings.Contains(err.Error(), ", column ") {
				t.Errorf("%v names no column", err)
			}
			refused++
			continue
		}
		m := randomMoved(r, old)
		text := render(format, m)
		if !old && r.IntN(3) == 0 { // 3.5.0's own log file
			text, m.path = escaped(text), escaped(m.path)
			escapes++
		}
		var ev rsynclog.Event
		if known.Parse([]byte(text), &ev); ev.Kind != rsynclog.Unrecognised || len(text) >= rsynclog.MaxText || text == "" {
			continue
		}
		if old && strings.Contains(text, m.rest['i']+"  ") {
			continue // two spaces behind 2.6.9's shorter %i could be those of the longer one
		}
		p.Parse([]byte(text), &ev)
		has := uses(format, m)
		if problem := compare(format, ev, m, has); problem != "" {
			t.Errorf("%q, %q: %s\n%s", format, text, problem, show(ev))
		}
		if len(p.Warnings()) > 0 {
			warned++
			continue
		}
		clean++
		for _, letter := range []byte("abBcCfGhilLmMnopPtuU%") {
			if has(letter) {
				letters[letter]++
			}
		}
		if problem := complete(format, ev, m, has); problem != "" {
			t.Errorf("%q, %q: %s, and no warning\n%s", format, text, problem, show(ev))
		}
		if t.Failed() && clean > 2000 {
			break
		}
	}
	if refused < 800 || clean < 5000 || warned < 5000 || escapes < 3000 {
		t.Errorf("%d refused, %d without a warning, %d with one, %d escaped: the test says little", refused, clean, warned, escapes)
	}
	for _, letter := range []byte("abBcCfGhilLmMnopPtuU%") {
		if letters[letter] < 20 {
			t.Errorf("%%%c in %d formats without a warning", letter, letters[letter])
		}
	}
}

// unitsOf says whether every number that a format has of a letter is one with units.
func unitsOf(format string, letter byte) bool {
	plain := regexp.MustCompile(`%'?-?\d*'?` + string(letter)) // never more than one ', on either side
	units := regexp.MustCompile(`%(?:''+-?\d*'*|'?-?\d*''+|'-?\d+')` + string(letter))
	return units.MatchString(format) && !plain.MatchString(units.ReplaceAllString(format, ""))
}

// compare says which value that the matcher gives is wrong.
func compare(format string, ev rsynclog.Event, m moved, has func(byte) bool) string {
	if ev.Kind != rsynclog.Transfer {
		return ""
	}
	switch {
	case ev.HasLength && unitsOf(format, 'l') || ev.HasWire && unitsOf(format, 'b'):
		return "units are taken for a byte count"
	case ev.HasLength && ev.Length != m.length:
		return fmt.Sprintf("length isn't %d", m.length)
	case ev.HasWire && ev.Wire != m.wire:
		return fmt.Sprintf("wire isn't %d", m.wire)
	case ev.Path != nil && string(ev.Path) != m.path:
		return fmt.Sprintf("path isn't %q", m.path)
	case ev.Host != nil && string(ev.Host) != m.rest['h']:
		return "host isn't " + m.rest['h']
	case ev.Addr != nil && string(ev.Addr) != m.rest['a']:
		return "addr isn't " + m.rest['a']
	case ev.AfterAddr != nil && !strings.HasPrefix(string(ev.AfterAddr), m.rest['m']+" ("):
		return "the rest doesn't begin with " + m.rest['m']
	case ev.OpUnnamed && (has('o') || has('i')):
		return "op isn't looked for"
	case !ev.OpUnnamed && !(rsynclog.SetOf(ev.Op) | ev.Ops).Has(itemised(m, has('i'))) && !(rsynclog.SetOf(ev.Op) | ev.Ops).Has(itemised(m, false)):
		return "op isn't " + m.op
	}
	return ""
}

// itemised is what %i, if there is one, and %o say was done with a file.
func itemised(m moved, hasItem bool) rsynclog.Op {
	if item := m.rest['i']; hasItem && !slices.Contains([]string{"<f", ">f", "*d"}, item[:2]) {
		return rsynclog.NoOp
	}
	return map[string]rsynclog.Op{"send": rsynclog.OpSend, "recv": rsynclog.OpRecv, "del.": rsynclog.OpDel}[m.op]
}

// complete says what the matcher should have read and did not.
func complete(format string, ev rsynclog.Event, m moved, has func(byte) bool) string {
	exact := func(letter string) bool { return has(letter[0]) } // a format with units has a warning
	switch {
	case ev.Kind != rsynclog.Transfer:
		return "no transfer"
	case exact("l") && !ev.HasLength:
		return "no length"
	case exact("b") && !ev.HasWire:
		return "no wire"
	case (has('o') || has('i')) && (ev.Ops != 0 || ev.Op != itemised(m, has('i'))):
		return "op isn't read"
	case has('h') && ev.Host == nil || has('a') && ev.Addr == nil:
		return "host or address isn't read"
	}
	return ""
}
