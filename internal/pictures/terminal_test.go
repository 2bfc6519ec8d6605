//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestTerminalHTML(t *testing.T) {
	page := terminalHTML("\x1b[1mSTATE\x1b[0m \x1b[32mrunning\x1b[39m \x1b[?25l<script>&\x1b(B \x1b[1;31mbad\x1b[22m red\n\n")
	_, body, _ := strings.Cut(page, "<pre>")
	want := `<span style="font-weight:bold">STATE</span><span style=""> </span>` +
		`<span style="color:#99cc99">running</span><span style=""> </span>` +
		`<span style="">&lt;script&gt;&amp;</span><span style=""> </span>` +
		`<span style="font-weight:bold;color:#f2777a">bad</span><span style="color:#f2777a"> red</span></pre>`
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}
