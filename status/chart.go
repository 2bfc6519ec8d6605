package status

import (
	"fmt"
	"strings"
	"time"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/recent"
)

// A tile is a figure and the last hour that it sums up.
type tile struct {
	ID, Name, Value, Note string
	Bars                  []series
	Desc                  string // of the drawing
}

// A series is a path of bars, one a minute.
type series struct{ Class, Path string }

const (
	sparkHeight = 40
	sparkStep   = 4 // of which a bar takes 3
)

func tiles(a *answer) []tile {
	h := &a.inputs.Hour
	bytes := func(n uint64) string { return text.Bytes(float64(n)) }
	active := make([]uint64, len(h.Active))
	for i, n := range h.Active {
		active[i] = uint64(n)
	}
	note := "no failure"
	if n := total(h.Failed); n > 0 {
		note = text.Thousands(n) + " failed or partial"
	}
	return []tile{
		a.tile("now", "Running now", text.Thousands(running(a)), "at most "+peak(active, text.Thousands), active, nil),
		a.tile("sent", "Sent, last hour", bytes(total(h.Sent)), "at most "+peak(h.Sent, bytes)+"/min", h.Sent, nil),
		a.tile("received", "Received, last hour", bytes(total(h.Received)),
			"at most "+peak(h.Received, bytes)+"/min", h.Received, nil),
		a.tile("done", "Sessions, last hour", text.Thousands(total(h.Sessions)), note, h.Sessions, h.Failed),
		a.tile("away", "Turned away, last hour", text.Thousands(total(h.Rejected)),
			"of "+text.Plural(total(h.Connections), "connection", "connections"), h.Connections, h.Rejected),
	}
}

func running(a *answer) (n uint64) {
	for i := range a.modules.Modules {
		n += uint64(a.modules.Modules[i].Active)
	}
	return n
}

func total(list []uint64) (n uint64) {
	for _, v := range list {
		n += v
	}
	return n
}

func peak(list []uint64, write func(uint64) string) string {
	most := uint64(0)
	for _, v := range list {
		most = max(most, v)
	}
	return write(most)
}

// tile draws values, and in another colour those of them that are bad.
func (a *answer) tile(id, name, value, note string, values, bad []uint64) tile {
	most, at := uint64(0), 0
	for i, v := range values {
		if v >= most && v > 0 {
			most, at = v, i
		}
	}
	t := tile{ID: id, Name: name, Value: value, Note: note, Desc: "Nothing in the last hour."}
	if most == 0 {
		return t
	}
	minute := a.inputs.Hour.Until.Add(time.Duration(at-recent.Minutes) * time.Minute)
	t.Desc = "Each bar is a minute of the last hour; the highest is " + minute.Format("15:04") + "."
	t.Bars = []series{{"a", bars(values, most)}}
	if total(bad) > 0 {
		t.Bars = append(t.Bars, series{"c", bars(bad, most)})
	}
	return t
}

// bars returns the path of bars that stand on the ground. What isn't 0 is seen.
func bars(values []uint64, most uint64) string {
	var b strings.Builder
	for i, v := range values {
		if v == 0 {
			continue
		}
		h := max(1.5, float64(sparkHeight)*float64(min(v, most))/float64(most))
		fmt.Fprintf(&b, "M%d %dv-%.1fh3v%.1fz", i*sparkStep, sparkHeight, h, h)
	}
	return b.String()
}
