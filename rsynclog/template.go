package rsynclog

import (
	"encoding/binary"
	"math"
	"strings"
)

// A line is a row of the table, compiled: one of them for each of the words that a row has a choice
// of.
type line struct {
	pattern
	kind      Kind
	direction Direction
	rank      rank
	front     string // the words that it begins with; they aren't in the pattern
	end       string // the words that it ends with
	cut       bool   // of lines that rsync may have cut at their end only
	whole     bool   // of lines that rsync surely hasn't cut only
	single    bool   // tells of one lost message, without a number
}

// What rows have for short.
var abbreviations = strings.NewReplacer("[{user}@]{host} ({addr})", "{user peer}", "{host} ({addr})", "{peer}",
	"{error}", ": {some} ({errno})")

const (
	failureFront = "rsync: [{role}] " // log.c: rsyserr
	processFront = "[{role}] "
)

// The compiled table. Lines with a process's role are looked up by what stands behind it.
var ownLines, failureLines, processLines = compileRows()

func compileRows() (own, failures, process *index) {
	var lines [3][]*line
	for rank := range numRanks {
		for _, r := range rows[rank] {
			template, section := r.template, 0
			if rest, ok := strings.CutPrefix(template, failureFront); ok {
				template, section = rest, 1
			} else if rest, ok := strings.CutPrefix(template, processFront); ok {
				template, section = rest, 2
			}
			for i, words := range alternatives(abbreviations.Replace(template)) {
				l := compileLine(r.kind, words)
				l.rank = rank
				if r.kind == Start || r.kind == FileList {
					l.direction = [...]Direction{Send, Receive}[i]
				}
				lines[section] = append(lines[section], l)
			}
		}
	}
	return newIndex(lines[0]), newIndex(lines[1]), newIndex(lines[2])
}

// alternatives writes a template once for each of the words in its {a|b}.
func alternatives(template string) []string {
	for i := 0; i < len(template); i++ {
		if template[i] != '{' {
			continue
		}
		end := i + strings.IndexByte(template[i:], '}')
		choice := template[i+1 : end]
		if !strings.Contains(choice, "|") {
			continue
		}
		var all []string
		for words := range strings.SplitSeq(choice, "|") {
			all = append(all, alternatives(template[:i]+words+template[end+1:])...)
		}
		return all
	}
	return []string{template}
}

// compileLine compiles a template without alternatives.
func compileLine(kind Kind, template string) *line {
	l := &line{kind: kind}
	template, l.cut = strings.CutSuffix(template, "{cut}")
	l.whole = strings.Contains(template, "{bare}")
	l.single = kind == LostUpstream && !strings.Contains(template, "{lost}")
	var fields []field
	for template != "" {
		words, rest, isVerb := strings.Cut(template, "{")
		if words != "" {
			fields = append(fields, newLiteral(words, 0))
		}
		if !isVerb {
			break
		}
		name, rest, _ := strings.Cut(rest, "}")
		verb, ok := verbs[name]
		if !ok {
			panic("no verb is named " + name)
		}
		verb.limit = math.MaxInt
		if verb.most == 0 {
			verb.most = math.MaxInt
		}
		fields, template = append(fields, verb), rest
	}
	if fields[0].shape == literal {
		l.front, fields = fields[0].text, fields[1:]
	}
	if n := len(fields) - 1; n >= 0 && fields[n].shape == literal {
		l.end = fields[n].text
	}
	l.pattern = divide(fields)
	return l
}

// match reads a text from behind the line's front on.
func (l *line) match(text []byte, pos int, ev *Event) bool {
	if n := len(l.end); n > 0 && text[len(text)-1] != l.end[n-1] || !hasPrefix(text[pos:], l.front) ||
		l.cut && len(text) < maxText || l.whole && len(text) >= maxText-len("\r\n") {
		return false
	}
	got := found{ev: ev}
	if !l.pattern.match(text, pos+len(l.front), &got) || ev.Lost > math.MaxUint32 { // forwarders count with 32 bits
		if got.any {
			ev.clear()
		}
		return false
	}
	ev.Kind, ev.Reason, ev.Direction = l.kind, reasons[l.kind], l.direction
	if l.kind != FileError {
		ev.Errno = 0
	}
	if l.single {
		ev.Lost = 1
	}
	return true
}

// An index finds the lines that a text can be by its first bytes.
type index struct {
	slots  [1024]slot   // by a hash of the first keyLen bytes
	firsts [256][]*line // by the first byte: the lines that begin with fewer words, or with none
}

// A slot has the lines that may begin with some bytes, in the table's order.
type slot struct {
	key   uint64
	lines []*line
}

const keyLen = 8

func newIndex(lines []*line) *index {
	x := &index{}
	var first [keyLen]byte
	for _, l := range lines {
		if copy(first[:], l.front) < keyLen {
			x.addShort(l)
			continue
		}
		key := binary.LittleEndian.Uint64(first[:])
		s := x.slot(key)
		if s.lines == nil {
			s.key = key
			for _, before := range x.firsts[first[0]] {
				if hasPrefix(first[:], before.front) {
					s.lines = append(s.lines, before)
				}
			}
		}
		s.lines = append(s.lines, l)
	}
	return x
}

// addShort adds a line that doesn't begin with as many words as a key has.
func (x *index) addShort(l *line) {
	var first [keyLen]byte
	for i := range x.slots {
		s := &x.slots[i]
		binary.LittleEndian.PutUint64(first[:], s.key)
		if s.lines != nil && hasPrefix(first[:], l.front) {
			s.lines = append(s.lines, l)
		}
	}
	for c := range x.firsts {
		if l.front == "" || l.front[0] == byte(c) {
			x.firsts[c] = append(x.firsts[c], l)
		}
	}
}

// slot returns a key's slot; it is empty where the key is unknown.
func (x *index) slot(key uint64) *slot {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio spreads keys evenly
	i := key * golden >> 54
	for x.slots[i].key != key && x.slots[i].key != 0 {
		i = (i + 1) % uint64(len(x.slots))
	}
	return &x.slots[i]
}

// find returns the lines that a text can be, in the table's order.
func (x *index) find(text []byte) []*line {
	if len(text) >= keyLen {
		if s := x.slot(binary.LittleEndian.Uint64(text)); s.lines != nil {
			return s.lines
		}
	}
	if len(text) == 0 {
		return nil
	}
	return x.firsts[text[0]]
}
