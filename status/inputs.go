package status

import (
	"maps"
	"slices"
	"strings"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
)

// inputSection shows how messages come in, and what is lost on the way.
func inputSection(a *answer) section {
	s := section{ID: "inputs", Title: "Inputs"}
	t := table{ID: "inputs-t", Title: "Where messages come in", Head: []column{{"Input", "w"}, {"Received", "n"},
		{"Last message", "n"}, {"Discarded", "n"}, {"Not rsyncd's", "n x"}, {"Dropped by the kernel", "n"},
		{"Buffer", "n x"}, {"Connections", "n x"}}}
	d := table{ID: "discarded-t", Title: "What was thrown away or refused", Head: []column{{"Input", "w"},
		{"Reason", "w"}, {"Count", "n"}, {"What helps", "t"}}}
	for i := range a.inputs.Inputs {
		in := &a.inputs.Inputs[i]
		discarded, drops, buffer, open := uint64(0), dash(), dash(), dash()
		for _, reason := range slices.Sorted(maps.Keys(in.Discarded)) {
			n := in.Discarded[reason]
			discarded += n.Count
			d.Rows = append(d.Rows, []cell{word(in.Input), word(reason), number(n.Count), word(n.Remedy)})
		}
		for _, reason := range slices.Sorted(maps.Keys(in.Refused)) {
			d.Rows = append(d.Rows, []cell{word(in.Input), word(reason), number(in.Refused[reason]),
				word("connections closed: " + a.remedy(in.Input, reason))})
		}
		if in.Drops != nil {
			drops, buffer = warned(number(*in.Drops), *in.Drops > 0), size(uint64(in.Buffer))
			if *in.Drops > 0 {
				d.Rows = append(d.Rows, []cell{word(in.Input), word("dropped"), number(*in.Drops),
					word("the kernel's buffer was full: raise RECEIVE_BUFFER and net.core.rmem_max")})
			}
		}
		if in.Connections != nil {
			open = number(uint64(*in.Connections))
		}
		t.Rows = append(t.Rows, []cell{word(in.Input), number(in.Received), a.ago(in.LastMessage),
			warned(number(discarded), discarded > 0), number(in.Ignored), drops, buffer, open})
	}
	s.Tables = []table{t}
	if len(d.Rows) > 0 {
		s.Tables = append(s.Tables, d)
	}
	if len(a.inputs.Files) > 0 {
		s.Tables = append(s.Tables, fileTable(a))
	}
	switch st := a.inputs.State; {
	case st == nil:
		s.Notes = []string{"Without STATE_DIR the counters begin anew at each start."}
	case st.OK:
		s.Notes = []string{"The counters are saved in STATE_DIR (" + strings.ReplaceAll(st.Start, "_", " ") +
			" at the start)."}
	default:
		s.Notes = []string{"The counters can't be saved in STATE_DIR: the exporter's log says why. What a scrape " +
			"shows is " + text.Span(whole(st.Age)) + " old."}
	}
	if l := a.inputs.SessionLog; l != nil {
		s.Notes = append(s.Notes, sessionLogNote(l))
	}
	return s
}

func sessionLogNote(l *api.SessionLog) string {
	note := "SESSION_LOG has got " + text.Plural(l.Written, "line", "lines")
	if !l.OK {
		note = "SESSION_LOG can't be written: the exporter's log says why"
	}
	note += "; " + text.Plural(uint64(max(0, l.Waiting)), "session waits", "sessions wait")
	if l.Dropped > 0 {
		note += ", and " + text.Thousands(l.Dropped) + " found no room and are lost to it"
	}
	return note + "."
}

func fileTable(a *answer) table {
	t := table{ID: "files-t", Title: "Followed files", Head: []column{{"File", "t"}, {"State", "w"}, {"To read", "n"},
		{"Behind", "n x"}, {"Read up to", "n x"}, {"Rotations", "n x"}, {"Gaps", "n"}}}
	rows(&t, a.inputs.Files, len(a.inputs.Files), maxRows, func(f *api.File) []cell {
		path := foreign(f.Path)
		st := cell{Text: "read", Icon: "ok", Tone: "ok"}
		if !f.OK {
			st = cell{Text: "not read", Icon: "bad", Tone: "bad"}
			path.Note = foreign(f.Why).Text
		}
		gaps := sum(f.Gaps)
		return []cell{path, st, size(uint64(max(0, f.Lag))), span(f.LagSeconds), size(uint64(max(0, f.Offset))),
			number(f.Rotations), warned(number(gaps), gaps > 0)}
	})
	return t
}

func dash() cell { return cell{Text: "–", Tone: "soft"} }

// warned marks a number that should be 0.
func warned(c cell, is bool) cell {
	if is {
		c.Icon, c.Tone = "late", "warn"
	}
	return c
}
