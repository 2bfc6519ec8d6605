package rsynclog_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// An operation between texts, each of which may hold what looks like it, is read where the line can
// be read in one way only.
func TestAnOperationBetweenTexts(t *testing.T) {
	sr, rd := rsynclog.SetOf(rsynclog.OpSend, rsynclog.OpRecv), rsynclog.SetOf(rsynclog.OpRecv, rsynclog.OpDel)
	for _, c := range []struct {
		format, text string
		op           rsynclog.Op
		ops          rsynclog.OpSet
	}{
		{"%f %o %n", "a.txt send a.txt", rsynclog.OpSend, 0},
		{"%f %o %n", "a recv b recv a recv b", rsynclog.OpRecv, 0},
		{"%f %o %n", "x del. y recv x del. y", rsynclog.OpUnknown, rd},
		{"%f %o %n", "send send send", rsynclog.OpSend, 0}, // one of the three only has names on both sides
		{"%f %o %n", "recv send recv", rsynclog.OpSend, 0},
		{"%f %o %n", " recv x send y", rsynclog.OpSend, 0}, // a file has a name
		{"%f %o %n", "y send x recv ", rsynclog.OpSend, 0},
		{"%f %o %n", "y send x recv  ", rsynclog.OpUnknown, sr},
		{"%m %o %f %l", "data recv a 7", rsynclog.OpRecv, 0},
		{"%m %o %f %l", "data recv x del. y 7", rsynclog.OpUnknown, rd},
		{"%f %o %m", "a recv b send data", rsynclog.OpUnknown, sr},
		{"%f %o %m", "a recv data", rsynclog.OpRecv, 0},
		{"%f|%o|%n|%o|%f", "a|recv|b|recv|c", rsynclog.OpRecv, 0},
		{"%f|%o|%n|%o|%f", "a|recv|b|recv|c|del.|d", rsynclog.OpRecv, 0}, // a|recv|b is a name, or c|del.|d
		{"%f %i %n", "a <f+++++++++ a", rsynclog.OpSend, 0},
		{"%f %i %n", "a cd+++++++++ a", rsynclog.NoOp, 0},
		{"%f %i %n", "a cd+++++++++ a <f+++++++++ b", rsynclog.OpUnknown, rsynclog.SetOf(rsynclog.NoOp, rsynclog.OpSend)},
		{"%f %o %l", "x recv y del. 7", rsynclog.OpDel, 0}, // read from the end
		{"%n %o", "x recv send", rsynclog.OpSend, 0},
		{"%f %l%n %o %f", "x 678 send y", rsynclog.OpSend, 0}, // a number that runs into a name
		{"%f %o %n%l %f", "x send 786 y", rsynclog.OpSend, 0},
		{"%f %o %l%n", "x send 67", rsynclog.OpSend, 0},
	} {
		ev := parseWith(t, c.format, c.text)
		if ev.Kind != rsynclog.Transfer || ev.OpUnnamed || ev.Op != c.op || ev.Ops != c.ops {
			t.Errorf("%q, %q: %s", c.format, c.text, show(ev))
		}
	}
	for format, text := range map[string]string{"%f %o %n": "send x", "%n %o %f": "x recv ", "%f %o %m %n": " send data x"} {
		if ev := parseWith(t, format, text); ev.Kind != rsynclog.Unrecognised {
			t.Errorf("%q, %q: %s", format, text, show(ev))
		}
	}
}

// A line that is cut before its operation may say anything.
func TestAnOperationThatWasCutOff(t *testing.T) {
	long := strings.Repeat("x", 2100)
	for format, want := range map[string]rsynclog.OpSet{
		"%h [%a] %f %o %l": rsynclog.SetOf(rsynclog.OpSend, rsynclog.OpRecv, rsynclog.OpDel),
		"%h [%a] %f %i":    rsynclog.SetOf(rsynclog.NoOp, rsynclog.OpSend, rsynclog.OpRecv, rsynclog.OpDel),
		"%h [%a] %f":       0,
	} {
		ev := parseWith(t, format, "localhost [::1] "+long)
		if ev.Kind != rsynclog.Transfer || ev.Ops != want || ev.OpUnnamed != (want == 0) || (ev.Op == rsynclog.OpUnknown) != (want != 0) {
			t.Errorf("%q: %s", format, show(ev))
		}
	}
}

// opPatterns are what the escapes of TestRandomOperations can be: independent of the matcher.
var opPatterns = map[byte]string{
	'f': `.+`, 'n': `.+`, 'm': `.*`, 'u': `.*`, 'L': `.*`,
	'o': `(?:send|recv|del\.)`, 'l': `(?:0|[1-9][0-9]*)`, 'p': `[0-9]+`, 'a': reAddr,
	't': `\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`, 'B': `[-rwxsStT]{9}`,
}

// waysOf returns which operations a line of a format may have in its first %o: those with which the
// format, as a regular expression, still fits the whole line.
func waysOf(format, text string) (set rsynclog.OpSet) {
	for op := rsynclog.OpSend; op <= rsynclog.OpDel; op++ {
		var pattern strings.Builder
		chosen := false
		for i := 0; i < len(format); i++ {
			switch {
			case format[i] != '%':
				pattern.WriteString(regexp.QuoteMeta(format[i : i+1]))
				continue
			case format[i+1] == 'o' && !chosen:
				chosen = true
				pattern.WriteString(regexp.QuoteMeta(op.String()))
			default:
				pattern.WriteString(opPatterns[format[i+1]])
			}
			i++
		}
		if regexp.MustCompile(`(?s)\A` + pattern.String() + `\z`).MatchString(text) {
			set |= rsynclog.SetOf(op)
		}
	}
	return set
}

// TestRandomOperations holds what the matcher makes of %o between texts against all ways in which a
// regular expression can read the line.
func TestRandomOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	word := func() string {
		return pick(r, "a", "send", "recv", "del.", " send ", "x recv y", " del. ", "|send|", "7", "b 12", "send 7", "::1", "é", "/del./", "rw-r--r--")
	}
	certain, unknown, neither := 0, 0, 0
	for range 60000 {
		var format strings.Builder
		separator := pick(r, " ", " ", "|", "/", ") ", "")
		for i := range 2 + r.IntN(5) {
			if i > 0 {
				format.WriteString(separator)
			}
			format.WriteByte('%')
			format.WriteByte("ofnofmuLlpatBo"[r.IntN(14)])
		}
		f := format.String()
		p, err := rsynclog.NewParser(f)
		if err != nil || !strings.Contains(f, "%o") || p.ReadsOp() {
			continue
		}
		m := moved{op: pick(r, "send", "recv", "del."), path: word() + pick(r, "", word()), length: r.Uint64N(1000), rest: map[byte]string{
			'm': word(), 'u': pick(r, "", word()), 'L': pick(r, "", " -> "+word()), 'a': "::1"}}
		text := render(f, m)
		if r.IntN(4) == 0 {
			text = word() + separator + word() + separator + word() + separator + word() // of no file
		}
		want, got := waysOf(f, text), parseWith(t, f, text)
		if own := parseWith(t, "", text); own.Kind != rsynclog.Unrecognised {
			continue
		}
		has := got.Ops
		if got.Kind == rsynclog.Transfer && got.Op != rsynclog.OpUnknown {
			has = rsynclog.SetOf(got.Op)
		}
		// Next to a text a number's or an address' end can't be seen; then a line may seem to have
		// more ways than it has.
		exact := separator != "" && !strings.Contains(f, "%a")
		if exact && has != want || got.Kind == rsynclog.Transfer && (has&want != want || got.OpUnnamed) {
			t.Errorf("%q, %q: %03b, want %03b\n%s", f, text, has>>1, want>>1, show(got))
		}
		switch {
		case got.Kind != rsynclog.Transfer:
			neither++
		case got.Op == rsynclog.OpUnknown:
			unknown++
		default:
			certain++
		}
	}
	if certain < 2500 || unknown < 500 || neither < 500 {
		t.Errorf("%d certain, %d unknown, %d no transfer: the test says little", certain, unknown, neither)
	}
}
