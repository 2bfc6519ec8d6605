// Package explain says of each line of a log what was made of it: its kind, the fields found, its
// session, and why where nothing came of it. Or it tells the story of one pid's sessions.
package explain

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// Options say what is explained, and how it is shown.
type Options struct {
	Only    Only           // the lines that are shown; all are counted
	JSON    bool           // an object a line, and no summary
	Session Target         // only its lines; without JSON as a story
	Tags    []string       // TAGS, as the lines were read with
	Zone    *time.Location // of the times in a story; nil: this machine's

	Anonymise bool // networks stand for clients, and no line is quoted
}

// An Explainer writes about the lines that it is given. It implements logs.Book. Its memory is
// bounded.
type Explainer struct {
	o      Options
	w      *bufio.Writer
	parser *rsynclog.Parser // for texts under other programs' tags
	counts [NumClasses]uint64
	lives  *lives
	file   string // of the line before; "" at first

	stories []*story // of the target's sessions that are not yet told, the oldest first
	told    int      // stories

	fields fields // memory for those of a line
	buf    []byte // likewise for what is written
}

// New returns an Explainer that writes to w, with a buffer. Lines must have been read in full
// (pipeline.Config.InFull), or it finds few fields of most transfers.
func New(w io.Writer, o Options) *Explainer {
	if o.Zone == nil {
		o.Zone = time.Local
	}
	// the texts that the parser is for aren't those of a log format
	parser, err := rsynclog.NewParser(rsynclog.DefaultLogFormat)
	if err != nil {
		panic(err) // it is a constant
	}
	return &Explainer{o: o, w: bufio.NewWriterSize(w, 1<<16), parser: parser, lives: newLives()}
}

// Counts returns how many lines there were of each class: of the Options' Session, or of all.
func (e *Explainer) Counts() [NumClasses]uint64 { return e.counts }

// Close writes what is left: the stories that have not ended, or the summary. The error is the
// first one of the writer. Nothing is written after it.
func (e *Explainer) Close() error {
	e.tellAll()
	if !e.o.JSON {
		if e.told > 1 {
			e.write(fmt.Appendf(e.buf[:0], "\n%7d  stories; a session's title behind --session tells one\n", e.told))
		}
		if e.told > 0 || e.o.Session.PID == 0 {
			e.write(appendSummary(append(e.buf[:0], '\n'), &e.counts))
		}
	}
	return e.w.Flush()
}

// write writes b, whose memory it keeps for the next line. The first error stays.
func (e *Explainer) write(b []byte) {
	_, _ = e.w.Write(b) // Flush returns its error
	e.buf = b[:0]
}

// Begin implements logs.Book.
func (e *Explainer) Begin(*logs.Set) { e.tellAll() }

// Line implements logs.Book.
func (e *Explainer) Line(p logs.Place, l *pipeline.Line) {
	t := told{file: p.File, line: p.Number, class: classOf(l)}
	if e.o.Session.PID != 0 {
		e.follow(l.Changes)
	}
	var m *mark
	if l.Ours {
		t.pid = l.Message.PID
		if l.Session != nil {
			m = e.lives.of(l.Session)
			t.session = idOf(m.host, m.pid, m.number)
		}
	}
	if e.o.Session.PID != 0 && !e.o.Session.is(l, m) {
		return
	}
	e.counts[t.class]++
	story := e.o.Session.PID != 0 && !e.o.JSON
	if !story && !e.o.Only.shows(t.class) {
		return
	}
	if e.fields = fieldsOf(e.fields[:0], t.class, l); e.o.Anonymise {
		e.fields = e.fields.anonymised()
	}
	t.fields = e.fields
	if t.class.trouble() {
		t.why = e.why(t.class, l)
	} else {
		t.meaning = meaning(l)
	}
	if story {
		e.collect(&t, l, m)
		return
	}
	e.show(&t)
}

// classOf says what became of a line.
func classOf(l *pipeline.Line) Class {
	switch {
	case l.Discard != receiver.Kept:
		return Discarded
	case !l.Ours:
		return Ignored
	case !l.Believed:
		return Implausible
	}
	return Class(l.Event.Kind)
}

// show writes about one line.
func (e *Explainer) show(t *told) {
	if e.o.JSON {
		e.write(append(appendJSON(e.buf[:0], t), '\n'))
		return
	}
	b := e.buf[:0]
	if t.file != e.file {
		if e.file != "" {
			b = append(b, '\n')
		}
		b = append(b, heading(t.file)...)
		e.file = t.file
	}
	if t.session == "" && t.pid != 0 {
		t.session = fmt.Sprint(t.pid)
	}
	e.write(append(appendText(b, t), '\n'))
}

// Lost implements logs.Book.
func (e *Explainer) Lost(p logs.Place, d receiver.Discard, n uint64) {
	if e.o.Session.PID != 0 {
		return // nobody knows whose they were
	}
	e.counts[Discarded] += n
	if !e.o.Only.shows(Discarded) {
		return
	}
	for range n {
		t := told{file: p.File, line: p.Number, class: Discarded}
		t.why = d.Meaning() + "; it is this line or a later one"
		e.fields = e.fields[:0]
		e.fields.word("reason", d.String())
		t.fields = e.fields
		e.show(&t)
	}
}

// Ended implements logs.Book.
func (e *Explainer) Ended(changes []rsynclog.Change) { e.follow(changes) }

// Running implements logs.Book.
func (e *Explainer) Running(s *rsynclog.Session) {
	if st := e.storyOf(s); st != nil {
		st.ending = append(e.facts(s), row{"ended", "not yet: it runs on where the log ends"})
	}
}
