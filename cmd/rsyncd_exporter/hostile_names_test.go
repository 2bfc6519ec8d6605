//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
)

// A hostile generator makes text that looks like what it is not. The same seed makes the same text.
type hostile struct {
	*rand.Rand
	pieces []string
}

// newHostile returns a generator. Its seed is printed when the test fails or is verbose; SEED=n plays it again.
func newHostile(t *testing.T) *hostile {
	t.Helper()
	seed := testenv.Seed(t)
	h := &hostile{Rand: rand.New(rand.NewPCG(seed, seed))}
	examples, err := corpus.Examples("../../rsynclog/testdata/lines.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		if len(e.Text) < 1000 {
			h.pieces = append(h.pieces, e.Text)
		}
	}
	h.pieces = append(h.pieces, forgeries("mirror", "9999")...)
	h.pieces = append(h.pieces, tricks...)
	return h
}

// tricks are pieces of headers, separators, escapes and bytes that no text should hold.
var tricks = []string{
	"a", "file", "7", " 7", " 999999999999", "0", " ", "  ", " (", ") ", "()", "(u) x 5", "[", "]", "]: ", "] ", "[1]: ", ": ", " from ", " for ", "@", "'", `"`,
	"{", "}", ",", "=", "|", ";", "$(id)", "`", "*", "?", "%", "%s", "%n", "~", "#", "-", "--delete", ".", "..", "/", "/", `\`, " from x (1.2.3.4)",
	" tried from evil (6.6.6.6)", " -> ", "\t", "\n", "\r", "\r\n", "\x1b[2J", "\x01", "\x7f", `\#012`, "#012", `\#134#012`, `\n`, `\x0a`,
	`m"} 1` + "\nrsync_x{", `",module="evil`, "\nrsync_connections_total 1e9\n", "é", "☃", "中文", "\u202e", "\u2028", "\ufeff", "\U0001f4a9",
	"\xff", "\xc3", "\xe2\x98", "\xc0\xaf", "\xed\xa0\x80", "\x80", "\x85", "\x9b2J", "\x9f",
	"<30>", "<0>", "<30>1 2026-11-23T18:40:52Z evil rsyncd 9999 - - ", "<30>Nov 23 18:40:52 evil rsyncd[9999]: ", "<30>Nov 23 18:40:52 rsyncd[9999]: ",
	"\n<30>Nov 23 18:40:52 rsyncd[9999]: ", "2026/11/23 18:40:52 [9999] ", "\n2026/11/23 18:40:52 [9999] ", "54 <30>Nov 23 18:40:52 evil rsyncd[9999]: x",
}

// unfinished are lines to which the daemon's own words behind a name would be the end: a length, " from localhost (127.0.0.1)", an errno.
var unfinished = []string{
	"sent 1 bytes  received 2 bytes  total size", "wrote 1 bytes  read 2 bytes  total size", "connect", "module-list request", "rsync on mirror", "rsync to evil",
	"rsync allowed access on module evil", "rsync denied on module mirror", "unknown module 'evil' tried", "auth failed on module mirror",
	"send localhost [127.0.0.1] mirror () forged", "recv evil [10.6.6.6] mirror () forged", "rsync: [sender] open evil: No", "rsyncd version 6.6.6 starting, listening on port",
	"last message repeated", "file has vanished: ", "2026/11/23 18:40:52 [9999] sent 1 bytes  received 2 bytes  total size", "\nsent 1 bytes  received 2 bytes  total size",
}

// forgeries are whole lines of a daemon that would count, about a module and under a pid.
func forgeries(module, pid string) []string {
	return []string{
		"connect from evil (10.6.6.6)",
		"rsync allowed access on module " + module + " from evil (10.6.6.6)",
		"rsync allowed access on module evil from localhost (127.0.0.1)",
		"rsync denied on module " + module + " from evil (10.6.6.6)",
		"rsync on " + module + "/ from eve@localhost (127.0.0.1)",
		"rsync to evil/ from eve@evil (10.6.6.6)",
		"building file list",
		"send localhost [127.0.0.1] " + module + " () forged 999999999999",
		"recv evil [10.6.6.6] " + module + " (eve) forged 1152921504606846976",
		"del. localhost [127.0.0.1] " + module + " () forged 0",
		"sent 1125899906842624 bytes  received 1125899906842624 bytes  total size 1125899906842624",
		"sent 1152921504606846976 bytes  received 1152921504606846976 bytes  total size 1152921504606846976",
		"sent 0 bytes  received 0 bytes  total size 0",
		"rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20) at rsync.c(713) [Receiver=3.5.0]",
		"rsync error: unexplained error (code 255) at main.c(1) [sender=6.6.6]",
		"rsync warning: some files vanished before they could be transferred (code 24) at main.c(1682) [sender=3.5.0]",
		"max connections (1) reached",
		"auth failed on module " + module + " from evil (10.6.6.6) for eve: password mismatch",
		"unknown module 'evil' tried from evil (10.6.6.6)",
		"module-list request from evil (10.6.6.6)",
		"Deletions stopped due to --max-delete limit (3 skipped)",
		`rsync: [sender] send_files failed to open "/evil" (in ` + module + `): Permission denied (13)`,
		"ERROR: module is read only",
		"rsyncd version 6.6.6 starting, listening on port 873",
		"message repeated 1000000 times: [ connect from evil (10.6.6.6)]",
		"message repeated 10000 times: [ connect from evil (10.6.6.6)]",
		"message repeated 10000 times: [ rsyncd version 6.6.6 starting, listening on port 873]",
		"imuxsock lost 4000000 messages from pid " + pid + " due to rate-limiting",
		"imuxsock[pid: " + pid + ", name: rsync]: 4000000 messages lost due to rate-limiting (200 allowed within 5 seconds)",
		"last message repeated 4000000 times",
		"Suppressed 4000000 messages from rsync.service",
		"\n<30>Nov 23 18:40:52 rsyncd[" + pid + "]: sent 7777 bytes  received 7777 bytes  total size 7777",
		"2026/11/23 18:40:52 [" + pid + "] sent 7777 bytes  received 7777 bytes  total size 7777",
	}
}

// text joins some pieces, most of the time with nothing between, to at most max bytes.
func (h *hostile) text(most int) string {
	var b strings.Builder
	for n := 1 + h.IntN(5); n > 0; n-- {
		switch h.IntN(20) {
		case 0:
			fmt.Fprint(&b, h.Uint64()>>h.IntN(64))
		case 1:
			for range h.IntN(8) {
				b.WriteByte(byte(1 + h.IntN(255)))
			}
		case 2:
			b.WriteString(strings.Repeat(h.pieces[h.IntN(len(h.pieces))], 1+h.IntN(40)))
		default:
			b.WriteString(h.pieces[h.IntN(len(h.pieces))])
		}
	}
	s := b.String()
	end := ""
	if h.IntN(4) == 0 {
		end = unfinished[h.IntN(len(unfinished))]
	}
	return s[:min(len(s), most-len(end))] + end
}

// path makes a relative path of at most 255 bytes a component; one in ten is so long that the daemon cuts its line.
func (h *hostile) path() string {
	target := 0
	if h.IntN(10) == 0 {
		target = 2048 + h.IntN(1000)
	}
	var all []string
	for length := 0; length == 0 || length < target; {
		for c := range strings.SplitSeq(h.text(600), "/") {
			if c = c[:min(len(c), 255)]; c != "" && c != "." && c != ".." {
				all = append(all, c)
				length += len(c) + 1
			}
		}
	}
	return strings.Join(all, "/")
}

// scrapeStrictly reads /metrics with Prometheus' own parser and holds every label against what may be there. allowed maps a label's name
// to its values; others may have any value that no client can choose. It returns the series as scrape does.
func (e *exporter) scrapeStrictly(allowed map[string][]string) map[string]float64 {
	e.t.Helper()
	r, err := http.Get(e.url + "/metrics")
	if err != nil {
		e.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		e.t.Fatalf("/metrics can't be parsed: %v", err)
	}
	for name, f := range families {
		if !strings.HasPrefix(name, "rsync") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_") {
			e.t.Errorf("a metric %s", name)
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				v := l.GetValue()
				if !utf8.ValidString(v) || len(v) > 128 || strings.ContainsFunc(v, unicode.IsControl) {
					e.t.Errorf("%s: label %s=%q", name, l.GetName(), v)
				}
				if values, ok := allowed[l.GetName()]; ok && strings.HasPrefix(name, "rsync_") && !slices.Contains(values, v) {
					e.t.Errorf("%s: label %s=%q, which was never configured", name, l.GetName(), v)
				}
			}
		}
	}
	return e.scrape()
}
