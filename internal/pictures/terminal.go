//go:build linux

package main

import (
	"html"
	"regexp"
	"slices"
	"strings"
)

// sgr is a sequence that sets how the text behind it looks; other is any other escape sequence.
var (
	sgr   = regexp.MustCompile(`^\x1b\[([0-9;]*)m`)
	other = regexp.MustCompile(`^\x1b(?:\[[0-9;?]*[@-~]|[()].|[^\[()])`)
)

// looks are the parameters of SGR that top uses, as styles.
var looks = map[string]string{
	"1": "font-weight:bold", "2": "opacity:.65", "7": "color:#1e1e2e;background:#d8dee9",
	"31": "color:#f2777a", "32": "color:#99cc99", "33": "color:#ffcc66", "36": "color:#66cccc",
}

// ends are the parameters that end looks.
var ends = map[string][]string{"22": {"1", "2"}, "27": {"7"}, "39": {"31", "32", "33", "36"}}

// terminalHTML returns a page with what a terminal shows, colours included.
func terminalHTML(capture string) string {
	var page strings.Builder
	page.WriteString(`<!DOCTYPE html><meta charset="utf-8"><style>` +
		`body { margin: 0 } pre { display: inline-block; margin: 0; padding: 14px 18px; ` +
		`background: #1e1e2e; color: #d8dee9; font: 15px/1.35 "DejaVu Sans Mono", monospace }</style><pre>`)
	var now []string
	for capture = strings.TrimRight(capture, "\n "); capture != ""; {
		if match := sgr.FindStringSubmatch(capture); match != nil {
			now = look(now, match[1])
			capture = capture[len(match[0]):]
			continue
		}
		if match := other.FindString(capture); match != "" {
			capture = capture[len(match):]
			continue
		}
		n := 1 + strings.IndexByte(capture[1:], '\x1b')
		if n == 0 {
			n = len(capture)
		}
		var style []string
		for _, parameter := range now {
			style = append(style, looks[parameter])
		}
		page.WriteString(`<span style="` + strings.Join(style, ";") + `">` + html.EscapeString(capture[:n]) + `</span>`)
		capture = capture[n:]
	}
	page.WriteString("</pre>")
	return page.String()
}

// look returns the parameters that hold after those of a sequence.
func look(now []string, parameters string) []string {
	for _, parameter := range strings.Split(parameters, ";") {
		switch {
		case parameter == "" || parameter == "0":
			now = nil
		case looks[parameter] != "":
			now = append(slices.Clone(now), parameter)
		default:
			now = slices.DeleteFunc(slices.Clone(now), func(p string) bool {
				return slices.Contains(ends[parameter], p)
			})
		}
	}
	return now
}
