package show

import (
	"fmt"
	"math"
	"strconv"

	"rsyncd_exporter/report"
)

// A chart is a drawing in SVG. The template has its elements, this has their places.
type chart struct {
	ID, Title, Desc string
	Width, Height   int
	Legend          []key
	Lines           []stroke
	Texts           []label
	Rects           []rect
}

type key struct{ Class, Name string }

type stroke struct{ Class, X, X2, Y string }

type label struct{ X, Y, Anchor, Text string }

type rect struct{ Class, X, Y, W, H, Title, Round string }

// A stack is a bar of a bar chart: one value of each series, from below.
type stack struct {
	label, title string
	values       []float64
}

const (
	chartWidth  = 900
	chartHeight = 190
	chartLeft   = 62 // room for the figures of the axis
	chartRight  = 8
	chartTop    = 10
	chartBottom = 22 // room for labels
)

// bars draws columns of stacked values. figure writes a value at the axis.
func bars(c chart, series []key, columns []stack, figure func(float64) string, ticks func(float64) []float64) chart {
	c.Width, c.Height = chartWidth, chartHeight
	if len(series) > 1 {
		c.Legend = series
	}
	most := 0.0
	for _, b := range columns {
		sum := 0.0
		for _, v := range b.values {
			sum += v
		}
		most = max(most, sum)
	}
	marks := ticks(most)
	top := max(most, marks[len(marks)-1])
	const plot = float64(chartHeight - chartTop - chartBottom)
	at := func(v float64) float64 { return chartTop + plot*(1-v/top) }
	for i, m := range marks {
		class := "grid"
		if i == 0 {
			class = "base"
		}
		c.Lines = append(c.Lines, stroke{class, px(chartLeft), px(chartWidth - chartRight), px(at(m))})
		c.Texts = append(c.Texts, label{px(chartLeft - 8), px(at(m) + 4), "end", figure(m)})
	}
	step := float64(chartWidth-chartLeft-chartRight) / float64(len(columns))
	every := int(math.Ceil(78 / step)) // a label takes about so much
	for i, b := range columns {
		x := chartLeft + step*float64(i)
		sum := 0.0
		for j, v := range b.values {
			if v > 0 {
				y := at(sum + v)
				h := max(at(sum)-y, 0.5)
				w := min(step-2, 40)
				// #nosec G602 -- every column has one value for each series
				c.Rects = append(c.Rects, rect{series[j].Class, px(x + (step-w)/2), px(y), px(w), px(h), b.title, ""})
			}
			sum += v
		}
		if i%every == 0 {
			c.Texts = append(c.Texts, label{px(x + step/2), px(chartHeight - 6), "middle", b.label})
		}
	}
	return c
}

// px writes a length.
func px(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

// even returns the marks of an axis up to most: 0 and two to five round ones.
func even(most float64) []float64 {
	if most <= 0 {
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, f := range []float64{0.2, 0.5, 1} {
		if most/(step*f) < 5 {
			step *= f
			break
		}
	}
	return upTo(most, step)
}

// binary returns marks that are round in units of 1024.
func binary(most float64) []float64 {
	unit := 1.0
	for most/unit >= 1024 {
		unit *= 1024
	}
	marks := even(most / unit)
	for i := range marks {
		marks[i] *= unit
	}
	return marks
}

func upTo(most, step float64) (marks []float64) {
	for i := range 6 {
		v := float64(i) * step
		marks = append(marks, v)
		if v >= most {
			break
		}
	}
	return marks
}

func dayCharts(days []period) []chart {
	var traffic, sessions []stack
	for _, d := range days {
		date := word(d.label).people()
		traffic = append(traffic, stack{date, fmt.Sprintf("%s: %s sent, %s received", date, iec(float64(d.Sent)),
			iec(float64(d.Received))), []float64{float64(d.Sent), float64(d.Received)}})
		ended := d.Sessions - min(d.Sessions, d.Failed)
		sessions = append(sessions, stack{date, fmt.Sprintf("%s: %s, %s failed, %s rejected, at most %s at a time",
			date,
			plural(d.Sessions, "session", "sessions"), thousands(d.Failed), thousands(d.Rejected), thousands(d.Peak)),
			[]float64{float64(ended), float64(d.Failed)}})
	}
	first, last := word(days[0].label).people(), word(days[len(days)-1].label).people()
	return []chart{
		bars(chart{ID: "traffic", Title: "Bytes", Desc: "Bytes sent and received, " + first + " to " + last + "."},
			[]key{{"a", "sent"}, {"b", "received"}}, traffic, iec, binary),
		bars(chart{ID: "sessions", Title: "Sessions",
			Desc: "Sessions, and those of them that failed, " + first + " to " + last + "."},
			[]key{{"a", "all others"}, {"c", "failed"}}, sessions, plain, even),
	}
}

// plain writes a count at an axis.
func plain(f float64) string {
	if f < 10 && f != math.Trunc(f) {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return thousands(uint64(f))
}

// Bounds of the charts of concurrency: the modules that are drawn, and the bars of each.
const (
	maxBusy     = 4
	maxBusyBars = 60
)

// busyCharts draws for how long so many transfers ran at a time, for the first modules.
func busyCharts(all []report.Saturation) (charts []chart) {
	for i, m := range all[:min(len(all), maxBusy)] {
		per := max(1, (len(m.SecondsAt)+maxBusyBars-1)/maxBusyBars)
		var columns []stack
		for n := 1; n < len(m.SecondsAt); n += per {
			sum := 0.0
			for _, s := range m.SecondsAt[n:min(n+per, len(m.SecondsAt))] {
				sum += max(s, 0)
			}
			label := strconv.Itoa(n)
			if per > 1 {
				label += "–" + strconv.Itoa(n+per-1)
			}
			columns = append(columns, stack{label, label + " at a time: " + span(sum), []float64{sum / 3600}})
		}
		if len(columns) == 0 {
			continue
		}
		name := module(m.Module).people()
		charts = append(charts, bars(chart{ID: fmt.Sprintf("busy-%d", i),
			Title: name + ": hours with so many transfers at a time",
			Desc:  fmt.Sprintf("At most %d transfers ran at a time in module %s.", m.Peak, name)},
			[]key{{"a", "hours"}}, columns, plain, even))
	}
	return charts
}

// heatChart draws a square for each hour of the week.
func heatChart(s *report.Summary) chart {
	const left, top, square, height, levels = 46, 20, 35, 24, 8
	c := chart{ID: "heat", Title: "Bytes by weekday and hour",
		Width: left + 24*square + chartRight, Height: top + 7*height + 30,
		Desc: "A darker square is an hour of the week with more bytes; the most is " + iec(float64(mostBytes(s))) + "."}
	fill := func(x, y int, level int, title string) {
		c.Rects = append(c.Rects, rect{"h" + strconv.Itoa(level), px(float64(x)), px(float64(y)),
			px(square - 3), px(height - 3), title, "3"})
	}
	for h := 0; h < 24; h += 3 {
		c.Texts = append(c.Texts, label{px(float64(left + h*square)), px(top - 7), "start", fmt.Sprintf("%02d:00", h)})
	}
	for d, day := range s.Heat {
		y := top + d*height
		c.Texts = append(c.Texts, label{px(left - 10), px(float64(y + 15)), "end", weekdays[d][:3]})
		for h, v := range day {
			fill(left+h*square, y, level(moved(v), mostBytes(s), levels),
				fmt.Sprintf("%s %02d:00: %s, %s", weekdays[d], h, iec(float64(moved(v))),
					plural(v.Sessions, "session", "sessions")))
		}
	}
	y := top + 7*height + 8
	for l := range levels + 1 {
		fill(left+l*square, y, l, "")
	}
	c.Texts = append(c.Texts, label{px(left - 10), px(float64(y + 15)), "end", "none"},
		label{px(float64(left + (levels+1)*square + 6)), px(float64(y + 15)), "start",
			"up to " + iec(float64(mostBytes(s)))})
	return c
}
